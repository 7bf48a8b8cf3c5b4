package plan

import (
	"os"
	"path/filepath"
	"slices"

	"ftlab/ftlib"
)

// Setup is what decides the memory and time of a run's steps, with every default written in.
type Setup struct {
	Shape  Shape  `json:"shape"`
	Method string `json:"method"` // sft, reward, dpo, kto, orpo, cpo, prm, ppo, grpo, rloo, star

	Weights string      `json:"weights"`          // of the matrices: "float32", "bfloat16", "nf4", "fp4", "int8"
	Outer   string      `json:"outer"`            // of embedding and head: "float32", "bfloat16"
	Compute string      `json:"compute"`          // of products: "float32", "bfloat16"
	Double  bool        `json:"double,omitempty"` // the scales of four-bit weights in eight bits too
	Block   int         `json:"block,omitempty"`  // weights that share a scale
	LoRA    *ftlib.LoRA `json:"lora,omitempty"`   // nil: all weights train
	Optim   string      `json:"optim"`            // adamw_torch, adamw_8bit, paged_adamw_8bit, lion, sgd, adafactor, ...
	Moment  bool        `json:"moment,omitempty"` // sgd has one
	Memory  string      `json:"memory"`           // as in a run file: of activations; "offload": block inputs in host memory
	Stream  bool        `json:"stream,omitempty"` // frozen weights are read block by block

	Batch      int `json:"batch"`       // sequences of a micro-batch, as a run file counts them
	Accumulate int `json:"accumulate"`  // micro-batches of an optimizer step
	Length     int `json:"length"`      // tokens of the longest sequence
	PerExample int `json:"per_example"` // sequences of an example: 2 of a pair

	// Of methods that sample.
	Prompts int  `json:"prompts,omitempty"` // of a rollout
	Answers int  `json:"answers,omitempty"` // to each prompt
	New     int  `json:"new_tokens,omitempty"`
	Rows    int  `json:"rows,omitempty"`   // answers that are written side by side: up to 64, in a third of the memory
	Passes  int  `json:"passes,omitempty"` // over each rollout
	Rounds  int  `json:"rounds,omitempty"` // of STaR
	Value   bool `json:"value,omitempty"`  // a value model trains too

	Reference Role   `json:"reference,omitempty"`
	Judges    []Role `json:"judges,omitempty"` // reward models

	Checkpoints bool `json:"checkpoints,omitempty"` // the trained state is copied out when it is saved
	GPU         bool `json:"gpu,omitempty"`
}

// Role says how a model beside the policy is held.
type Role string

// What a role costs.
const (
	None     Role = ""         // there is none, or its answers were written down before
	OnBase   Role = "on base"  // the policy's base, with no adapter or with one that is there
	Adapter  Role = "adapter"  // an adapter of its own on the policy's base
	Separate Role = "separate" // a model of its own
)

// Place is where a run shall go: its memory decides what happens where a run file leaves the
// policy of activations open.
type Place struct {
	GPU    bool
	Memory int64 // bytes that are free; 0: not known
}

// usualLength is what package tune takes for no maximum length.
func usualLength(positions int) int { return min(1024, max(1, positions)) }

// SetupOf is what a specification means for a model.
func SetupOf(run ftlib.Run, shape Shape, at Place) Setup {
	asked := run.Model.Memory
	if asked == "recompute" && run.Model.Offload {
		asked = "offload"
	}
	run = run.Resolve()
	s := Setup{Shape: shape, Method: run.Method.Name(), LoRA: run.LoRA, Batch: run.Batch.Size, Accumulate: run.Batch.Accumulate,
		Length: run.Data.MaxLength, PerExample: 1, Checkpoints: run.Save.Every >= 0, GPU: at.GPU}
	if s.Length == 0 {
		s.Length = usualLength(shape.Positions)
	}
	if s.LoRA == nil && run.Model.Adapter != "" {
		s.LoRA = adapterOf(run.Model.Adapter)
	}
	s.Outer = run.Model.DType
	if s.Outer == "" {
		s.Outer = "float32"
		if at.GPU && s.LoRA != nil {
			s.Outer = "bfloat16"
		}
	}
	s.Weights, s.Compute = s.Outer, s.Outer
	switch {
	case run.Model.Load4Bit:
		s.Weights, s.Double, s.Block = run.Model.QuantType, run.Model.DoubleQuant, run.Model.QuantBlock
		if s.Weights == "" {
			s.Weights = "nf4"
		}
		if s.Block == 0 {
			s.Block = 64
		}
	case run.Model.Load8Bit:
		s.Weights = "int8"
	}
	s.Optim, s.Moment = run.Optim.ResolvedName(), run.Optim.Momentum > 0
	s.Stream = run.Model.Stream != ""
	s.roles(run)
	if s.Sampled() {
		s.Rows = RowsThatFit(min(64, s.Prompts*s.Answers), s.RowBytes(), at.Memory)
	}
	if s.Memory = asked; s.Memory == "" {
		s.Memory = "save"
		if at.Memory > 0 && s.saved() > at.Memory/3 {
			s.Memory = "recompute"
		}
	}
	return s
}

// adapterOf reads the rank and targets of a PEFT directory; what does not read is rank 16.
func adapterOf(dir string) *ftlib.LoRA {
	l := &ftlib.LoRA{R: 16}
	data, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err == nil {
		readAdapter(data, l)
	}
	return l
}

// roles writes in which models a method has, and how many tokens it reads and writes.
func (s *Setup) roles(run ftlib.Run) {
	m := run.Method
	reference := Adapter
	if s.LoRA != nil && run.Model.Adapter == "" {
		reference = OnBase
	}
	sampled := func(r ftlib.Rollout, prompts, answers, passes int) {
		s.New, s.Prompts, s.Answers, s.Passes = r.MaxLength, prompts, answers, passes
		for _, f := range r.Rewards {
			if f.Use == "model" || f.Use == "prm" {
				role := Separate
				_, isAdapter := os.Stat(filepath.Join(f.Path, "adapter_config.json"))
				_, isThere := os.Stat(f.Path)
				if isAdapter == nil || isThere != nil && s.LoRA != nil { // one that is still to come will be an adapter
					role = Adapter
				}
				s.Judges = append(s.Judges, role)
			}
		}
		if s.LoRA == nil {
			reference = Separate
		}
	}
	named := func(adapter string) {
		if adapter != "" {
			reference = Adapter
		}
		s.Reference = reference
	}
	group := run.Batch.Size * run.Batch.Accumulate
	switch {
	case m.DPO != nil:
		s.PerExample = 2
		named(m.DPO.Reference)
		if s.LoRA == nil {
			s.Reference = None // asked before the first step
		}
	case m.KTO != nil:
		s.PerExample = 1 // the answers to other prompts are only read
		named("")
		if s.LoRA == nil {
			s.Reference = None
		}
	case m.ORPO != nil, m.CPO != nil, m.Reward != nil:
		s.PerExample = 2
	case m.PPO != nil:
		sampled(m.PPO.Rollout, m.PPO.Prompts, 1, m.PPO.Epochs)
		named(m.PPO.Reference)
		s.Value = true
	case m.GRPO != nil:
		prompts := m.GRPO.Prompts
		if prompts == 0 {
			prompts = max(1, group/m.GRPO.Generations)
		}
		sampled(m.GRPO.Rollout, prompts, m.GRPO.Generations, m.GRPO.Iterations)
		if m.GRPO.Beta > 0 {
			named(m.GRPO.Reference)
		}
	case m.RLOO != nil:
		prompts := m.RLOO.Prompts
		if prompts == 0 {
			prompts = max(1, group/m.RLOO.Generations)
		}
		sampled(m.RLOO.Rollout, prompts, m.RLOO.Generations, m.RLOO.Iterations)
		if m.RLOO.Beta == nil || *m.RLOO.Beta > 0 {
			named(m.RLOO.Reference)
		}
	case m.STaR != nil:
		sampled(m.STaR.Rollout, 64, m.STaR.Samples, 1)
		s.Rounds = m.STaR.Rounds
	}
}

// RowsThatFit is how many answers are written side by side: of a wish for want, as many as a
// third of the memory holds caches for, of so many bytes each. 0 bytes of memory: all.
func RowsThatFit(want int, each, memory int64) int {
	for want > 1 && memory > 0 && int64(want)*each > memory/3 {
		want /= 2
	}
	return max(1, want)
}

// RowBytes are the keys and values of an answer, twice: the loop has a new cache for every one.
func (s Setup) RowBytes() int64 {
	slots := int64(128)
	for slots < int64(s.Length) {
		slots *= 2
	}
	return 2 * slots * 2 * int64(s.Shape.Layers) * int64(s.Shape.KVHeads*s.Shape.HeadDim) * 4
}

// Quantised says whether the matrices of the blocks are.
func (s Setup) Quantised() bool { return slices.Contains([]string{"nf4", "fp4", "int8"}, s.Weights) }

// Sampled says whether the method writes answers.
func (s Setup) Sampled() bool { return s.New > 0 }

// tokens are those of a micro-batch.
func (s Setup) tokens() int64 { return int64(s.Batch) * int64(s.PerExample) * int64(s.Length) }

// Adapter is the name of the way that weights are adapted: "full", "LoRA" or "QLoRA".
func (s Setup) Adapter() string {
	switch {
	case s.LoRA == nil:
		return "full"
	case s.Quantised():
		return "QLoRA"
	}
	return "LoRA"
}

// classifier says whether the method trains a score head instead of the head for tokens.
func (s Setup) classifier() bool { return s.Method == "reward" || s.Method == "prm" }
