package ftlib

import (
	"fmt"
	"math"
)

// resolve writes the documented defaults of the method in.
func (m *Method) resolve() {
	if s := m.SFT; s != nil {
		zero(&s.Loss, "nll")
	}
	if d := m.DPO; d != nil {
		if len(d.LossType) == 0 {
			d.LossType = []string{"sigmoid"}
		}
		zero(&d.Beta, 0.1)
		zero(&d.Divergence, "reverse_kl")
		zero(&d.Alpha, 0.5)
		zero(&d.DiscopopTau, 0.05)
	}
	if k := m.KTO; k != nil {
		zero(&k.LossType, "kto")
		zero(&k.Beta, 0.1)
		zero(&k.DesirableWeight, 1)
		zero(&k.UndesirableWeight, 1)
	}
	if o := m.ORPO; o != nil {
		zero(&o.Beta, 0.1)
	}
	if c := m.CPO; c != nil {
		zero(&c.LossType, "sigmoid")
		zero(&c.Beta, 0.1)
		zeroPtr(&c.CPOAlpha, 1)
		zeroPtr(&c.SimPOGamma, 0.5)
	}
	if p := m.PRM; p != nil {
		zeroPtr(&p.Separator, "\n")
	}
	if p := m.PPO; p != nil {
		p.Rollout.resolve()
		zero(&p.Prompts, 16)
		zero(&p.Epochs, 4)
		zero(&p.MiniBatches, 1)
		zeroPtr(&p.KLCoef, 0.05)
		zero(&p.KLEstimator, "k1")
		zero(&p.KLHorizon, 10000)
		zero(&p.Gamma, 1)
		zero(&p.Lambda, 0.95)
		zero(&p.ClipRange, 0.2)
		zero(&p.ClipRangeValue, 0.2)
		zero(&p.VFCoef, 0.1)
	}
	if g := m.GRPO; g != nil {
		g.Rollout.resolve()
		zero(&g.Generations, 8)
		zero(&g.Iterations, 1)
		zero(&g.LossType, "dapo")
		zero(&g.Epsilon, 0.2)
		zero(&g.EpsilonHigh, g.Epsilon)
		zero(&g.Level, "token")
		zero(&g.Scale, "group")
		zero(&g.Aggregation, "sum_then_normalize")
		zero(&g.TopEntropy, 1)
	}
	if l := m.RLOO; l != nil {
		l.Rollout.resolve()
		zero(&l.Generations, 2)
		zero(&l.Iterations, 1)
		zeroPtr(&l.Beta, 0.05)
		zero(&l.Epsilon, 0.2)
		zero(&l.EpsilonHigh, l.Epsilon)
	}
	if s := m.STaR; s != nil {
		s.Rollout.resolve()
		zero(&s.Rounds, 4)
		zero(&s.Samples, 1)
		zero(&s.HintShare, 1)
		zero(&s.Hint, " ({answer})")
		zero(&s.StartSteps, 40)
		zero(&s.Schedule, "exponential")
		zero(&s.GrowSteps, 1.2)
		zero(&s.AddSteps, 20)
		zero(&s.AddEpochs, 0.2)
	}
}

// batch writes in how the answers of a rollout become optimizer steps.
func (m Method) batch(b *Batch) {
	switch {
	case m.GRPO != nil:
		zero(&b.Size, m.GRPO.Generations)
	case m.RLOO != nil:
		zero(&b.Size, max(8, m.RLOO.Generations)/m.RLOO.Generations*m.RLOO.Generations)
	case m.PPO != nil:
		mini := m.PPO.Prompts / m.PPO.MiniBatches
		if b.Size == 0 {
			for b.Size = min(16, mini); mini%b.Size != 0; b.Size-- {
			}
		}
		zero(&b.Accumulate, max(1, mini/b.Size))
	case m.STaR != nil && m.STaR.Schedule != "epochs":
		zero(&b.Size, 8)
		if b.MaxSteps == 0 && b.Epochs == 0 {
			for round := range m.STaR.Rounds {
				b.MaxSteps += m.STaR.Steps(round+1, 0, 1)
			}
		}
	}
}

// Steps is the number of optimizer steps of a round, from 1, that keeps n rows with size rows
// to a step: the schedules of the paper's code.
func (s STaR) Steps(round, n, size int) int {
	steps := s.StartSteps
	switch s.Schedule {
	case "exponential":
		steps = int(float64(s.StartSteps) * math.Pow(s.GrowSteps, float64(round-1)))
	case "steady":
		steps = s.StartSteps + s.AddSteps*(round-1)
	case "epochs":
		steps = int(float64(n) * (1 + s.AddEpochs*float64(round-1)) / float64(size))
	}
	return max(1, steps)
}

func (r *Rollout) resolve() {
	zero(&r.MaxLength, 128)
	zero(&r.Temperature, 1)
	zero(&r.TopP, 1)
}

// learningRate is the rate that a method is begun with: TRL's for all weights; an adapter takes
// ten times as much.
func (m Method) learningRate(adapter bool) float64 {
	rate := 2e-5 // SFT, STaR
	switch {
	case m.Reward != nil:
		return 1e-4
	case m.DPO != nil, m.KTO != nil, m.ORPO != nil, m.CPO != nil, m.GRPO != nil, m.RLOO != nil:
		rate = 1e-6
	case m.PRM != nil:
		rate = 1e-5
	case m.PPO != nil:
		rate = 3e-6
	}
	if adapter {
		rate *= 10
	}
	return rate
}

// validate checks what needs no knowledge of the formulas; package loss checks the rest.
func (m Method) validate(c *checker) {
	if s := m.SFT; s != nil {
		c.oneOf("method.sft.loss_type", s.Loss, "nll", "dft")
	}
	if r := m.Reward; r != nil {
		c.within("method.reward.center_rewards_coefficient", r.CenterRewards, 0, 1e9)
	}
	if p := m.PPO; p != nil {
		p.Rollout.validate(c, "method.ppo.")
		c.atLeast("method.ppo.rollout_batch_size", p.Prompts, 0)
		c.atLeast("method.ppo.num_ppo_epochs", p.Epochs, 0)
		c.atLeast("method.ppo.num_mini_batches", p.MiniBatches, 0)
		if n := p.Prompts; n > 0 && p.MiniBatches > 0 && n%p.MiniBatches != 0 {
			c.errorf("method.ppo.num_mini_batches", "%d prompts of a rollout do not divide into %d minibatches", n, p.MiniBatches)
		}
	}
	if g := m.GRPO; g != nil {
		g.Rollout.validate(c, "method.grpo.")
		if g.Generations == 1 {
			c.errorf("method.grpo.num_generations", "1 answer to a prompt has nothing to be compared with; 2 at least")
		}
		c.atLeast("method.grpo.num_generations", g.Generations, 0)
	}
	if l := m.RLOO; l != nil {
		l.Rollout.validate(c, "method.rloo.")
		if l.Generations == 1 {
			c.errorf("method.rloo.num_generations", "1 answer to a prompt has no others for a baseline; 2 at least")
		}
		if n := len(l.RewardClip); n != 0 && n != 2 {
			c.errorf("method.rloo.reward_clip_range", "%d numbers; it is the lowest and the highest reward", n)
		}
		for i, f := range l.Rewards {
			if f.Steps == "each" {
				c.errorf(fmt.Sprintf("method.rloo.rewards[%d].steps", i), "RLOO compares whole answers: a reward at each step needs ppo or grpo; min, product, mean or last makes one of them")
			}
		}
	}
	if s := m.STaR; s != nil {
		s.Rollout.validate(c, "method.star.")
		c.oneOf("method.star.schedule", s.Schedule, "exponential", "steady", "epochs")
		c.within("method.star.p_rationalization", s.HintShare, 0, 1)
	}
}

func (r Rollout) validate(c *checker, at string) {
	c.atLeast(at+"max_completion_length", r.MaxLength, 0)
	c.within(at+"temperature", r.Temperature, 0, 100)
	c.within(at+"top_p", r.TopP, 0, 1)
	c.within(at+"min_p", r.MinP, 0, 1)
	for i, f := range r.Rewards {
		key := fmt.Sprintf("%srewards[%d]", at, i)
		if f.Use == "" {
			c.errorf(key, "a reward says with use: what it is")
		}
		if (f.Use == "model" || f.Use == "prm") && f.Path == "" {
			c.errorf(key, "a reward of a model has no path: name the directory of the reward model")
		}
		c.oneOf(key+".steps", f.Steps, "min", "product", "mean", "last", "each")
	}
}

func zeroPtr[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
