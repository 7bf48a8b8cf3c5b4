package tune

import (
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/safetensors"
)

// Stepper is a model, a method and an optimizer behind the loop: it turns batches
// into gradients and gradients into weights. The loop knows nothing else of them.
//
// Everything random inside (dropout) is a function of Hyper.Seed, Hyper.Step and
// the number of the micro-batch since the last Apply, so that no generator has to
// be stored with a checkpoint.
type Stepper interface {
	// Accumulate runs forward and backward for one micro-batch and adds
	// scale * (sum over trained tokens of the loss gradient) to the gradients. It
	// returns the summed loss (nats) over trained tokens and the method's summed metrics.
	Accumulate(b *corpus.Batch, scale float32) (Sums, error)

	// Apply clips by global norm, takes one optimizer step with these hyperparameters
	// and clears the gradients. It returns the norm before clipping.
	Apply(h Hyper) (gradNorm float64, err error)

	// Evaluate returns sums without touching gradients (dropout off).
	Evaluate(b *corpus.Batch) (Sums, error)

	// State is everything that must be restored for an exact continuation.
	State() (State, error)
	Restore(State) error

	// Save writes the trained weights for others into dir, which exists: a PEFT
	// adapter (adapter_config.json, adapter_model.safetensors) or full safetensors.
	Save(dir string) error
	// SaveMerged writes the whole model with adapters folded in.
	SaveMerged(dir string) error
}

// Counted is a [Stepper] whose loss is no mean over trained tokens: Units is what of a
// batch it is a mean over, pairs for instance. Sums.Tokens then counts these.
type Counted interface{ Units(b *corpus.Batch) float64 }

// Sums are totals over the trained tokens of one batch. Metrics are summed too,
// weighted by trained tokens: the loop divides them by Tokens.
type Sums struct {
	Loss    float64 // nats
	Tokens  float64 // trained tokens, or the units of a Counted
	Metrics map[string]float64
}

// Add adds the totals of another batch.
func (s *Sums) Add(o Sums) {
	s.Loss += o.Loss
	s.Tokens += o.Tokens
	for name, v := range o.Metrics {
		if s.Metrics == nil {
			s.Metrics = map[string]float64{}
		}
		s.Metrics[name] += v
	}
}

// Hyper are the hyperparameters of one optimizer step. They may differ at every
// step; changing them compiles nothing.
type Hyper struct {
	LR, WeightDecay, Beta1, Beta2, Epsilon float64
	Momentum                               float64 // of SGD
	MaxGradNorm                            float64 // <= 0: no clipping
	Step                                   int     // from 1: the step being taken
	Seed                                   int64
}

// State is a copy on the host of everything an exact continuation needs: the
// trainable weights under their Hugging Face names
// ("model.layers.0.self_attn.q_proj.lora_A.weight"), optimizer moments
// ("optim.m/..."), and counters.
type State struct {
	Tensors  []safetensors.Tensor
	Counters map[string]int64 // "optim.step"
}
