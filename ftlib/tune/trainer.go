package tune

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/optim"
	"ftlab/ftlib/safetensors"
)

// trainer is what all methods share: a model with what is trained of it, the optimizer,
// and how both are saved.
type trainer struct {
	Engine *llm.Engine
	Seed   int64 // of dropout

	model   *llm.Model
	base    string // what the adapter belongs to
	opt     *optim.Optimizer
	groups  [][]string
	step    int64   // optimizer steps taken
	before  int64   // steps behind the moments that the model came with
	micro   int     // micro-batches since
	plus    float64 // learning rate of B matrices over that of the rest (LoRA+); 0: 1
	owned   bool    // Close frees the model
	dtype   string
	fullOut safetensors.DType
}

func newTrainer(e *llm.Engine, seed int64, spec ftlib.Optim) (trainer, error) {
	opt, err := optim.New(e.Model().Backend, spec)
	return trainer{Engine: e, Seed: seed, model: e.Model(), base: e.Model().Path, opt: opt,
		groups: e.Groups(), fullOut: safetensors.F32}, err
}

// needs say what a method looks at in a model.
type needs struct {
	tokens bool // the head that predicts tokens
	labels int  // outputs of a score head, made when there is none; 0: none is needed
	bias   bool // of a score head that is made
}

// openTrainer loads the model of a run with its adapter, or takes the one given, and
// makes what trains it. The text is the backend's description.
func openTrainer(run ftlib.Run, n needs, g *given) (t trainer, about string, err error) {
	m, dtype, err := modelOf(run, g)
	if err != nil {
		return t, "", err
	}
	if t, err = trainerOf(run, m, dtype, n, g.keepsAdapter()); err == nil {
		err = t.goOn()
	}
	if err != nil {
		if g == nil {
			m.Close()
		}
		return t, "", err
	}
	t.owned, t.dtype = g == nil, strings.ToLower(dtype.String())
	return t, m.Backend.Description(), nil
}

// trainerOf makes what trains a loaded model, with the adapter that it has on or with that
// of the specification.
func trainerOf(run ftlib.Run, m *llm.Model, dtype dtypes.DType, n needs, adapted bool) (t trainer, err error) {
	if err := growVocabulary(&run, m); err != nil {
		return t, err
	}
	switch {
	case adapted:
	case run.Model.Adapter != "":
		_, err = m.LoadAdapter(run.Model.Adapter)
	case run.LoRA != nil:
		_, err = m.NewAdapter(*run.LoRA, run.Seed)
	case dtype != dtypes.Float32:
		err = fmt.Errorf("tune: full fine-tuning in bfloat16 loses updates smaller than its 8 bits; use float32, or lora")
	}
	if err != nil {
		return t, err
	}
	if err := n.heads(m, run.Seed); err != nil {
		return t, err
	}
	o := engineOptions(run)
	if len(run.Model.Freeze) > 0 {
		if o.Train, err = m.Unfrozen(run.Model.Freeze); err != nil {
			return t, fmt.Errorf("tune: model.freeze: %w", err)
		}
	}
	e, err := llm.NewEngine(m, o)
	longest := run.Data.MaxLength
	if longest == 0 {
		longest = usualLength(m.Config.MaxPositions)
	}
	if err == nil && run.Model.Memory == "" && tooBig(e.SavedBytes(run.Batch.Size*longest)) {
		o.Keep = llm.KeepInputs
		e, err = llm.NewEngine(m, o)
	}
	if err != nil {
		return t, err
	}
	if t, err = newTrainer(e, run.Seed, run.Optim); err == nil {
		t.loraPlus(run.Optim.LoRAPlus)
	}
	return t, err
}

// engineOptions are the settings of memory.
func engineOptions(run ftlib.Run) llm.EngineOptions {
	keep := llm.Keep(run.Model.Memory)
	if keep == "save" {
		keep = llm.KeepAll
	}
	return llm.EngineOptions{Keep: keep, Offload: run.Model.Offload}
}

// heads sees to it that the model has the heads that the method looks at, and no others
// that would be trained without a gradient.
func (n needs) heads(m *llm.Model, seed int64) error {
	if n.tokens && m.Config.NoHead {
		return fmt.Errorf("tune: %s is a classifier: it has no head that predicts tokens, which this method trains", m.Path)
	}
	have := m.Labels()
	switch {
	case n.labels == 0:
	case have == 0:
		if err := m.NewScoreHead(n.labels, n.bias, seed); err != nil {
			return err
		}
	case have != n.labels:
		return fmt.Errorf("tune: %s has a score head with %d outputs; this method needs %d", m.Path, have, n.labels)
	}
	if !n.tokens && m.Adapter() == nil {
		m.DropTokenHead()
	}
	return nil
}

// key makes dropout differ from batch to batch and equal in a repeated run.
func (s *trainer) key() uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, s.Seed, s.step, s.micro)
	s.micro++
	return h.Sum64()
}

// computeType is the type of a run's matrices on a backend: what the specification
// says, else bfloat16 for an adapter on a GPU and float32 everywhere else.
func computeType(run ftlib.Run, description string) (dtypes.DType, error) {
	switch run.Model.DType {
	case "":
		if backendKind(description) == "xla:cuda" && (run.LoRA != nil || run.Model.Adapter != "") {
			return dtypes.BFloat16, nil
		}
		return dtypes.Float32, nil
	case "float32":
		return dtypes.Float32, nil
	case "bfloat16":
		return dtypes.BFloat16, nil
	case "float16":
		return 0, fmt.Errorf("tune: model.dtype float16 is refused: its gradients underflow without loss scaling, which is not there; use bfloat16 or float32")
	}
	return 0, fmt.Errorf("tune: model.dtype is %q; it is float32 or bfloat16", run.Model.DType)
}

// tooBig reports activations that would take more than a third of the memory that is
// free: then blocks keep their inputs only.
func tooBig(bytes int64) bool {
	m := backend.ThisMachine()
	free := m.Available
	for _, g := range m.GPUs {
		free = g.Memory
	}
	return free > 0 && bytes > free/3
}

// decays says which weights take weight decay: not norms and biases.
func decays(name string) bool { return !llm.NoDecay(name) }

// Apply implements [Stepper]. Norms and biases take no weight decay.
func (s *trainer) Apply(h Hyper) (float64, error) {
	squares, err := s.Engine.GradSquares()
	if err != nil {
		return 0, err
	}
	norm := math.Sqrt(squares)
	return norm, s.update(h, norm)
}

// update takes an optimizer step with gradients whose norm, which they are clipped by, is
// known. Where it is not finite the weights stay as they were: the loop ends the run.
func (s *trainer) update(h Hyper, norm float64) error {
	if !finite(norm) {
		s.Engine.ClearGrads()
		return nil
	}
	o := optim.Hyper{LR: h.LR, WeightDecay: h.WeightDecay, Beta1: h.Beta1, Beta2: h.Beta2, Epsilon: h.Epsilon, Momentum: h.Momentum, MaxGradNorm: h.MaxGradNorm, Step: int(s.before) + h.Step}
	for _, names := range s.groups {
		o := o
		if s.plus > 0 && isUp(names[0]) {
			o.LR *= s.plus
		}
		if err := s.opt.Step(s.Engine, names, o, norm, decays); err != nil {
			return err
		}
	}
	s.Engine.ClearGrads()
	s.step, s.micro = int64(h.Step), 0
	return nil
}

// optimPrefix begins the names of an optimizer's state in a checkpoint: "optim.m/WEIGHT".
const optimPrefix = "optim."

// State implements [Stepper]. State in 8 bits is stored so.
func (s *trainer) State() (State, error) {
	st := State{Counters: map[string]int64{"optim.step": s.step}}
	if s.before > 0 {
		st.Counters["optim.before"] = s.before
	}
	add := func(name string, t *tensors.Tensor) error {
		x, err := onHost(name, t)
		st.Tensors = append(st.Tensors, x)
		return err
	}
	for _, name := range s.Engine.Trainable() {
		if err := add(name, s.Engine.Value(name)); err != nil {
			return st, err
		}
	}
	for key, t := range s.opt.State() {
		if err := add(optimPrefix+key, t); err != nil {
			return st, err
		}
	}
	return st, nil
}

// onHost copies a tensor of a state.
func onHost(name string, t *tensors.Tensor) (x safetensors.Tensor, err error) {
	if t.DType() == dtypes.Uint8 {
		codes, err := tensors.CopyFlatData[uint8](t)
		if err != nil {
			return x, fmt.Errorf("tune: state of %s: %w", name, err)
		}
		return safetensors.Tensor{Name: name, DType: safetensors.U8, Shape: t.Shape().Dimensions, Data: codes}, nil
	}
	values, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return x, fmt.Errorf("tune: state of %s: %w", name, err)
	}
	return safetensors.FromFloat32s(name, safetensors.F32, t.Shape().Dimensions, values)
}

// fromHost is the reverse of onHost.
func fromHost(x safetensors.Tensor) (*tensors.Tensor, error) {
	if x.DType == safetensors.U8 {
		return tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...), nil
	}
	values, err := x.Float32s()
	if err != nil {
		return nil, err
	}
	return tensors.FromFlatDataAndDimensions(values, x.Shape...), nil
}

// Restore implements [Stepper].
func (s *trainer) Restore(st State) error {
	state := optim.State{}
	left := map[string]bool{}
	for _, name := range s.Engine.Trainable() {
		left[name] = true
	}
	for _, x := range st.Tensors {
		t, err := fromHost(x)
		if err != nil {
			return err
		}
		if key, ok := strings.CutPrefix(x.Name, optimPrefix); ok {
			state[key] = t
			continue
		}
		if err := s.Engine.SetValue(x.Name, t); err != nil {
			return err
		}
		delete(left, x.Name)
	}
	for name := range left {
		return fmt.Errorf("tune: the checkpoint has no %s; it belongs to another choice of trained weights", name)
	}
	if err := s.opt.Fits(state, s.Engine); err != nil {
		return fmt.Errorf("tune: the checkpoint does not fit optim.optim: %w", err)
	}
	s.opt.SetState(state)
	s.Engine.ClearGrads()
	s.step, s.before, s.micro = st.Counters["optim.step"], st.Counters["optim.before"], 0
	return nil
}

// Save implements [Stepper]: a PEFT adapter, or the whole model without one.
func (s *trainer) Save(dir string) error {
	if a := s.model.Adapter(); a != nil {
		return a.Save(dir, s.base)
	}
	return s.model.Save(dir, s.fullOut)
}

// SaveMerged implements [Stepper].
func (s *trainer) SaveMerged(dir string) error { return s.model.SaveMerged(dir, s.fullOut) }

// computeType is the type of the matrices.
func (s *trainer) computeType() string { return s.dtype }

// takenOver is the number of optimizer steps that a model which was given had behind it.
func (s *trainer) takenOver() int64 { return s.before }

// Close frees what openTrainer loaded. A model that it was given keeps what was trained,
// and the optimizer's state.
func (s *trainer) Close() error {
	s.Engine.Close()
	if s.owned {
		s.opt.Close()
		s.model.Close()
	} else if state := s.opt.Take(); len(state) > 0 {
		s.model.SetMoments(&llm.Moments{Step: int(s.before + s.step), State: state})
	}
	return nil
}
