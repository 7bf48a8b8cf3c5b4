package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	floats64 "gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// initial draws A [r, in] and B [out, r] of a module, and notes what is left of its
// weight where they take a part of it.
func (a *Adapter) initial(m *Model, module string, rng *rand.Rand) (down, up []float32, err error) {
	s := a.specs[module]
	out, in := m.moduleDims(module)
	down, up = make([]float32, s.R*in), make([]float32, out*s.R)
	switch init := a.Spec.Init; init {
	case "", "true":
		bound := 1 / math.Sqrt(float64(in))
		for i := range down {
			down[i] = float32((2*rng.Float64() - 1) * bound)
		}
	case "gaussian":
		for i := range down {
			down[i] = float32(rng.NormFloat64() / float64(s.R))
		}
	default:
		w, err := m.Weight(module + ".weight")
		if err != nil {
			return nil, nil, err
		}
		if down, up, err = decompose(init, w, out, in, s.R, s.Scale); err != nil {
			return nil, nil, fmt.Errorf("llm: %s: %w", module, err)
		}
		return down, up, a.begin(m, module, w, down, up)
	}
	return down, up, nil
}

// begin keeps W - s·B·A and A and B as they are.
func (a *Adapter) begin(m *Model, module string, w, down, up []float32) error {
	s := a.specs[module]
	out, in := m.moduleDims(module)
	addProduct(w, up, down, out, in, s.R, -s.Scale)
	if a.residual == nil {
		a.residual, a.began = map[string]*tensors.Tensor{}, map[string]*tensors.Tensor{}
	}
	for name, x := range map[string]struct {
		values []float32
		dims   []int
	}{".lora_A": {down, []int{s.R, in}}, ".lora_B": {up, []int{out, s.R}}} {
		t, err := newFloats(m.Backend, x.values, x.dims...)
		if err != nil {
			return err
		}
		a.began[module+name] = t
	}
	t, err := newMatrix(m.Backend, m.dtype, w, out, in)
	a.residual[module+".weight"] = t
	return err
}

// addProduct adds f·B·A to w [out, in].
func addProduct(w, b, a []float32, out, in, r int, f float64) {
	sum := make([]float64, in)
	for i := range out {
		clear(sum)
		for k := range r {
			c := float64(b[i*r+k])
			for j, v := range a[k*in : (k+1)*in] {
				sum[j] += c * float64(v)
			}
		}
		for j, v := range sum {
			w[i*in+j] = float32(float64(w[i*in+j]) + f*v)
		}
	}
}

// decompose takes the part of a weight [out, in] that an adapter of rank r and scale s
// begins with.
func decompose(init string, w []float32, out, in, r int, scale float64) (down, up []float32, err error) {
	if r > min(out, in) {
		return nil, nil, fmt.Errorf("init_lora_weights %s needs r of at most %d, the smaller side of the weight; it is %d", init, min(out, in), r)
	}
	x := mat.NewDense(out, in, nil)
	raw := x.RawMatrix()
	for i, v := range w {
		raw.Data[i] = float64(v)
	}
	var left, right mat.Matrix // [out, r], [in, r]
	if init == "olora" {
		q, t := thinQR(x, r)
		left, right = q, t.T()
	} else {
		iterations := 0
		if n, ok := strings.CutPrefix(init, "pissa_niter_"); ok {
			if iterations, err = strconv.Atoi(n); err != nil {
				return nil, nil, err
			}
		}
		u, s, v, err := topSVD(x, r, iterations)
		if err != nil {
			return nil, nil, err
		}
		root := mat.NewDiagDense(r, nil)
		for i, v := range s {
			root.SetDiag(i, math.Sqrt(v/scale))
		}
		var l, t mat.Dense
		l.Mul(u, root)
		t.Mul(v, root)
		left, right = &l, &t
	}
	down, up = make([]float32, r*in), make([]float32, out*r)
	for k := range r {
		for i := range out {
			up[i*r+k] = float32(left.At(i, k))
		}
		for j := range in {
			down[k*in+j] = float32(right.At(j, k))
		}
	}
	return down, up, nil
}

// thinQR is the first r columns of Q and the first r rows of R of x = QR; the diagonal of
// R is positive.
func thinQR(x *mat.Dense, r int) (q, t *mat.Dense) {
	rows, cols := x.Dims()
	// Columns from r on do not change the first r of Q; R's rows are Qᵀ·x.
	first := mat.DenseCopyOf(x.Slice(0, rows, 0, min(cols, r)))
	q = orthonormal(first)
	t = &mat.Dense{}
	t.Mul(q.T(), x)
	return q, t
}

// orthonormal is the thin Q of a tall matrix, by Gram and Schmidt's method done twice,
// which is as exact as reflections (Giraud et al. 2005); gonum's QR makes the square one.
func orthonormal(x *mat.Dense) *mat.Dense {
	rows, cols := x.Dims()
	t := mat.DenseCopyOf(x.T()) // columns lie in rows
	for k := range cols {
		c := t.RawRowView(k)
		before := floats64.Norm(c, 2)
		for range 2 {
			for j := range k {
				q := t.RawRowView(j)
				floats64.AddScaled(c, -floats64.Dot(q, c), q)
			}
		}
		if n := floats64.Norm(c, 2); n > 1e-14*before {
			floats64.Scale(1/n, c)
		} else {
			clear(c) // the column is a sum of those before it
		}
	}
	q := mat.NewDense(rows, cols, nil)
	q.Copy(t.T())
	return q
}

// topSVD are the r largest singular values of x and their vectors, [rows, r] and
// [cols, r]: exact, or with iterations > 0 by subspace iteration (Halko et al. 2011).
func topSVD(x *mat.Dense, r, iterations int) (u *mat.Dense, s []float64, v *mat.Dense, err error) {
	rows, cols := x.Dims()
	if iterations > 0 && r+8 < min(rows, cols) {
		k := r + 8
		rng := rand.New(rand.NewPCG(1, 2))
		omega := mat.NewDense(cols, k, nil)
		for i := range cols {
			for j := range k {
				omega.Set(i, j, rng.NormFloat64())
			}
		}
		var y, z mat.Dense
		y.Mul(x, omega)
		q := orthonormal(&y)
		for range iterations {
			z.Mul(x.T(), q)
			p := orthonormal(&z)
			y.Mul(x, p)
			q = orthonormal(&y)
		}
		var b mat.Dense // [k, cols]
		b.Mul(q.T(), x)
		ub, s, v, err := topSVD(&b, r, 0)
		if err != nil {
			return nil, nil, nil, err
		}
		u = &mat.Dense{}
		u.Mul(q, ub)
		return u, s, v, nil
	}
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDThin) {
		return nil, nil, nil, fmt.Errorf("the singular values did not converge; are there NaN among the weights?")
	}
	var fu, fv mat.Dense
	svd.UTo(&fu)
	svd.VTo(&fv)
	u = mat.DenseCopyOf(fu.Slice(0, rows, 0, r))
	v = mat.DenseCopyOf(fv.Slice(0, cols, 0, r))
	return u, svd.Values(nil)[:r], v, nil
}

// settle ends loading: an adapter that PEFT would put on changed weights becomes one of
// twice the rank on the weights as they are: W - s·B₀·A₀ + s·B·A.
func (a *Adapter) settle(m *Model) error {
	if a.Spec.Init == "" {
		return nil
	}
	a.began = map[string]*tensors.Tensor{}
	for _, module := range a.Modules() {
		s := a.specs[module]
		out, in := m.moduleDims(module)
		w, err := m.Weight(module + ".weight")
		if err != nil {
			return err
		}
		down, up, err := decompose(a.Spec.Init, w, out, in, s.R, s.Scale)
		if err != nil {
			return fmt.Errorf("llm: %s: %w", module, err)
		}
		if a.began[module+".lora_A"], err = newFloats(m.Backend, down, s.R, in); err != nil {
			return err
		}
		if a.began[module+".lora_B"], err = newFloats(m.Backend, up, out, s.R); err != nil {
			return err
		}
	}
	plain, err := a.plain()
	if err != nil {
		return err
	}
	for name, t := range a.params {
		if plain.params[name] != t {
			free(t)
		}
	}
	for _, t := range a.began {
		free(t)
	}
	*a = *plain
	return nil
}

// plain is the adapter on the model's own weights: of twice the rank where it began with
// a part of them, [A; A₀] and [B, -B₀] at the same scale. Tensors that are the same are
// shared; closeExcept frees the others.
func (a *Adapter) plain() (*Adapter, error) {
	p := *a
	p.residual, p.began = nil, nil
	p.params = map[string]*tensors.Tensor{}
	p.specs = map[string]adapterSpec{}
	p.Spec.Init = ""
	p.Spec.R *= 2
	grow := 2.0 // of alpha, so that the scale stays
	if a.Spec.RSLoRA {
		grow = math.Sqrt2
	}
	p.Spec.Alpha *= grow
	p.Spec.RankPattern, p.Spec.AlphaPattern = map[string]int{}, map[string]float64{}
	for key, r := range a.Spec.RankPattern {
		p.Spec.RankPattern[key] = 2 * r
	}
	for key, alpha := range a.Spec.AlphaPattern {
		p.Spec.AlphaPattern[key] = grow * alpha
	}
	for name, t := range a.params {
		p.params[name] = t
	}
	for module, s := range a.specs {
		down, up, err := a.pair(module)
		if err != nil {
			return nil, err
		}
		s.R *= 2
		p.specs[module] = s
		in, out := len(down)/s.R, len(up)/s.R
		p.params[module+".lora_A"] = tensors.FromFlatDataAndDimensions(down, s.R, in)
		p.params[module+".lora_B"] = tensors.FromFlatDataAndDimensions(up, out, s.R)
	}
	return &p, nil
}

func (a *Adapter) closeExcept(other *Adapter) {
	for name, t := range a.params {
		if other.params[name] != t {
			free(t)
		}
	}
}

// pair is A and B of a module on the host, with what they began as taken off.
func (a *Adapter) pair(module string) (down, up []float32, err error) {
	r := a.specs[module].R
	if down, err = floats(a.params[module+".lora_A"]); err != nil {
		return nil, nil, err
	}
	if up, err = floats(a.params[module+".lora_B"]); err != nil {
		return nil, nil, err
	}
	if a.began[module+".lora_A"] == nil {
		return down, up, nil
	}
	down0, err := floats(a.began[module+".lora_A"])
	if err != nil {
		return nil, nil, err
	}
	up0, err := floats(a.began[module+".lora_B"])
	if err != nil {
		return nil, nil, err
	}
	out := len(up) / r
	both := make([]float32, 0, 2*len(up))
	for i := range out {
		both = append(both, up[i*r:(i+1)*r]...)
		for _, v := range up0[i*r : (i+1)*r] {
			both = append(both, -v)
		}
	}
	return append(down, down0...), both, nil
}
