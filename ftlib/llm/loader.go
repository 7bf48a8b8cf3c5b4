package llm

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
)

// loader brings the weights of a source into a model one after another.
type loader struct {
	m      *Model
	src    source
	has    map[string]bool // names of the source
	left   map[string]bool // those that no weight has asked for
	linear map[string]bool // names of the weights that can be quantised
	spec   *quant.Config   // nil: nothing is quantised that is not so already
	in     dtypes.DType    // of products with quantised weights
}

func (m *Model) loader(src source, o LoadOptions) (*loader, error) {
	l := &loader{m: m, src: src, has: map[string]bool{}, left: map[string]bool{}, linear: map[string]bool{}, in: m.dtype}
	for _, name := range src.Names() {
		l.has[name], l.left[name] = true, true
	}
	for i := range m.Config.Layers {
		for _, module := range m.Config.Linears() {
			l.linear[layerName(i, module+".weight")] = true
		}
	}
	if in := m.Config.computeOf(); in != dtypes.InvalidDType {
		l.in = in
	}
	if q := o.Quantize; q != nil {
		spec, err := q.Resolve()
		if err != nil {
			return nil, err
		}
		l.spec = &spec
		if q.Compute != dtypes.InvalidDType {
			l.in = q.Compute
		}
		if l.in != dtypes.Float32 && l.in != dtypes.BFloat16 {
			return nil, fmt.Errorf("products of quantised weights in %s: float32 and bfloat16 are supported", l.in)
		}
	}
	return l, nil
}

// Has reports what the source has; with Tensor it makes a loader a quant.Source.
func (l *loader) Has(name string) bool { return l.has[name] }

// Tensor of the source.
func (l *loader) Tensor(name string) (safetensors.Tensor, error) { return l.src.Tensor(name) }

// weight loads one weight, or says why it does not fit. With checkOnly it loads nothing.
func (l *loader) weight(w weightSpec, checkOnly bool) (problem string, err error) {
	if r, ok := l.src.(randomSource); ok {
		delete(l.left, w.name)
		if checkOnly {
			return "", nil
		}
		return "", l.random(r, w)
	}
	t, err := l.src.Tensor(w.name)
	if err != nil {
		return fmt.Sprintf("%s %v is missing", w.name, w.shape), nil
	}
	defer release(l.src, t)
	if kind, stored := quant.Stored(l, w.name); stored {
		return l.stored(w, kind, checkOnly)
	}
	delete(l.left, w.name)
	switch {
	case !sameShape(t.Shape, w.shape):
		return fmt.Sprintf("%s is %v, the configuration wants %v", w.name, t.Shape, w.shape), nil
	case checkOnly:
		return "", nil
	case l.spec != nil && l.linear[w.name]:
		q, err := quantised(t, *l.spec)
		if err != nil {
			return "", fmt.Errorf("%s: %w", w.name, err)
		}
		return "", l.m.putPacked(w.name, q, l.in)
	}
	l.m.params[w.name], err = fromFile(l.m.Backend, t, l.dtype(w.name))
	return "", err
}

// dtype of a weight that is not quantised.
func (l *loader) dtype(name string) dtypes.DType {
	if isNormOrBias(name) {
		return dtypes.Float32
	}
	return l.m.dtype
}

// stored loads a weight that is quantised in the source.
func (l *loader) stored(w weightSpec, kind quant.Type, checkOnly bool) (string, error) {
	q, err := quant.Read(l, w.name)
	delete(l.left, w.name)
	for _, key := range kind.Keys(w.name) {
		delete(l.left, key)
		if t, err := l.src.Tensor(key); err == nil {
			defer release(l.src, t)
		}
	}
	switch {
	case err != nil:
		return "", err
	case !sameShape(q.Shape, w.shape):
		return fmt.Sprintf("%s is %v, the configuration wants %v", w.name, q.Shape, w.shape), nil
	case !l.linear[w.name]:
		return fmt.Sprintf("%s is quantised; that is supported for the linear layers of the blocks", w.name), nil
	case l.spec != nil && *l.spec != q.Config:
		return "", fmt.Errorf("%s is stored as %+v, which cannot become %+v; give the original weights, or leave the quantization to the directory", w.name, q.Config, *l.spec)
	case checkOnly:
		return "", nil
	}
	return "", l.m.putPacked(w.name, q, l.in)
}

// random makes a weight without a copy of it on the host.
func (l *loader) random(r randomSource, w weightSpec) error {
	if l.spec != nil && l.linear[w.name] {
		q, err := quant.Random(w.shape, *l.spec, r.std(w.name), r.key(w.name))
		if err != nil {
			return err
		}
		return l.m.putPacked(w.name, q, l.in)
	}
	var err error
	l.m.params[w.name], err = newTensor(l.m.Backend, l.dtype(w.name), w.shape, func(flat any) error { return r.fill(w.name, flat) })
	return err
}

// release gives the memory of a mapped tensor back, where the source can.
func release(src source, t safetensors.Tensor) {
	if r, ok := src.(interface{ Release(safetensors.Tensor) }); ok {
		r.Release(t)
	}
}
