package llm

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/corpus"
)

// ForwardOptions say how a batch goes forward. The zero value is for reading alone.
type ForwardOptions struct {
	Train       bool    // keep what Pull needs
	Key         uint64  // of dropout, when training
	Temperature float64 // divides logits; 0: 1
}

// TokenStats are what the model says about the targets of a batch, row-major [B, T] and in
// nats: entry t is about token t as what stands before it predicts it. Where the batch's mask
// is 0 all of them are 0.
type TokenStats struct {
	LogP      []float32 // log-probability of the token
	Entropy   []float32 // of the distribution
	LogSumSq  []float32 // log Σ p² of the distribution
	Top       []float32 // 1 where the token is the most probable one
	MeanLogit []float32 // over the vocabulary, before the temperature
}

// Slopes are the derivatives of a loss by what a pass returned.
type Slopes struct {
	LogP    []float32 // [B, T] by log-probabilities; nil: none
	Entropy []float32 // [B, T] by entropies; nil: none
	Scores  []float32 // [len(rows), Labels] by the scores of the last call of Scores; nil: none
}

// Pass is a batch that went forward through the blocks. A method looks at what the heads say,
// computes its loss and the slopes (package loss), and sends these back with Pull: the
// only things that differ between methods are outside of it.
type Pass struct {
	p         *pass
	batch     *corpus.Batch
	o         ForwardOptions
	rows      []int32           // hidden states that predict targets, padded
	n         int               // of them real
	args      []*tensors.Tensor // rows and targets on the device
	scoreArgs []*tensors.Tensor
	scored    int
}

// Forward runs a batch through the blocks.
func (e *Engine) Forward(batch *corpus.Batch, o ForwardOptions) (*Pass, error) {
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	p, err := e.start(batch, o.Key)
	if err != nil {
		return nil, err
	}
	if err := p.forward(o.Train); err != nil {
		p.free()
		return nil, err
	}
	return &Pass{p: p, batch: batch, o: o}, nil
}

// Close frees what the pass holds.
func (p *Pass) Close() {
	p.p.free()
	free(p.args...)
	free(p.scoreArgs...)
	p.args, p.scoreArgs = nil, nil
}

// targets uploads which targets the heads look at.
func (p *Pass) targets() ([]*tensors.Tensor, error) {
	if p.args != nil {
		return p.args, nil
	}
	rows, ids, weights, err := targetRows(p.batch, false)
	if err != nil {
		return nil, err
	}
	p.rows = rows
	for p.n < len(weights) && weights[p.n] != 0 {
		p.n++
	}
	for _, values := range [][]int32{rows, ids} {
		x, err := newInts(p.p.e.m.Backend, values, len(values))
		if err != nil {
			return nil, err
		}
		p.args = append(p.args, x)
	}
	return p.args, nil
}

// Stats are what the model says about the targets.
func (p *Pass) Stats() (TokenStats, error) {
	e := p.p.e
	if e.param(headName) == nil {
		return TokenStats{}, fmt.Errorf("llm: the model has no head for tokens: it is a classifier")
	}
	args, err := p.targets()
	if err != nil {
		return TokenStats{}, err
	}
	prog, err := e.freeProgram(freeKey{what: "stats"})
	if err != nil {
		return TokenStats{}, err
	}
	temp, err := newFloats(e.m.Backend, []float32{float32(1 / p.o.Temperature)})
	if err != nil {
		return TokenStats{}, err
	}
	defer free(temp)
	out, err := prog.call(group(p.p.hidden), args, e.headTensors(), group(temp))
	if err != nil {
		return TokenStats{}, err
	}
	defer free(out...)
	var s TokenStats
	for i, dst := range []*[]float32{&s.LogP, &s.Entropy, &s.LogSumSq, &s.Top, &s.MeanLogit} {
		values, err := floats(out[i])
		if err != nil {
			return s, err
		}
		*dst = make([]float32, p.batch.B*p.batch.T)
		for k, row := range p.rows[:p.n] {
			(*dst)[row+1] = values[k]
		}
	}
	return s, nil
}

// Labels is the number of outputs of the score head; 0: there is none.
func (e *Engine) Labels() int {
	if t := e.param(scoreName); t != nil {
		return t.Shape().Dimensions[0]
	}
	return 0
}

// Scores are the score head's outputs at positions of the batch (row·T + t), [len(rows), Labels].
func (p *Pass) Scores(rows []int32) ([]float32, error) {
	e := p.p.e
	labels := e.Labels()
	if labels == 0 {
		return nil, fmt.Errorf("llm: the model has no score head; see Model.NewScoreHead")
	}
	for _, r := range rows {
		if r < 0 || int(r) >= p.batch.B*p.batch.T {
			return nil, fmt.Errorf("llm: position %d of a batch of %d x %d", r, p.batch.B, p.batch.T)
		}
	}
	size := 8 // few lengths, few programs
	for size < len(rows) {
		size *= 2
	}
	padded := append(append([]int32{}, rows...), make([]int32, size-len(rows))...)
	free(p.scoreArgs...)
	p.scoreArgs, p.scored = nil, len(rows)
	for _, values := range [][]int32{padded, make([]int32, size)} {
		x, err := newInts(e.m.Backend, values, size)
		if err != nil {
			return nil, err
		}
		p.scoreArgs = append(p.scoreArgs, x)
	}
	prog, err := e.freeProgram(freeKey{what: "scores"})
	if err != nil {
		return nil, err
	}
	out, err := prog.call(group(p.p.hidden), p.scoreArgs, e.tensorsOf(e.scoreParams()))
	if err != nil {
		return nil, err
	}
	defer free(out...)
	values, err := floats(out[0])
	if err != nil {
		return nil, err
	}
	return values[:len(rows)*labels], nil
}

// Pull runs the batch backward and adds the gradients of Σ slope · value to those that
// are there. It ends the pass.
func (p *Pass) Pull(s Slopes) error {
	e := p.p.e
	if !p.o.Train {
		return fmt.Errorf("llm: the pass was not started for training")
	}
	var dHidden *tensors.Tensor
	var heads []string
	if s.LogP != nil || s.Entropy != nil {
		names, err := p.pullTokens(s, &dHidden)
		if err != nil {
			return err
		}
		heads = append(heads, names...)
	}
	if s.Scores != nil {
		names, err := p.pullScores(s.Scores, &dHidden)
		if err != nil {
			return err
		}
		heads = append(heads, names...)
	}
	if dHidden == nil {
		return fmt.Errorf("llm: no slopes: nothing to pull")
	}
	seen := map[string]bool{}
	var counted []string
	for _, name := range heads {
		if name = e.stored(name); !e.withEmbedding(name) && !seen[name] {
			seen[name] = true
			counted = append(counted, name)
		}
	}
	if err := e.countSquares(counted); err != nil {
		return err
	}
	return p.p.backward(dHidden)
}

func (p *Pass) pullTokens(s Slopes, dHidden **tensors.Tensor) ([]string, error) {
	e := p.p.e
	args, err := p.targets()
	if err != nil {
		return nil, err
	}
	n := p.batch.B * p.batch.T
	if s.LogP == nil {
		s.LogP = make([]float32, n)
	}
	lists := [][]float32{s.LogP}
	if s.Entropy != nil {
		lists = append(lists, s.Entropy)
	}
	more := make([]*tensors.Tensor, 0, 3)
	defer func() { free(more...) }()
	temp, err := newFloats(e.m.Backend, []float32{float32(1 / p.o.Temperature)})
	if err != nil {
		return nil, err
	}
	more = append(more, temp)
	for _, list := range lists {
		if len(list) != n {
			return nil, fmt.Errorf("llm: %d slopes of %d x %d tokens", len(list), p.batch.B, p.batch.T)
		}
		values := make([]float32, len(p.rows))
		for k, row := range p.rows[:p.n] {
			values[k] = list[row+1]
		}
		x, err := newFloats(e.m.Backend, values, len(values))
		if err != nil {
			return nil, err
		}
		more = append(more, x)
	}
	return p.pull(freeKey{what: "pull", entropy: s.Entropy != nil}, e.headParams(), args, more, dHidden)
}

func (p *Pass) pullScores(slopes []float32, dHidden **tensors.Tensor) ([]string, error) {
	e := p.p.e
	labels := e.Labels()
	if len(slopes) != p.scored*labels || p.scored == 0 {
		return nil, fmt.Errorf("llm: %d slopes of %d x %d scores", len(slopes), p.scored, labels)
	}
	size := p.scoreArgs[0].Shape().Dimensions[0]
	values := make([]float32, size*labels)
	copy(values, slopes)
	x, err := newFloats(e.m.Backend, values, size, labels)
	if err != nil {
		return nil, err
	}
	defer free(x)
	return p.pull(freeKey{what: "pull_scores"}, e.scoreParams(), p.scoreArgs, group(x), dHidden)
}

// pull runs the backward program of a head and stores its gradients.
func (p *Pass) pull(k freeKey, params []string, args, more []*tensors.Tensor, dHidden **tensors.Tensor) ([]string, error) {
	e := p.p.e
	train := e.trainedOf(params)
	extra := more
	if have := e.haveGrads(train); have != nil {
		k.add = true
		extra = append(append([]*tensors.Tensor{}, more...), have...)
	}
	if *dHidden != nil {
		k.plus = true
		extra = append(append([]*tensors.Tensor{}, extra...), *dHidden)
	}
	prog, err := e.freeProgram(k)
	if err != nil {
		return nil, err
	}
	out, err := prog.call(group(p.p.hidden), args, e.tensorsOf(params), extra)
	if err != nil {
		return nil, err
	}
	free(*dHidden)
	*dHidden = out[0]
	for i, name := range train {
		name = e.stored(name)
		free(e.grads[name])
		e.grads[name] = out[1+i]
	}
	return train, nil
}

// haveGrads are the gradients of the names so far, zeros where one has none; nil when
// none has.
func (e *Engine) haveGrads(names []string) []*tensors.Tensor {
	some := false
	for _, name := range names {
		some = some || e.grads[e.stored(name)] != nil
	}
	if !some {
		return nil
	}
	var out []*tensors.Tensor
	for _, name := range names {
		g := e.grads[e.stored(name)]
		if g == nil {
			g = tensors.FromShape(f32(e.param(name).Shape().Dimensions...))
			e.grads[e.stored(name)] = g
		}
		out = append(out, g)
	}
	return out
}
