package llm

import (
	"fmt"
	"sort"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"
)

// layerPlan is what one block needs to run: layers that agree in it share their
// compiled programs.
type layerPlan struct {
	key      string
	params   []string // inside the layer, sorted
	train    []string // those that get a gradient, sorted
	adapters map[string]adapterSpec
	packs    map[string]packedSpec // weights that are quantised
	window   int
	dropout  bool

	forward, forwardSave *program    // without and with what the gradient needs
	backward             [2]*program // [1] adds to gradients that are there
}

// plan describes layer i under the engine's adapter and choice of trained weights.
func (e *Engine) plan(i int) *layerPlan {
	p := &layerPlan{adapters: map[string]adapterSpec{}, packs: e.m.packsInside(i), window: e.m.Config.Windows[i]}
	prefix := layerName(i, "")
	p.params = append(p.params, e.m.layerNames(i)...)
	if e.adapter != nil {
		for name := range e.adapter.params {
			local, ok := strings.CutPrefix(name, prefix)
			if ok && strings.Contains(local, ".lora_") {
				p.params = append(p.params, local)
			}
		}
		for _, m := range e.m.Config.Linears() {
			if s, ok := e.adapter.specs[prefix+m]; ok {
				p.adapters[m] = s
				p.dropout = p.dropout || s.Dropout > 0
			}
		}
	}
	sort.Strings(p.params)
	for _, name := range p.params {
		if e.train[prefix+name] {
			p.train = append(p.train, name)
		}
	}
	var key strings.Builder
	fmt.Fprint(&key, p.window, p.train)
	for _, name := range p.params {
		fmt.Fprint(&key, name, e.shape(prefix+name))
	}
	for _, m := range sortedKeys(p.adapters) {
		fmt.Fprint(&key, m, p.adapters[m])
	}
	for _, name := range sortedKeys(p.packs) {
		fmt.Fprint(&key, name, p.packs[name])
	}
	p.key = key.String()
	return p
}

// block reads the inputs that every program of a layer has: tables, segments,
// dropout key and, after them, whatever order asks for.
func (p *layerPlan) block(cfg *Config, in *nodes, training bool) *block {
	cos, sin, seg := in.next(), in.next(), in.next()
	key := in.next()
	b, t := seg.Shape().Dimensions[0], seg.Shape().Dimensions[1]
	blk := &block{cfg: cfg, adapters: p.adapters, packs: p.packs, last: new(lastProduct),
		at: attention{b: b, t: t, heads: cfg.Heads, kv: cfg.KVHeads, hd: cfg.HeadDim, cos: cos, sin: sin, seg: seg, window: p.window}}
	if training && p.dropout {
		blk.key = key
	}
	blk.params = in.named(p.params)
	return blk
}

// build makes the programs of a plan. Nothing is compiled before its first call.
func (p *layerPlan) build(e *Engine) error {
	cfg := &e.m.Config
	var err error
	make := func(name string, fn func(in *nodes) []*Node) *program {
		if err != nil {
			return nil
		}
		var prog *program
		prog, err = newProgram(e.m.Backend, name, func(in []*Node) []*Node { return fn(&nodes{in}) })
		return prog
	}
	p.forward = make("block_forward", func(in *nodes) []*Node {
		blk := p.block(cfg, in, false)
		y, _ := blk.forward(in.next())
		return []*Node{y}
	})
	p.forwardSave = make("block_forward_save", func(in *nodes) []*Node {
		blk := p.block(cfg, in, true)
		y, s := blk.forward(in.next())
		out := []*Node{y}
		for _, name := range blk.savedNames(e.keep) {
			out = append(out, s[name])
		}
		return out
	})
	finish := func(blk *block, in *nodes, s saved, dy *Node, add bool) []*Node {
		train := map[string]bool{}
		for _, name := range p.train {
			train[name] = true
		}
		grads := map[string]*Node{}
		dx := blk.vjp(s, dy, train, func(name string, g *Node) { grads[name] = ConvertDType(g, dtypes.Float32) })
		if add {
			for name, old := range in.named(p.train) {
				grads[name] = Add(old, grads[name])
			}
		}
		out := []*Node{dx, nil}
		for _, name := range p.train {
			out = append(out, grads[name])
		}
		out[1] = sumSquares(dx.Graph(), out[2:])
		return out
	}
	name := "block_backward"
	if e.keep != KeepAll {
		name = "block_recompute"
	}
	for i, add := range []bool{false, true} {
		p.backward[i] = make(name, func(in *nodes) []*Node {
			blk := p.block(cfg, in, true)
			dy, x := in.next(), in.next()
			s := saved(in.named(blk.savedNames(e.keep)))
			s["x"] = x
			return finish(blk, in, s, dy, add)
		})
	}
	return err
}

// sumSquares of small tensors is one reduction over all of them: a third of the
// compile time of a layer's gradient is saved over one reduction each.
func sumSquares(g *Graph, ts []*Node) *Node {
	sum := Scalar(g, dtypes.Float32, 0)
	var flat []*Node
	for _, t := range ts {
		if t.Shape().Size() > 1<<16 { // not worth copying
			sum = Add(sum, ReduceAllSum(Square(t)))
		} else {
			flat = append(flat, Reshape(t, -1))
		}
	}
	if len(flat) > 0 {
		sum = Add(sum, ReduceAllSum(Square(Concatenate(flat, 0))))
	}
	return sum
}

// layerParams are the tensors of layer i in the plan's order. Those that were brought for it are
// the caller's to free; layer next, none below 0, is brought meanwhile.
func (e *Engine) layerParams(i, next int) (all []*tensors.Tensor, here map[string]*tensors.Tensor, err error) {
	if here, err = e.feed.take(i, next); err != nil {
		return nil, nil, err
	}
	for _, name := range e.plans[i].params {
		t := e.param(layerName(i, name))
		if t == nil {
			t = here[layerName(i, name)]
		}
		all = append(all, t)
	}
	return all, here, nil
}

// shape of a weight, which may be one that is streamed.
func (e *Engine) shape(name string) shapes.Shape {
	if t := e.param(name); t != nil {
		return t.Shape()
	}
	return e.m.stream.shapes[name]
}

// layerShapes are the shapes of layerParams.
func (e *Engine) layerShapes(i int) []shapes.Shape {
	var all []shapes.Shape
	for _, name := range e.plans[i].params {
		all = append(all, e.shape(layerName(i, name)))
	}
	return all
}
