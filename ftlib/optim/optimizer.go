package optim

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
)

// Hyper are the hyperparameters of one step. Zero values are taken literally.
type Hyper struct {
	LR, WeightDecay, Beta1, Beta2, Epsilon float64
	Momentum                               float64 // of SGD
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

// Params is where an optimizer finds weights and gradients and puts new weights.
type Params interface {
	Value(name string) *tensors.Tensor
	Grad(name string) *tensors.Tensor
	SetValue(name string, t *tensors.Tensor) error // frees the old value
}

// State is what an optimizer remembers, by "slot/weight": "m/lm_head.weight" is a first
// moment, "m.absmax/lm_head.weight" the scales of one in 8 bits. All of it begins as zero.
type State map[string]*tensors.Tensor

// Optimizer turns gradients into weights by the rule that a specification names. Its
// state is on the device, or, paged, on the host between the steps of the weights that it
// belongs to.
type Optimizer struct {
	backend compute.Backend
	spec    ftlib.Optim
	execs   map[variant]*Exec // compiled once for every list of shapes
	state   State

	scalars map[*rule][]float32       // of the last update
	hyper   map[*rule]*tensors.Tensor // the same on the device: all groups of a step share it
}

// variant is one program: weights of one rule that decay, or do not.
type variant struct {
	rule  *rule
	decay bool
}

// New makes the optimizer of a specification, without state. The zero value is AdamW.
func New(b compute.Backend, spec ftlib.Optim) (*Optimizer, error) {
	if err := spec.KnownName(); err != nil {
		return nil, err
	}
	return &Optimizer{backend: b, spec: spec, execs: map[variant]*Exec{}, state: State{},
		scalars: map[*rule][]float32{}, hyper: map[*rule]*tensors.Tensor{}}, nil
}

// NewAdamW makes AdamW with state in float32.
func NewAdamW(b compute.Backend) (*Optimizer, error) { return New(b, ftlib.Optim{}) }

// ruleOf is the rule for a weight.
func ruleOf(spec ftlib.Optim, name string, dims []int) *rule {
	n := 1
	for _, d := range dims {
		n *= d
	}
	// Embeddings stay in 32 bits, as in transformers: a row that is seldom seen has
	// moments far below those of its block.
	eight := spec.EightBit() && n >= smallest && !strings.HasSuffix(name, "embed_tokens.weight")
	switch kind := spec.Rule(); {
	case kind == "lion" && eight:
		return lion8
	case kind == "lion":
		return lion
	case kind == "sgd" && spec.Momentum != 0:
		return sgdMomentum
	case kind == "sgd":
		return sgd
	case kind == "adafactor" && len(dims) >= 2:
		return adafactor
	case kind == "adafactor":
		return adafactorVector
	case eight:
		return adamw8
	}
	return adamw
}

// StateBytes is what the optimizer of a specification remembers of one weight, in bytes.
func StateBytes(spec ftlib.Optim, name string, dims []int) int64 {
	sum := int64(0)
	for _, s := range ruleOf(spec, name, dims).slots {
		sum += int64(s.of(dims).ByteSize())
	}
	return sum
}

// of is the shape of a slot for a weight.
func (s slot) of(dims []int) shapes.Shape {
	dtype := dtypes.Float32
	if s.bytes {
		dtype = dtypes.Uint8
	}
	shape := shapes.Make(dtype, dims...)
	switch {
	case s.scale:
		return shapes.Make(dtype, (shape.Size()+scaleBlock-1)/scaleBlock)
	case s.shape != nil:
		return shapes.Make(dtype, s.shape(dims)...)
	}
	return shape
}

// part is what one program updates.
type part struct {
	variant
	names []string
}

// parts sorts weights by the program that updates them.
func (o *Optimizer) parts(p Params, names []string, decays func(name string) bool) []part {
	var out []part
	for _, name := range names {
		v := variant{ruleOf(o.spec, name, p.Value(name).Shape().Dimensions), decays(name)}
		i := slices.IndexFunc(out, func(x part) bool { return x.variant == v })
		if i < 0 {
			i, out = len(out), append(out, part{variant: v})
		}
		out[i].names = append(out[i].names, name)
	}
	return out
}

func (o *Optimizer) exec(v variant) (*Exec, error) {
	if e := o.execs[v]; e != nil {
		return e, nil
	}
	e, err := NewExec(o.backend, func(in []*Node) []*Node { return v.rule.build(in, v.decay) })
	if err != nil {
		return nil, fmt.Errorf("optim: %w", err)
	}
	o.execs[v] = e.WithName(o.spec.Rule()).SetMaxCache(-1)
	return e, nil
}

// Programs makes the programs that the named weights need and says how to compile each:
// functions that may run at once.
func (o *Optimizer) Programs(p Params, names []string, decays func(name string) bool) ([]func() error, error) {
	var jobs []func() error
	for _, x := range o.parts(p, names, decays) {
		exec, err := o.exec(x.variant)
		if err != nil {
			return nil, err
		}
		in := []shapes.Shape{shapes.Make(dtypes.Float32, 1+len(x.rule.scalars(Hyper{Step: 1})))}
		for _, name := range x.names {
			in = append(in, p.Value(name).Shape())
		}
		for _, name := range x.names {
			in = append(in, shapes.Make(dtypes.Float32, p.Value(name).Shape().Dimensions...))
		}
		for _, s := range x.rule.slots {
			for _, name := range x.names {
				in = append(in, s.of(p.Value(name).Shape().Dimensions))
			}
		}
		jobs = append(jobs, func() error {
			if _, err := exec.Compile(in...); err != nil {
				return fmt.Errorf("optim: %w", err)
			}
			return nil
		})
	}
	return jobs, nil
}

// Prepare compiles the update of the named weights before the first step.
func (o *Optimizer) Prepare(p Params, names []string, decays func(name string) bool) error {
	jobs, err := o.Programs(p, names, decays)
	for _, job := range jobs {
		if err == nil {
			err = job()
		}
	}
	return err
}

// Step updates the named weights; norm is the global norm of all gradients of the
// step. Weights for which decays is false take no weight decay (norms and biases).
func (o *Optimizer) Step(p Params, names []string, h Hyper, norm float64, decays func(name string) bool) error {
	reached := make([]string, 0, len(names)) // by this loss
	for _, name := range names {
		if p.Grad(name) != nil {
			reached = append(reached, name)
		}
	}
	for _, x := range o.parts(p, reached, decays) {
		if err := o.update(p, x, append([]float32{float32(h.ClipFactor(norm))}, x.rule.scalars(h)...)); err != nil {
			return err
		}
	}
	return nil
}

func (o *Optimizer) update(p Params, x part, scalars []float32) error {
	exec, err := o.exec(x.variant)
	if err != nil {
		return err
	}
	if !slices.Equal(o.scalars[x.rule], scalars) {
		o.freeHyper(x.rule)
		o.scalars[x.rule], o.hyper[x.rule] = scalars, tensors.FromFlatDataAndDimensions(scalars, len(scalars))
	}
	args := []any{o.hyper[x.rule]}
	for _, name := range x.names {
		args = append(args, p.Value(name))
	}
	for _, name := range x.names {
		args = append(args, p.Grad(name))
	}
	var keys []string
	for _, s := range x.rule.slots {
		for _, name := range x.names {
			key := s.name + "/" + name
			if o.state[key] == nil {
				o.state[key] = tensors.FromShape(s.of(p.Value(name).Shape().Dimensions))
			}
			args, keys = append(args, o.state[key]), append(keys, key)
		}
	}
	out, err := exec.Call(args...)
	if err != nil {
		return fmt.Errorf("optim: %w", err)
	}
	for i, key := range keys {
		_ = o.state[key].FinalizeAll()
		t := out[len(x.names)+i]
		if o.spec.Paged() {
			if err := t.ToLocal(); err != nil {
				return fmt.Errorf("optim: moving the state of %s to the host: %w", key, err)
			}
		}
		o.state[key] = t
	}
	for i, name := range x.names {
		if err := p.SetValue(name, out[i]); err != nil {
			return err
		}
	}
	return nil
}

// State is what the optimizer remembers; the tensors stay its own.
func (o *Optimizer) State() State { return o.state }

// Names are the weights that the state is of, sorted.
func (s State) Names() []string {
	set := map[string]bool{}
	for key := range s {
		_, name, _ := strings.Cut(key, "/")
		set[name] = true
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Fits says why a state is not one that this optimizer could have for weights of p; nil:
// it is.
func (o *Optimizer) Fits(s State, p Params) error {
	left := len(s)
	for _, name := range s.Names() {
		w := p.Value(name)
		if w == nil {
			return fmt.Errorf("optim: state of %s, which is not trained", name)
		}
		for _, slot := range ruleOf(o.spec, name, w.Shape().Dimensions).slots {
			want, have := slot.of(w.Shape().Dimensions), s[slot.name+"/"+name]
			if have == nil || !have.Shape().Equal(want) {
				return fmt.Errorf("optim: the state of %s is not that of %s, which has %s as %s", name, o.spec.ResolvedName(), slot.name, want)
			}
			left--
		}
	}
	if left > 0 {
		return fmt.Errorf("optim: the state is not that of %s, which has less", o.spec.ResolvedName())
	}
	return nil
}

// SetState replaces the state, as a resumed run does: the tensors become the optimizer's.
func (o *Optimizer) SetState(s State) {
	o.Close()
	for key, t := range s {
		o.state[key] = t
	}
}

// Take hands the state to the caller; the optimizer has none then.
func (o *Optimizer) Take() State {
	s := o.state
	o.state = State{}
	return s
}

func (o *Optimizer) freeHyper(r *rule) {
	if t := o.hyper[r]; t != nil {
		_ = t.FinalizeAll()
		delete(o.hyper, r)
		delete(o.scalars, r)
	}
}

// Close frees the state.
func (o *Optimizer) Close() {
	for r := range o.hyper {
		o.freeHyper(r)
	}
	for _, t := range o.state {
		_ = t.FinalizeAll()
	}
	clear(o.state)
}
