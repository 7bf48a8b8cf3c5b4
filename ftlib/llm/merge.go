package llm

import (
	"fmt"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/safetensors"
)

// merged computes W + s·B·A, or DoRA's m/‖W + s·B·A‖ ∘ (W + s·B·A), for one module of
// an adapter. A quantised W is dequantised for it.
func (m *Model) merged(a *Adapter, module string) (*tensors.Tensor, error) {
	spec := a.specs[module]
	w, temporary, err := m.whole(a, module+".weight")
	if err != nil {
		return nil, err
	}
	if temporary {
		defer func() { free(w) }()
	}
	lora := a.params
	args := group(w, lora[downName(module)], lora[upName(module)])
	if spec.DoRA {
		args = append(args, lora[module+".lora_m"])
	}
	// Modules of equal shape and scale share a program.
	key := fmt.Sprint(spec.Scale, spec.DoRA)
	if m.merges == nil {
		m.merges = map[string]*program{}
	}
	if m.merges[key] == nil {
		p, err := newProgram(m.Backend, "merge", func(in []*Node) []*Node {
			l := linear{w: dense(in[0]), a: in[1], b: in[2], spec: spec}
			sum := Add(ConvertDType(in[0], l.a.DType()), MulScalar(mulN(l.b, l.a), spec.Scale))
			if spec.DoRA {
				l.m = in[3]
				sum = Mul(sum, Reshape(l.ratio(), -1, 1))
			}
			return []*Node{ConvertDType(sum, in[0].DType())}
		})
		if err != nil {
			return nil, err
		}
		m.merges[key] = p
	}
	out, err := m.merges[key].call(args)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// whole is a weight under an adapter, which may be nil: dequantised, in float32 and the
// caller's to free, where it is quantised.
func (m *Model) whole(a *Adapter, name string) (t *tensors.Tensor, temporary bool, err error) {
	t = m.under(a, name)
	spec, packed := m.packs[name]
	if !packed || t != m.params[name] {
		return t, false, nil
	}
	values, err := m.Weight(name)
	if err != nil {
		return nil, false, err
	}
	t, err = newFloats(m.Backend, values, spec.out, spec.in)
	return t, true, err
}

// current is a base weight as the adapter that is switched on makes it, in full. The
// caller frees it when it is not the model's own.
func (m *Model) current(name string) (*tensors.Tensor, error) {
	a := m.adapter
	if a == nil {
		t, _, err := m.whole(nil, name)
		return t, err
	}
	if t := a.params[name]; t != nil { // a trained bias
		return t, nil
	}
	if t, err := m.foldOutside(a, name); t != nil || err != nil {
		return t, err
	}
	if module, ok := strings.CutSuffix(name, ".weight"); ok {
		if _, ok := a.specs[module]; ok {
			return m.merged(a, module)
		}
	}
	t, _, err := m.whole(a, name)
	return t, err
}

// owned reports tensors that must not be freed by who borrowed them.
func (m *Model) owned(name string, t *tensors.Tensor) bool {
	return t == m.param(name) || t == m.under(m.adapter, name)
}

// SaveMerged writes the model with the adapter that is switched on folded into its
// weights, as a directory that loads without it.
// A quantised base is refused; see [Model.Dequantized].
func (m *Model) SaveMerged(dir string, dtype safetensors.DType) error {
	if err := m.errMergePacked(); err != nil {
		return err
	}
	return m.save(dir, dtype, append(m.Names(), m.scored()...), m.withScore(), m.current)
}

// Merge returns a new model with the adapter folded in; m stays as it is. Weights
// that the adapter leaves alone are copied. A quantised base is refused; see [Model.Dequantized].
func (m *Model) Merge() (*Model, error) {
	if err := m.errMergePacked(); err != nil {
		return nil, err
	}
	out := &Model{Config: m.withScore(), Path: m.Path, Backend: m.Backend, dtype: m.dtype, params: map[string]*tensors.Tensor{}}
	for _, name := range append(m.Names(), m.scored()...) {
		t, err := m.current(name)
		if err != nil {
			out.Close()
			return nil, err
		}
		if m.owned(name, t) {
			if t, err = t.OnDeviceClone(m.Backend, 0); err != nil {
				out.Close()
				return nil, fmt.Errorf("llm: merging %s: %w", name, err)
			}
		}
		out.params[name] = t
	}
	return out, nil
}
