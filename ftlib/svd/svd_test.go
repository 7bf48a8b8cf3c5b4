package svd

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func random(rng *rand.Rand, rows, cols int) Matrix {
	m := Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = rng.NormFloat64()
	}
	return m
}

// together is Σ S·Left·Rightᵀ.
func together(s SVD) Matrix {
	left := Matrix{s.Left.Rows, s.Left.Cols, append([]float64{}, s.Left.Data...)}
	for k, v := range s.S {
		scale(left.Row(k), v)
	}
	return Mul(left.T(), s.Right)
}

func furthest(x, y Matrix) float64 {
	worst := 0.0
	for i := range x.Data {
		worst = max(worst, math.Abs(x.Data[i]-y.Data[i]))
	}
	return worst
}

// reference are the singular values that gonum finds.
func reference(t *testing.T, x Matrix) []float64 {
	t.Helper()
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(x.Rows, x.Cols, append([]float64{}, x.Data...)), mat.SVDNone) {
		t.Fatal("gonum finds no singular values")
	}
	return svd.Values(nil)
}

// Values agree with gonum's; the parts make the matrix again; the vectors are orthonormal.
func TestThin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	low := Mul(random(rng, 40, 5), random(rng, 5, 30))
	steep := random(rng, 24, 24)
	for i := range steep.Rows {
		scale(steep.Row(i), math.Pow(10, -float64(i)/2))
	}
	for name, x := range map[string]Matrix{"square": random(rng, 32, 32), "tall": random(rng, 50, 12), "wide": random(rng, 9, 70), "rank 5": low, "steep": steep, "one": random(rng, 1, 1), "row": random(rng, 1, 8), "zero": Zeros(6, 4)} {
		t.Run(name, func(t *testing.T) {
			s, err := Thin(x)
			if err != nil {
				t.Fatal(err)
			}
			want := reference(t, x)
			for k, v := range s.S {
				if math.Abs(v-want[k]) > 1e-13*max(1, want[0]) {
					t.Errorf("value %d is %g, gonum has %g", k, v, want[k])
				}
			}
			if d := furthest(together(s), x); d > 1e-12 {
				t.Errorf("the parts are %g from the matrix", d)
			}
			for _, m := range []Matrix{s.Left, s.Right} {
				p := mulT(m, m)
				for i := range p.Rows {
					for j, v := range p.Row(i) {
						if s.S[i] < 1e-12 || s.S[j] < 1e-12 {
							continue
						}
						if i == j {
							v--
						}
						if math.Abs(v) > 1e-12 {
							t.Fatalf("vectors %d and %d: %g", i, j, v)
						}
					}
				}
			}
		})
	}
}

func TestProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for _, dims := range [][3]int{{40, 4, 30}, {8, 12, 30}, {30, 6, 3}} {
		b, a := random(rng, dims[0], dims[1]), random(rng, dims[1], dims[2])
		x := Mul(b, a)
		scale(x.Data, 0.25)
		s, err := Product(b, a, 0.25)
		if err != nil {
			t.Fatal(err)
		}
		want := reference(t, x)
		for k, v := range s.S {
			if math.Abs(v-want[k]) > 1e-12*want[0] {
				t.Errorf("%v: value %d is %g, gonum has %g", dims, k, v, want[k])
			}
		}
		if d := furthest(together(s), x); d > 1e-12*want[0] {
			t.Errorf("%v: the parts are %g from the product", dims, d)
		}
	}
}

// Subspace iteration finds the first values of a matrix whose values fall.
func TestTop(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	x := Zeros(60, 80)
	for k := range 60 {
		u, v := random(rng, 60, 1), random(rng, 1, 80)
		scale(u.Data, math.Pow(0.8, float64(k)))
		addScaled(x.Data, 1, Mul(u, v).Data)
	}
	want := reference(t, x)
	s, err := Top(x, 6, 8)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.S) != 6 {
		t.Fatalf("%d values", len(s.S))
	}
	for k, v := range s.S {
		if math.Abs(v-want[k]) > 1e-6*want[k] {
			t.Errorf("value %d is %g, gonum has %g", k, v, want[k])
		}
	}
}

func TestQR(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	x := random(rng, 12, 7)
	q, r := QR(x, 7)
	if d := furthest(Mul(q.T(), r), x); d > 1e-13 {
		t.Errorf("QR is %g from the matrix", d)
	}
	for i := range r.Rows {
		for j := range i {
			if math.Abs(r.Row(i)[j]) > 1e-13 {
				t.Errorf("R[%d, %d] is %g", i, j, r.Row(i)[j])
			}
		}
		if r.Row(i)[i] <= 0 {
			t.Errorf("R[%d, %d] is %g", i, i, r.Row(i)[i])
		}
	}
}

func TestNotFinite(t *testing.T) {
	x := Zeros(3, 3)
	x.Data[4] = math.NaN()
	if _, err := Thin(x); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
}

func ExampleThin() {
	s, err := Thin(Of([]float32{3, 0, 0, 0, 4, 0}, 2, 3))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.S)
	// Output: [4 3]
}

func BenchmarkThin(b *testing.B) {
	x := random(rand.New(rand.NewPCG(5, 1)), 344, 128)
	for range b.N {
		if _, err := Thin(x); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThinGonum(b *testing.B) {
	x := random(rand.New(rand.NewPCG(5, 1)), 344, 128)
	for range b.N {
		var svd mat.SVD
		svd.Factorize(mat.NewDense(344, 128, append([]float64{}, x.Data...)), mat.SVDThin)
	}
}
