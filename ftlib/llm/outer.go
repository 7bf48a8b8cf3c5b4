package llm

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/corpus"
)

// headKey chooses a head program.
type headKey struct {
	loss TokenLoss
	grad bool // with gradients
	add  bool // adding to gradients that are there
}

// buildOuter makes the programs outside the blocks.
func (e *Engine) buildOuter() error {
	cfg := &e.m.Config
	var err error
	make := func(name string, fn func(in *nodes) []*Node) *program {
		if err != nil {
			return nil
		}
		var p *program
		p, err = newProgram(e.m.Backend, name, func(in []*Node) []*Node { return fn(&nodes{in}) })
		return p
	}
	e.first = make("first", func(in *nodes) []*Node {
		tables := in.named(e.embedParams())
		batch := in.next() // [3, B, T]: ids, positions, segments
		b, t := batch.Shape().Dimensions[1], batch.Shape().Dimensions[2]
		part := func(i int, dims ...int) *Node { return Reshape(Slice(batch, AxisRange(i, i+1)), dims...) }
		ids := part(0, b*t)
		cos, sin := ropeTables(cfg.Rope, part(1, b, t))
		return []*Node{e.outside().lookup(tables, ids), cos, sin, ids, part(2, b, t)}
	})
	for i, add := range []bool{false, true} {
		e.dEmbed[i] = make("embed_backward", func(in *nodes) []*Node {
			dx, ids := in.next(), in.next()
			tables := in.named(e.embedParams()[1:])
			train := e.embedTrain()
			grads := e.outside().lookupVJP(cfg, tables, ids, dx, train)
			if add {
				for name, old := range in.named(train) {
					grads[name] = Add(old, grads[name])
				}
			}
			out := []*Node{nil}
			for _, name := range train {
				out = append(out, grads[name])
			}
			out[0] = sumSquares(dx.Graph(), out[1:])
			return out
		})
	}
	return err
}

func (e *Engine) outside() outside { return e.m.outside(e.adapter) }

// embedParams are what looking tokens up reads, the table first; embedTrain those of them
// that get a gradient.
func (e *Engine) embedParams() []string {
	return append([]string{embedName}, e.outside().embedNames()...)
}

func (e *Engine) embedTrain() []string {
	return slices.DeleteFunc(e.embedParams(), func(name string) bool { return !e.train[name] })
}

// withEmbedding reports weights whose gradient is complete with the embedding's, and counted
// there: a tied head, and rows of its own.
func (e *Engine) withEmbedding(name string) bool { return name == embedName || name == embedRows }

// headParams are the weights of the head: norm, its bias where there is one, the
// projection and its bias where there is one, and what an adapter adds.
func (e *Engine) headParams() []string {
	c := &e.m.Config
	names := []string{c.names().finalNorm + ".weight"}
	if c.LayerNorm {
		names = append(names, c.names().finalNorm+".bias")
	}
	names = append(names, headName)
	if c.HeadBias {
		names = append(names, headBiasName)
	}
	return append(names, e.outside().headNames()...)
}

// headTrain are the trained weights of the head under the names that it uses; a tied
// head counts when the embedding is trained.
func (e *Engine) headTrain() []string {
	return e.trainedOf(e.headParams())
}

// stored is the name under which a weight is kept: a tied head is the embedding.
func (e *Engine) stored(name string) string {
	if name == headName && e.m.headTied(e.adapter) {
		return embedName
	}
	return name
}

// headProgram computes loss and, with grad, gradients. Outputs: sums of loss, hits and
// entropy, log-probabilities [M]; then the gradient of the hidden states [N, D], the sum of
// squares of the weights' gradients, and these.
func (e *Engine) headProgram(k headKey) (*program, error) {
	if p := e.heads[k]; p != nil {
		return p, nil
	}
	params, train := e.headParams(), e.headTrain()
	p, err := newProgram(e.m.Backend, "head", func(flat []*Node) []*Node {
		in := &nodes{flat}
		h := e.headNodes(in, params)
		for _, name := range train {
			h.train[name] = true
		}
		var scale *Node
		if k.grad {
			scale = in.next()
		}
		s, logp, dHidden, grads := h.run(k.loss, scale)
		out := []*Node{s.loss, s.correct, s.entropy, logp}
		if !k.grad {
			return out
		}
		if k.add {
			for name, old := range in.named(train) {
				grads[name] = Add(old, grads[name])
			}
		}
		sum := Scalar(logp.Graph(), dtypes.Float32, 0)
		out = append(out, dHidden, nil)
		for _, name := range train {
			if !e.withEmbedding(e.stored(name)) {
				sum = Add(sum, ReduceAllSum(Square(grads[name])))
			}
			out = append(out, grads[name])
		}
		out[5] = sum
		return out
	})
	if err == nil {
		e.heads[k] = p
	}
	return p, err
}

// headNodes reads hidden states, rows, targets, weights and the head's parameters.
func (e *Engine) headNodes(in *nodes, params []string) *head {
	h := &head{cfg: &e.m.Config, outside: e.outside(), hidden: in.next(), rows: in.next(), targets: in.next(), weights: in.next(), train: map[string]bool{}}
	h.setParams(in.named(params))
	h.inPieces()
	return h
}

func (e *Engine) headTensors() []*tensors.Tensor { return e.tensorsOf(e.headParams()) }

// targetRows lists the trained targets of a batch: the hidden state that predicts
// each, the token, its weight. Its length is one of few, so that few programs are
// compiled: a quarter, a half or all of the positions, in sixty-fours. The head costs what the trained
// tokens cost, not what the batch does.
func targetRows(b *corpus.Batch, all bool) (rows, targets []int32, weights []float32, err error) {
	if len(b.Mask) != b.B*b.T {
		return nil, nil, nil, fmt.Errorf("llm: a batch of %d x %d with a mask of %d", b.B, b.T, len(b.Mask))
	}
	for i := range b.B {
		for t := range b.T {
			at := i*b.T + t
			w := b.Mask[at]
			if (w == 0 && !all) || t == 0 || b.Seg[at] == 0 || b.Seg[at] != b.Seg[at-1] {
				if w != 0 {
					return nil, nil, nil, fmt.Errorf("llm: row %d trains token %d, which nothing stands before in its segment", i, t)
				}
				continue
			}
			rows, targets, weights = append(rows, int32(at-1)), append(targets, b.IDs[at]), append(weights, w)
		}
	}
	n := b.B * b.T
	size := n
	for _, part := range []int{4, 2} {
		if s := (n + part - 1) / part; len(rows) <= s {
			size = s
			break
		}
	}
	if size > 64 {
		size = (size + 63) / 64 * 64 // divides into chunks whatever the length of the batch
	}
	pad := max(size-len(rows), 0)
	return append(rows, make([]int32, pad)...), append(targets, make([]int32, pad)...), append(weights, make([]float32, pad)...), nil
}
