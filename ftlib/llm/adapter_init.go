package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/svd"
)

// initial draws A [r, in] and B [out, r] of a module, and notes what is left of its
// weight where they take a part of it.
func (a *Adapter) initial(m *Model, module string, rng *rand.Rand) (down, up []float32, err error) {
	s := a.specs[module]
	out, in := m.moduleDims(module)
	down, up = make([]float32, s.R*in), make([]float32, out*s.R)
	if module == embedModule { // as PEFT has it: A = 0, B ~ N(0, 1), whatever is asked for
		for i := range up {
			up[i] = float32(rng.NormFloat64())
		}
		return down, up, nil
	}
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
	x := svd.Of(w, out, in)
	if init == "olora" {
		q, t := svd.QR(x, r)
		down, up = factors(q, t, func(int) (float64, float64) { return 1, 1 })
		return down, up, nil
	}
	iterations := 0
	if n, ok := strings.CutPrefix(init, "pissa_niter_"); ok {
		if iterations, err = strconv.Atoi(n); err != nil {
			return nil, nil, err
		}
	}
	s, err := svd.Top(x, r, iterations)
	if err != nil {
		return nil, nil, err
	}
	down, up = factors(s.Left, s.Right, func(k int) (float64, float64) {
		root := math.Sqrt(s.S[k] / scale)
		return root, root
	})
	return down, up, nil
}

// factors are A [r, in] and B [out, r] with the rows of right and of left, each times a
// factor of its own.
func factors(left, right svd.Matrix, by func(k int) (left, right float64)) (down, up []float32) {
	r, out, in := left.Rows, left.Cols, right.Cols
	down, up = make([]float32, r*in), make([]float32, out*r)
	for k := range r {
		l, t := by(k)
		for i, v := range left.Row(k) {
			up[i*r+k] = float32(v * l)
		}
		for j, v := range right.Row(k) {
			down[k*in+j] = float32(v * t)
		}
	}
	return down, up
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
		p.params[downName(module)] = tensors.FromFlatDataAndDimensions(down, s.R, in)
		p.params[upName(module)] = tensors.FromFlatDataAndDimensions(up, out, s.R)
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
	if down, err = floats(a.params[downName(module)]); err != nil {
		return nil, nil, err
	}
	if up, err = floats(a.params[upName(module)]); err != nil {
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
