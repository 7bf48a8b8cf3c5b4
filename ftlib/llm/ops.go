package llm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// The products of the model, all on matrices. In half precision they accumulate
// and return float32.

// mulT is x·wᵀ: x [N, in], w [out, in] -> [N, out].
func mulT(x, w *Node) *Node { return product(x, w, 1, 1) }

// mulN is y·w: y [N, out], w [out, in] -> [N, in].
func mulN(y, w *Node) *Node { return product(y, w, 1, 0) }

// outer is yᵀ·x: y [N, out], x [N, in] -> [out, in].
func outer(y, x *Node) *Node { return product(y, x, 0, 0) }

func product(x, w *Node, xAxis, wAxis int) *Node {
	if w.DType() != x.DType() {
		x = ConvertDType(x, w.DType())
	}
	d := Dot(x, w)
	if w.DType().IsHalfPrecision() {
		d = d.WithOutputDType(dtypes.Float32)
	}
	return d.General([]int{xAxis}, nil, []int{wAxis}, nil)
}

// batched multiplies matrices that share the first two axes.
func batched(x, y *Node, xAxis, yAxis int) *Node {
	return Dot(x, y).General([]int{xAxis}, []int{0, 1}, []int{yAxis}, []int{0, 1})
}

// row makes a vector [D] fit for [N, D].
func row(w *Node) *Node { return Reshape(w, 1, -1) }

func rowMean(x *Node) *Node { return ReduceAndKeep(x, ReduceMean, -1) }

// columnSum sums over rows: [N, D] -> [D].
func columnSum(x *Node) *Node { return ReduceSum(x, 0) }

// normalise returns the normalised x and the factor that it was scaled by, [N, 1].
func normalise(x *Node, layerNorm bool, eps float64) (xhat, r *Node) {
	if layerNorm {
		x = Sub(x, rowMean(x))
	}
	r = Inverse(Sqrt(AddScalar(rowMean(Square(x)), eps)))
	return Mul(x, r), r
}

// norm is RMSNorm (Zhang and Sennrich 2019) or, with layerNorm, LayerNorm. bias may be nil.
func norm(x, weight, bias *Node, layerNorm bool, eps float64) *Node {
	xhat, _ := normalise(x, layerNorm, eps)
	y := Mul(xhat, row(weight))
	if bias != nil {
		y = Add(y, row(bias))
	}
	return y
}

// normVJP is the gradient of [norm]: of x [N, D] and of weight and bias [D].
func normVJP(x, weight, dy *Node, layerNorm bool, eps float64) (dx, dWeight, dBias *Node) {
	xhat, r := normalise(x, layerNorm, eps)
	dxhat := Mul(dy, row(weight))
	dx = Sub(dxhat, Mul(xhat, rowMean(Mul(dxhat, xhat))))
	if layerNorm {
		dx = Sub(dx, rowMean(dxhat))
	}
	return Mul(dx, r), columnSum(Mul(dy, xhat)), columnSum(dy)
}

const sqrt2OverPi = 0.7978845608028654

// activate is the MLP's activation.
func activate(name string, x *Node) *Node {
	switch name {
	case "silu":
		return Mul(x, Sigmoid(x))
	case "gelu":
		return Mul(MulScalar(x, 0.5), OnePlus(Erf(MulScalar(x, 1/math.Sqrt2))))
	default: // gelu_new, gelu_pytorch_tanh
		t := Tanh(MulScalar(Add(x, MulScalar(Mul(x, Square(x)), 0.044715)), sqrt2OverPi))
		return Mul(MulScalar(x, 0.5), OnePlus(t))
	}
}

// activateSlope is the derivative of [activate].
func activateSlope(name string, x *Node) *Node {
	switch name {
	case "silu":
		s := Sigmoid(x)
		return Mul(s, OnePlus(Mul(x, OneMinus(s))))
	case "gelu":
		cdf := MulScalar(OnePlus(Erf(MulScalar(x, 1/math.Sqrt2))), 0.5)
		pdf := MulScalar(Exp(MulScalar(Square(x), -0.5)), 1/math.Sqrt(2*math.Pi))
		return Add(cdf, Mul(x, pdf))
	default:
		t := Tanh(MulScalar(Add(x, MulScalar(Mul(x, Square(x)), 0.044715)), sqrt2OverPi))
		inner := MulScalar(OnePlus(MulScalar(Square(x), 3*0.044715)), sqrt2OverPi)
		return Add(MulScalar(OnePlus(t), 0.5), Mul(MulScalar(x, 0.5), Mul(OneMinus(Square(t)), inner)))
	}
}

// ropeTables are cosine and sine of the rotation angles for positions of any shape
// [...] -> two of [..., Dim/2], float32.
func ropeTables(r Rope, pos *Node) (cos, sin *Node) {
	freq, factor := r.frequencies()
	f := Const(pos.Graph(), freq) // [Dim/2]
	angle := Mul(ExpandAxes(ConvertDType(pos, dtypes.Float32), -1), ExpandLeftToRank(f, pos.Rank()+1))
	cos, sin = Cos(angle), Sin(angle)
	if factor != 1 {
		cos, sin = MulScalar(cos, factor), MulScalar(sin, factor)
	}
	return cos, sin
}

// rotate turns pairs (i, i+Dim/2) of the head dimension by the tables' angles:
// x [B, T, H, hd], tables [B, T, Dim/2]. The inverse rotation is its gradient.
func rotate(x, cos, sin *Node, inverse bool) *Node {
	hd, half := x.Shape().Dimensions[3], cos.Shape().Dimensions[2]
	cos, sin = ExpandAxes(cos, 2), ExpandAxes(sin, 2) // [B, T, 1, Dim/2]
	if inverse {
		sin = Neg(sin)
	}
	part := func(from, to int) *Node {
		return Slice(x, AxisRange(), AxisRange(), AxisRange(), AxisRange(from, to))
	}
	a, b := part(0, half), part(half, 2*half)
	out := []*Node{Sub(Mul(a, cos), Mul(b, sin)), Add(Mul(b, cos), Mul(a, sin))}
	if 2*half < hd {
		out = append(out, part(2*half, hd))
	}
	return Concatenate(out, 3)
}

// attention is masked, grouped-query scaled dot-product attention over one batch.
type attention struct {
	b, t, heads, kv, hd int
	cos, sin            *Node // [B, T, Dim/2]
	seg                 *Node // [B, T] int32: who may see whom
	window              int   // keys seen, itself included; 0: all
}

// queries brings [N, H*hd] to [B, KV, G*T, hd], rotated and scaled.
func (a attention) queries(q *Node) *Node {
	q = rotate(Reshape(q, a.b, a.t, a.heads, a.hd), a.cos, a.sin, false)
	return a.group(MulScalar(q, 1/math.Sqrt(float64(a.hd))))
}

// keys brings [N, KV*hd] to [B, KV, T, hd], rotated.
func (a attention) keys(k *Node) *Node {
	return TransposeAllAxes(rotate(Reshape(k, a.b, a.t, a.kv, a.hd), a.cos, a.sin, false), 0, 2, 1, 3)
}

// values brings [N, KV*hd] to [B, KV, T, hd].
func (a attention) values(v *Node) *Node {
	return TransposeAllAxes(Reshape(v, a.b, a.t, a.kv, a.hd), 0, 2, 1, 3)
}

// group brings [B, T, H, hd] to [B, KV, G*T, hd]; ungroup is its inverse.
func (a attention) group(x *Node) *Node {
	g := a.heads / a.kv
	x = TransposeAllAxes(Reshape(x, a.b, a.t, a.kv, g, a.hd), 0, 2, 3, 1, 4)
	return Reshape(x, a.b, a.kv, g*a.t, a.hd)
}

func (a attention) ungroup(x *Node) *Node {
	g := a.heads / a.kv
	x = TransposeAllAxes(Reshape(x, a.b, a.kv, g, a.t, a.hd), 0, 3, 1, 2, 4)
	return Reshape(x, a.b, a.t, a.heads, a.hd)
}

// mask says which key a query may see, [B, 1, 1, T, T]: not later, of the same
// segment, inside the window. A token always sees itself, so no row is empty.
func (a attention) mask() *Node {
	g := a.seg.Graph()
	see := Equal(Reshape(a.seg, a.b, 1, 1, a.t, 1), Reshape(a.seg, a.b, 1, 1, 1, a.t))
	square := shapes.Make(dtypes.Int32, a.t, a.t)
	distance := Sub(Iota(g, square, 0), Iota(g, square, 1))
	near := GreaterOrEqual(distance, Scalar(g, dtypes.Int32, 0))
	if a.window > 0 && a.window < a.t {
		near = LogicalAnd(near, LessThan(distance, Scalar(g, dtypes.Int32, a.window)))
	}
	dims := []int{a.b, 1, 1, a.t, a.t}
	return LogicalAnd(see, BroadcastToDims(Reshape(near, 1, 1, 1, a.t, a.t), dims...))
}

// weights are the attention probabilities [B, KV, G*T, T].
func (a attention) weights(q, k *Node) *Node {
	g := a.heads / a.kv
	s := Reshape(batched(q, k, 3, 3), a.b, a.kv, g, a.t, a.t)
	dims := s.Shape().Dimensions
	s = Where(BroadcastToDims(a.mask(), dims...), s, BroadcastToDims(Scalar(s.Graph(), s.DType(), -1e30), dims...))
	e := Exp(Sub(s, ReduceAndKeep(s, ReduceMax, -1)))
	e = Mul(e, Inverse(ReduceAndKeep(e, ReduceSum, -1)))
	return Reshape(e, a.b, a.kv, g*a.t, a.t)
}

// parts cuts the batch so that the attention matrices of one part stay in the cache
// and parts run beside each other: XLA gives a batch of small products to one core.
// Measured on 4 x 6 heads of 256 x 256: the gradient takes 0.63 of the time.
func (a attention) parts() []attention {
	n := 1
	for _, d := range []int{2, 3, 4} {
		if a.b%d == 0 && a.heads*a.t*a.t*4*a.b/n > 4<<20 {
			n = d
		}
	}
	if n == 1 {
		return []attention{a}
	}
	out := make([]attention, n)
	rows := a.b / n
	for i := range out {
		part := a
		cut := func(x *Node) *Node { return Slice(x, AxisRange(i*rows, (i+1)*rows)) }
		part.b, part.cos, part.sin, part.seg = rows, cut(a.cos), cut(a.sin), cut(a.seg)
		out[i] = part
	}
	return out
}

// rows of part i of flat activations [N, D].
func (a attention) rows(x *Node, i int) *Node {
	n := a.b * a.t
	if n == x.Shape().Dimensions[0] {
		return x
	}
	return Slice(x, AxisRange(i*n, (i+1)*n), AxisRange())
}

func join(parts []*Node) *Node {
	if len(parts) == 1 {
		return parts[0]
	}
	return Concatenate(parts, 0)
}

// forward is attention from projections to mixed values: [N, H*hd].
func (a attention) forward(q, k, v *Node) *Node {
	var out []*Node
	for i, p := range a.parts() {
		out = append(out, p.forwardPart(p.rows(q, i), p.rows(k, i), p.rows(v, i)))
	}
	return join(out)
}

// vjp is the gradient of forward; out is its result.
func (a attention) vjp(q, k, v, out, dout *Node) (dq, dk, dv *Node) {
	var dqs, dks, dvs []*Node
	for i, p := range a.parts() {
		x, y, z := p.vjpPart(p.rows(q, i), p.rows(k, i), p.rows(v, i), p.rows(out, i), p.rows(dout, i))
		dqs, dks, dvs = append(dqs, x), append(dks, y), append(dvs, z)
	}
	return join(dqs), join(dks), join(dvs)
}

func (a attention) forwardPart(q, k, v *Node) *Node {
	o := batched(a.weights(a.queries(q), a.keys(k)), a.values(v), 3, 2) // [B, KV, G*T, hd]
	return Reshape(a.ungroup(o), a.b*a.t, a.heads*a.hd)
}

// vjpPart uses that the row sums of dP∘P are those of dO∘O (Dao et al. 2022). The
// probabilities are computed again, not kept.
func (a attention) vjpPart(q, k, v, out, dout *Node) (dq, dk, dv *Node) {
	qh, kh, vh := a.queries(q), a.keys(k), a.values(v)
	p := a.weights(qh, kh)
	split := func(x *Node) *Node { return a.group(Reshape(x, a.b, a.t, a.heads, a.hd)) }
	do := split(dout)
	dots := ReduceAndKeep(Mul(do, split(out)), ReduceSum, -1) // [B, KV, G*T, 1]
	dp := batched(do, vh, 3, 3)                               // [B, KV, G*T, T]
	ds := Mul(p, Sub(dp, dots))
	// Transposed products: the small factor is the one that XLA has to turn.
	dvh := batched(do, p, 2, 2)  // [B, KV, hd, T]
	dkh := batched(qh, ds, 2, 2) // [B, KV, hd, T]
	dqh := MulScalar(batched(ds, kh, 3, 2), 1/math.Sqrt(float64(a.hd)))
	flat := func(x *Node) *Node { return Reshape(x, a.b*a.t, -1) }
	dq = flat(rotate(a.ungroup(dqh), a.cos, a.sin, true))
	dk = flat(rotate(TransposeAllAxes(dkh, 0, 3, 1, 2), a.cos, a.sin, true))
	return dq, dk, flat(TransposeAllAxes(dvh, 0, 3, 1, 2))
}

// dropMask is an inverted dropout mask for x [N, D]: 0 with probability p, else
// 1/(1-p). It is a hash of position and key (two int32), so that the backward pass,
// another backend and a resumed run see the same mask without keeping any state.
func dropMask(key *Node, n, d int, p float64, salt uint32) *Node {
	g := key.Graph()
	u := func(v uint32) *Node { return Scalar(g, dtypes.Uint32, v) }
	shape := shapes.Make(dtypes.Uint32, n, d)
	x := Add(Mul(Iota(g, shape, 0), u(uint32(d))), Iota(g, shape, 1))
	keys := ConvertDType(key, dtypes.Uint32)
	at := func(i int) *Node { return Reshape(Slice(keys, AxisRange(i, i+1))) }
	for i, k := range []*Node{Add(at(0), u(salt)), at(1)} { // murmur3's finaliser, once a key word
		x = BitwiseXor(Mul(x, u(0x9e3779b1+uint32(2*i))), k)
		x = Mul(BitwiseXor(x, BitwiseShiftRightLogical(x, u(16))), u(0x85ebca6b))
		x = Mul(BitwiseXor(x, BitwiseShiftRightLogical(x, u(13))), u(0xc2b2ae35))
		x = BitwiseXor(x, BitwiseShiftRightLogical(x, u(16)))
	}
	keep := GreaterOrEqual(x, u(uint32(p*(1<<32))))
	return MulScalar(ConvertDType(keep, dtypes.Float32), 1/(1-p))
}
