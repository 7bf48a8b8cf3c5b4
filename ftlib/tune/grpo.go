package tune

import (
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// grpoMethod is group relative policy optimization; the formulas are those of [loss.GRPO] and
// [loss.Advantages]. It agrees with TRL 1.16's GRPOTrainer (golden cases losses/grpo,
// losses/rl_advantages).
type grpoMethod struct{ spec ftlib.GRPO }

func (m *grpoMethod) plan(run ftlib.Run) (prompts, answers, passes int) {
	return groupPlan(run, m.spec.Prompts, m.spec.Generations), m.spec.Generations, m.spec.Iterations
}

// groupPlan is how many prompts a rollout of groups has: those asked for, else what one
// optimizer step takes.
func groupPlan(run ftlib.Run, prompts, generations int) int {
	if prompts == 0 {
		return max(1, run.Batch.Size*run.Batch.Accumulate/generations)
	}
	return prompts
}

// wholeGroups refuses optimizer steps that would cut a group, where these decide how many
// prompts a rollout has.
func wholeGroups(run ftlib.Run, prompts, generations int) error {
	if b := run.Batch; prompts == 0 && b.Size*b.Accumulate%generations != 0 {
		return fmt.Errorf("tune: an optimizer step of %d x %d answers holds no whole groups of %d: make batch.per_device_train_batch_size a multiple of method.%s.num_generations, or set rollout_batch_size",
			b.Accumulate, b.Size, generations, run.Method.Name())
	}
	return nil
}

// take notes what a rollout's advantages are, and which answers train nothing.
func (r *Rollout) take(s loss.Scores, maskTruncated bool) {
	for i := range r.Samples {
		r.Samples[i].Advantage = s.Advantages[i]
		r.Samples[i].Left = maskTruncated && !r.Samples[i].Ended
	}
	for name, v := range s.Metrics {
		r.Metrics[name] = v
	}
}

// needs: while a rollout is trained on in one optimizer step, the policy is the one that
// wrote it.
func (m *grpoMethod) needs(run ftlib.Run) (old, ref bool) {
	return !onPolicy(m, run), m.spec.Beta != 0
}

// onPolicy says whether a rollout is one optimizer step.
func onPolicy(m onlineMethod, run ftlib.Run) bool {
	prompts, answers, passes := m.plan(run)
	return passes == 1 && prompts*answers <= run.Batch.Size*run.Batch.Accumulate
}

func (m *grpoMethod) formula() loss.GRPO {
	s := m.spec
	return loss.GRPO{LossType: s.LossType, Beta: s.Beta, EpsilonLow: s.Epsilon, EpsilonHigh: s.EpsilonHigh, Delta: s.Delta, Level: s.Level,
		MaxCompletionLength: s.MaxLength, EntropyCoef: s.EntropyCoef, TopEntropyQuantile: s.TopEntropy, BiasCorrectionKL: s.BiasCorrectionKL,
		OffPolicyThreshold: s.OffPolicy}
}

func (m *grpoMethod) open(o *online) error {
	if err := m.formula().Validate(); err != nil {
		return err
	}
	return wholeGroups(o.run, m.spec.Prompts, m.spec.Generations)
}

func (m *grpoMethod) prepare(o *online, r *Rollout) error {
	rewards := make([][]float64, len(r.Samples))
	for i, a := range r.Samples {
		rewards[i] = a.Rewards
	}
	s, err := loss.Advantages{Weights: o.weights(), Group: m.spec.Generations, Scale: m.spec.Scale, Aggregation: m.spec.Aggregation}.Of(rewards)
	if err != nil {
		return err
	}
	r.take(s, m.spec.MaskTruncated)
	return processAdvantages(r, m.spec.Generations, m.spec.Scale != "none")
}

// units are those of the loss type: tokens or answers.
func (m *grpoMethod) units(o *online, b *corpus.Batch) float64 {
	switch m.spec.LossType {
	case "bnpo", "dapo", "cispo", "vespo":
		n := 0
		for _, i := range b.Rows {
			if a := o.state.Rollout.Samples[i]; !a.Left {
				n += len(a.IDs)
			}
		}
		return max(1, float64(n)) // all left out: nothing is trained, and nothing divided by it
	}
	return float64(len(b.Rows))
}

func (m *grpoMethod) loss(o *online, r *Rollout, at []int, b *corpus.Batch, s llm.TokenStats) (loss.Result, error) {
	x := rolloutsOf(r, at, b, s)
	return m.formula().Loss(x)
}

// rolloutsOf are the answers in the rows of a batch as package loss takes them.
func rolloutsOf(r *Rollout, at []int, b *corpus.Batch, s llm.TokenStats) loss.Rollouts {
	var x loss.Rollouts
	for row, i := range at {
		a := r.Samples[i]
		x.LogP, x.Entropy = append(x.LogP, answerOf(s.LogP, b, row)), append(x.Entropy, answerOf(s.Entropy, b, row))
		mask := make([]float64, len(a.IDs))
		for t := range mask {
			if !a.Left {
				mask[t] = 1
			}
		}
		x.Mask, x.Advantages = append(x.Mask, mask), append(x.Advantages, a.Advantage)
		if a.LogP != nil {
			x.Old = append(x.Old, a.LogP)
		}
		if a.Ref != nil {
			x.Ref = append(x.Ref, a.Ref)
		}
		if a.Tokens != nil {
			x.TokenAdvantages = append(x.TokenAdvantages, a.Tokens)
		}
	}
	return x
}

func (m *grpoMethod) knobs() []ftlib.Knob {
	k := []ftlib.Knob{
		{Key: "epsilon", Value: m.spec.Epsilon, Min: 0, Max: 0.99, Help: "how far the ratio may fall"},
		{Key: "epsilon_high", Value: m.spec.EpsilonHigh, Min: 0, Max: 100, Help: "how far the ratio may rise"},
	}
	if m.spec.Beta != 0 { // else there is no reference to be held by
		k = append(k, ftlib.Knob{Key: "beta", Value: m.spec.Beta, Min: 1e-6, Max: 10, Log: true, Help: "coefficient of KL to the reference"})
	}
	return k
}

func (m *grpoMethod) turn(key string, value float64) error {
	switch key {
	case "beta":
		m.spec.Beta = value
	case "epsilon":
		m.spec.Epsilon = value
	case "epsilon_high":
		m.spec.EpsilonHigh = value
	}
	return nil
}

// rlooMethod is REINFORCE with a leave-one-out baseline; the formulas are those of [loss.RLOO]
// and [loss.LeaveOneOut]. It agrees with TRL 1.16's RLOOTrainer (golden cases losses/rloo,
// losses/rl_advantages).
type rlooMethod struct{ spec ftlib.RLOO }

func (m *rlooMethod) plan(run ftlib.Run) (prompts, answers, passes int) {
	return groupPlan(run, m.spec.Prompts, m.spec.Generations), m.spec.Generations, m.spec.Iterations
}

func (m *rlooMethod) needs(run ftlib.Run) (old, ref bool) { return true, *m.spec.Beta != 0 }

func (m *rlooMethod) open(o *online) error {
	return wholeGroups(o.run, m.spec.Prompts, m.spec.Generations)
}

func (m *rlooMethod) prepare(o *online, r *Rollout) error {
	rewards := make([][]float64, len(r.Samples))
	var kl []float64
	tokens, sum := 0, 0.0
	for i, a := range r.Samples {
		rewards[i] = a.Rewards
		if a.Ref == nil {
			continue
		}
		d := 0.0
		for t := range a.Ref {
			d += a.LogP[t] - a.Ref[t]
		}
		kl = append(kl, d)
		sum, tokens = sum+d, tokens+len(a.Ref)
	}
	l := loss.LeaveOneOut{Weights: o.weights(), Group: m.spec.Generations, Beta: *m.spec.Beta, Normalize: m.spec.Normalize}
	if c := m.spec.RewardClip; len(c) == 2 {
		l.Clip = &[2]float64{c[0], c[1]}
	}
	s, err := l.Of(rewards, kl)
	if err != nil {
		return err
	}
	r.take(s, m.spec.MaskTruncated)
	if tokens > 0 {
		r.Metrics["kl"] = sum / float64(tokens)
	}
	return nil
}

func (m *rlooMethod) loss(_ *online, r *Rollout, at []int, b *corpus.Batch, s llm.TokenStats) (loss.Result, error) {
	return loss.RLOO{EpsilonLow: m.spec.Epsilon, EpsilonHigh: m.spec.EpsilonHigh}.Loss(rolloutsOf(r, at, b, s))
}

func (m *rlooMethod) knobs() []ftlib.Knob {
	if *m.spec.Beta == 0 {
		return nil
	}
	return []ftlib.Knob{{Key: "beta", Value: *m.spec.Beta, Min: 1e-6, Max: 10, Log: true, Help: "coefficient of KL to the reference"}}
}

func (m *rlooMethod) turn(_ string, value float64) error {
	m.spec.Beta = &value
	return nil
}
