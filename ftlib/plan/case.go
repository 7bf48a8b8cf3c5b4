package plan

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"ftlab/ftlib"
)

// Case is a training step with random weights that was measured: what `scripts/bench plan` runs.
type Case struct {
	Name      string `json:"name"`
	Shape     string `json:"shape"`            // of the table of known shapes, or "13M", "110M"
	Layers    int    `json:"layers,omitempty"` // 0: the shape's
	Batch     int    `json:"batch"`
	Length    int    `json:"length"`
	Weights   string `json:"weights"`           // float32, bfloat16, nf4, int8
	Double    bool   `json:"double,omitempty"`  // of nf4
	Compute   string `json:"compute,omitempty"` // of quantised weights; "": float32
	R         int    `json:"r,omitempty"`       // rank on all linear layers; 0: all weights train
	Recompute bool   `json:"recompute,omitempty"`
	Optim     string `json:"optim,omitempty"` // "": adamw_torch
	Steps     int    `json:"steps"`           // the first compiles and is not timed

	Measured Measured `json:"measured"`
}

// Measured is what a case took when it was last recorded.
type Measured struct {
	PeakMiB   float64 `json:"peak_mib,omitempty"` // resident size of the process
	StepMS    float64 `json:"step_ms,omitempty"`  // median step
	GFLOPS    float64 `json:"gflops,omitempty"`   // rate of the machine, calibrated in the same run
	Compiler  float64 `json:"compiler_mib,omitempty"`
	Estimated float64 `json:"estimated_ms,omitempty"` // of a step, from the calibration of that run
}

// benchShapes are those of the comparisons with PEFT and TRL.
var benchShapes = map[string]Shape{
	"13M":  {Name: "13M", Family: "llama", Vocab: 4096, Hidden: 384, Layers: 6, Heads: 6, KVHeads: 6, HeadDim: 64, FFN: 1024, Positions: 1024, Tied: true},
	"110M": {Name: "110M", Family: "llama", Vocab: 8192, Hidden: 1024, Layers: 8, Heads: 16, KVHeads: 16, HeadDim: 64, FFN: 2816, Positions: 1024, Tied: true},
}

// Model is the case's shape.
func (c Case) Model() (Shape, error) {
	s, ok := benchShapes[c.Shape]
	if !ok {
		s, ok = calibrationShapes()[c.Shape]
	}
	if !ok {
		var err error
		if s, err = FindShape(c.Shape); err != nil {
			return s, err
		}
	}
	if c.Layers > 0 {
		s.Layers = c.Layers
		s.Name = fmt.Sprintf("%s, %d layers", s.Name, c.Layers)
	}
	return s, nil
}

// Setup is what the ledger sees of a case.
func (c Case) Setup() (Setup, error) {
	shape, err := c.Model()
	s := Setup{Shape: shape, Method: "sft", Weights: c.Weights, Outer: c.Weights, Compute: c.Weights, Double: c.Double, Block: 64,
		Optim: "adamw_torch", Memory: "save", Batch: c.Batch, Accumulate: 1, Length: c.Length, PerExample: 1}
	if s.Quantised() {
		s.Outer, s.Compute = "bfloat16", "float32"
		if c.Compute != "" {
			s.Compute = c.Compute
		}
	}
	if c.R > 0 {
		s.LoRA = &ftlib.LoRA{R: c.R}
	}
	if c.Recompute {
		s.Memory = "recompute"
	}
	if c.Optim != "" {
		s.Optim = c.Optim
	}
	return s, err
}

//go:embed measured.json
var measuredFile []byte

// Record is what was measured on one machine.
type Record struct {
	Machine string `json:"machine"`
	Date    string `json:"date"`
	Note    string `json:"note,omitempty"`
	Cases   []Case `json:"cases"` // run by scripts/bench plan
	Large   []Case `json:"large"` // too large to be run each time: scripts/bench memory
}

// Recorded are the last recorded measurements.
func Recorded() Record {
	var r Record
	if err := json.Unmarshal(measuredFile, &r); err != nil {
		panic("plan: measured.json: " + err.Error()) // embedded
	}
	return r
}
