package llm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/corpus"
)

// compile compiles the program for inputs of these shapes, if it is not yet.
func (p *program) compile(in []shapes.Shape) error {
	g, err := p.exec.Compile(in...)
	if err != nil {
		return fmt.Errorf("llm: %s: %w", p.name, err)
	}
	p.graph.Store(g)
	return nil
}

func f32(dims ...int) shapes.Shape { return shapes.Make(dtypes.Float32, dims...) }
func i32(dims ...int) shapes.Shape { return shapes.Make(dtypes.Int32, dims...) }

func shapesOf(ts []*tensors.Tensor) []shapes.Shape {
	out := make([]shapes.Shape, len(ts))
	for i, t := range ts {
		out[i] = t.Shape()
	}
	return out
}

func concat(parts ...[]shapes.Shape) []shapes.Shape {
	var out []shapes.Shape
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// savedShapes are the shapes of what a layer's forward pass saves, for n tokens.
func (e *Engine) savedShapes(layer, n int) []shapes.Shape {
	c := &e.m.Config
	names := c.names()
	widths := map[string]string{"q": names.q, "k": names.k, "v": names.v, "gate": names.gate, "up": names.up}
	blk := &block{cfg: c, adapters: e.plans[layer].adapters}
	var out []shapes.Shape
	for _, name := range blk.savedNames(e.keep) {
		width := c.Hidden
		if module, ok := widths[name]; ok {
			width, _ = c.dims(module)
		} else if name == "attn" {
			width = c.Heads * c.HeadDim
		} else if module, ok := strings.CutPrefix(name, "h."); ok {
			width = blk.adapters[module].R
		}
		out = append(out, f32(n, width))
	}
	return out
}

// Prepare compiles everything that Accumulate (or, without grad, Evaluate) needs for
// batches of this size, several programs at once. It is never needed: what is not
// compiled yet is compiled when it is called, one after another.
func (e *Engine) Prepare(batch *corpus.Batch, loss TokenLoss, grad bool) error {
	rows, _, _, err := targetRows(batch, false)
	if err != nil {
		return err
	}
	c := &e.m.Config
	n, m := batch.B*batch.T, len(rows)
	hidden := f32(n, c.Hidden)
	tables := f32(batch.B, batch.T, c.Rope.Dim/2)
	common := []shapes.Shape{tables, tables, i32(batch.B, batch.T), i32(2)}
	var jobs []func() error
	add := func(p *program, in ...[]shapes.Shape) {
		all := concat(in...)
		jobs = append(jobs, func() error { return p.compile(all) })
	}
	head, err := e.headProgram(headKey{loss: loss, grad: grad})
	if err != nil {
		return err
	}
	headIn := concat([]shapes.Shape{hidden, i32(m), i32(m), f32(m)}, shapesOf(e.headTensors()))
	if grad {
		headIn = append(headIn, f32())
	}
	seen := map[*layerPlan]bool{}
	for i, p := range e.plans { // the slowest first
		if seen[p] {
			continue
		}
		seen[p] = true
		params := e.layerShapes(i)
		if grad {
			x := []shapes.Shape{hidden, hidden}
			add(p.backward[0], common, params, x, e.savedShapes(i, n))
			add(p.forwardSave, common, params, x[:1])
		} else {
			add(p.forward, common, params, []shapes.Shape{hidden})
		}
	}
	add(head, headIn)
	add(e.first, shapesOf(e.tensorsOf(e.embedParams())), []shapes.Shape{i32(3, batch.B, batch.T)})
	if train := e.embedTrain(); grad && len(train) > 0 {
		in := concat([]shapes.Shape{hidden, i32(n)}, shapesOf(e.tensorsOf(e.embedParams()[1:])))
		if slices.ContainsFunc(e.headTrain(), func(name string) bool { return e.withEmbedding(e.stored(name)) }) {
			for _, t := range e.tensorsOf(train) { // the head's gradient is there first
				in = append(in, f32(t.Shape().Dimensions...))
			}
			add(e.dEmbed[1], in)
		} else {
			add(e.dEmbed[0], in)
		}
	}
	return Parallel(jobs...)
}

// Parallel runs functions at once and joins their errors.
func Parallel(jobs ...func() error) error {
	errs := make([]error, len(jobs))
	var wait sync.WaitGroup
	for i, job := range jobs {
		wait.Go(func() { errs[i] = job() })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// SavedBytes is what the blocks keep for the backward pass of a batch of n tokens.
func (e *Engine) SavedBytes(n int) int64 {
	total := int64(0)
	for i := range e.plans {
		total += int64(n) * int64(e.m.Config.Hidden) * 4
		for _, s := range e.savedShapes(i, n) {
			total += int64(s.Size()) * 4
		}
	}
	return total
}
