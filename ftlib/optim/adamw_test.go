package optim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/internal/testkit"
)

// table is a set of weights with gradients.
type table struct{ value, grad map[string]*tensors.Tensor }

func (t table) Value(name string) *tensors.Tensor { return t.value[name] }
func (t table) Grad(name string) *tensors.Tensor  { return t.grad[name] }
func (t table) SetValue(name string, v *tensors.Tensor) error {
	t.value[name] = v
	return nil
}

// reference is torch.optim.AdamW in double precision, written from its documentation.
func reference(p, m, v, g float64, h Hyper, decay bool, clip float64) (float64, float64, float64) {
	g *= clip
	if decay {
		p -= h.LR * h.WeightDecay * p
	}
	m = h.Beta1*m + (1-h.Beta1)*g
	v = h.Beta2*v + (1-h.Beta2)*g*g
	mhat := m / (1 - math.Pow(h.Beta1, float64(h.Step)))
	vhat := v / (1 - math.Pow(h.Beta2, float64(h.Step)))
	return p - h.LR*mhat/(math.Sqrt(vhat)+h.Epsilon), m, v
}

func TestAdamWIsTorchs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"w", "norm.bias", "frozen"}
	const n = 40
	w := table{map[string]*tensors.Tensor{}, map[string]*tensors.Tensor{}}
	want := map[string][]float64{}
	moments := map[string][2][]float64{}
	draw := func(scale float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * scale)
		}
		return x
	}
	for _, name := range names {
		x := draw(1)
		w.value[name] = tensors.FromFlatDataAndDimensions(x, 8, 5)
		moments[name] = [2][]float64{make([]float64, n), make([]float64, n)}
		for _, v := range x {
			want[name] = append(want[name], float64(v))
		}
	}
	o, err := NewAdamW(testkit.Backend(t))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	decays := func(name string) bool { return name == "w" }
	for step := 1; step <= 6; step++ {
		h := Hyper{LR: 0.1 / float64(step), WeightDecay: 0.3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 2, Step: step}
		norm := 0.0
		for _, name := range names[:2] {
			g := draw(math.Pow(10, float64(-2*step))) // down to gradients near epsilon
			w.grad[name] = tensors.FromFlatDataAndDimensions(g, 8, 5)
			for _, v := range g {
				norm += float64(v) * float64(v)
			}
		}
		norm = math.Sqrt(norm)
		for _, name := range names[:2] {
			g := tensors.MustCopyFlatData[float32](w.grad[name])
			for i := range g {
				m := moments[name]
				want[name][i], m[0][i], m[1][i] = reference(want[name][i], m[0][i], m[1][i], float64(g[i]), h, decays(name), h.ClipFactor(norm))
			}
		}
		if err := o.Step(w, names, h, norm, decays); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		for i, v := range tensors.MustCopyFlatData[float32](w.value[name]) {
			if d := math.Abs(float64(v) - want[name][i]); d > 2e-6 {
				t.Errorf("%s[%d] is %v, want %v", name, i, v, want[name][i])
			}
		}
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
