package llm

import (
	"fmt"
	"maps"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/safetensors"
)

// Folded are the weights of a model with the adapter that is switched on folded in, one
// at a time: what [Model.SaveMerged] writes. Quantised weights are dequantised on the way.
type Folded struct {
	Config Config
	Names  []string
	m      *Model
}

// Folded reads the model as it would be merged.
func (m *Model) Folded() *Folded {
	f := &Folded{Config: m.withScore(), Names: append(m.Names(), m.scored()...), m: m}
	f.Config.raw = maps.Clone(f.Config.raw)
	delete(f.Config.raw, quantizationKey)
	return f
}

// Shape is the shape of a weight.
func (f *Folded) Shape(name string) []int {
	if spec, packed := f.m.packs[name]; packed {
		return []int{spec.out, spec.in}
	}
	t := f.m.under(f.m.adapter, name)
	if t == nil {
		return nil
	}
	return t.Shape().Dimensions
}

// Values computes a weight, row-major float32.
func (f *Folded) Values(name string) ([]float32, error) {
	t, err := f.m.current(name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fmt.Errorf("llm: no weight %q", name)
	}
	defer func() {
		if !f.m.owned(name, t) {
			free(t)
		}
	}()
	return floats(t)
}

// Source is where weights come from by Hugging Face name.
type Source interface {
	Names() []string
	Tensor(name string) (safetensors.Tensor, error)
}

// LoadFrom is [Load] for weights that are not in safetensors.
func LoadFrom(b compute.Backend, c Config, src Source, o LoadOptions) (*Model, error) {
	return load(b, "", c, src, o)
}

// Floats makes a float32 tensor on a backend from values, row-major.
func Floats(b compute.Backend, values []float32, dims ...int) (*tensors.Tensor, error) {
	return newFloats(b, values, dims...)
}
