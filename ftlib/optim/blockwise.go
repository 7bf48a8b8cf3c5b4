package optim

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck

	"ftlab/ftlib/quant"
)

// scaleBlock is how many 8-bit values share a scale, as in bitsandbytes.
const scaleBlock = 256

// smallest is the size from which on weights have state in 8 bits, as in bitsandbytes:
// below it the state weighs nothing.
const smallest = 4096

// blockwise stores the state of a rule in 8 bits: each value is the nearest of the 256
// of a dynamic map times the largest magnitude of its block of 256 (Dettmers et al. 2022,
// "8-bit Optimizers via Block-wise Quantization"). Weights are updated with the new state
// before it is rounded. It agrees with bitsandbytes' AdamW8bit and Lion8bit with its
// exact quantiser (golden case quant/adamw8bit_nearest); bitsandbytes on a processor looks
// codes up in a coarse table, and on CUDA decays weights behind the update.
func blockwise(of *rule, maps ...*dynamic) *rule {
	r := &rule{block: scaleBlock, scalars: of.scalars}
	for i, s := range of.slots {
		r.slots = append(r.slots, slot{name: s.name, bytes: true, zero: maps[i].zero}, slot{name: s.name + ".absmax", scale: true})
	}
	r.update = func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node) {
		var wide, out []*Node
		for i, m := range maps {
			wide = append(wide, m.read(state[2*i], state[2*i+1]))
		}
		p, wide = of.update(s, decay, p, g, wide)
		for i, m := range maps {
			codes, absmax := m.write(wide[i])
			out = append(out, codes, absmax)
		}
		return p, out
	}
	return r
}

// dynamic is bitsandbytes' dynamic map as tables of a program.
type dynamic struct {
	values []float32 // by code, sorted
	bounds []float32 // above which the next code is nearer; the last one is infinite
	first  []uint8   // code of the smallest value with these 16 bits at its head
	zero   byte      // code of 0
}

var (
	signedMap   = newDynamic(true)
	unsignedMap = newDynamic(false)

	adamw8 = blockwise(adamw, signedMap, unsignedMap)
	lion8  = blockwise(lion, signedMap)
)

func newDynamic(signed bool) *dynamic {
	d := &dynamic{values: quant.DynamicMap(signed), first: make([]uint8, 1<<16)}
	for i := 1; i < len(d.values); i++ {
		d.bounds = append(d.bounds, (d.values[i-1]+d.values[i])/2)
	}
	d.zero = byte(slices.Index(d.values, 0))
	// Sign, exponent and seven bits of a float32 tell its code but for one bound at most.
	for bin := range d.first {
		low := math.Float32frombits(uint32(bin) << 16)
		if bin>>15 == 1 {
			low = math.Float32frombits(uint32(bin)<<16 | 0xffff)
		}
		if at, _ := slices.BinarySearch(d.bounds, low); low == low { // NaN: 0
			d.first[bin] = uint8(at)
		}
	}
	d.bounds = append(d.bounds, float32(math.Inf(1)))
	return d
}

// read makes floats of codes [N, 256] and scales [N].
func (d *dynamic) read(codes, absmax *Node) *Node {
	table := Const(codes.Graph(), d.values)
	return Mul(Gather(table, InsertAxes(ConvertDType(codes, dtypes.Int32), -1)), InsertAxes(absmax, -1))
}

// write makes codes [N, 256] and scales [N] of floats.
func (d *dynamic) write(x *Node) (codes, absmax *Node) {
	g := x.Graph()
	absmax = ReduceMax(Abs(x), -1)
	y := Mul(x, InsertAxes(Inverse(MaxScalar(absmax, 2e-38)), -1)) // above what processors flush to 0
	y = ClipScalar(y, -1, 1)
	head := ConvertDType(BitwiseShiftRightLogicalScalar(Bitcast(y, dtypes.Uint32), uint32(16)), dtypes.Int32)
	code := ConvertDType(Gather(Const(g, d.first), InsertAxes(head, -1)), dtypes.Int32)
	bound := Gather(Const(g, d.bounds), InsertAxes(code, -1))
	code = Add(code, ConvertDType(GreaterThan(y, bound), dtypes.Int32))
	return ConvertDType(code, dtypes.Uint8), absmax
}
