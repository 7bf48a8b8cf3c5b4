package plan

import (
	"bytes"
	_ "embed"

	"gopkg.in/yaml.v3"

	"ftlab/ftlib"
)

// Published is a run of another program, as its makers publish it.
type Published struct {
	Name      string   `yaml:"name"`
	Source    string   `yaml:"source"`
	Device    string   `yaml:"device"`
	Model     string   `yaml:"model"`
	Adapter   string   `yaml:"adapter"`
	R         int      `yaml:"r"`
	DoRA      bool     `yaml:"dora"`
	Targets   []string `yaml:"targets"`
	Batch     int      `yaml:"batch"`
	Length    int      `yaml:"length"`
	Mean      float64  `yaml:"mean"` // tokens of a row, where rows are shorter than the longest
	GiB       float64  `yaml:"gib"`
	Step      float64  `yaml:"step_s"`
	Rate      float64  `yaml:"tokens_s"`
	Recompute bool     `yaml:"recompute"`
	Chunked   bool     `yaml:"chunked"` // the head works in pieces
	Eight     bool     `yaml:"eight"`   // moments in eight bits
	Paged     bool     `yaml:"paged"`   // and in host memory
	InPlace   bool     `yaml:"inplace"` // gradients are used as soon as they are there
	Eager     bool     `yaml:"eager"`   // no compiler
	Why       string   `yaml:"why"`     // it deviates
}

//go:embed published.yaml
var publishedFile []byte

// PublishedRuns are the rows that the model is compared with.
func PublishedRuns() []Published {
	var f struct {
		Rows []Published `yaml:"rows"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(publishedFile))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		panic("plan: published.yaml: " + err.Error()) // embedded
	}
	return f.Rows
}

// Setup is FTLab's own of such a run.
func (p Published) Setup() (Setup, error) {
	shape, err := FindShape(p.Model)
	s := Setup{Shape: shape, Method: "sft", Weights: "bfloat16", Outer: "bfloat16", Compute: "bfloat16", Block: 64, Optim: "adamw_torch",
		Memory: "save", Batch: p.Batch, Accumulate: 1, Length: p.Length, PerExample: 1, GPU: true}
	if p.Recompute {
		s.Memory = "recompute"
	}
	switch p.Adapter {
	case "full": // in float32: bfloat16 loses small updates
		s.Weights, s.Outer, s.Compute = "float32", "float32", "float32"
	case "qlora":
		s.Weights, s.Double = "nf4", true
		fallthrough
	default:
		s.LoRA = &ftlib.LoRA{R: p.R, DoRA: p.DoRA, Targets: p.Targets}
	}
	if p.Eight {
		s.Optim = "adamw_8bit"
	}
	return s, err
}

// Bytes is what their program holds by the same arithmetic in its own types: weights, activations
// and, where all weights train, gradients and moments in bfloat16; attention that keeps no matrix.
func (p Published) Bytes() (int64, error) {
	s, err := p.Setup()
	if err != nil {
		return 0, err
	}
	s.Outer = "bfloat16"
	if s.LoRA == nil {
		s.Weights = "bfloat16"
	}
	n, d, f := int64(p.Batch*p.Length), int64(s.Shape.Hidden), int64(s.Shape.FFN)
	total := float64(s.weightBytes())
	trained := float64(s.trained())
	switch {
	case s.LoRA != nil:
		total += 16 * trained // float32
	case p.Paged: // gradients of a layer
		total += 2 * trained / float64(s.Shape.Layers)
	case p.Eight && p.InPlace:
		total += 2 * trained
	case p.Eight:
		total += 4 * trained
	default:
		total += 6 * trained
	}
	layer := n * (10*d + 4*f) * 2 // what one layer keeps
	if p.Recompute {
		total += float64(n*d*2*int64(s.Shape.Layers) + layer)
	} else {
		total += float64(layer * int64(s.Shape.Layers))
	}
	logits := n * int64(s.Shape.Vocab) * 10 // bfloat16, and twice float32
	if p.Chunked {
		logits /= 8
	}
	return int64(total) + logits, nil
}

// eagerLayer is what PyTorch without a compiler takes to launch a layer's forward and backward pass,
// in seconds: fitted to PEFT's LoRA row.
const eagerLayer = 0.0034

// Seconds is the time of a step by the model of this package, with launches where nothing is compiled.
func (p Published) Seconds() (float64, error) {
	s, err := p.Setup()
	if err != nil {
		return 0, err
	}
	s.Weights, s.Outer, s.Compute = "bfloat16", "bfloat16", "bfloat16"
	if p.Adapter == "qlora" {
		s.Weights = "nf4"
	}
	d, err := FindDevice(p.Device)
	if err != nil {
		return 0, err
	}
	tokens := p.Mean
	if tokens == 0 {
		tokens = float64(p.Length)
	}
	s.Length = int(tokens)
	t := StepTime(s, d)
	if p.Eager {
		t += eagerLayer * float64(s.Shape.Layers)
	}
	return t, nil
}

// Measured is the time of a step as they publish it.
func (p Published) Measured() float64 {
	if p.Rate > 0 {
		return float64(p.Batch*p.Length) / p.Rate
	}
	return p.Step
}
