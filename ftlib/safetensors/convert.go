package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Float32s converts a floating-point tensor to float32 values. Integers and
// booleans are an error: they are never weights.
func (t Tensor) Float32s() ([]float32, error) {
	out := make([]float32, t.Elements())
	if err := t.Float32sInto(out); err != nil {
		return nil, err
	}
	return out, nil
}

// Float32sInto is [Tensor.Float32s] into a slice of the right length.
func (t Tensor) Float32sInto(out []float32) error {
	if len(out) != t.Elements() {
		return fmt.Errorf("safetensors: tensor %q has %d elements, not %d", t.Name, t.Elements(), len(out))
	}
	le := binary.LittleEndian
	switch t.DType {
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(t.Data[4*i:]))
		}
	case F64:
		for i := range out {
			out[i] = float32(math.Float64frombits(le.Uint64(t.Data[8*i:])))
		}
	case BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(le.Uint16(t.Data[2*i:])) << 16)
		}
	case F16:
		for i := range out {
			out[i] = halfToFloat(le.Uint16(t.Data[2*i:]))
		}
	default:
		return fmt.Errorf("safetensors: tensor %q is %s, not a floating-point type", t.Name, t.DType)
	}
	return nil
}

// FromFloat32s makes a tensor of type F32, F16 or BF16, rounding to nearest even.
func FromFloat32s(name string, dtype DType, shape []int, values []float32) (Tensor, error) {
	t := Tensor{Name: name, DType: dtype, Shape: shape}
	if t.Elements() != len(values) {
		return t, fmt.Errorf("safetensors: tensor %q: %d values for shape %v", name, len(values), shape)
	}
	t.Data = make([]byte, len(values)*dtype.Size())
	le := binary.LittleEndian
	switch dtype {
	case F32:
		for i, v := range values {
			le.PutUint32(t.Data[4*i:], math.Float32bits(v))
		}
	case BF16:
		for i, v := range values {
			le.PutUint16(t.Data[2*i:], floatToBF16(v))
		}
	case F16:
		for i, v := range values {
			le.PutUint16(t.Data[2*i:], floatToHalf(v))
		}
	default:
		return t, fmt.Errorf("safetensors: tensor %q: cannot write float values as %s", name, dtype)
	}
	return t, nil
}

func floatToBF16(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40 // keep NaN a NaN
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}

func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	v := float32(frac) * (1.0 / (1 << 24)) // subnormal: exact in float32
	return math.Float32frombits(math.Float32bits(v) | sign)
}

func floatToHalf(v float32) uint16 {
	b := math.Float32bits(v)
	sign, b := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to infinity
		return sign | 0x7c00
	case b < 0x38800000: // subnormal or zero
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	return sign | uint16((b-0x38000000+0xfff+(b>>13)&1)>>13)
}
