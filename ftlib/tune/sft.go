package tune

import (
	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
)

// SFT is supervised fine-tuning behind the loop: cross-entropy over the trained
// tokens, or dynamic fine-tuning's weighted form of it,
//
//	nll: L = -Σ log p(t)           dft: L = -Σ stop(p(t))·log p(t)  (Wu et al. 2025)
//
// divided by the loop by the trained tokens of the whole accumulated batch. It agrees
// with TRL 1.16's SFTTrainer (golden cases losses/sft, e2e/sft_*).
type SFT struct {
	trainer
	Loss llm.TokenLoss
	warm bool // the first batch has compiled everything
}

// NewSFT puts an engine behind the loop, with AdamW. The model stays the caller's.
func NewSFT(e *llm.Engine, loss llm.TokenLoss, seed int64) (*SFT, error) {
	t, err := newTrainer(e, seed, ftlib.Optim{})
	return &SFT{trainer: t, Loss: loss}, err
}

// openSFT loads the model of a run with its adapter and makes what trains it.
func openSFT(run ftlib.Run, g *given) (Stepper, string, error) {
	t, about, err := openTrainer(run, needs{tokens: true}, g)
	if err != nil {
		return nil, "", err
	}
	s := &SFT{trainer: t}
	if run.Method.SFT != nil && run.Method.SFT.Loss == "dft" {
		s.Loss = llm.DFT
	}
	return s, about, nil
}

// sums turns the engine's totals into the loop's.
func sums(t llm.Totals) Sums {
	return Sums{Loss: t.Loss, Tokens: t.Tokens, Metrics: map[string]float64{"accuracy": t.Correct, "entropy": t.Entropy}}
}

// prepare compiles the passes and the update at once: half the wait for the first step.
func (s *SFT) prepare(b *corpus.Batch) error {
	jobs := []func() error{func() error { return s.Engine.Prepare(b, s.Loss, true) }}
	for _, names := range s.groups {
		more, err := s.opt.Programs(s.Engine, names, decays)
		if err != nil {
			return err
		}
		jobs = append(jobs, more...)
	}
	s.warm = true
	return llm.Parallel(jobs...)
}

// Accumulate implements [Stepper].
func (s *SFT) Accumulate(b *corpus.Batch, scale float32) (Sums, error) {
	if !s.warm {
		if err := s.prepare(b); err != nil {
			return Sums{}, err
		}
	}
	t, err := s.Engine.Accumulate(b, s.Loss, scale, s.key())
	return sums(t), err
}

// Evaluate implements [Stepper].
func (s *SFT) Evaluate(b *corpus.Batch) (Sums, error) {
	t, err := s.Engine.Evaluate(b, s.Loss)
	return sums(t), err
}
