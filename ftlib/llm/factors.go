package llm

import "fmt"

// Factors are the low-rank part of an adapter at one module, on the host: the weight
// changes by Scale·B·A, transposed for an embedding. Adapters that began with a part of
// the weights (PiSSA, OLoRA) have what they began with taken off: R is twice theirs.
type Factors struct {
	A, B       []float32 // [R, In] and [Out, R], row-major
	R, Out, In int
	Scale      float64
	DoRA       bool // the change is not Scale·B·A alone: rows are scaled to magnitudes of their own
}

// Factors of a module by its full name, one of [Adapter.Modules].
func (a *Adapter) Factors(module string) (Factors, error) {
	s, ok := a.specs[module]
	if !ok {
		return Factors{}, fmt.Errorf("llm: the adapter has nothing at %q; it has %d modules, see Adapter.Modules", module, len(a.specs))
	}
	down, up, err := a.pair(module)
	if err != nil {
		return Factors{}, err
	}
	f := Factors{A: down, B: up, R: s.R, Scale: s.Scale, DoRA: s.DoRA}
	if a.began[downName(module)] != nil {
		f.R *= 2
	}
	f.In, f.Out = len(down)/f.R, len(up)/f.R
	return f, nil
}
