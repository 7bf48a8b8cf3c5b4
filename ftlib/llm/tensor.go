package llm

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/safetensors"
)

// newTensor makes a tensor on the backend and lets fill write its values, without
// a second copy where host and device share memory. fill gets the flat slice.
func newTensor(b compute.Backend, dtype dtypes.DType, dims []int, fill func(flat any) error) (*tensors.Tensor, error) {
	shape := shapes.Make(dtype, dims...)
	if b.HasSharedBuffers() {
		buffer, flat, err := b.NewSharedBuffer(0, shape)
		if err != nil {
			return nil, err
		}
		if err := fill(flat); err != nil {
			return nil, err
		}
		return tensors.FromBuffer(buffer)
	}
	t := tensors.FromShape(shape)
	var fillErr error
	if err := t.MutableFlatData(func(flat any) { fillErr = fill(flat) }); err != nil {
		return nil, err
	}
	if fillErr != nil {
		return nil, fillErr
	}
	return t, t.ToDevice(b, 0)
}

// newFloats makes a float32 tensor from values.
func newFloats(b compute.Backend, values []float32, dims ...int) (*tensors.Tensor, error) {
	return newTensor(b, dtypes.Float32, dims, func(flat any) error {
		copy(flat.([]float32), values)
		return nil
	})
}

// newMatrix makes a tensor of a model's type from float32 values.
func newMatrix(b compute.Backend, dtype dtypes.DType, values []float32, dims ...int) (*tensors.Tensor, error) {
	if dtype != dtypes.BFloat16 {
		return newFloats(b, values, dims...)
	}
	return newTensor(b, dtype, dims, func(flat any) error {
		for i, v := range values {
			flat.([]bfloat16.BFloat16)[i] = bfloat16.FromFloat32(v)
		}
		return nil
	})
}

// newInts makes an int32 tensor from values.
func newInts(b compute.Backend, values []int32, dims ...int) (*tensors.Tensor, error) {
	return newTensor(b, dtypes.Int32, dims, func(flat any) error {
		copy(flat.([]int32), values)
		return nil
	})
}

// fromFile converts a tensor of a file to dtype (float32 or bfloat16) on the backend.
func fromFile(b compute.Backend, t safetensors.Tensor, dtype dtypes.DType) (*tensors.Tensor, error) {
	return newTensor(b, dtype, t.Shape, func(flat any) error {
		switch dst := flat.(type) {
		case []float32:
			return t.Float32sInto(dst)
		case []bfloat16.BFloat16:
			const piece = 1 << 18 // values that are float32 for a moment
			values, size := make([]float32, min(piece, len(dst))), t.DType.Size()
			for from := 0; from < len(dst); from += piece {
				part := t
				n := min(piece, len(dst)-from)
				part.Shape, part.Data = []int{n}, t.Data[from*size:(from+n)*size]
				if err := part.Float32sInto(values[:n]); err != nil {
					return err
				}
				for i, v := range values[:n] {
					dst[from+i] = bfloat16.FromFloat32(v)
				}
			}
			return nil
		}
		return fmt.Errorf("llm: cannot load weights as %s", dtype)
	})
}

// toFile copies a tensor to the host as dtype of the format.
func toFile(name string, t *tensors.Tensor, dtype safetensors.DType) (safetensors.Tensor, error) {
	values, err := floats(t)
	if err != nil {
		return safetensors.Tensor{}, fmt.Errorf("llm: %s: %w", name, err)
	}
	return safetensors.FromFloat32s(name, dtype, t.Shape().Dimensions, values)
}

// floats copies a floating-point tensor to the host.
func floats(t *tensors.Tensor) ([]float32, error) {
	out := make([]float32, t.Size())
	var kind error
	err := t.ConstFlatData(func(flat any) {
		switch src := flat.(type) {
		case []float32:
			copy(out, src)
		case []bfloat16.BFloat16:
			for i, v := range src {
				out[i] = v.Float32()
			}
		default:
			kind = fmt.Errorf("elements are %T", flat)
		}
	})
	if err == nil {
		err = kind
	}
	return out, err
}

// scalar reads a float32 scalar.
func scalar(t *tensors.Tensor) (float64, error) {
	v, err := floats(t)
	if err != nil || len(v) != 1 {
		return 0, fmt.Errorf("llm: want a scalar, have %s (%v)", t.Shape(), err)
	}
	return float64(v[0]), nil
}

// free releases tensors at once instead of leaving their memory to the collector.
func free(ts ...*tensors.Tensor) {
	for _, t := range ts {
		if t != nil {
			_ = t.FinalizeAll()
		}
	}
}
