package plan

import "math"

// Rates are what a processor does, measured by a short calibration with the engine itself.
type Rates struct {
	Machine string  `json:"machine"`
	Date    string  `json:"date"`
	F32     float64 `json:"gflops_f32"`  // of a block's products, with everything between them
	BF16    float64 `json:"gflops_bf16"` // the same with bfloat16 weights
	Unpack  float64 `json:"ns_unpack"`   // to dequantise a weight of four bits, once
	Score   float64 `json:"ns_score"`    // an attention score forward; backward takes twice as much
	Logit   float64 `json:"gflops_head"` // of the head
	Update  float64 `json:"ns_update"`   // of the optimizer, a trained weight
	Call    float64 `json:"us_call"`     // a program's call
}

// Work is what a run goes through.
type Work struct {
	Rows    int     `json:"rows"`    // of the data set
	Tokens  float64 `json:"tokens"`  // of a row, on average
	Epochs  float64 `json:"epochs"`  // 0: one
	Trained float64 `json:"trained"` // share of the tokens that are trained; 0: all
}

// Estimate is how long a run takes, and what it costs.
type Estimate struct {
	Step    float64 `json:"step_s"`   // an optimizer step
	Steps   float64 `json:"steps"`    // of the run
	Total   float64 `json:"total_s"`  // without loading, compiling and validation
	Rate    float64 `json:"tokens_s"` // trained on, a second
	Dollars float64 `json:"dollars"`  // 0: no price known
	Write   float64 `json:"write_s"`  // of Total: writing answers
	FLOPs   float64 `json:"flops"`    // of a step
	Why     string  `json:"why"`      // what the rate is
}

// flops are the floating-point operations of one token through all blocks, forward, and through the head.
type flops struct{ blocks, head, scores, adapters float64 }

func (s Setup) forward() flops {
	layers := float64(s.Shape.Layers)
	f := flops{blocks: 2 * float64(s.Shape.linearParams()), scores: layers * float64(s.Shape.Heads) * float64(s.Length)}
	if !s.classifier() {
		f.head = 2 * float64(s.Shape.Vocab) * float64(s.Shape.Hidden)
	}
	f.adapters = 2 * float64(s.adapterParams())
	return f
}

// passes are how often a token's products are computed in a training step: forward, again where
// activations are not kept, for the gradient of the input, for that of the weights.
func (s Setup) passes() (blocks, head float64) {
	blocks, head = 2, 2
	if s.Memory != "save" {
		blocks++
	}
	if s.LoRA == nil {
		blocks, head = blocks+1, head+1
	}
	return blocks, head
}

// Cost is the time and price of a run on a device. Where work is on rows of fewer tokens than
// the longest, batches are as long as their longest row.
func Cost(s Setup, d Device, w Work) Estimate {
	if w.Epochs == 0 {
		w.Epochs = 1
	}
	if w.Trained == 0 {
		w.Trained = 1
	}
	tokens := w.Tokens * float64(s.PerExample)
	if s.Sampled() {
		tokens = w.Tokens
	}
	rows := float64(s.Batch * s.Accumulate)
	e := Estimate{}
	c := costs{s: s, d: d, trained: w.Trained, length: min(float64(s.Length), w.Tokens)}
	e.Step, e.FLOPs = c.step(rows * tokens)
	examples := float64(w.Rows) * w.Epochs
	if s.Sampled() {
		// Every answer is read by policy, reference and judges, and trained on in every pass.
		answers := examples * float64(max(1, s.Answers)*max(1, s.Rounds))
		written := float64(s.New)
		e.Write = answers*written*c.decode(float64(max(1, s.Rows))) + answers*tokens*c.read()*float64(c.readers())
		e.Steps = answers * float64(max(1, s.Passes)) / rows
		if s.Value {
			e.Step *= 2
		}
	} else {
		e.Steps = examples / rows
		if s.Reference != None || s.LoRA == nil && s.Method == "dpo" {
			e.Write = examples * tokens * c.read() // asked once for each row
		}
	}
	e.Steps = math.Ceil(e.Steps)
	e.Total = e.Steps*e.Step + e.Write
	if e.Step > 0 {
		e.Rate = rows * tokens / e.Step
	}
	e.Dollars = e.Total / 3600 * d.Price * float64(max(1, d.Count))
	e.Why = c.why()
	return e
}

// StepTime is the time of one optimizer step of sequences that are all as long as the longest.
func StepTime(s Setup, d Device) float64 {
	return Cost(s, d, Work{Rows: s.Batch * s.Accumulate, Tokens: float64(s.Length)}).Step
}

// costs are the prices of operations on a device, in seconds.
type costs struct {
	s       Setup
	d       Device
	trained float64
	length  float64
}

// What a GPU adds, by published runs (docs/memory.md).
const (
	unpackSlower = 1.28   // NF4 against bfloat16: torchtune's LoRA and QLoRA on an RTX 4090
	callSeconds  = 0.0004 // a block's program: assumed for compiled blocks; FTLab was not measured on a GPU
	decodeReach  = 0.6    // of the memory bandwidth
)

func (c costs) half() bool { return c.s.Compute == "bfloat16" }

// flop is the seconds of a floating-point operation in a block.
func (c costs) flop() float64 {
	n := float64(max(1, c.d.Count))
	if r := c.d.Rates; r != nil {
		if c.half() || c.s.Weights == "bfloat16" {
			return 1e-9 / r.BF16
		}
		return 1e-9 / r.F32
	}
	if c.half() {
		slower := 1.0
		if c.s.Quantised() {
			slower = unpackSlower
		}
		return slower * 1e-12 / (c.d.Half * c.d.Reach * n)
	}
	return 1e-12 / (c.d.TF32 * c.d.Reach * n)
}

// step is the time of an optimizer step over so many tokens.
func (c costs) step(tokens float64) (seconds, operations float64) {
	f := c.s.forward()
	f.scores *= c.length / float64(max(1, c.s.Length))
	blocks, head := c.s.passes()
	products := tokens * (f.blocks*blocks + f.adapters*3)
	attention := tokens * f.scores * 4 * float64(c.s.Shape.HeadDim) * (blocks + 0.5)
	logits := tokens * c.trained * f.head * head
	operations = products + attention + logits
	micro := float64(max(1, c.s.Accumulate))
	calls := float64(c.s.Shape.Layers)*2*micro + 10
	trained := float64(c.s.trained())
	if r := c.d.Rates; r != nil {
		seconds = products*c.flop() + logits*1e-9/r.Logit + tokens*f.scores*r.Score*1e-9*(1+2+blocks-2) + calls*r.Call*1e-6 + trained*r.Update*1e-9
		if c.s.Quantised() {
			seconds += float64(c.s.Shape.linearParams()) * blocks * micro * r.Unpack * 1e-9
		}
		return seconds, operations
	}
	state, _ := c.s.stateRate()
	moved := trained * (4 + 2*4 + 2*state) // gradient read, weight and state read and written
	return operations*c.flop() + calls*callSeconds + moved/(c.d.Bandwidth*1e9*float64(max(1, c.d.Count))), operations
}

// read is the time of a token that is only read: a reference, a judge.
func (c costs) read() float64 {
	f := c.s.forward()
	f.scores *= c.length / float64(max(1, c.s.Length))
	if r := c.d.Rates; r != nil {
		t := f.blocks*c.flop() + f.head*1e-9/r.Logit + f.scores*r.Score*1e-9
		if c.s.Quantised() {
			t += float64(c.s.Shape.linearParams()) * r.Unpack * 1e-9 / max(1, float64(c.s.tokens()))
		}
		return t
	}
	return (f.blocks + f.head + f.scores*4*float64(c.s.Shape.HeadDim)) * c.flop()
}

// readers are the models that read what was written before it is trained on.
func (c costs) readers() int {
	n := len(c.s.Judges)
	if c.s.Reference != None {
		n++
	}
	if c.s.Value {
		n++
	}
	return n
}

// decode is the time of a token of an answer, when rows of them are written side by side: weights are
// read once for all rows.
func (c costs) decode(rows float64) float64 {
	f := c.s.forward()
	compute := f.blocks + f.head
	if r := c.d.Rates; r != nil {
		t := (float64(c.s.Shape.Layers)*r.Call*1e-6+compute*rows*2*c.flop())/rows + f.scores*r.Score*1e-9
		if c.s.Quantised() {
			t += float64(c.s.Shape.linearParams()) * r.Unpack * 1e-9 / rows
		}
		return t
	}
	bytes := float64(c.s.weightBytes())
	if c.s.Quantised() { // written out and read again
		bytes += float64(c.s.Shape.linearParams()) * 4
	}
	stream := bytes / (c.d.Bandwidth * 1e9 * decodeReach * float64(max(1, c.d.Count)))
	return max(stream/rows, compute*c.flop()) + callSeconds*float64(c.s.Shape.Layers)/rows
}

func (c costs) why() string {
	if r := c.d.Rates; r != nil {
		return "calibrated on " + r.Machine + " on " + r.Date
	}
	kind, peak := "TF32", c.d.TF32
	if c.half() {
		kind, peak = "bfloat16", c.d.Half
	}
	return trim(peak) + " TFLOP/s " + kind + " at its peak, of which " + trim(100*c.d.Reach) + " % are reached (" + c.d.Source + ")"
}
