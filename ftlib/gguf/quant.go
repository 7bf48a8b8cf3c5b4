package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Type is how the values of a tensor are stored, with the format's own numbers.
type Type uint32

// The types that are written and read.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q8_0 Type = 8
	Q4_K Type = 12
	BF16 Type = 30
)

// Types are the names of the types.
var Types = map[string]Type{"F32": F32, "F16": F16, "BF16": BF16, "Q8_0": Q8_0, "Q4_0": Q4_0, "Q4_K": Q4_K}

// String is the name of the type.
func (t Type) String() string {
	for name, v := range Types {
		if v == t {
			return name
		}
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Block is the number of values of a block and its bytes; 0, 0 for an unknown type.
func (t Type) Block() (values, bytes int) {
	switch t {
	case F32:
		return 1, 4
	case F16, BF16:
		return 1, 2
	case Q4_0:
		return 32, 18 // a half and 32 nibbles
	case Q8_0:
		return 32, 34
	case Q4_K:
		return 256, 144 // two halves, 12 bytes of scales, 256 nibbles
	}
	return 0, 0
}

var le = binary.LittleEndian

// Quantize stores values as a type. Their number is a multiple of the block's.
func Quantize(t Type, x []float32) ([]byte, error) {
	n, bytes := t.Block()
	if n == 0 {
		return nil, fmt.Errorf("gguf: cannot write %s", t)
	}
	if len(x)%n != 0 {
		return nil, fmt.Errorf("gguf: %d values are no whole blocks of %s (%d)", len(x), t, n)
	}
	out := make([]byte, len(x)/n*bytes)
	for i := range len(x) / n {
		block, to := x[i*n:(i+1)*n], out[i*bytes:(i+1)*bytes]
		switch t {
		case F32:
			le.PutUint32(to, math.Float32bits(block[0]))
		case F16:
			le.PutUint16(to, half(block[0]))
		case BF16:
			b := math.Float32bits(block[0])
			if block[0] != block[0] {
				b |= 0x400000
			} else {
				b += 0x7fff + b>>16&1
			}
			le.PutUint16(to, uint16(b>>16))
		case Q8_0:
			q8(to, block)
		case Q4_0:
			q4(to, block)
		case Q4_K:
			q4k(to, block)
		}
	}
	return out, nil
}

// q8 stores 32 values as d·q with q in -127..127.
func q8(to []byte, x []float32) {
	top := float32(0)
	for _, v := range x {
		top = max(top, abs(v))
	}
	d, inverse := top/127, float32(0)
	if d != 0 {
		inverse = 1 / d
	}
	le.PutUint16(to, half(d))
	for i, v := range x {
		to[2+i] = byte(int8(math.Round(float64(v * inverse))))
	}
}

// q4 stores 32 values as d·(q-8), the value of largest magnitude exactly at q = 0.
func q4(to []byte, x []float32) {
	top := float32(0)
	for _, v := range x {
		if abs(v) > abs(top) {
			top = v
		}
	}
	d, inverse := top/-8, float32(0)
	if d != 0 {
		inverse = 1 / d
	}
	le.PutUint16(to, half(d))
	q := func(v float32) byte { return byte(min(15, int(float32(v*inverse)+8.5))) }
	for i := range 16 {
		to[2+i] = q(x[i]) | q(x[i+16])<<4
	}
}

// q4k stores 256 values in eight runs of 32 as d·sc·q - dmin·m, sc and m of six bits: the
// search of llama.cpp's quantize_row_q4_K_ref.
func q4k(to []byte, x []float32) {
	var scales, mins [8]float32
	var levels [256]byte
	for j := range 8 {
		run := x[32*j : 32*j+32]
		sum := float32(0)
		for _, v := range run {
			sum += v * v
		}
		mean := float32(math.Sqrt(float64(sum / 32)))
		var weights [32]float32
		for i, v := range run {
			weights[i] = mean + abs(v)
		}
		scales[j], mins[j] = fit(run, weights[:], levels[32*j:32*j+32])
	}
	var topScale, topMin float32
	for j := range 8 {
		topScale, topMin = max(topScale, scales[j]), max(topMin, mins[j])
	}
	inverse := func(top float32) float32 {
		if top > 0 {
			return 63 / top
		}
		return 0
	}
	packed := to[4:16]
	clear(packed)
	for j := range 8 {
		s := byte(min(63, nearest(inverse(topScale)*scales[j])))
		m := byte(min(63, nearest(inverse(topMin)*mins[j])))
		if j < 4 {
			packed[j], packed[j+4] = s, m
			continue
		}
		packed[j+4] = s&15 | m&15<<4
		packed[j-4] |= s >> 4 << 6
		packed[j] |= m >> 4 << 6
	}
	d, dmin := half(topScale/63), half(topMin/63)
	le.PutUint16(to, d)
	le.PutUint16(to[2:], dmin)
	for j := range 8 {
		s, m := scaleMin(packed, j)
		step, low := single(d)*float32(s), single(dmin)*float32(m)
		if step == 0 {
			continue
		}
		for i := range 32 {
			levels[32*j+i] = byte(max(0, min(15, nearest((x[32*j+i]+low)/step))))
		}
	}
	for j := range 4 {
		for i := range 32 {
			to[16+32*j+i] = levels[64*j+i] | levels[64*j+32+i]<<4
		}
	}
}

// fit finds scale and minimum of a run, x ≈ scale·l - low with l in 0..15, with the least
// weighted squares among 22 scales (make_qkx2_quants).
func fit(x, weights []float32, levels []byte) (scale, low float32) {
	bottom, top := x[0], x[0]
	var sumW, sumX float32
	for i, v := range x {
		bottom, top = min(bottom, v), max(top, v)
		sumW += weights[i]
		sumX += weights[i] * v
	}
	bottom = min(bottom, 0)
	if top == bottom {
		clear(levels)
		return 0, -bottom
	}
	level := func(inverse, from, v float32) byte { return byte(max(0, min(15, nearest(inverse*(v-from))))) }
	inverse := 15 / (top - bottom)
	scale = 1 / inverse
	best := float32(0)
	for i, v := range x {
		levels[i] = level(inverse, bottom, v)
		e := scale*float32(levels[i]) + bottom - v
		best += weights[i] * e * e
	}
	from := bottom
	var try [32]byte
	for step := range 21 {
		inverse := (-1 + 0.1*float32(step) + 15) / (top - bottom)
		var l1, l2, xl float32
		for i, v := range x {
			try[i] = level(inverse, bottom, v)
			l := float32(try[i])
			l1 += weights[i] * l
			l2 += weights[i] * l * l
			xl += weights[i] * l * v
		}
		det := sumW*l2 - l1*l1
		if det <= 0 {
			continue
		}
		s, m := (sumW*xl-sumX*l1)/det, (l2*sumX-l1*xl)/det
		if m > 0 {
			s, m = xl/l2, 0
		}
		e := float32(0)
		for i, v := range x {
			d := s*float32(try[i]) + m - v
			e += weights[i] * d * d
		}
		if e < best {
			copy(levels, try[:len(x)])
			best, scale, from = e, s, m
		}
	}
	return scale, -from
}

// scaleMin unpacks the six bits of scale and minimum of run j.
func scaleMin(packed []byte, j int) (s, m byte) {
	if j < 4 {
		return packed[j] & 63, packed[j+4] & 63
	}
	return packed[j+4]&15 | packed[j-4]>>6<<4, packed[j+4]>>4 | packed[j]>>6<<4
}

// Dequantize is the inverse of [Quantize].
func Dequantize(t Type, data []byte) ([]float32, error) {
	n, bytes := t.Block()
	if n == 0 {
		return nil, fmt.Errorf("gguf: cannot read %s; F32, F16, BF16, Q8_0, Q4_0 and Q4_K are read", t)
	}
	if len(data)%bytes != 0 {
		return nil, fmt.Errorf("gguf: %d bytes are no whole blocks of %s", len(data), t)
	}
	out := make([]float32, len(data)/bytes*n)
	for i := range len(data) / bytes {
		from, x := data[i*bytes:(i+1)*bytes], out[i*n:(i+1)*n]
		switch t {
		case F32:
			x[0] = math.Float32frombits(le.Uint32(from))
		case F16:
			x[0] = single(le.Uint16(from))
		case BF16:
			x[0] = math.Float32frombits(uint32(le.Uint16(from)) << 16)
		case Q8_0:
			d := single(le.Uint16(from))
			for j := range x {
				x[j] = d * float32(int8(from[2+j]))
			}
		case Q4_0:
			d := single(le.Uint16(from))
			for j := range 16 {
				x[j], x[j+16] = d*float32(int(from[2+j]&15)-8), d*float32(int(from[2+j]>>4)-8)
			}
		case Q4_K:
			d, dmin := single(le.Uint16(from)), single(le.Uint16(from[2:]))
			for j := range 8 {
				s, m := scaleMin(from[4:16], j)
				step, low := d*float32(s), dmin*float32(m)
				for k := range 32 {
					q := from[16+32*(j/2)+k] >> (4 * (j % 2)) & 15
					x[32*j+k] = step*float32(q) - low
				}
			}
		}
	}
	return out, nil
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

func nearest(v float32) int { return int(math.RoundToEven(float64(v))) }

// half rounds to float16, to nearest even.
func half(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000:
		return sign | 0x7c00
	case b < 0x38800000:
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	return sign | uint16((b-0x38000000+0xfff+b>>13&1)>>13)
}

// single widens a float16.
func single(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	return math.Float32frombits(math.Float32bits(float32(frac)*(1.0/(1<<24))) | sign)
}
