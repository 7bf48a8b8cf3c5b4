package llm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// TokenLoss is a loss that looks at each target's log-probability alone.
type TokenLoss int

const (
	// NLL is the negative log-likelihood, -log p.
	NLL TokenLoss = iota
	// DFT is dynamic fine-tuning (Wu et al. 2025), -stop(p)·log p: rare tokens push less.
	DFT
)

// terms returns the loss of a target and its derivative by log p, both without weight.
func (l TokenLoss) terms(logp *Node) (loss, slope *Node) {
	if l == DFT {
		p := Exp(logp)
		return Neg(Mul(p, logp)), Neg(p)
	}
	return Neg(logp), Neg(OnesLike(logp))
}

// head is the final norm and the projection to the vocabulary, over some rows of the
// last hidden states. Logits exist for one chunk of rows at a time, and no one-hot
// matrix is made.
type head struct {
	cfg           *Config
	normW, normB  *Node           // [D]; normB nil with RMSNorm
	weight, bias  *Node           // [V, D], [V] or nil
	hidden        *Node           // [N, D]
	rows, targets *Node           // [M] int32: where in hidden, and the token to predict there
	weights       *Node           // [M] float32; 0 for padding
	chunk         int             // rows whose logits exist at once; divides M
	outside       outside         // what an adapter adds
	low           []logitPart     // of it, in the logits
	last          *lastProduct    // what the next part of the vocabulary waits for; nil: all of it at once
	train         map[string]bool // weights that get a gradient, by Hugging Face name
}

func (h *head) setParams(p map[string]*Node) {
	norm := h.cfg.names().finalNorm
	h.normW, h.normB, h.weight, h.bias = p[norm+".weight"], p[norm+".bias"], p[headName], p[headBiasName]
	if h.weight == nil {
		h.weight = p[embedName]
	}
	h.low = h.outside.logitParts(p, h.weight)
}

// headChunk is how many rows of logits are computed at once: about 64 MB of them.
func headChunk(m, vocab int) int {
	c := m
	for c > 64 && c%2 == 0 && c*vocab*4 > 64<<20 {
		c /= 2
	}
	return c
}

// inPieces makes the head work on some rows, and on a part of the vocabulary, at a time.
func (h *head) inPieces() {
	h.chunk = headChunk(h.rows.Shape().Dimensions[0], h.cfg.Vocab)
	h.last = &lastProduct{h.hidden}
}

// vocabularyPart is how much of a matrix in half precision is multiplied at once. XLA
// makes float32 of it on processors, for all of the vocabulary and until the last use: 500
// MB for 32,000 words of 4,096 numbers.
const vocabularyPart = 48 << 20

// parts cuts the vocabulary of a weight in half precision; each part waits for the product
// before it, as packed weights do.
func (h *head) parts() [][2]int {
	v := h.weight.Shape().Dimensions[0]
	step := v
	if h.last != nil && h.weight.DType().IsHalfPrecision() {
		step = max(1, vocabularyPart/4/h.weight.Shape().Dimensions[1])
	}
	var out [][2]int
	for from := 0; from < v; from += step {
		out = append(out, [2]int{from, min(from+step, v)})
	}
	return out
}

func (h *head) part(from, to int) *Node {
	w := OptimizationBarriers(h.weight, h.last.Node)[0] // else all parts would be made float32 together
	return Slice(w, AxisRange(from, to), AxisRange())
}

// times is x·Wᵀ: [C, D] -> [C, V].
func (h *head) times(x *Node) *Node {
	parts := h.parts()
	if len(parts) == 1 {
		return mulT(x, h.weight)
	}
	out := make([]*Node, len(parts))
	for i, p := range parts {
		out[i] = h.last.done(mulT(x, h.part(p[0], p[1])))
	}
	return Concatenate(out, 1)
}

// pullBack is y·W: [C, V] -> [C, D].
func (h *head) pullBack(y *Node) *Node {
	parts := h.parts()
	if len(parts) == 1 {
		return mulN(y, h.weight)
	}
	var sum *Node
	for _, p := range parts {
		d := h.last.done(mulN(Slice(y, AxisRange(), AxisRange(p[0], p[1])), h.part(p[0], p[1])))
		if sum != nil {
			d = Add(sum, d)
		}
		sum = d
	}
	return sum
}

// logits of rows of normed hidden states: [C, D] -> [C, V].
func (h *head) logits(x *Node) *Node {
	l := h.times(x)
	for _, part := range h.low {
		l = Add(l, part.logits(x))
	}
	if h.bias != nil {
		l = Add(l, row(h.bias))
	}
	return l
}

func (h *head) norm(x *Node) *Node { return norm(x, h.normW, h.normB, h.cfg.LayerNorm, h.cfg.NormEps) }

// selected are the hidden states of the rows, [M, D].
func (h *head) selected() *Node { return Gather(h.hidden, ExpandAxes(h.rows, -1)) }

// piece is one chunk of rows on the way through the head.
type piece struct {
	x, targets  *Node // [C, D] normed, [C]
	e, sum      *Node // [C, V] exp(logits - max), [C, 1] their sums
	logp        *Node // [C] of the targets
	correct     *Node // [C] 1 where the target is the most probable token
	entropyPart *Node // [C] entropy of the distribution, nats
}

func (h *head) piece(x *Node, from int) piece {
	p := piece{x: x, targets: Slice(h.targets, AxisRange(from, from+h.chunk))}
	l := h.logits(x)
	top := ReduceAndKeep(l, ReduceMax, -1)
	shifted := Sub(l, top)
	p.e = Exp(shifted)
	p.sum = ReduceAndKeep(p.e, ReduceSum, -1)
	g := x.Graph()
	at := Concatenate([]*Node{Iota(g, shapes.Make(dtypes.Int32, h.chunk, 1), 0), ExpandAxes(p.targets, -1)}, 1)
	gold := Gather(shifted, at) // [C]
	lse := Reshape(Log(p.sum), h.chunk)
	p.logp = Sub(gold, lse)
	p.correct = ConvertDType(GreaterOrEqual(gold, ZerosLike(gold)), dtypes.Float32)
	mean := Reshape(ReduceAndKeep(Mul(p.e, shifted), ReduceSum, -1), h.chunk)
	p.entropyPart = Sub(lse, Div(mean, Reshape(p.sum, h.chunk)))
	return p
}

// sums are totals over rows, weighted.
type headSums struct{ loss, correct, entropy *Node }

// run computes the weighted sums of loss, hits and entropy and, with a scale, the
// gradient of scale·loss: of hidden [N, D], and of the trained weights by name.
func (h *head) run(loss TokenLoss, scale *Node) (s headSums, logp, dHidden *Node, grads map[string]*Node) {
	sel := h.selected()
	x := h.norm(sel)
	m := sel.Shape().Dimensions[0]
	g := sel.Graph()
	zero := Scalar(g, dtypes.Float32, 0)
	s = headSums{zero, zero, zero}
	var logps, dxs []*Node
	var dW, dBias *Node
	grads = map[string]*Node{}
	for from := 0; from < m; from += h.chunk {
		p := h.piece(Slice(x, AxisRange(from, from+h.chunk), AxisRange()), from)
		w := Slice(h.weights, AxisRange(from, from+h.chunk))
		value, slope := loss.terms(p.logp)
		s.loss = Add(s.loss, ReduceAllSum(Mul(w, value)))
		s.correct = Add(s.correct, ReduceAllSum(Mul(w, p.correct)))
		s.entropy = Add(s.entropy, ReduceAllSum(Mul(w, p.entropyPart)))
		logps = append(logps, p.logp)
		if scale == nil {
			continue
		}
		// d loss / d logits = c·(onehot - softmax), with c = weight·slope·scale.
		c := Mul(Mul(w, slope), scale)
		col := ExpandAxes(c, -1)
		share := Div(col, p.sum) // [C, 1]
		gold := ConvertDType(Gather(h.weight, ExpandAxes(p.targets, -1)), dtypes.Float32)
		dx := Sub(Mul(gold, col), Mul(h.pullBack(p.e), share))
		for _, part := range h.low {
			dx = Add(dx, part.back(p.x, p.targets, col, Neg(Mul(p.e, share)), grads))
		}
		dxs = append(dxs, dx)
		if h.train[headName] || h.train[headBiasName] {
			minus := Neg(Mul(p.e, share)) // [C, V]
			d := Add(outer(minus, p.x), Scatter(ExpandAxes(p.targets, -1), Mul(p.x, col), shapes.Make(dtypes.Float32, h.cfg.Vocab, h.cfg.Hidden), false, false))
			b := Add(columnSum(minus), Scatter(ExpandAxes(p.targets, -1), c, shapes.Make(dtypes.Float32, h.cfg.Vocab), false, false))
			if dW != nil {
				d, b = Add(dW, d), Add(dBias, b)
			}
			dW, dBias = d, b
		}
	}
	logp = Concatenate(logps, 0)
	if scale == nil {
		return s, logp, nil, nil
	}
	dsel, dNormW, dNormB := normVJP(sel, h.normW, Concatenate(dxs, 0), h.cfg.LayerNorm, h.cfg.NormEps)
	dHidden = Scatter(ExpandAxes(h.rows, -1), dsel, h.hidden.Shape(), false, false)
	norm := h.cfg.names().finalNorm
	for name, d := range map[string]*Node{norm + ".weight": dNormW, norm + ".bias": dNormB, headName: dW, headBiasName: dBias} {
		if h.train[name] {
			grads[name] = d
		}
	}
	return s, logp, dHidden, grads
}
