package quant

import (
	"math"
	"slices"
)

// Type is how a weight is quantised, by bitsandbytes' names.
type Type string

// The types.
const (
	NF4  Type = "nf4"  // 4 bits, the quantiles of a normal distribution
	FP4  Type = "fp4"  // 4 bits, sign, exponent of two bits, one bit of mantissa
	Int8 Type = "int8" // 8 bits, linear, a scale a row
)

// nf4 are bitsandbytes' values (functional.py, get_4bit_type).
var nf4 = [16]float32{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
	-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
	0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1}

// fp4 are 0, 1/16, 8, 12, 4, 6, 2, 3 over 12, and their negatives.
var fp4 = [16]float32{0, 0.0625 / 12.0, 8.0 / 12, 1, 4.0 / 12, 6.0 / 12, 2.0 / 12, 3.0 / 12,
	0, -0.0625 / 12.0, -8.0 / 12, -1, -4.0 / 12, -6.0 / 12, -2.0 / 12, -3.0 / 12}

// Codes are the 16 values of a four-bit type by their code.
func (t Type) Codes() [16]float32 {
	if t == FP4 {
		return fp4
	}
	return nf4
}

const bins = 4096

// nearest finds the nearest of sorted values in [-1, 1].
type nearest struct {
	bounds []float32       // midpoints
	order  []byte          // code of the i-th smallest value
	first  [bins + 1]uint8 // where the search begins, by bin of x
}

func newNearest(values []float32) *nearest {
	n := &nearest{order: make([]byte, len(values))}
	for i := range n.order {
		n.order[i] = byte(i)
	}
	slices.SortStableFunc(n.order, func(a, b byte) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	for i := 1; i < len(values); i++ {
		n.bounds = append(n.bounds, (values[n.order[i-1]]+values[n.order[i]])/2)
	}
	for bin := range n.first { // one bin early, for the rounding of the bin
		x := float32(bin-1)/(bins/2) - 1
		at := 0
		for at < len(n.bounds) && x > n.bounds[at] {
			at++
		}
		n.first[bin] = uint8(at)
	}
	return n
}

// code of x in [-1, 1]; a midpoint goes to the smaller value.
func (n *nearest) code(x float32) byte {
	at := int(n.first[int((x+1)*(bins/2))])
	for at < len(n.bounds) && x > n.bounds[at] {
		at++
	}
	return n.order[at]
}

// DynamicMap are the 256 values of the dynamic 8-bit type (Dettmers 2015), sorted: seven
// decades with ever fewer bits of fraction, as bitsandbytes' create_dynamic_map makes
// them, bit for bit. Unsigned, it holds twice as many values between 0 and 1.
func DynamicMap(signed bool) []float32 {
	const exponents, bits = 7, 7
	data := make([]float32, 0, 256)
	for i := range exponents {
		items := 1<<(i+bits-exponents) + 1
		if !signed {
			items = 1<<(i+bits-exponents+1) + 1
		}
		at := linspace(0.1, 1, items)
		scale := float32(math.Pow(10, float64(i-exponents+1)))
		for j := 1; j < items; j++ {
			v := scale * ((at[j-1] + at[j]) / 2)
			data = append(data, v)
			if signed {
				data = append(data, -v)
			}
		}
	}
	data = append(data, 0, 1)
	slices.Sort(data)
	return data
}

// linspace is torch's: from both ends to the middle, in float32 with one rounding.
func linspace(from, to float32, n int) []float32 {
	out := make([]float32, n)
	step := (to - from) / float32(n-1)
	for i := range out {
		if i < n/2 {
			out[i] = float32(float64(from) + float64(step)*float64(i))
		} else {
			out[i] = float32(float64(to) - float64(step)*float64(n-1-i))
		}
	}
	return out
}

var (
	nearestNF4     = newNearest(nf4[:])
	nearestFP4     = newNearest(fp4[:])
	dynamicSigned  = DynamicMap(true)
	nearestDynamic = newNearest(dynamicSigned)
)

// Blockwise quantises x with a sorted map of at most 256 values in [-1, 1] in blocks:
// codes, and the largest magnitude of each block. Every code is the nearest one;
// bitsandbytes on a processor looks it up in a coarse table, which differs next to ties
// and near zero.
func Blockwise(x, values []float32, block int) (codes []byte, absmax []float32) {
	return blockwise(x, newNearest(values), block)
}

func blockwise(x []float32, n *nearest, block int) (codes []byte, absmax []float32) {
	codes = make([]byte, len(x))
	for from := 0; from < len(x); from += block {
		part := x[from:min(from+block, len(x))]
		top, scale := largest(part)
		absmax = append(absmax, top)
		for i, v := range part {
			codes[from+i] = n.code(clamp(scale(v)))
		}
	}
	return codes, absmax
}

// largest is the largest magnitude of a block, and what maps the block to [-1, 1].
// bitsandbytes multiplies by the inverse.
func largest(x []float32) (top float32, scale func(float32) float32) {
	for _, v := range x {
		top = max(top, float32(math.Abs(float64(v))))
	}
	inverse := 1 / max(top, 1e-38)
	return top, func(v float32) float32 { return v * inverse }
}

func clamp(x float32) float32 { return max(-1, min(1, x)) }
