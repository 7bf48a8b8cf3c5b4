package llm

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"
)

// stats of the targets, [M] each: log-probability, entropy and log Σ p² of the
// distribution at 1/invTemp, 1 where the target is the most probable token, the mean logit.
func (h *head) stats(invTemp *Node) []*Node {
	x := h.norm(h.selected())
	m := x.Shape().Dimensions[0]
	parts := make([][]*Node, 5)
	for from := 0; from < m; from += h.chunk {
		p := h.tempered(Slice(x, AxisRange(from, from+h.chunk), AxisRange()), from, invTemp)
		squares := Reshape(ReduceAndKeep(Square(p.e), ReduceSum, -1), h.chunk)
		sum := Reshape(p.sum, h.chunk)
		for i, v := range []*Node{p.logp, p.entropyPart, Sub(Log(squares), MulScalar(Log(sum), 2)), p.correct, p.meanLogit} {
			parts[i] = append(parts[i], v)
		}
	}
	out := make([]*Node, len(parts))
	for i, list := range parts {
		out[i] = Concatenate(list, 0)
	}
	return out
}

// temperedPiece is a piece with its logits multiplied by invTemp.
type temperedPiece struct {
	piece
	shifted   *Node // [C, V] logits less their maximum
	meanLogit *Node // [C] of the logits as they are
}

func (h *head) tempered(x *Node, from int, invTemp *Node) temperedPiece {
	p := temperedPiece{piece: piece{x: x, targets: Slice(h.targets, AxisRange(from, from+h.chunk))}}
	l := h.logits(x)
	p.meanLogit = ReduceMean(l, -1)
	l = Mul(l, invTemp)
	p.shifted = Sub(l, ReduceAndKeep(l, ReduceMax, -1))
	p.e = Exp(p.shifted)
	p.sum = ReduceAndKeep(p.e, ReduceSum, -1)
	at := Concatenate([]*Node{Iota(x.Graph(), shapes.Make(dtypes.Int32, h.chunk, 1), 0), ExpandAxes(p.targets, -1)}, 1)
	gold := Gather(p.shifted, at)
	lse := Reshape(Log(p.sum), h.chunk)
	p.logp = Sub(gold, lse)
	p.correct = ConvertDType(GreaterOrEqual(gold, ZerosLike(gold)), dtypes.Float32)
	mean := Reshape(ReduceAndKeep(Mul(p.e, p.shifted), ReduceSum, -1), h.chunk)
	p.entropyPart = Sub(lse, Div(mean, Reshape(p.sum, h.chunk)))
	return p
}

// pull turns derivatives by the log-probability (c) and the entropy (ce, nil: none) of each target,
// [M], into those of the hidden states [N, D] and of the trained weights. With z the
// logits over the temperature and H the entropy,
//
//	d log p(t) / dz = onehot(t) - p        dH / dz = -p (log p + H)
func (h *head) pull(invTemp, c, ce *Node) (dHidden *Node, grads map[string]*Node) {
	sel := h.selected()
	x := h.norm(sel)
	m := sel.Shape().Dimensions[0]
	var dxs []*Node
	var dW, dBias *Node
	grads = map[string]*Node{}
	for from := 0; from < m; from += h.chunk {
		p := h.tempered(Slice(x, AxisRange(from, from+h.chunk), AxisRange()), from, invTemp)
		col := ExpandAxes(Mul(Slice(c, AxisRange(from, from+h.chunk)), invTemp), -1) // [C, 1]
		weight := col
		if ce != nil {
			e := ExpandAxes(Mul(Slice(ce, AxisRange(from, from+h.chunk)), invTemp), -1)
			weight = Add(col, Mul(e, Add(Sub(p.shifted, Log(p.sum)), ExpandAxes(p.entropyPart, -1))))
		}
		minus := Neg(Mul(p.e, Div(weight, p.sum))) // [C, V]
		gold := ConvertDType(Gather(h.weight, ExpandAxes(p.targets, -1)), dtypes.Float32)
		dx := Add(Mul(gold, col), h.pullBack(minus))
		for _, part := range h.low {
			dx = Add(dx, part.back(p.x, p.targets, col, minus, grads))
		}
		dxs = append(dxs, dx)
		if h.train[headName] || h.train[headBiasName] {
			d := Add(outer(minus, p.x), Scatter(ExpandAxes(p.targets, -1), Mul(p.x, col), shapes.Make(dtypes.Float32, h.cfg.Vocab, h.cfg.Hidden), false, false))
			b := Add(columnSum(minus), Scatter(ExpandAxes(p.targets, -1), Reshape(col, h.chunk), shapes.Make(dtypes.Float32, h.cfg.Vocab), false, false))
			if dW != nil {
				d, b = Add(dW, d), Add(dBias, b)
			}
			dW, dBias = d, b
		}
	}
	grads[headName], grads[headBiasName] = dW, dBias
	return h.back(sel, Concatenate(dxs, 0), grads)
}

// back goes from the gradient of normed rows to the hidden states', with the norm's own.
func (h *head) back(sel, dx *Node, grads map[string]*Node) (dHidden *Node, trained map[string]*Node) {
	dsel, dNormW, dNormB := normVJP(sel, h.normW, dx, h.cfg.LayerNorm, h.cfg.NormEps)
	norm := h.cfg.names().finalNorm
	grads[norm+".weight"], grads[norm+".bias"] = dNormW, dNormB
	trained = map[string]*Node{}
	for name, d := range grads {
		if h.train[name] {
			trained[name] = d
		}
	}
	return Scatter(ExpandAxes(h.rows, -1), dsel, h.hidden.Shape(), false, false), trained
}

// The names of a score head: a linear layer from the last hidden state to a few
// numbers, as transformers' ...ForSequenceClassification and ...ForTokenClassification have.
const (
	scoreName     = "score.weight" // [labels, D]
	scoreBiasName = "score.bias"   // [labels]
)

// freeKey chooses a program of a free head.
type freeKey struct {
	what    string // "stats", "pull", "scores", "pull_scores"
	entropy bool   // pull: with slopes by entropy
	add     bool   // adds to gradients that are there
	plus    bool   // adds to a gradient of the hidden states that is there
}

// freeProgram is a head's program. Inputs: hidden states, rows, targets, the head's parameters,
// then what the kind needs, old gradients, the old gradient of the hidden states.
func (e *Engine) freeProgram(k freeKey) (*program, error) {
	if p := e.free[k]; p != nil {
		return p, nil
	}
	score := k.what == "scores" || k.what == "pull_scores"
	params := e.headParams()
	if score {
		params = e.scoreParams()
	}
	train := e.trainedOf(params)
	p, err := newProgram(e.m.Backend, "head_"+k.what, func(flat []*Node) []*Node {
		in := &nodes{flat}
		h := &head{cfg: &e.m.Config, outside: e.outside(), hidden: in.next(), rows: in.next(), targets: in.next(), train: map[string]bool{}}
		named := in.named(params)
		h.setParams(named)
		h.inPieces()
		for _, name := range train {
			h.train[name] = true
		}
		var dHidden *Node
		var grads map[string]*Node
		switch k.what {
		case "stats":
			return h.stats(in.next())
		case "scores":
			return []*Node{h.scores(named)}
		case "pull_scores":
			ds := in.next() // [M, labels]
			sel := h.selected()
			x := h.norm(sel)
			dHidden, grads = h.back(sel, mulN(ds, named[scoreName]), map[string]*Node{scoreName: outer(ds, x), scoreBiasName: columnSum(ds)})
		case "pull":
			invTemp, c := in.next(), in.next()
			var ce *Node
			if k.entropy {
				ce = in.next()
			}
			dHidden, grads = h.pull(invTemp, c, ce)
		}
		if k.add {
			for name, old := range in.named(train) {
				grads[name] = Add(old, grads[name])
			}
		}
		if k.plus {
			dHidden = Add(dHidden, in.next())
		}
		out := []*Node{dHidden}
		for _, name := range train {
			out = append(out, grads[name])
		}
		return out
	})
	if err == nil {
		e.free[k] = p
	}
	return p, err
}

// scores are the score head's outputs at the rows, [M, labels].
func (h *head) scores(named map[string]*Node) *Node {
	s := mulT(h.norm(h.selected()), named[scoreName])
	if b := named[scoreBiasName]; b != nil {
		s = Add(s, row(b))
	}
	return s
}

// scoreParams are the weights of the score head with the norm before it.
func (e *Engine) scoreParams() []string {
	names := []string{e.m.Config.names().finalNorm + ".weight"}
	if e.m.Config.LayerNorm {
		names = append(names, e.m.Config.names().finalNorm+".bias")
	}
	names = append(names, scoreName)
	if e.param(scoreBiasName) != nil {
		names = append(names, scoreBiasName)
	}
	return names
}

// trainedOf are those of the names that are trained; a tied head counts when the
// embedding is.
func (e *Engine) trainedOf(params []string) []string {
	var names []string
	for _, name := range params {
		if e.train[e.stored(name)] {
			names = append(names, name)
		}
	}
	return names
}

func (e *Engine) tensorsOf(params []string) []*tensors.Tensor {
	var out []*tensors.Tensor
	for _, name := range params {
		out = append(out, e.param(name))
	}
	return out
}

// countSquares takes the sum of squares of the gradients of the heads, once all of them have
// added theirs.
func (e *Engine) countSquares(names []string) error {
	if len(names) == 0 {
		return nil
	}
	if e.squared == nil {
		var err error
		e.squared, err = newProgram(e.m.Backend, "squares", func(in []*Node) []*Node {
			sum := Scalar(in[0].Graph(), dtypes.Float32, 0)
			for _, g := range in {
				sum = Add(sum, ReduceAllSum(Square(g)))
			}
			return []*Node{sum}
		})
		if err != nil {
			return err
		}
	}
	var grads []*tensors.Tensor
	for _, name := range names {
		g := e.grads[name]
		if g == nil {
			return fmt.Errorf("llm: %s is trained and has no gradient", name)
		}
		grads = append(grads, g)
	}
	out, err := e.squared.call(grads)
	if err != nil {
		return err
	}
	free(e.squares["head"])
	e.squares["head"] = out[0]
	return nil
}
