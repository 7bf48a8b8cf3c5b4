package tune

import (
	"fmt"
	"math"
	"os"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
	"ftlab/ftlib/safetensors"
)

// ppoMethod is proximal policy optimization with a learned value; the formulas are those of
// [loss.PPO]. With an adapter, policy, reference, value and reward models are adapters and
// heads on ONE frozen base; when all weights train, value and reference are models of their
// own. It agrees with TRL 1.12's PPOTrainer where that is no defect, and with trl_compatible
// everywhere (golden cases ppo/*).
type ppoMethod struct {
	spec  ftlib.PPO
	value trainer
}

func (m *ppoMethod) plan(ftlib.Run) (prompts, answers, passes int) {
	return m.spec.Prompts, 1, m.spec.Epochs
}

func (m *ppoMethod) needs(ftlib.Run) (old, ref bool) { return true, true }

func (m *ppoMethod) formula(o *online) loss.PPO {
	s := m.spec
	p := loss.PPO{KLCoef: o.state.KLCoef, KLEstimator: s.KLEstimator, Gamma: s.Gamma, Lambda: s.Lambda, ClipRange: s.ClipRange,
		ClipRangeValue: s.ClipRangeValue, VFCoef: s.VFCoef, EntropyCoef: s.EntropyCoef, WhitenRewards: s.WhitenRewards,
		MissingEOSPenalty: s.MissingEOSPenalty, TRL: s.TRL}
	if p.KLCoef == 0 {
		p.KLCoef = -1 // none; 0 is the default
	}
	return p
}

func (m *ppoMethod) open(o *online) error {
	o.state.KLCoef = *m.spec.KLCoef
	if err := m.formula(o).Validate(); err != nil {
		return err
	}
	mini := m.spec.Prompts / m.spec.MiniBatches
	if n := o.run.Batch.Size * o.run.Batch.Accumulate; n != mini {
		return fmt.Errorf("tune: a minibatch of PPO has %d answers (rollout_batch_size / num_mini_batches), an optimizer step has %d x %d: set batch.gradient_accumulation_steps and per_device_train_batch_size so that they are equal, or leave both out",
			mini, o.run.Batch.Accumulate, o.run.Batch.Size)
	}
	model := o.model
	policy := model.Adapter()
	spec := o.run.LoRA
	switch {
	case policy == nil: // all weights train: the value is a model of its own
		var err error
		if model, err = llm.Load(o.model.Backend, o.run.Model.Path, llm.LoadOptions{}); err != nil {
			return err
		}
		o.close = append(o.close, model.Close)
		model.DropTokenHead()
	case spec == nil:
		spec = &policy.Spec
		fallthrough
	default:
		defer model.SetAdapter(policy)
		model.SetAdapter(nil)
		a, err := model.NewAdapter(*spec, o.run.Seed+1)
		if err != nil {
			return err
		}
		o.close = append(o.close, a.Close)
	}
	if err := model.NewScoreHead(1, false, o.run.Seed+1); err != nil {
		return err
	}
	e, err := llm.NewEngine(model, engineOptions(o.run))
	if err != nil {
		return err
	}
	m.value, err = newTrainer(e, o.run.Seed+1, o.run.Optim)
	o.close = append(o.close, func() { m.value.Close() })
	return err
}

// valueRows are the positions of a batch whose hidden states see what was written before each
// token of the answers: V_t is the value before token t is chosen.
func valueRows(b *corpus.Batch, rows int) []int32 {
	var at []int32
	for row := range rows {
		for t := range b.T {
			if b.Mask[row*b.T+t] != 0 {
				at = append(at, int32(row*b.T+t-1))
			}
		}
	}
	return at
}

// byAnswer cuts a list of values of tokens into answers.
func byAnswer(values []float32, r *Rollout, at []int) [][]float64 {
	var out [][]float64
	for _, i := range at {
		n := len(r.Samples[i].IDs)
		row := make([]float64, n)
		for t := range row {
			row[t] = float64(values[t])
		}
		out, values = append(out, row), values[n:]
	}
	return out
}

func (m *ppoMethod) prepare(o *online, r *Rollout) error {
	var e loss.Experience
	stepped := false
	for from := 0; from < len(r.Samples); from += o.run.Batch.Size {
		var at []int
		for i := from; i < min(from+o.run.Batch.Size, len(r.Samples)); i++ {
			at = append(at, i)
		}
		b := o.batch(r, at)
		p, err := m.value.Engine.Forward(b, llm.ForwardOptions{})
		if err != nil {
			return err
		}
		v, err := p.Scores(valueRows(b, len(at)))
		p.Close()
		if err != nil {
			return err
		}
		e.Values = append(e.Values, byAnswer(v, r, at)...)
	}
	for _, a := range r.Samples {
		e.LogP, e.Ref = append(e.LogP, a.LogP), append(e.Ref, a.Ref)
		e.Length, e.Scores, e.Ended = append(e.Length, len(a.IDs)), append(e.Scores, a.Reward), append(e.Ended, a.Ended)
		if a.Steps != nil {
			stepped = true
		}
		row := make([]float64, len(a.IDs))
		for _, s := range a.Steps {
			row[s.End] += s.Right
		}
		e.StepRewards = append(e.StepRewards, row)
	}
	if !stepped {
		e.StepRewards = nil
	}
	targets, err := m.formula(o).Prepare(e)
	if err != nil {
		return err
	}
	r.Targets = &targets
	for name, v := range targets.Metrics {
		r.Metrics[name] = v
	}
	r.Metrics["objective/kl_coef"] = o.state.KLCoef
	if m.spec.KLTarget > 0 { // from the next rollout on
		o.state.KLCoef = loss.AdaptiveKL{Target: m.spec.KLTarget, Horizon: m.spec.KLHorizon}.Next(o.state.KLCoef, targets.Metrics["objective/kl"], len(r.Samples))
	}
	return nil
}

func (m *ppoMethod) units(o *online, b *corpus.Batch) float64 {
	n := 0
	for _, i := range b.Rows {
		n += len(o.state.Rollout.Samples[i].IDs)
	}
	return float64(n)
}

// accumulate runs policy and value, which are two models, over a minibatch.
func (m *ppoMethod) accumulate(o *online, b *corpus.Batch, scale float32) (Sums, error) {
	r := o.state.Rollout
	vp, err := m.value.Engine.Forward(b, llm.ForwardOptions{Train: true, Key: m.value.key()})
	if err != nil {
		return Sums{}, err
	}
	defer vp.Close()
	values, err := vp.Scores(valueRows(b, len(b.Rows)))
	if err != nil {
		return Sums{}, err
	}
	var full loss.PPOResult
	pp, res, err := o.policy(b, func(s llm.TokenStats) (loss.Result, error) {
		x := rolloutsOf(r, b.Rows, b, s)
		full, err = m.formula(o).Loss(*r.Targets, b.Rows, x.LogP, byAnswer(values, r, b.Rows), x.Entropy)
		return full.Result, err
	})
	if err != nil {
		return Sums{}, err
	}
	defer pp.Close()
	if err := pp.Pull(slopesOf(res, b, scale)); err != nil {
		return Sums{}, err
	}
	var slopes []float32
	for _, row := range full.Value {
		for _, v := range row {
			slopes = append(slopes, float32(v)*scale)
		}
	}
	return o.sums(res), vp.Pull(llm.Slopes{Scores: slopes})
}

// Apply implements [Stepper]. PPO clips by the norm over policy and value together.
func (o *online) Apply(h Hyper) (float64, error) {
	m, ok := o.method.(*ppoMethod)
	if !ok {
		return o.trainer.Apply(h)
	}
	if m.spec.TRL {
		h.MaxGradNorm = 0 // TRL has the setting and does not use it
	}
	squares, err := o.Engine.GradSquares()
	if err != nil {
		return 0, err
	}
	more, err := m.value.Engine.GradSquares()
	if err != nil {
		return 0, err
	}
	norm := math.Sqrt(squares + more)
	if err := o.update(h, norm); err != nil {
		return norm, err
	}
	if m.spec.ValueLR > 0 && o.run.Optim.LearningRate > 0 { // by the same schedule
		h.LR *= m.spec.ValueLR / o.run.Optim.LearningRate
	}
	return norm, m.value.update(h, norm)
}

const valuePrefix = "value/"

// State implements [Stepper].
func (o *online) State() (State, error) {
	st, err := o.trainer.State()
	m, ok := o.method.(*ppoMethod)
	if !ok || err != nil {
		return st, err
	}
	v, err := m.value.State()
	for _, t := range v.Tensors {
		t.Name = valuePrefix + t.Name
		st.Tensors = append(st.Tensors, t)
	}
	return st, err
}

// Restore implements [Stepper].
func (o *online) Restore(st State) error {
	m, ok := o.method.(*ppoMethod)
	if !ok {
		return o.trainer.Restore(st)
	}
	own, value := State{Counters: st.Counters}, State{Counters: st.Counters}
	for _, t := range st.Tensors {
		if name, ok := strings.CutPrefix(t.Name, valuePrefix); ok {
			t.Name = name
			value.Tensors = append(value.Tensors, t)
		} else {
			own.Tensors = append(own.Tensors, t)
		}
	}
	if err := m.value.Restore(value); err != nil {
		return fmt.Errorf("tune: the value: %w", err)
	}
	return o.trainer.Restore(own)
}

// Save implements [Stepper]: the policy, and beside it the value, from which PPO can go on.
func (o *online) Save(dir string) error {
	if err := o.trainer.Save(dir); err != nil {
		return err
	}
	m, ok := o.method.(*ppoMethod)
	if !ok {
		return nil
	}
	value := dir + string(os.PathSeparator) + "value"
	if err := os.MkdirAll(value, 0o755); err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	policy := m.value.model.Adapter()
	if policy == nil {
		return m.value.model.Save(value, safetensors.F32)
	}
	return m.value.Engine.Adapter().Save(value, m.value.base)
}
