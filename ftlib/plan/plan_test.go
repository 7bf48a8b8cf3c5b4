package plan

import (
	"math"
	"strings"
	"testing"

	"ftlab/ftlib"
)

func shapeNamed(t *testing.T, name string) Shape {
	t.Helper()
	s, err := FindShape(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The weights of well-known models are as many as their makers say.
func TestParams(t *testing.T) {
	for name, want := range map[string]int64{
		"TinyLlama-1.1B": 1_100_048_384, "meta-llama/Llama-2-7b-hf": 6_738_415_616, "13b": 13_015_864_320, "microsoft/phi-2": 2_779_683_840,
		"mistralai/Mistral-7B-v0.1": 7_241_732_096, "Qwen/Qwen2.5-Math-7B": 7_615_616_512, "Qwen2.5-0.5B": 494_032_768, "Llama-2-70B": 68_976_648_192,
		"65b": 65_285_660_672, "Llama-3.1-8B": 8_030_261_248, "Llama-3.2-3B": 3_212_749_824,
	} {
		if got := shapeNamed(t, name).Params(); got != want {
			t.Errorf("%s has %d weights, not %d", name, got, want)
		}
	}
	if _, err := FindShape("nonsense"); err == nil || !strings.Contains(err.Error(), "TinyLlama") {
		t.Errorf("an unknown name: %v", err)
	}
	s, err := ReadShape("../../models/ft-tiny")
	if tiny := shapeNamed(t, "ft-tiny"); err != nil || s.Params() != tiny.Params() || s.HeadDim != tiny.HeadDim {
		t.Errorf("ft-tiny: %+v, %v", s, err)
	}
	back, err := ParseShape(shapeNamed(t, "phi-2").Config())
	if err != nil || back.Params() != shapeNamed(t, "phi-2").Params() {
		t.Errorf("phi-2 written and read: %+v, %v", back, err)
	}
}

// What was recorded lies within 10 % of the ledger, and steps within 25 % of the model.
func TestRecorded(t *testing.T) {
	r := Recorded()
	for _, c := range append(r.Cases, r.Large...) {
		s, err := c.Setup()
		if err != nil {
			t.Fatal(err)
		}
		l := Memory(s)
		if m := c.Measured.PeakMiB; m > 0 {
			if off := float64(l.Bytes())/mib/m - 1; math.Abs(off) > 0.10 {
				t.Errorf("%s: %.0f MiB measured, the ledger says %s: %+.1f %%", c.Name, m, Size(l.Bytes()), 100*off)
			}
		}
		if m := c.Measured; m.StepMS > 0 && math.Abs(m.Estimated/m.StepMS-1) > 0.25 {
			t.Errorf("%s: %.0f ms measured, the model says %.0f", c.Name, m.StepMS, m.Estimated)
		}
	}
}

// The lines of a moment add up to it, and the peak is the largest moment.
func TestLedgerAddsUp(t *testing.T) {
	run := ftlib.Run{Method: ftlib.Method{PPO: &ftlib.PPO{}}, LoRA: &ftlib.LoRA{DoRA: true, Init: "pissa"}}
	for _, gpu := range []bool{false, true} {
		l := Memory(SetupOf(run, shapeNamed(t, "1b"), Place{GPU: gpu}))
		for _, m := range l.Moments {
			sum := int64(0)
			for _, x := range m.Lines {
				sum += x.Bytes
			}
			if sum != m.Bytes || m.Bytes > l.Bytes() {
				t.Errorf("%s: %d is not %d, or above the peak %d", m.Name, sum, m.Bytes, l.Bytes())
			}
		}
	}
}

// Every setting that should save memory does, and roles cost what they are.
func TestSettingsSave(t *testing.T) {
	shape := shapeNamed(t, "7b")
	base := ftlib.Run{LoRA: &ftlib.LoRA{R: 16}, Model: ftlib.Model{DType: "bfloat16", Memory: "save"}, Data: ftlib.Data{MaxLength: 1024}}
	peak := func(change func(r *ftlib.Run)) int64 {
		r := base.Clone()
		change(&r)
		return Memory(SetupOf(r, shape, Place{GPU: true})).Bytes()
	}
	whole := peak(func(*ftlib.Run) {})
	for name, change := range map[string]func(r *ftlib.Run){
		"recompute": func(r *ftlib.Run) { r.Model.Memory = "recompute" },
		"4 bits":    func(r *ftlib.Run) { r.Model.Load4Bit = true },
		"8 bits":    func(r *ftlib.Run) { r.Model.Load8Bit = true },
		"batch":     func(r *ftlib.Run) { r.Batch.Size = 1 },
		"length":    func(r *ftlib.Run) { r.Data.MaxLength = 512 },
		"rank":      func(r *ftlib.Run) { r.LoRA.R = 4 },
	} {
		if got := peak(change); got >= whole {
			t.Errorf("%s: %s is no less than %s", name, Size(got), Size(whole))
		}
	}
	ppo := func(r *ftlib.Run) {
		r.Method.PPO = &ftlib.PPO{Rollout: ftlib.Rollout{Rewards: []ftlib.RewardFunc{{Use: "model", Path: "."}}}}
	}
	r := base.Clone()
	ppo(&r)
	s := SetupOf(r, shape, Place{GPU: true})
	if s.Reference != OnBase || len(s.Judges) != 1 || s.Judges[0] != Separate || !s.Value {
		t.Errorf("PPO on one base: %+v", s)
	}
	r.LoRA = nil
	if s := SetupOf(r, shape, Place{GPU: true}); s.Reference != Separate || Memory(s).Share(lineModels) != 3*s.weightBytes() {
		t.Errorf("PPO of all weights holds %s in other models", Size(Memory(s).Share(lineModels)))
	}
	q := base.Clone()
	q.Model.Load4Bit, q.Model.DoubleQuant = true, true
	if got := SetupOf(q, shapeNamed(t, "65b"), Place{GPU: true}).weightBytes(); got < 33e9 || got > 35e9 {
		t.Errorf("65B in NF4: %d bytes", got)
	}
}

// A run that does not fit gets settings that do, and they are what the ledger says of them.
func TestFit(t *testing.T) {
	shape := shapeNamed(t, "7b")
	d, err := FindDevice("RTX 3060 12 GB")
	if err != nil {
		t.Fatal(err)
	}
	run := ftlib.Run{LoRA: &ftlib.LoRA{}, Data: ftlib.Data{MaxLength: 1024}}
	r := Of(run, shape, d, Work{Rows: 1000, Tokens: 300}, 0)
	if r.Fits || len(r.Advice) < 1 || !strings.Contains(r.Verdict(), "will, best first") {
		t.Fatalf("%s, %d pieces of advice", r.Verdict(), len(r.Advice))
	}
	for _, a := range r.Advice {
		changed := run.Clone()
		for _, c := range a.Changes {
			if err := changed.Set(c); err != nil {
				t.Fatal(err)
			}
		}
		if got := Memory(SetupOf(changed, shape, d.Place())).Bytes(); got != a.Bytes || got > d.Bytes() {
			t.Errorf("%v: %s, said %s", a.Changes, Size(got), Size(a.Bytes))
		}
	}
	if text := r.Text(); !strings.Contains(text, "--set model.load_in_4bit=true") || !strings.Contains(text, "peak") {
		t.Errorf("%s", text)
	}
	if r := Of(run, shapeNamed(t, "ft-tiny"), d, Work{}, 0); !r.Fits || r.Advice != nil {
		t.Errorf("ft-tiny: %s", r.Verdict())
	}
	if _, err := FindDevice("gtx"); err == nil || !strings.Contains(err.Error(), "rtx3060") {
		t.Errorf("an unknown device: %v", err)
	}
	if d, err := FindDevice("8xA100"); err != nil || d.Count != 8 || d.Bytes() != 640*gib {
		t.Errorf("eight: %+v, %v", d, err)
	}
}

// A calibration finds the rates that made its times.
func TestCalibrate(t *testing.T) {
	want := Rates{F32: 80, BF16: 60, Unpack: 0.7, Score: 0.9, Logit: 70, Update: 3, Call: 150}
	got, err := Calibrate(func(c Case) (float64, error) {
		s, err := c.Setup()
		return StepTime(s, Device{Rates: &want}), err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][2]float64{"f32": {got.F32, want.F32}, "bf16": {got.BF16, want.BF16}, "unpack": {got.Unpack, want.Unpack},
		"score": {got.Score, want.Score}, "head": {got.Logit, want.Logit}, "update": {got.Update, want.Update}, "call": {got.Call, want.Call}} {
		if math.Abs(v[0]/v[1]-1) > 0.02 {
			t.Errorf("%s: %g, not %g", name, v[0], v[1])
		}
	}
}

// Every way through the decision tree ends in a run that is valid and fits.
func TestDecide(t *testing.T) {
	for _, goal := range Questions(Answers{})[0].Options {
		forks := Questions(Answers{Goal: goal.Value})[1:]
		ways := []Answers{{Goal: goal.Value}}
		for _, q := range forks {
			ways = nil
			for _, o := range q.Options {
				ways = append(ways, Answers{Goal: goal.Value}.With(q.Key, o.Value))
			}
		}
		for _, a := range ways {
			a.Length = 512
			for _, device := range []string{"rtx3060", "a100"} {
				a.Device = device
				d, err := Decide(a)
				if err != nil {
					t.Fatal(err)
				}
				run, err := ftlib.Decode([]byte(d.YAML), "run.yaml")
				if err == nil {
					err = run.Validate()
				}
				if err != nil {
					t.Errorf("%+v: %v\n%s", a, err, d.YAML)
				}
				if !d.Report.Fits {
					t.Errorf("%+v: %s", a, d.Report.Verdict())
				}
				if want := map[string]string{"rtx3060": "qlora", "a100": "lora"}[device]; d.Adapter != want && a.Best != "memory" {
					t.Errorf("%+v: %s, want %s: %v", a, d.Adapter, want, d.Path)
				}
			}
		}
	}
	d, err := Decide(Answers{Goal: "preferences", Feedback: "pairs", Check: "code"}) // of another way
	if err != nil || d.Method != "dpo" {
		t.Errorf("pairs: %s, %v", d.Method, err)
	}
	if _, err := Decide(Answers{Goal: "fame"}); err == nil || !strings.Contains(err.Error(), "knowledge") {
		t.Errorf("an unknown goal: %v", err)
	}
}

// The claims that cannot be are told from those that can.
func TestGuideVerdicts(t *testing.T) {
	all, err := Compare(Guide())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Train 65B models on 24GB GPU": Cannot, "Minimum: 8GB VRAM for 7B model": Agrees, "RTX 3060 = 3x slower": TooLow,
		"Recommended: 24GB VRAM for 13B model": Cannot, "INT4 = 1.3x slower": Agrees}
	for _, v := range all {
		if w := want[v.Claim.Text]; w != "" && v.Verdict != w {
			t.Errorf("%s: %s, want %s (%s)", v.Claim.Text, v.Verdict, w, v.Ours)
		}
		delete(want, v.Claim.Text)
	}
	if len(want) > 0 {
		t.Errorf("no rows for %v", want)
	}
}
