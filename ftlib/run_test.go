package ftlib

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestUnknownKeysNameTheLineAndTheNearestKey(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"model:\n  path: m\n  dtpye: float32\n", `run.yaml line 3: unknown key "model.dtpye"; did you mean "model.dtype"?`},
		{"model:\n  path: m\nlearning_rate: 1\n", `run.yaml line 3: unknown key "learning_rate"; did you mean "optim.learning_rate"?`},
		{"optim:\n  gradient_accumulation_steps: 8\n", `run.yaml line 2: unknown key "optim.gradient_accumulation_steps"; did you mean "batch.gradient_accumulation_steps"?`},
		{"dta:\n  train: x\n", `run.yaml line 1: unknown key "dta"; did you mean "data"?`},
		{"lora:\n  alpha: 3\n", `run.yaml line 2: unknown key "lora.alpha"; did you mean "lora.lora_alpha"?`},
		{"qqqqqqqqqqqqqqqqqq: 3\n", `unknown key "qqqqqqqqqqqqqqqqqq"; ft train --keys lists all`},
		{"batch:\n  max_steps: many\n", `run.yaml line 2: batch.max_steps: "many" is not a whole number`},
		{"batch:\n  max_steps: 1.5\n", `"1.5" is not a whole number`},
		{"optim:\n  learning_rate: [1]\n", `run.yaml line 2: optim.learning_rate: a list where a number is expected`},
		{"optim: fast\n", `run.yaml line 1: optim: "fast" where keys are expected: optim, learning_rate, `},
		{"name: a\nname: b\n", `name: given before on line 1`},
		{"", "empty; a run needs at least model.path and data.train"},
		{"a: [\n", "run.yaml: line "},
	} {
		_, err := Decode([]byte(c.yaml), "run.yaml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.yaml, err, c.want)
		}
	}
	_, err := Decode([]byte("x1: 1\ny1: 2\nmodel:\n  pth: 3\n"), "run.yaml")
	if err == nil || strings.Count(err.Error(), "unknown key") != 3 {
		t.Errorf("three unknown keys are not all reported: %v", err)
	}
}

func TestEmptyLoRAAsksForDefaultsAndNullForNone(t *testing.T) {
	for text, want := range map[string]*LoRA{
		"lora:\nname: x\n": {}, "lora: {}\n": {}, "lora: null\n": nil, "lora: ~\n": nil,
		"lora: {target_modules: all-linear}\n":     {Targets: []string{"all-linear"}},
		"lora: {target_modules: [q_proj, v_proj]}": {Targets: []string{"q_proj", "v_proj"}},
	} {
		r, err := Decode([]byte(text), "r")
		if err != nil || !reflect.DeepEqual(r.LoRA, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, r.LoRA, err, want)
		}
	}
}

func TestSet(t *testing.T) {
	r := Run{Data: Data{Columns: map[string]string{"prompt": "q"}}}
	for _, s := range []string{"optim.learning_rate=2e-4", "lora.r=8", "lora.target_modules=q_proj, v_proj", "optim.adam_beta2=0.95",
		"data.columns.completion=a", "data.train=x=y.parquet", "data.packing=true", "name=", "seed=0x10", "data.max_length=1_024"} {
		if err := r.Set(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	want := Run{
		Seed: 16, LoRA: &LoRA{R: 8, Targets: []string{"q_proj", "v_proj"}}, Optim: Optim{LearningRate: 2e-4, Beta2: ptr(0.95)},
		Data: Data{Train: "x=y.parquet", Packing: true, MaxLength: 1024, Columns: map[string]string{"prompt": "q", "completion": "a"}},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
	if err := r.Set("lora=null"); err != nil || r.LoRA != nil {
		t.Errorf("lora=null: %v, %v", r.LoRA, err)
	}
	if err := r.Set("lora="); err != nil || !reflect.DeepEqual(r.LoRA, &LoRA{}) { // as "lora:" in a file
		t.Errorf("lora=: %v, %v", r.LoRA, err)
	}
	for s, want := range map[string]string{
		"optim.learning_rte=1": `did you mean "optim.learning_rate"?`,
		"lora":                 "write it as key=value",
		"batch.max_steps=x":    `"x" is not a whole number`,
		"data=3":               "where keys are expected",
	} {
		if err := r.Set(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", s, err, want)
		}
	}
}

// random fills every field, so that a field the encoder or Clone forgets is seen.
func random(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		random(rng, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			random(rng, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+rng.IntN(3), 3))
		for i := range v.Len() {
			random(rng, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 3 {
			value := reflect.New(v.Type().Elem()).Elem()
			random(rng, value)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("k", rng.IntN(1000))), value)
		}
	case reflect.String:
		v.SetString([]string{"a", "null", "12", "true", "ein Satz: mit # Zeichen", "é\n\"x\"", "- 1", "1e3", "~"}[rng.IntN(9)])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(rng.Int64N(1<<40) - 1<<39)
	case reflect.Float64:
		v.SetFloat(rng.NormFloat64() * 1e-5)
	default:
		panic(v.Type())
	}
}

func TestRoundTrips(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var r Run
		random(rng, reflect.ValueOf(&r).Elem())
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(text, "r")
		if err != nil || !reflect.DeepEqual(r, back) {
			t.Fatalf("YAML: %v\n%s\n%+v\n%+v", err, text, r, back)
		}
		js, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err = Decode(js, "r"); err != nil || !reflect.DeepEqual(r, back) {
			t.Fatalf("JSON read as YAML: %v\n%s", err, js)
		}
		var plain Run
		if err := json.Unmarshal(js, &plain); err != nil || !reflect.DeepEqual(r, plain) {
			t.Fatalf("JSON: %v\n%s", err, js)
		}
		// Set takes what Settings gives, except for maps and text that is YAML itself.
		var again Run
		for _, s := range r.Settings() {
			if strings.HasPrefix(s[0], "optim.") || strings.HasPrefix(s[0], "batch.") {
				if err := again.Set(s[0] + "=" + fmt.Sprintf("%q", s[1])); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !reflect.DeepEqual(again.Optim, r.Optim) || again.Batch != r.Batch {
			t.Fatalf("Settings: %+v\n%+v", again.Optim, r.Optim)
		}
	}
}

// Text is read back as it was, wherever its lines and spaces are.
func TestTextRoundTrips(t *testing.T) {
	for _, text := range []string{"\nHint: {answer}", "\n", "\n\n", " ", "\n  a\n b\n", "  a\n\nb", "a\n", "a\n\n", "\ta\nb", "a \nb ", "true", "1e-3", "null", "~", "# a", "a: b", "- a", "{a}", "\u2028", "\r\n", "'\"", "<é&"} {
		r := Run{Name: text, Data: Data{Prompt: text}, Method: Method{STaR: &STaR{Hint: text, Rollout: Rollout{Stop: []string{text, text}}}}}
		data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(data, "r")
		if err != nil || !reflect.DeepEqual(r, back) {
			t.Errorf("%q: %v\n%s", text, err, data)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var r Run
	random(rng, reflect.ValueOf(&r).Elem())
	before, _ := json.Marshal(r)
	c := r.Clone()
	if !reflect.DeepEqual(r, c) {
		t.Fatal("the clone differs")
	}
	var scribble func(v reflect.Value)
	scribble = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			scribble(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				scribble(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				scribble(v.Index(i))
			}
		case reflect.Map:
			v.Clear()
		default:
			v.SetZero()
		}
	}
	scribble(reflect.ValueOf(&c).Elem())
	if after, _ := json.Marshal(r); string(after) != string(before) {
		t.Errorf("changing the clone changed the run:\n%s\n%s", before, after)
	}
}

func TestResolve(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	r := Run{Model: Model{Path: "m"}, Data: Data{Train: "data/gsm8k/train.parquet"}}
	full := r.resolve(now)
	if full.Name != "sft-gsm8k-train-20260304-050607" || full.Dir() != "runs/sft-gsm8k-train-20260304-050607" {
		t.Errorf("name %q, directory %q", full.Name, full.Dir())
	}
	if full.Optim.LearningRate != 2e-5 || full.Data.Split != 0.1 || *full.Optim.Beta2 != 0.999 || full.Batch.Epochs != 1 || full.Seed != 42 {
		t.Errorf("defaults: %+v", full)
	}
	if r.Seed != 0 || r.Optim.Beta1 != nil {
		t.Error("Resolve changed its receiver")
	}
	r.LoRA = &LoRA{R: 8}
	r.Batch.MaxSteps = 10
	r.Data.Validation = "v.jsonl"
	full = r.resolve(now)
	if full.LoRA.Alpha != 16 || full.Optim.LearningRate != 2e-4 || full.Batch.Epochs != 0 || full.Data.Split != 0 || r.LoRA.Alpha != 0 {
		t.Errorf("defaults with LoRA: %+v %+v", full, full.LoRA)
	}
	if again := full.resolve(now.Add(time.Hour)); !reflect.DeepEqual(again, full) {
		t.Error("resolving twice changes the run")
	}
	if err := full.Validate(); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"a/tinystories/sample.txt": "tinystories-sample", "x.jsonl.gz": "x", "owner/name": "name", "d/*.parquet": "d--", "": "data",
		"chat/": "chat", "v1.5-data.json": "v1-5-data",
	} {
		if got := shortName(path); strings.Trim(got, "-") != strings.Trim(want, "-") {
			t.Errorf("shortName(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Run{Model: Model{Path: "m"}, Data: Data{Train: "d"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ set, want string }{
		{"model.path=", "model.path: missing"},
		{"data.train=", "data.train: missing"},
		{"name=a/b", "one directory below output_dir"},
		{"model.dtype=float16", "loss scaling"},
		{"model.dtype=bfloat", `"bfloat" is not one of float32, bfloat16 (did you mean "bfloat16"?)`},
		{"data.validation_split=1", "leaves nothing to train on"},
		{"data.train_on=asistant", `did you mean "assistant"?`},
		{"lora.lora_dropout=1", "not in [0, 1)"},
		{"lora.r=-1", "-1 is below 0"},
		{"lora.bias=some", "not one of none, all, lora_only"},
		{"optim.learning_rate=-1", "-1 is not a number from 0 on"},
		{"optim.learning_rate=nan", "NaN is not a number"},
		{"optim.lr_scheduler_type=cosin", `did you mean "cosine"?`},
		{"optim.adam_beta1=1", "not in [0, 1)"},
		{"batch.max_steps=-1", "-1 is below 0"},
		{"method.sft.loss_type=x", "not one of nll, dft"},
		{"data.max_length=1", "nothing to predict"},
	} {
		r := good.Clone()
		if err := r.Set(c.set); err != nil {
			t.Fatal(err)
		}
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.set, err, c.want)
		}
	}
	frozen := good.Clone()
	frozen.Model.Freeze = []string{"embed_tokens"}
	if err := frozen.Validate(); err != nil {
		t.Error(err)
	}
	frozen.LoRA = &LoRA{}
	if err := frozen.Validate(); err == nil || !strings.Contains(err.Error(), "model.freeze: an adapter leaves all weights") {
		t.Errorf("freeze with lora: %v", err)
	}
	whole := good.Clone()
	whole.Method = Method{RLOO: &RLOO{Rollout: Rollout{Rewards: []RewardFunc{{Use: "prm", Path: "p", Steps: "each"}}}}}
	if err := whole.Validate(); err == nil || !strings.Contains(err.Error(), "method.rloo.rewards[0].steps: RLOO compares whole answers") {
		t.Errorf("rewards of steps for RLOO: %v", err)
	}
	bad := good.Clone()
	bad.Eval.Patience, bad.Data.Split = 2, -1
	bad.Model.Adapter, bad.LoRA = "runs/x/step-3", &LoRA{}
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "lora: model.adapter brings its own") {
		t.Errorf("an adapter and a new one: %v", err)
	}
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "there is no validation") {
		t.Errorf("patience without validation: %v", err)
	}
}

func TestEventIsAlwaysJSON(t *testing.T) {
	nan, inf := 0.0, 1.0
	nan /= nan
	inf /= 0 * inf
	e := Event{Type: EventError, Step: 3, Loss: &nan, GradNorm: inf, Metrics: map[string]float64{"a": nan, "b": 2}}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Event
	if err := json.Unmarshal(data, &back); err != nil || back.Loss != nil || back.Metrics["b"] != 2 || back.Step != 3 {
		t.Errorf("%s: %v", data, err)
	}
	if len(e.Metrics) != 2 {
		t.Error("encoding changed the event")
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	for _, key := range Keys() {
		if key != "name" && len(KeyDoc(key)) < 5 && !strings.HasPrefix(key, "parent.") {
			t.Errorf("%s: %q", key, KeyDoc(key))
		}
	}
	if got := KeyDoc("optim.learning_rate"); got != "zero: 2e-4 with LoRA or an adapter, 2e-5 without" {
		t.Errorf("optim.learning_rate: %q", got)
	}
}
