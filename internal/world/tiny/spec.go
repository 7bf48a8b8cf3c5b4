package tiny

import (
	"ftlab/ftlib"
	"ftlab/internal/world"
)

// Spec is everything that decides the model.
type Spec struct {
	Seed uint64 // of the world, its documents, and the initial weights

	Vocab     int // tokens, with all 256 bytes and the special ones
	Hidden    int
	Layers    int
	Heads     int
	FFN       int
	Positions int // the longest text that the model is made for

	Documents int // texts to pretrain on, each read once
	Learn     int // of them, that the tokenizer is trained on
	Batch     int // windows a step
	Window    int // tokens a window
	Optim     ftlib.Optim
}

func f(v float64) *float64 { return &v }

// FTTiny is the model in the repository.
var FTTiny = Spec{
	Seed:  world.Seed,
	Vocab: 1024, Hidden: 160, Layers: 4, Heads: 5, FFN: 432, Positions: 256,
	Documents: 150000, Learn: 10000,
	Batch: 12, Window: 256,
	Optim: ftlib.Optim{
		LearningRate: 3e-3, Schedule: "cosine", WarmupSteps: 60, WeightDecay: 0.1,
		Beta1: f(0.9), Beta2: f(0.95), MaxGradNorm: 1,
	},
}

// Params is the number of weights.
func (s Spec) Params() int {
	d := s.Hidden
	return s.Vocab*d + s.Layers*(4*d*d+3*d*s.FFN+2*d) + d
}

// Small is the same model made in seconds, for tests: it has learnt little.
func (s Spec) Small() Spec {
	s.Hidden, s.Layers, s.Heads, s.FFN = 32, 2, 2, 64
	s.Vocab, s.Documents, s.Learn, s.Batch, s.Window = 512, 500, 500, 4, 64
	s.Optim.WarmupSteps = 5
	return s
}
