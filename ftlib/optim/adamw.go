package optim

import (
	"fmt"
	"math"
	"sort"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"
)

// Hyper are the hyperparameters of one step. Zero values are taken literally.
type Hyper struct {
	LR, WeightDecay, Beta1, Beta2, Epsilon float64
	MaxGradNorm                            float64 // global norm that gradients are scaled down to; <= 0: no clipping
	Step                                   int     // from 1: for the correction of the moments' bias
}

// ClipFactor is what gradients of the given global norm are multiplied by, as
// torch.nn.utils.clip_grad_norm_ does: min(1, max/(norm + 1e-6)).
func (h Hyper) ClipFactor(norm float64) float64 {
	if h.MaxGradNorm <= 0 {
		return 1
	}
	return math.Min(1, h.MaxGradNorm/(norm+1e-6))
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019). With g the
// clipped gradient and t the step:
//
//	p <- p - lr·wd·p
//	m <- b1·m + (1-b1)·g          v <- b2·v + (1-b2)·g²
//	p <- p - lr/(1-b1^t) · m / (sqrt(v)/sqrt(1-b2^t) + eps)
//
// It agrees with torch.optim.AdamW. Moments are float32 and start at zero.
type AdamW struct {
	backend compute.Backend
	exec    *Exec // compiled once for every list of shapes
	plain   *Exec // the same without weight decay
	m, v    map[string]*tensors.Tensor

	scalars [factors]float32 // of the last update
	hyper   *tensors.Tensor  // the same on the device: all groups of a step share it
}

// NewAdamW makes an optimizer without moments.
func NewAdamW(b compute.Backend) (*AdamW, error) {
	o := &AdamW{backend: b, m: map[string]*tensors.Tensor{}, v: map[string]*tensors.Tensor{}}
	for decay, exec := range map[bool]**Exec{true: &o.exec, false: &o.plain} {
		e, err := NewExec(b, func(in []*Node) []*Node { return adamw(in, decay) })
		if err != nil {
			return nil, fmt.Errorf("optim: %w", err)
		}
		*exec = e.WithName("adamw").SetMaxCache(-1)
	}
	return o, nil
}

// factors is the length of the vector of scalars: lr/bc1, 1-lr·wd, b1, 1-b1, b2, 1-b2,
// eps, 1/sqrt(bc2), clip. The complements are taken in double precision, as torch does:
// 1-0.999 in float32 is off by 5e-5.
const factors = 9

// adamw builds the update: factors [7], then weights, gradients, m and v of every
// tensor -> new weights, m and v.
func adamw(in []*Node, decay bool) []*Node {
	f := func(i int) *Node { return Reshape(Slice(in[0], AxisRange(i, i+1))) }
	lr, keep, b1, c1, b2, c2, eps, root, clip := f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8)
	update := func(p, g, m, v *Node) (*Node, *Node, *Node) {
		dtype := p.DType()
		p, g = ConvertDType(p, dtypes.Float32), Mul(g, clip)
		m = Add(Mul(m, b1), Mul(g, c1))
		v = Add(Mul(v, b2), Mul(Square(g), c2))
		if decay {
			p = Mul(p, keep)
		}
		p = Sub(p, Mul(Div(m, Add(Mul(Sqrt(v), root), eps)), lr))
		return ConvertDType(p, dtype), m, v
	}
	n := (len(in) - 1) / 4
	out := make([]*Node, 3*n)
	var small []int // updated as one: one kernel is compiled instead of three for each
	for i := range n {
		if in[1+i].Shape().Size() <= 1<<16 && in[1+i].DType() == dtypes.Float32 {
			small = append(small, i)
			continue
		}
		out[i], out[n+i], out[2*n+i] = update(in[1+i], in[1+n+i], in[1+2*n+i], in[1+3*n+i])
	}
	if len(small) == 0 {
		return out
	}
	join := func(part int) *Node {
		var flat []*Node
		for _, i := range small {
			flat = append(flat, Reshape(in[1+part*n+i], -1))
		}
		return Concatenate(flat, 0)
	}
	p, m, v := update(join(0), join(1), join(2), join(3))
	whole := OptimizationBarriers(p, m, v) // else XLA computes everything again for every piece
	p, m, v = whole[0], whole[1], whole[2]
	from := 0
	for _, i := range small {
		shape := in[1+i].Shape()
		piece := func(x *Node) *Node { return Reshape(Slice(x, AxisRange(from, from+shape.Size())), shape.Dimensions...) }
		out[i], out[n+i], out[2*n+i] = piece(p), piece(m), piece(v)
		from += shape.Size()
	}
	return out
}

// Params is where an optimizer finds weights and gradients and puts new weights.
type Params interface {
	Value(name string) *tensors.Tensor
	Grad(name string) *tensors.Tensor
	SetValue(name string, t *tensors.Tensor) error // frees the old value
}

// Prepare compiles the update of the named weights before the first step.
func (o *AdamW) Prepare(p Params, names []string, decays func(name string) bool) error {
	with, without := split(names, decays)
	for exec, names := range map[*Exec][]string{o.exec: with, o.plain: without} {
		if len(names) == 0 {
			continue
		}
		in := make([]shapes.Shape, 1, 1+4*len(names))
		in[0] = shapes.Make(dtypes.Float32, factors)
		for _, name := range names {
			in = append(in, p.Value(name).Shape())
		}
		for range 3 {
			for _, name := range names {
				s := p.Value(name).Shape().Clone()
				s.DType = dtypes.Float32
				in = append(in, s)
			}
		}
		if _, err := exec.Compile(in...); err != nil {
			return fmt.Errorf("optim: %w", err)
		}
	}
	return nil
}

// split sorts names into those that take weight decay and those that do not.
func split(names []string, decays func(name string) bool) (with, without []string) {
	for _, name := range names {
		if decays(name) {
			with = append(with, name)
		} else {
			without = append(without, name)
		}
	}
	return with, without
}

// Step updates the named weights; norm is the global norm of all gradients of the
// step. Weights for which decays is false take no weight decay (norms and biases).
func (o *AdamW) Step(p Params, names []string, h Hyper, norm float64, decays func(name string) bool) error {
	scalars := [factors]float32{
		float32(h.LR / (1 - math.Pow(h.Beta1, float64(h.Step)))), float32(1 - h.LR*h.WeightDecay),
		float32(h.Beta1), float32(1 - h.Beta1), float32(h.Beta2), float32(1 - h.Beta2), float32(h.Epsilon),
		float32(1 / math.Sqrt(1-math.Pow(h.Beta2, float64(h.Step)))), float32(h.ClipFactor(norm)),
	}
	reached := make([]string, 0, len(names)) // by this loss
	for _, name := range names {
		if p.Grad(name) != nil {
			reached = append(reached, name)
		}
	}
	with, without := split(reached, decays)
	if err := o.update(o.exec, p, with, scalars); err != nil {
		return err
	}
	return o.update(o.plain, p, without, scalars)
}

func (o *AdamW) update(exec *Exec, p Params, names []string, scalars [factors]float32) error {
	if len(names) == 0 {
		return nil
	}
	args := make([]any, 0, 1+4*len(names))
	if o.hyper == nil || o.scalars != scalars {
		o.freeHyper()
		o.scalars, o.hyper = scalars, tensors.FromFlatDataAndDimensions(scalars[:], factors)
	}
	args = append(args, o.hyper)
	for _, name := range names {
		args = append(args, p.Value(name))
	}
	for _, name := range names {
		args = append(args, p.Grad(name))
	}
	for _, moments := range []map[string]*tensors.Tensor{o.m, o.v} {
		for _, name := range names {
			if moments[name] == nil {
				shape := p.Value(name).Shape().Clone()
				shape.DType = dtypes.Float32
				moments[name] = tensors.FromShape(shape)
			}
			args = append(args, moments[name])
		}
	}
	out, err := exec.Call(args...)
	if err != nil {
		return fmt.Errorf("optim: %w", err)
	}
	n := len(names)
	for i, name := range names {
		if err := p.SetValue(name, out[i]); err != nil {
			return err
		}
		_ = o.m[name].FinalizeAll()
		_ = o.v[name].FinalizeAll()
		o.m[name], o.v[name] = out[n+i], out[2*n+i]
	}
	return nil
}

// Moments are the first and second moments by weight name; the tensors stay the
// optimizer's.
func (o *AdamW) Moments() (m, v map[string]*tensors.Tensor) { return o.m, o.v }

// Names are the weights that have moments, sorted.
func (o *AdamW) Names() []string {
	names := make([]string, 0, len(o.m))
	for name := range o.m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// SetMoments replaces the moments of a weight, as a resumed run does.
func (o *AdamW) SetMoments(name string, m, v *tensors.Tensor) {
	for at, t := range map[*map[string]*tensors.Tensor]*tensors.Tensor{&o.m: m, &o.v: v} {
		if old := (*at)[name]; old != nil {
			_ = old.FinalizeAll()
		}
		(*at)[name] = t
	}
}

// Take hands the moments to the caller; the optimizer has none then.
func (o *AdamW) Take() (m, v map[string]*tensors.Tensor) {
	m, v = o.m, o.v
	o.m, o.v = map[string]*tensors.Tensor{}, map[string]*tensors.Tensor{}
	return m, v
}

func (o *AdamW) freeHyper() {
	if o.hyper != nil {
		_ = o.hyper.FinalizeAll()
		o.hyper = nil
	}
}

// Close frees the moments.
func (o *AdamW) Close() {
	o.freeHyper()
	for _, at := range []map[string]*tensors.Tensor{o.m, o.v} {
		for _, t := range at {
			_ = t.FinalizeAll()
		}
		clear(at)
	}
}
