package llm

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// sampleMode is what the sampling part of a decoding program can do. The values of its
// parameters are inputs; only what would cost time for nothing is left out.
type sampleMode int

const (
	greedy    sampleMode = iota // the most probable token
	plain                       // temperature
	filtering                   // and repetition penalty, top-k, top-p, min-p; temperature 0 is greedy
)

// sampler draws tokens inside a graph. All inputs are one value a row.
type sampler struct {
	mode        sampleMode
	temperature *Node // [B] float32
	seeds       *Node // [B, 2] int32
	topK        *Node // [B] int32; 0: off
	topP        *Node // [B] float32; 1: off
	minP        *Node // [B] float32; 0: off
	penalty     *Node // [B] float32; 1: off
}

// inputs is how many nodes read takes.
func (m sampleMode) inputs() int { return [...]int{0, 2, 6}[m] }

func readSampler(m sampleMode, in *nodes) *sampler {
	s := &sampler{mode: m}
	into := []**Node{&s.temperature, &s.seeds, &s.topK, &s.topP, &s.minP, &s.penalty}
	for i, n := range in.take(m.inputs()) {
		*into[i] = n
	}
	return s
}

// pick draws the token number count of every row from logits [B, V]. seen [B, V] bool
// are the tokens that the repetition penalty is for; nil without filtering. It returns
// the tokens [B] and their log-probabilities [B]: of the model itself (softmax of
// logits), and of the distribution that was drawn from (0 when greedy).
func (s *sampler) pick(logits, seen, count *Node) (token, logp, drawn *Node) {
	top := ReduceAndKeep(logits, ReduceMax, -1)
	shifted := Sub(logits, top)
	normaliser := Log(ReduceSum(Exp(shifted), -1)) // [B]
	if s.mode == greedy {
		token = ArgMax(logits, -1, dtypes.Int32)
		return token, Neg(normaliser), ZerosLike(normaliser)
	}
	scores := logits
	if s.mode == filtering {
		scores = penalise(logits, seen, ExpandAxes(s.penalty, -1))
	}
	// Rows at temperature 0 are computed with 1 and take the best score.
	cold := LessOrEqual(s.temperature, ZerosLike(s.temperature))
	t := Where(cold, OnesLike(s.temperature), s.temperature)
	z := Div(scores, ExpandAxes(t, -1))
	z = Sub(z, ReduceAndKeep(z, ReduceMax, -1))
	e := Exp(z)
	if s.mode == filtering {
		e = s.filter(z, e)
	}
	best := ArgMax(scores, -1, dtypes.Int32)
	token = drawIndex(e, uniform(s.seeds, count))
	token = Where(LogicalOr(cold, LessOrEqual(at(e, token), ZerosLike(t))), best, token)
	logp = Sub(at(shifted, token), normaliser)
	drawn = Sub(at(z, token), Log(ReduceSum(e, -1)))
	return token, logp, Where(cold, ZerosLike(drawn), drawn)
}

// at picks one element of each row: x [B, V], index [B] -> [B].
func at(x, index *Node) *Node {
	b := x.Shape().Dimensions[0]
	rows := Iota(x.Graph(), shapes.Make(dtypes.Int32, b, 1), 0)
	return Gather(x, Concatenate([]*Node{rows, ExpandAxes(index, -1)}, 1))
}

// penalise is the repetition penalty of CTRL (Keskar et al. 2019) as transformers has
// it: scores of seen tokens are divided by the penalty when positive, else multiplied.
func penalise(scores, seen, penalty *Node) *Node {
	penalty = BroadcastToDims(penalty, scores.Shape().Dimensions...)
	lower := Where(LessThan(scores, ZerosLike(scores)), Mul(scores, penalty), Div(scores, penalty))
	return Where(seen, lower, scores)
}

// filter returns e = exp(z) with 0 for tokens that top-k, top-p (Holtzman et al. 2020) or
// min-p (Nguyen et al. 2024) leave out, in this order, as transformers applies them.
// z [B, V] has maximum 0. Tokens that tie with the last one kept are kept.
//
// Thresholds are found without sorting, which the processor does slowly: 32 halvings of
// the range of float32 find the exact value.
func (s *sampler) filter(z, e *Node) *Node {
	g := z.Graph()
	dims := z.Shape().Dimensions
	keys := orderedBits(z)
	col := func(x *Node) *Node { return BroadcastToDims(ExpandAxes(x, -1), dims...) }
	zero := ZerosLike(e)

	// top-k: the largest threshold that k tokens reach.
	all := Scalar(g, dtypes.Float32, dims[1])
	k := ConvertDType(s.topK, dtypes.Float32)
	k = Where(LessOrEqual(k, ZerosLike(k)), BroadcastToDims(all, dims[0]), k)
	k = Min(k, BroadcastToDims(all, dims[0]))
	threshold := bisect(g, dims[0], func(t *Node) *Node {
		n := ReduceSum(ConvertDType(GreaterOrEqual(keys, col(t)), dtypes.Float32), -1)
		return GreaterOrEqual(n, k)
	})
	e = Where(GreaterOrEqual(keys, col(threshold)), e, zero)

	// top-p: the largest threshold below which no more than 1-p lies.
	limit := Mul(OneMinus(s.topP), ReduceSum(e, -1))
	threshold = bisect(g, dims[0], func(t *Node) *Node {
		return LessOrEqual(ReduceSum(Where(LessThan(keys, col(t)), e, zero), -1), limit)
	})
	threshold = Min(threshold, orderedBits(ZerosLike(limit))) // the best token stays
	e = Where(GreaterOrEqual(keys, col(threshold)), e, zero)

	// min-p: relative to the best token, whose e is 1.
	return Where(GreaterOrEqual(e, col(s.minP)), e, zero)
}

// orderedBits maps float32 to uint32 in the same order.
func orderedBits(x *Node) *Node {
	x = Add(x, ZerosLike(x)) // no -0
	bits := Bitcast(x, dtypes.Uint32)
	g := x.Graph()
	u := func(v uint32) *Node { return BroadcastToDims(Scalar(g, dtypes.Uint32, v), x.Shape().Dimensions...) }
	negative := GreaterOrEqual(bits, u(1<<31))
	return Where(negative, BitwiseNot(bits), BitwiseXor(bits, u(1<<31)))
}

// bisect finds for each of n rows the largest uint32 that ok accepts, where ok accepts 0
// and whatever is smaller than something that it accepts.
func bisect(g *Graph, n int, ok func(t *Node) *Node) *Node {
	t := Zeros(g, shapes.Make(dtypes.Uint32, n))
	for bit := 31; bit >= 0; bit-- {
		try := BitwiseOr(t, BroadcastToDims(Scalar(g, dtypes.Uint32, uint32(1)<<bit), n))
		t = Where(ok(try), try, t)
	}
	return t
}

// drawIndex draws an index of each row with probability in proportion to weights e
// [B, V], from uniform numbers u [B] in [0, 1): where the cumulative sum passes u times
// the total. Rounding can hit an index of weight 0; the caller looks.
func drawIndex(e, u *Node) *Node {
	g := e.Graph()
	b, v := e.Shape().Dimensions[0], e.Shape().Dimensions[1]
	block := int(math.Ceil(math.Sqrt(float64(v))))
	blocks := (v + block - 1) / block
	if pad := blocks*block - v; pad > 0 {
		e = Concatenate([]*Node{e, Zeros(g, shapes.Make(e.DType(), b, pad))}, 1)
	}
	e = Reshape(e, b, blocks, block)
	sums := ReduceSum(e, -1) // [B, blocks]
	cum := cumulative(sums)
	last := func(x *Node) *Node { return Reshape(Slice(x, AxisRange(), AxisRange(x.Shape().Dimensions[1]-1)), b) }
	target := Mul(u, last(cum)) // [B]
	passed := func(cum, target *Node) *Node {
		n := cum.Shape().Dimensions[1]
		less := LessOrEqual(cum, BroadcastToDims(ExpandAxes(target, -1), b, n))
		i := ReduceSum(ConvertDType(less, dtypes.Int32), -1)
		return Min(i, BroadcastToDims(Scalar(g, dtypes.Int32, n-1), b))
	}
	i := passed(cum, target)
	before := Sub(at(cum, i), at(sums, i))
	rows := Iota(g, shapes.Make(dtypes.Int32, b, 1), 0)
	inner := Gather(e, Concatenate([]*Node{rows, ExpandAxes(i, -1)}, 1)) // [B, block]
	j := passed(cumulative(inner), Sub(target, before))
	token := Add(MulScalar(i, block), j)
	return Min(token, BroadcastToDims(Scalar(g, dtypes.Int32, v-1), b))
}

// cumulative sums along the last axis of x [B, N], by doubling distances.
func cumulative(x *Node) *Node {
	g := x.Graph()
	b, n := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	for s := 1; s < n; s *= 2 {
		shifted := Slice(x, AxisRange(), AxisRange(0, n-s))
		x = Add(x, Concatenate([]*Node{Zeros(g, shapes.Make(x.DType(), b, s)), shifted}, 1))
	}
	return x
}

// uniform is a number in [0, 1) for each row: a hash of the row's seed [B, 2] int32 and
// of a counter, so that it depends on nothing else.
func uniform(seeds, counter *Node) *Node {
	g := seeds.Graph()
	b := seeds.Shape().Dimensions[0]
	u := func(v uint32) *Node { return Scalar(g, dtypes.Uint32, v) }
	word := func(i int) *Node {
		return ConvertDType(Reshape(Slice(seeds, AxisRange(), AxisRange(i, i+1)), b), dtypes.Uint32)
	}
	x := BroadcastToDims(ConvertDType(counter, dtypes.Uint32), b)
	for i := range 2 { // murmur3's finaliser, once a seed word
		x = Add(BitwiseXor(Mul(x, u(0x9e3779b1)), word(i)), u(uint32(0x7f4a7c15+i)))
		x = Mul(BitwiseXor(x, BitwiseShiftRightLogical(x, u(16))), u(0x85ebca6b))
		x = Mul(BitwiseXor(x, BitwiseShiftRightLogical(x, u(13))), u(0xc2b2ae35))
		x = BitwiseXor(x, BitwiseShiftRightLogical(x, u(16)))
	}
	return MulScalar(ConvertDType(BitwiseShiftRightLogical(x, u(8)), dtypes.Float32), 1.0/(1<<24))
}
