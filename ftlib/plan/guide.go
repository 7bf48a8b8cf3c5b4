package plan

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"

	"gopkg.in/yaml.v3"

	"ftlab/ftlib"
)

// Claim is a row of the guide's tables.
type Claim struct {
	Section string    `json:"section" yaml:"section"`
	Text    string    `json:"text" yaml:"text"`
	Kind    string    `json:"kind" yaml:"kind"` // memory, time, factor, share, money, other
	What    string    `json:"what,omitempty" yaml:"what"`
	Model   string    `json:"model,omitempty" yaml:"model"`
	Method  string    `json:"method,omitempty" yaml:"method"` // zero: sft
	Adapter string    `json:"adapter,omitempty" yaml:"adapter"`
	Device  string    `json:"device,omitempty" yaml:"device"`
	Data    int       `json:"data,omitempty" yaml:"data"` // rows
	GiB     float64   `json:"gib,omitempty" yaml:"gib"`
	Hours   []float64 `json:"hours,omitempty" yaml:"hours"`
	Value   float64   `json:"value,omitempty" yaml:"value"`
	Dollars float64   `json:"dollars,omitempty" yaml:"dollars"`
	Assume  string    `json:"assume,omitempty" yaml:"assume"`
	Note    string    `json:"note,omitempty" yaml:"note"`
}

// Claims are the guide's tables.
type Claims struct {
	Source string  `yaml:"source"`
	Tokens float64 `yaml:"tokens"` // of a row, where the guide does not say
	Rows   []Claim `yaml:"rows"`
}

//go:embed guide.yaml
var guideFile []byte

// Guide is the guide's tables, as data.
func Guide() Claims {
	var c Claims
	dec := yaml.NewDecoder(bytes.NewReader(guideFile))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		panic("plan: guide.yaml: " + err.Error()) // embedded
	}
	return c
}

// Verdicts on a claim.
const (
	Agrees    = "agrees"
	TooHigh   = "more than is needed"
	TooLow    = "less than is needed"
	Cannot    = "cannot be"
	Elsewhere = "not for a planner"
)

// Verdict is what the model says of a claim.
type Verdict struct {
	Claim    Claim   `json:"claim"`
	Ours     string  `json:"ours"` // what the model says
	Verdict  string  `json:"verdict"`
	Why      string  `json:"why,omitempty"`
	Estimate float64 `json:"estimate"` // GiB, hours, times, or a share
}

// run is the run of a claim, of the smallest memory that it can have with this adapter.
func (c Claim) run(length int) (ftlib.Run, Shape, error) {
	var run ftlib.Run
	shape, err := FindShape(c.Model)
	if err != nil {
		return run, shape, err
	}
	run.Model.Path, run.Model.Memory = c.Model, "recompute"
	run.Data.MaxLength = length
	run.Batch.Size, run.Batch.Accumulate = 1, 8
	run.Save.Every = -1
	if c.Adapter != "full" {
		run.LoRA = &ftlib.LoRA{R: 16}
		run.Model.DType = "bfloat16"
	}
	if c.Adapter == "qlora" {
		run.Model.Load4Bit, run.Model.DoubleQuant = true, true
	}
	rollout := ftlib.Rollout{MaxLength: length / 2}
	switch c.Method {
	case "", "sft":
	case "dpo":
		run.Method.DPO = &ftlib.DPO{}
	case "prm":
		run.Method.PRM = &ftlib.PRM{}
	case "grpo":
		run.Method.GRPO = &ftlib.GRPO{Rollout: rollout, Prompts: 1}
	case "ppo":
		run.Method.PPO = &ftlib.PPO{Rollout: rollout, Prompts: 8, Epochs: 1}
		run.Method.PPO.Rewards = []ftlib.RewardFunc{{Use: "model"}}
	case "star":
		run.Method.STaR = &ftlib.STaR{Rollout: rollout, Rounds: 1, Samples: 1}
	default:
		return run, shape, fmt.Errorf("plan: a claim about %q", c.Method)
	}
	return run, shape, nil
}

// setup is that of a claim on a GPU.
func (c Claim) setup(length int) (Setup, error) {
	run, shape, err := c.run(length)
	if err != nil {
		return Setup{}, err
	}
	at := Place{GPU: true, Memory: int64(c.GiB * gib)}
	if c.Device != "" {
		d, err := FindDevice(c.Device)
		if err != nil {
			return Setup{}, err
		}
		at = d.Place()
	}
	s := SetupOf(run, shape, at)
	if c.Method == "ppo" && c.Adapter == "full" {
		s.Reference, s.Judges = Separate, []Role{Separate}
	}
	return s, nil
}

// hours is the time of a claim with rows of so many tokens.
func (c Claim) hours(tokens float64) (float64, error) {
	d, err := FindDevice(c.Device)
	if err != nil {
		return 0, err
	}
	s, err := c.setup(int(tokens))
	if err != nil {
		return 0, err
	}
	if c.Adapter != "full" && Memory(s).Bytes()*4 < d.Bytes() { // room for larger batches
		s.Batch, s.Accumulate = 4, 2
	}
	e := Cost(s, d, Work{Rows: c.Data, Tokens: tokens})
	if c.Method == "star" {
		e.Total -= e.Steps * e.Step / 2
	}
	return e.Total / 3600, nil
}

// Compare says which of the guide's claims agree with the model.
func Compare(claims Claims) ([]Verdict, error) {
	var all []Verdict
	for _, c := range claims.Rows {
		v, err := c.compare(claims.Tokens)
		if err != nil {
			return nil, fmt.Errorf("plan: %s: %w", c.Text, err)
		}
		v.Claim = c
		all = append(all, v)
	}
	return all, nil
}

func (c Claim) compare(tokens float64) (Verdict, error) {
	switch c.Kind {
	case "memory":
		return c.memory(int(tokens))
	case "time":
		return c.time(tokens)
	case "factor":
		return c.factor(int(tokens))
	case "share":
		return c.share(int(tokens))
	case "money":
		return c.money(tokens)
	case "other":
		return Verdict{Verdict: Elsewhere, Why: c.Note, Ours: "-"}, nil
	}
	return Verdict{}, fmt.Errorf("kind %q", c.Kind)
}

func (c Claim) memory(tokens int) (Verdict, error) {
	s, err := c.setup(tokens)
	if err != nil {
		return Verdict{}, err
	}
	l := Memory(s)
	need := float64(l.Bytes()) / gib
	v := Verdict{Estimate: need, Ours: fmt.Sprintf("%.1f GiB for one row of %d tokens", need, tokens)}
	weights := float64(s.weightBytes()) / gib
	switch {
	case weights > c.GiB:
		v.Verdict = Cannot
		v.Why = fmt.Sprintf("the weights alone take %.1f GiB (%.1f GB)", weights, weights*gib/1e9)
		if s.LoRA != nil {
			s.Stream = true
			v.Why += fmt.Sprintf("; streamed block by block it would be %.1f GiB", float64(Memory(s).Bytes())/gib)
		}
	case need > c.GiB:
		v.Verdict = TooLow
		v.Why = fmt.Sprintf("weights %.1f, adapters %.1f, gradients and optimizer %.1f, activations and logits %.1f GiB", weights,
			float64(l.Share(lineAdapters))/gib, float64(l.Share(lineGrads)+l.Share(lineOptim))/gib, float64(l.Share(lineActs)+l.Share(lineLogits)+l.Share(lineProgram))/gib)
		if o := l.Share(lineModels); o > 0 {
			v.Why += fmt.Sprintf(", other models %.1f", float64(o)/gib)
		}
	default:
		v.Verdict = Agrees
		longer, err := c.setup(4 * tokens)
		if err != nil {
			return v, err
		}
		at := float64(Memory(longer).Bytes()) / gib
		v.Why = fmt.Sprintf("%.1f GiB with rows of %d tokens", at, 4*tokens)
		if need < c.GiB/2 {
			v.Why += "; half of the memory would do"
		}
	}
	return v, nil
}

func (c Claim) time(tokens float64) (Verdict, error) {
	var h [3]float64
	for i, n := range []float64{tokens / 2, tokens, 2 * tokens} {
		var err error
		if h[i], err = c.hours(n); err != nil {
			return Verdict{}, err
		}
	}
	v := Verdict{Estimate: h[1], Ours: fmt.Sprintf("%s (%s to %s for %.0f to %.0f tokens)", hoursWords(h[1]), hoursWords(h[0]), hoursWords(h[2]), tokens/2, 2*tokens)}
	low, high := c.Hours[0], c.Hours[len(c.Hours)-1]
	s, err := c.setup(int(tokens))
	if err != nil {
		return v, err
	}
	d, err := FindDevice(c.Device)
	if err != nil {
		return v, err
	}
	fits := Memory(s).Bytes() <= d.Bytes()
	mid := (low + high) / 2
	implied := tokens * mid / h[1]
	switch {
	case !fits && float64(s.weightBytes()) > float64(d.Bytes()):
		v.Verdict = Cannot
		v.Why = fmt.Sprintf("%.1f GiB of weights in %.0f GiB: the time is that of a card with more", float64(s.weightBytes())/gib, float64(d.Bytes())/gib)
	case high < h[0]:
		v.Verdict = TooLow
		v.Why = fmt.Sprintf("rows would have %.0f tokens", implied)
	case low > h[2]:
		v.Verdict = TooHigh
		v.Why = fmt.Sprintf("rows would have %.0f tokens, or the card reaches %.0f %% of its peak", implied, 100*d.Reach*h[1]/mid)
	default:
		v.Verdict = Agrees
		v.Why = fmt.Sprintf("with rows of about %.0f tokens", implied)
	}
	if !fits && v.Verdict != Cannot {
		v.Why += fmt.Sprintf("; but it takes %s of the card's %s", Size(Memory(s).Bytes()), Size(d.Bytes()))
	}
	return v, nil
}

func hoursWords(h float64) string {
	switch {
	case h < 1:
		return fmt.Sprintf("%.0f min", 60*h)
	case h < 10:
		return fmt.Sprintf("%.1f h", h)
	case h < 96:
		return fmt.Sprintf("%.0f h", h)
	}
	return fmt.Sprintf("%.1f days", h/24)
}

// judge compares a number with what the guide says of it.
func judge(v *Verdict, ours, said, tolerance float64) {
	v.Estimate = ours
	switch r := ours / said; {
	case math.Abs(r-1) <= tolerance:
		v.Verdict = Agrees
	case r > 1:
		v.Verdict = TooLow
	default:
		v.Verdict = TooHigh
	}
}

func (c Claim) factor(tokens int) (Verdict, error) {
	var v Verdict
	s, err := c.setup(tokens)
	if err != nil {
		return v, err
	}
	a100, err := FindDevice("a100")
	if err != nil {
		return v, err
	}
	switch c.What {
	case "model":
		base, err := FindShape("7b")
		if err != nil {
			return v, err
		}
		f := ModelFactor(s.Shape, base, tokens)
		judge(&v, f, c.Value, 0.15)
		v.Ours = fmt.Sprintf("%.1f x", f)
	case "data":
		judge(&v, DataFactor(2), c.Value, 0.05)
		v.Ours = "2 x, but for loading and compiling"
	case "batch":
		f := BatchFactor(s, a100, 8)
		v.Estimate, v.Verdict = f, Agrees
		v.Ours = fmt.Sprintf("8 rows of %d at once on an A100: %.2f x the time of one after another", tokens, f)
	case "device":
		d, err := FindDevice(c.Device)
		if err != nil {
			return v, err
		}
		f, peak := DeviceFactor(s, d, a100), a100.Half/d.Half
		judge(&v, f, c.Value, 0.25)
		v.Ours = fmt.Sprintf("%.1f x (%.1f x by peak rates, %.1f x by bandwidth)", f, peak, a100.Bandwidth/d.Bandwidth)
	case "float32":
		f := PrecisionFactor(a100, "float32")
		judge(&v, f, c.Value, 0.25)
		v.Ours = fmt.Sprintf("%.0f x with TF32, %.0f x without (A100)", f, a100.Half/a100.Single)
	case "unpack":
		judge(&v, unpackSlower, c.Value, 0.1)
		v.Ours = fmt.Sprintf("%.2f x (torchtune, 8B on an RTX 4090: 3083 and 2413 tokens a second)", unpackSlower)
	case "method":
		f := MethodFactor(c.Adapter)
		judge(&v, f, c.Value, 0.2)
		v.Ours = fmt.Sprintf("%.2f x, activations computed again in both", f)
	case "stored":
		f := float64(s.Shape.Params()) / float64(s.adapterParams())
		judge(&v, f, c.Value, 0.25)
		v.Ours = fmt.Sprintf("%.0f x for rank 16 on all linear layers, %.0f x for rank 4 on q and v", f, float64(s.Shape.Params())/float64(smallAdapter(s)))
		v.Why = "the paper's 10,000 is GPT-3's 175B weights with rank 4 on two matrices"
	default:
		return v, fmt.Errorf("factor %q", c.What)
	}
	return v, nil
}

// smallAdapter is one of rank 4 on q_proj and v_proj.
func smallAdapter(s Setup) int64 {
	s.LoRA = &ftlib.LoRA{R: 4, Targets: []string{"q_proj", "v_proj"}}
	return s.adapterParams()
}

func (c Claim) share(tokens int) (Verdict, error) {
	var v Verdict
	s, err := c.setup(tokens)
	if err != nil {
		return v, err
	}
	switch c.What {
	case "trained":
		f := float64(s.adapterParams()) / float64(s.Shape.Params())
		judge(&v, f, c.Value, 0.5)
		v.Ours = fmt.Sprintf("%.2f %% for rank 16 on all linear layers, %.2f %% for rank 4 on q and v", 100*f, 100*float64(smallAdapter(s))/float64(s.Shape.Params()))
	case "quantised":
		whole := s
		whole.Weights = "bfloat16"
		f, peak := float64(s.weightBytes())/float64(whole.weightBytes()), float64(Memory(s).Bytes())/float64(Memory(whole).Bytes())
		judge(&v, f, c.Value, 0.2)
		v.Ours = fmt.Sprintf("weights %.0f %% of bfloat16's, the whole run %.0f %%", 100*f, 100*peak)
	case "memory":
		full := c
		full.Adapter = "full"
		whole, err := full.setup(tokens)
		if err != nil {
			return v, err
		}
		f := float64(Memory(s).Bytes()) / float64(Memory(whole).Bytes())
		judge(&v, f, c.Value, 0.5)
		v.Ours = fmt.Sprintf("%s, %.0f %%", Size(Memory(s).Bytes()), 100*f)
		v.Why = "the frozen weights stay: 2 bytes each in bfloat16, about half a byte in four bits"
	default:
		return v, fmt.Errorf("share %q", c.What)
	}
	return v, nil
}

func (c Claim) money(tokens float64) (Verdict, error) {
	b, err := Budget(c.Dollars, c.Device)
	if err != nil {
		return Verdict{}, err
	}
	s, err := c.setup(int(tokens))
	if err != nil {
		return Verdict{}, err
	}
	d, err := FindDevice(c.Device)
	if err != nil {
		return Verdict{}, err
	}
	need := Memory(s).Bytes()
	perHour := 3600 / StepTime(s, d) * float64(s.Batch*s.Accumulate)
	v := Verdict{Estimate: b.Hours, Ours: fmt.Sprintf("%.0f h of %s, %s needed of %s; about %s rows of %.0f tokens", b.Hours, d.Title, Size(need), Size(d.Bytes()), count(int64(b.Hours*perHour)), tokens)}
	v.Verdict = Agrees
	if need > d.Bytes() {
		v.Verdict = Cannot
		v.Why = "as LoRA on bfloat16 weights it does not fit"
		q := s
		if s.LoRA != nil {
			q.Weights, q.Double, q.Block = "nf4", true, 64
			v.Why += fmt.Sprintf("; QLoRA would, with %s", Size(Memory(q).Bytes()))
		}
	}
	return v, nil
}
