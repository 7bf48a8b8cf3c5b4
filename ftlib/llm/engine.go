package llm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/corpus"
)

// EngineOptions say what is trained and how memory is spent. The zero value trains
// the adapter that is switched on, or every weight when there is none, and keeps the
// activations of every block.
type EngineOptions struct {
	// Train chooses base weights to train by Hugging Face name; nil: none beside an
	// adapter, all without one, none of a quantised model.
	Train func(name string) bool
	// Keep is what blocks keep between the forward and the backward pass.
	Keep Keep
	// Offload moves what is kept to host memory until the backward pass asks for it, one
	// layer's worth while the next one computes. Values stay as they are, bit for bit.
	Offload bool
}

// Keep says what a block keeps of a training forward pass; the rest is computed again in the
// backward pass. With N tokens, widths D and F of the stream and the MLP, in float32:
type Keep string

const (
	KeepAll       Keep = ""                 // all activations, about N (6 D + 2 F): the fastest
	KeepAttention Keep = "recompute_mlp"    // attention's, about N 6 D: two of seven layers are computed again, the widest
	KeepHalves    Keep = "recompute_halves" // the inputs of attention and MLP, N 2 D: one half of a block is there at a time, for long rows
	KeepInputs    Keep = "recompute"        // block inputs, N D: a third more time
)

// Engine computes losses and gradients of a model layer by layer with programs that
// are compiled once for all layers of one kind. It is for one goroutine at a time.
type Engine struct {
	m       *Model
	adapter *Adapter
	train   map[string]bool
	keep    Keep
	offload bool

	plans     []*layerPlan // per layer; equal layers share one
	first     *program     // embedding, batch -> hidden states, cosine and sine, ids, segments
	dEmbed    [2]*program  // gradient of the embedding; [1] adds to one that is there
	heads     map[headKey]*program
	allLogits *program
	free      map[freeKey]*program // of heads that a method drives
	squared   *program

	feed    feed // of streamed weights
	grads   map[string]*tensors.Tensor
	squares map[string]*tensors.Tensor // sums of squares of gradients, by layer or name
}

// NewEngine prepares a model for training or scoring. Nothing is compiled before
// the first batch.
func NewEngine(m *Model, o EngineOptions) (*Engine, error) {
	e := &Engine{m: m, adapter: m.adapter, train: map[string]bool{}, keep: o.Keep, offload: o.Offload, feed: feed{s: m.stream},
		heads: map[headKey]*program{}, free: map[freeKey]*program{}, grads: map[string]*tensors.Tensor{}, squares: map[string]*tensors.Tensor{}}
	for _, name := range m.Names() {
		if (o.Train == nil && m.adapter == nil && m.packs == nil) || (o.Train != nil && o.Train(name)) {
			if _, packed := m.packs[name]; packed {
				return nil, fmt.Errorf("llm: %s is quantised and cannot be trained; train an adapter (lora), or load the model in full", name)
			}
			if m.stream.has(name) {
				return nil, fmt.Errorf("llm: %s is streamed and cannot be trained; train an adapter (lora), or leave model.stream out", name)
			}
			e.train[name] = true
		}
	}
	if m.adapter != nil {
		for name := range m.adapter.params {
			e.train[name] = true
		}
	}
	shared := map[string]*layerPlan{}
	for i := range m.Config.Layers {
		p := e.plan(i)
		if s := shared[p.key]; s != nil {
			p = s
		} else if err := p.build(e); err != nil {
			return nil, err
		}
		shared[p.key] = p
		e.plans = append(e.plans, p)
	}
	return e, e.buildOuter()
}

// Model is the model that the engine works on.
func (e *Engine) Model() *Model { return e.m }

// Adapter is the one that was switched on when the engine was made; nil: the base alone.
func (e *Engine) Adapter() *Adapter { return e.adapter }

// Trainable are the names of the trained weights, sorted.
func (e *Engine) Trainable() []string { return sortedKeys(e.train) }

// Groups are the trained weights layer by layer and the rest: what an optimizer
// updates with one program.
func (e *Engine) Groups() [][]string {
	by := map[string][]string{}
	for _, name := range e.Trainable() {
		key := ""
		if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
			n, _, _ := strings.Cut(rest, ".")
			key = fmt.Sprintf("%08s", n)
		}
		by[key] = append(by[key], name)
	}
	var groups [][]string
	for _, key := range sortedKeys(by) {
		groups = append(groups, by[key])
	}
	return groups
}

// param is a weight as the engine sees it: the adapter's before the model's.
func (e *Engine) param(name string) *tensors.Tensor { return e.m.under(e.adapter, name) }

// Value is a trained weight; the tensor stays the engine's.
func (e *Engine) Value(name string) *tensors.Tensor { return e.param(name) }

// SetValue replaces a trained weight and frees the old one.
func (e *Engine) SetValue(name string, t *tensors.Tensor) error {
	if !e.train[name] {
		return fmt.Errorf("llm: %q is not trained", name)
	}
	at, lent := e.m.params, e.m.lent
	if e.adapter != nil && e.adapter.params[name] != nil {
		at, lent = e.adapter.params, e.adapter.lent
	} else {
		e.m.changed = true
	}
	if old := at[name]; !old.Shape().Equal(t.Shape()) {
		return fmt.Errorf("llm: %q is %s, the new value %s", name, old.Shape(), t.Shape())
	}
	if at[name] != t {
		lent.release(at[name])
	}
	at[name] = t
	return nil
}

// Grad is the gradient of a trained weight since the last ClearGrads; nil before.
func (e *Engine) Grad(name string) *tensors.Tensor { return e.grads[name] }

// GradSquares is the sum of squares of all gradients: the square of the global norm.
func (e *Engine) GradSquares() (float64, error) {
	sum := 0.0
	for _, key := range sortedKeys(e.squares) {
		v, err := scalar(e.squares[key])
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// ClearGrads frees the gradients.
func (e *Engine) ClearGrads() {
	for _, t := range e.grads {
		free(t)
	}
	for _, t := range e.squares {
		free(t)
	}
	clear(e.grads)
	clear(e.squares)
}

// Close frees the gradients; the model stays.
func (e *Engine) Close() {
	e.feed.drop()
	e.ClearGrads()
}

// setGrads stores the outputs of a backward program and frees what they replace.
// squares is the sum of their squares, kept under key.
func (e *Engine) setGrads(key string, names []string, squares *tensors.Tensor, ts []*tensors.Tensor) {
	free(e.squares[key])
	e.squares[key] = squares
	for i, name := range names {
		free(e.grads[name])
		e.grads[name] = ts[i]
	}
}

// pass is one batch on its way through the layers.
type pass struct {
	e             *Engine
	b, t          int
	ids           *tensors.Tensor   // [N]
	cos, sin, seg *tensors.Tensor   // [B, T, Dim/2] twice, [B, T]
	keys          []*tensors.Tensor // dropout key of each layer
	saved         []*kept
	hidden        *tensors.Tensor // [N, D] behind the last block
}

func (p *pass) free() {
	p.e.feed.drop()
	free(p.ids, p.cos, p.sin, p.seg, p.hidden)
	free(p.keys...)
	for _, k := range p.saved {
		k.free()
	}
}

// common are the inputs that every program of a layer begins with.
func (p *pass) common(layer int) []*tensors.Tensor {
	return group(p.cos, p.sin, p.seg, p.keys[layer])
}

// start uploads a batch and makes tables and embeddings.
func (e *Engine) start(batch *corpus.Batch, key uint64) (*pass, error) {
	n := batch.B * batch.T
	if len(batch.IDs) != n || len(batch.Pos) != n || len(batch.Seg) != n {
		return nil, fmt.Errorf("llm: a batch of %d x %d with %d ids, %d positions, %d segments", batch.B, batch.T, len(batch.IDs), len(batch.Pos), len(batch.Seg))
	}
	for i, id := range batch.IDs {
		if id < 0 || int(id) >= e.m.Config.Vocab {
			return nil, fmt.Errorf("llm: token %d at row %d, position %d is not in the vocabulary of %d; is it the tokenizer of another model?", id, i/batch.T, i%batch.T, e.m.Config.Vocab)
		}
	}
	if err := e.m.Config.Rope.check(batch.T); err != nil {
		return nil, err
	}
	p := &pass{e: e, b: batch.B, t: batch.T}
	var err error
	ints := func(values []int32, dims ...int) (t *tensors.Tensor) {
		if err == nil {
			t, err = newInts(e.m.Backend, values, dims...)
		}
		return t
	}
	all := ints(slices.Concat(batch.IDs, batch.Pos, batch.Seg), 3, p.b, p.t)
	defer free(all)
	for i, plan := range e.plans {
		if i > 0 && !plan.dropout && !e.plans[i-1].dropout { // nobody looks at it
			p.keys = append(p.keys, p.keys[i-1])
			continue
		}
		p.keys = append(p.keys, ints([]int32{int32(uint32(key) + uint32(i)*0x9e3779b9), int32(key >> 32)}, 2))
	}
	if err != nil {
		p.free()
		return nil, err
	}
	out, err := e.first.call(e.tensorsOf(e.embedParams()), group(all))
	if err != nil {
		p.free()
		return nil, err
	}
	p.hidden, p.cos, p.sin, p.ids, p.seg = out[0], out[1], out[2], out[3], out[4]
	return p, nil
}

// forward runs the blocks. When training, what the gradient needs is kept.
func (p *pass) forward(training bool) error {
	e := p.e
	for i, plan := range e.plans {
		prog := plan.forward
		if training {
			prog = plan.forwardSave
		}
		last := i == len(e.plans)-1
		next := i + 1
		if last {
			next = -1
		}
		weights, here, err := e.layerParams(i, next)
		if err != nil {
			return err
		}
		out, err := prog.call(p.common(i), weights, group(p.hidden))
		if training && last && err == nil {
			e.feed.give(i, here)
		} else {
			freeAll(here)
		}
		if err != nil {
			return err
		}
		if training {
			k := &kept{here: append(group(p.hidden), out[1:]...)}
			if p.saved = append(p.saved, k); e.offload {
				if i > 0 {
					p.saved[i-1].wait.Wait() // one layer is on its way at a time
				}
				k.leave()
			}
		} else {
			free(p.hidden)
		}
		p.hidden = out[0]
	}
	return nil
}

// backward turns the gradient of the last hidden states into gradients of weights.
// It frees dy and what forward kept.
func (p *pass) backward(dy *tensors.Tensor) error {
	e := p.e
	defer func() { free(dy) }()
	for i := len(e.plans) - 1; i >= 0; i-- {
		plan := e.plans[i]
		names := make([]string, len(plan.train))
		for j, name := range plan.train {
			names[j] = layerName(i, name)
		}
		add := 0
		var old []*tensors.Tensor
		if len(names) > 0 && e.grads[names[0]] != nil {
			add = 1
			for _, name := range names {
				old = append(old, e.grads[name])
			}
		}
		saved, err := p.saved[i].take(e.m.Backend)
		if err != nil {
			return err
		}
		if i > 0 {
			p.saved[i-1].comeBack(e.m.Backend)
		}
		weights, here, err := e.layerParams(i, i-1)
		if err != nil {
			return err
		}
		out, err := plan.backward[add].call(p.common(i), weights, group(dy), saved, old)
		freeAll(here)
		if err != nil {
			return err
		}
		free(dy)
		p.saved[i].free()
		dy = out[0]
		e.setGrads(layerName(i, ""), names, out[1], out[2:])
	}
	train := e.embedTrain()
	if len(train) == 0 {
		return nil
	}
	add, old := 0, e.haveGrads(train)
	if old != nil {
		add = 1
	}
	out, err := e.dEmbed[add].call(group(dy, p.ids), e.tensorsOf(e.embedParams()[1:]), old)
	if err != nil {
		return err
	}
	e.setGrads(embedName, train, out[0], out[1:])
	return nil
}
