package optim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/internal/testkit"
)

// table is a set of weights with gradients.
type table struct{ value, grad map[string]*tensors.Tensor }

func newTable() table {
	return table{map[string]*tensors.Tensor{}, map[string]*tensors.Tensor{}}
}

func (t table) Value(name string) *tensors.Tensor { return t.value[name] }
func (t table) Grad(name string) *tensors.Tensor  { return t.grad[name] }
func (t table) SetValue(name string, v *tensors.Tensor) error {
	t.value[name] = v
	return nil
}

// reference is a rule in double precision, written from its paper: it updates the rows of
// a weight and keeps its own state.
type reference func(p, g [][]float64, h Hyper, decay bool)

func each(p [][]float64, do func(i, j int)) {
	for i := range p {
		for j := range p[i] {
			do(i, j)
		}
	}
}

func zerosLike(p [][]float64) [][]float64 {
	out := make([][]float64, len(p))
	for i := range p {
		out[i] = make([]float64, len(p[i]))
	}
	return out
}

func shrink(p [][]float64, h Hyper, decay bool) {
	if decay {
		each(p, func(i, j int) { p[i][j] -= h.LR * h.WeightDecay * p[i][j] })
	}
}

func adamwReference() reference {
	var m, v [][]float64
	return func(p, g [][]float64, h Hyper, decay bool) {
		if m == nil {
			m, v = zerosLike(p), zerosLike(p)
		}
		shrink(p, h, decay)
		each(p, func(i, j int) {
			m[i][j] = h.Beta1*m[i][j] + (1-h.Beta1)*g[i][j]
			v[i][j] = h.Beta2*v[i][j] + (1-h.Beta2)*g[i][j]*g[i][j]
			mhat := m[i][j] / (1 - math.Pow(h.Beta1, float64(h.Step)))
			vhat := v[i][j] / (1 - math.Pow(h.Beta2, float64(h.Step)))
			p[i][j] -= h.LR * mhat / (math.Sqrt(vhat) + h.Epsilon)
		})
	}
}

func lionReference() reference {
	var m [][]float64
	return func(p, g [][]float64, h Hyper, decay bool) {
		if m == nil {
			m = zerosLike(p)
		}
		shrink(p, h, decay)
		each(p, func(i, j int) {
			if c := h.Beta1*m[i][j] + (1-h.Beta1)*g[i][j]; c != 0 {
				p[i][j] -= h.LR * math.Copysign(1, c)
			}
			m[i][j] = h.Beta2*m[i][j] + (1-h.Beta2)*g[i][j]
		})
	}
}

func sgdReference() reference {
	var m [][]float64
	return func(p, g [][]float64, h Hyper, decay bool) {
		if m == nil {
			m = zerosLike(p)
		}
		shrink(p, h, decay)
		each(p, func(i, j int) {
			m[i][j] = h.Momentum*m[i][j] + g[i][j]
			p[i][j] -= h.LR * m[i][j]
		})
	}
}

// adafactorReference is Algorithm 4 of the paper without a first moment and with a given
// learning rate; a single row is a vector.
func adafactorReference() reference {
	var rows, cols []float64
	var v [][]float64
	return func(p, g [][]float64, h Hyper, decay bool) {
		if v == nil {
			rows, cols, v = make([]float64, len(p)), make([]float64, len(p[0])), zerosLike(p)
		}
		b := 1 - math.Pow(float64(h.Step), -0.8)
		u := zerosLike(p)
		if len(p) == 1 {
			each(p, func(i, j int) {
				v[i][j] = b*v[i][j] + (1-b)*(g[i][j]*g[i][j]+1e-30)
				u[i][j] = g[i][j] / math.Sqrt(v[i][j])
			})
		} else {
			r, c := make([]float64, len(rows)), make([]float64, len(cols))
			each(p, func(i, j int) {
				r[i] += (g[i][j]*g[i][j] + 1e-30) / float64(len(cols))
				c[j] += (g[i][j]*g[i][j] + 1e-30) / float64(len(rows))
			})
			mean := 0.0
			for i := range rows {
				rows[i] = b*rows[i] + (1-b)*r[i]
				mean += rows[i] / float64(len(rows))
			}
			for j := range cols {
				cols[j] = b*cols[j] + (1-b)*c[j]
			}
			each(p, func(i, j int) { u[i][j] = g[i][j] / math.Sqrt(rows[i]*cols[j]/mean) })
		}
		squares := 0.0
		each(u, func(i, j int) { squares += u[i][j] * u[i][j] })
		rms := math.Sqrt(squares / float64(len(p)*len(p[0])))
		shrink(p, h, decay)
		each(p, func(i, j int) { p[i][j] -= h.LR * u[i][j] / max(1, rms) })
	}
}

func fold(x []float32, rows int) [][]float64 {
	out := make([][]float64, rows)
	for i, v := range x {
		r := i / (len(x) / rows)
		out[r] = append(out[r], float64(v))
	}
	return out
}

// Every rule against its reference in double precision: weights that decay and ones that
// do not, clipped, under a changing learning rate, with gradients down to epsilon, and
// one weight that no gradient reaches.
func TestRules(t *testing.T) {
	rules := map[string]struct {
		spec ftlib.Optim
		of   func() reference
		most float64
	}{
		"adamw_torch":  {ftlib.Optim{}, adamwReference, 2e-6},
		"adamw_8bit":   {ftlib.Optim{Optim: "adamw_8bit"}, adamwReference, 2e-6}, // below 4096 values: in 32 bits
		"lion":         {ftlib.Optim{Optim: "lion"}, lionReference, 1e-6},
		"sgd":          {ftlib.Optim{Optim: "sgd"}, sgdReference, 1e-6},
		"sgd momentum": {ftlib.Optim{Optim: "sgd", Momentum: 0.8}, sgdReference, 1e-6},
		"adafactor":    {ftlib.Optim{Optim: "adafactor"}, adafactorReference, 3e-6},
	}
	shapes := map[string][]int{"w": {8, 5}, "w2": {3, 20}, "norm.bias": {40}, "frozen": {8, 5}}
	for kind, c := range rules {
		t.Run(kind, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			draw := func(name string, scale float64) (*tensors.Tensor, [][]float64) {
				n, rows := 1, 1
				for _, d := range shapes[name] {
					n *= d
				}
				if len(shapes[name]) == 2 {
					rows = shapes[name][0]
				}
				x := make([]float32, n)
				for i := range x {
					x[i] = float32(rng.NormFloat64() * scale)
				}
				return tensors.FromFlatDataAndDimensions(x, shapes[name]...), fold(x, rows)
			}
			w, want, refs := newTable(), map[string][][]float64{}, map[string]reference{}
			names := []string{"w", "norm.bias", "w2", "frozen"}
			for _, name := range names {
				w.value[name], want[name] = draw(name, 1)
				refs[name] = c.of()
			}
			o, err := New(testkit.Backend(t), c.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			decays := func(name string) bool { return name != "norm.bias" }
			if err := o.Prepare(w, names, decays); err != nil {
				t.Fatal(err)
			}
			for step := 1; step <= 6; step++ {
				h := Hyper{LR: 0.1 / float64(step), WeightDecay: 0.3, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, Momentum: c.spec.Momentum, MaxGradNorm: 2, Step: step}
				grads, norm := map[string][][]float64{}, 0.0
				for _, name := range names[:3] {
					w.grad[name], grads[name] = draw(name, math.Pow(10, float64(-2*step)))
					each(grads[name], func(i, j int) { norm += grads[name][i][j] * grads[name][i][j] })
				}
				norm = math.Sqrt(norm)
				for _, name := range names[:3] {
					each(grads[name], func(i, j int) { grads[name][i][j] *= h.ClipFactor(norm) })
					refs[name](want[name], grads[name], h, decays(name))
				}
				if err := o.Step(w, names, h, norm, decays); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range names {
				have := fold(tensors.MustCopyFlatData[float32](w.value[name]), len(want[name]))
				each(have, func(i, j int) {
					if d := math.Abs(have[i][j] - want[name][i][j]); !(d <= c.most) {
						t.Errorf("%s[%d,%d] is %v, want %v", name, i, j, have[i][j], want[name][i][j])
					}
				})
			}
			bytes := int64(0)
			for _, name := range names[:3] {
				bytes += StateBytes(c.spec, name, shapes[name])
			}
			have := int64(0)
			for _, s := range o.State() {
				have += int64(s.ByteSize())
			}
			if have != bytes {
				t.Errorf("the state has %d bytes, said to have %d", have, bytes)
			}
		})
	}
}

func TestClipFactor(t *testing.T) {
	for _, c := range []struct{ max, norm, want float64 }{
		{1, 0.5, 1}, {1, 2, 1 / (2 + 1e-6)}, {0, 100, 1}, {-1, 100, 1}, {1, 0, 1},
	} {
		if got := (Hyper{MaxGradNorm: c.max}).ClipFactor(c.norm); got != c.want {
			t.Errorf("max %v, norm %v: %v, want %v", c.max, c.norm, got, c.want)
		}
	}
}

func ExampleHyper_ClipFactor() {
	h := Hyper{MaxGradNorm: 1}
	fmt.Printf("%.3f %.3f\n", h.ClipFactor(0.5), h.ClipFactor(4))
	// Output: 1.000 0.250
}
