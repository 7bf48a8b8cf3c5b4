package llm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck

	"ftlab/ftlib/quant"
)

// matrix is the weight of a linear layer inside a graph, [out, in]: dense, or packed.
type matrix struct {
	dense  *Node
	packed *packed
}

func dense(w *Node) matrix { return matrix{dense: w} }

// times is x·Wᵀ: x [N, in] -> [N, out].
func (m matrix) times(x *Node) *Node {
	if m.packed == nil {
		return mulT(x, m.dense)
	}
	return m.packed.times(x)
}

// back is y·W: y [N, out] -> [N, in].
func (m matrix) back(y *Node) *Node {
	if m.packed == nil {
		return mulN(y, m.dense)
	}
	return m.packed.back(y)
}

// whole is the matrix itself, [out, in], in its own type or, packed, that of computation.
func (m matrix) whole() *Node {
	if m.packed == nil {
		return m.dense
	}
	return m.packed.whole()
}

// packedSpec is what a graph must know of a quantised weight.
type packedSpec struct {
	quant.Config
	out, in int
	compute dtypes.DType // float32 or bfloat16
}

// packed is a quantised weight inside a graph. It is dequantised where it is used, half
// of its rows at a time, and never shared between two uses: each waits for the
// product before it in the block. Without that the compiler makes the dequantised weights
// of a whole program once, for the forward and the backward pass, and keeps them (measured
// at 7B shapes: 1 GiB a layer). What is waited for must be an input of the program or a
// product: what is fused into its users would be compiled again in each of them, and again
// in theirs.
type packed struct {
	packedSpec
	q      *Node // four bits: uint8 [ceil(out/2), in], see quant.PackHalves; int8: int8 [out, in]
	absmax *Node // float32 [blocks], or uint8 codes of them; int8: float32 [out]
	nested *Node // float32 [ceil(blocks/256)]; nil without double quantization
	offset *Node // float32 scalar; nil without double quantization
	last   *lastProduct
}

// lastProduct is what the next packed weight of a program waits for: a product, or at
// first an input of the program.
type lastProduct struct{ *Node }

// begin sets what the first weight waits for.
func (l *lastProduct) begin(x *Node) {
	if l != nil && l.Node == nil {
		l.Node = x
	}
}

// after returns x, integers, not before the last product. A barrier orders nothing in XLA's
// schedule: it is gone by then, and most of the dequantised weights of a block are held at
// once. So what is added is 0, of which only the product tells.
func (l *lastProduct) after(x *Node) *Node {
	if l.Node == nil {
		return x
	}
	first := Reshape(Slice(Reshape(l.Node, -1), AxisElem(0)))
	return BitwiseXor(x, ConvertDType(MulScalar(first, 0), x.DType()))
}

// done makes a product the one that the next weight waits for.
func (l *lastProduct) done(product *Node) *Node {
	l.Node = product
	return product
}

func (p *packed) waits(x *Node) *Node      { return p.last.after(x) }
func (p *packed) done(product *Node) *Node { return p.last.done(product) }

// scales are the absmax as float32, [blocks]: map[code]·nested, rounded, + offset, rounded,
// as bitsandbytes computes them. The map is in double precision, so that no backend makes
// one fused multiply-add of it; the sum is a reduction, so that XLA computes it once and
// not for each of 64 weights again.
func (p *packed) scales() *Node {
	if p.nested == nil {
		return p.absmax
	}
	g := p.absmax.Graph()
	blocks, groups := p.absmax.Shape().Size(), p.nested.Shape().Size()
	table := make([]float64, 0, 256)
	for _, v := range quant.DynamicMap(true) {
		table = append(table, float64(v))
	}
	values := Gather(Const(g, table), ExpandAxes(ConvertDType(p.absmax, dtypes.Int32), -1))
	const group = 256
	each := Reshape(BroadcastToDims(ExpandAxes(p.nested, -1), groups, group), groups*group)
	if groups*group != blocks {
		each = Slice(each, AxisRange(0, blocks))
	}
	product := ConvertDType(Mul(values, ConvertDType(each, dtypes.Float64)), dtypes.Float32)
	return ReduceSum(Concatenate([]*Node{ExpandAxes(product, -1), BroadcastToDims(p.offset, blocks, 1)}, 1), 1)
}

// spread is the scale of every weight of rows [from, to), [to-from, in].
func (p *packed) spread(scales *Node, from, to int) *Node {
	if p.in%p.Block == 0 {
		per := p.in / p.Block
		s := Slice(Reshape(scales, p.out, per), AxisRange(from, to), AxisRange())
		return Reshape(BroadcastToDims(ExpandAxes(s, -1), to-from, per, p.Block), to-from, p.in)
	}
	n := scales.Shape().Size() // blocks go on from row to row
	all := Reshape(BroadcastToDims(ExpandAxes(scales, -1), n, p.Block), n*p.Block)
	return Reshape(Slice(all, AxisRange(from*p.in, to*p.in)), to-from, p.in)
}

// codes are the values of four-bit codes in q's bits from shift on, by selects: a lookup
// by gather would need an index of four bytes for every weight.
func (p *packed) codes(q *Node, shift int) *Node {
	g, dims := q.Graph(), q.Shape().Dimensions
	bit := func(i int) *Node {
		return NotEqual(BitwiseAnd(q, Scalar(g, dtypes.Uint8, 1<<(i+shift))), Scalar(g, dtypes.Uint8, 0))
	}
	table := p.Type.Codes()
	level := make([]*Node, len(table))
	for i, v := range table {
		level[i] = BroadcastToDims(Scalar(g, dtypes.Float32, v), dims...)
	}
	for i := range 4 {
		which := bit(i)
		for j := range len(level) / 2 {
			level[j] = Where(which, level[2*j+1], level[2*j])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}

// half is a half of the rows in the type of computation. The float32 values are those of
// bitsandbytes exactly.
func (p *packed) half(high bool, scales *Node) *Node {
	if p.Type == quant.Int8 {
		w := Mul(ConvertDType(p.waits(p.q), dtypes.Float32), ExpandAxes(scales, -1))
		return ConvertDType(MulScalar(w, quant.Int8Step), p.compute)
	}
	h := quant.Halves(p.out)
	from, to, shift := 0, h, 0
	q := p.q
	if high {
		from, to, shift = h, p.out, 4
		if p.out != 2*h {
			q = Slice(q, AxisRange(0, p.out-h), AxisRange())
		}
	}
	return ConvertDType(Mul(p.codes(p.waits(q), shift), p.spread(scales, from, to)), p.compute)
}

// halves says whether there are two of them.
func (p *packed) halves() bool { return p.Type != quant.Int8 && p.out > 1 }

func (p *packed) times(x *Node) *Node {
	scales := p.scales()
	y := p.done(mulT(x, p.half(false, scales)))
	if !p.halves() {
		return y
	}
	return Concatenate([]*Node{y, p.done(mulT(x, p.half(true, scales)))}, 1)
}

func (p *packed) back(y *Node) *Node {
	scales := p.scales()
	if !p.halves() {
		return p.done(mulN(y, p.half(false, scales)))
	}
	h := quant.Halves(p.out)
	x := p.done(mulN(Slice(y, AxisRange(), AxisRange(0, h)), p.half(false, scales)))
	return Add(x, p.done(mulN(Slice(y, AxisRange(), AxisRange(h)), p.half(true, scales))))
}

func (p *packed) whole() *Node {
	scales := p.scales()
	w := p.half(false, scales)
	if !p.halves() {
		return w
	}
	return Concatenate([]*Node{w, p.half(true, scales)}, 0)
}

// Suffixes of the tensors beside a quantised weight.
const (
	absmaxPart = ".absmax"
	nestedPart = ".nested_absmax"
	offsetPart = ".nested_offset"
)

// parts are the names of the tensors of a quantised weight, itself first.
func (s packedSpec) parts(name string) []string {
	if s.Double {
		return []string{name, name + absmaxPart, name + nestedPart, name + offsetPart}
	}
	return []string{name, name + absmaxPart}
}

// shape of the tensor that holds the codes.
func (s packedSpec) shape() shapes.Shape {
	if s.Type == quant.Int8 {
		return shapes.Make(dtypes.Int8, s.out, s.in)
	}
	return shapes.Make(dtypes.Uint8, quant.Halves(s.out), s.in)
}

// matrixOf is a weight among the inputs of a program.
func matrixOf(params map[string]*Node, packs map[string]packedSpec, name string, last *lastProduct) matrix {
	spec, ok := packs[name]
	if !ok {
		return dense(params[name])
	}
	return matrix{packed: &packed{packedSpec: spec, q: params[name], absmax: params[name+absmaxPart],
		nested: params[name+nestedPart], offset: params[name+offsetPart], last: last}}
}
