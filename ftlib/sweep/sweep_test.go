package sweep

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
)

const base = `
run:
  model: {path: m}
  data: {train: rows.jsonl}
  batch: {max_steps: 90}
  lora: {}
`

func decode(t *testing.T, text string) Spec {
	t.Helper()
	s, err := Decode([]byte(text), "s.yaml", ".")
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(t *testing.T, s Spec) []string {
	t.Helper()
	trials, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, tr := range trials {
		out = append(out, tr.Words())
	}
	return out
}

func TestGrid(t *testing.T) {
	s := decode(t, base+`over: {lora.r: [4, 8], optim.learning_rate: {min: 1e-4, max: 1e-2, scale: log, steps: 3}}`)
	want := []string{
		"r=4 learning_rate=0.0001", "r=4 learning_rate=0.001", "r=4 learning_rate=0.01",
		"r=8 learning_rate=0.0001", "r=8 learning_rate=0.001", "r=8 learning_rate=0.01",
	}
	if got := names(t, s); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	trials, _ := s.List()
	last := trials[5]
	if last.Run.LoRA.R != 8 || last.Run.Optim.LearningRate != 0.01 || last.Run.Dir() != filepath.Join("sweeps", "sweep", "006") || s.Run.LoRA.R != 0 {
		t.Errorf("%+v", last.Run)
	}
	lists := decode(t, base+`over: {"lora.target_modules": [[q_proj, v_proj], all-linear]}`)
	trials, _ = lists.List()
	if got := trials[0].Run.LoRA.Targets; !slices.Equal(got, []string{"q_proj", "v_proj"}) || trials[1].Run.LoRA.Targets[0] != "all-linear" {
		t.Errorf("%q", got)
	}
}

// More trials keep the first ones, another seed gives others, and every value is in its range.
func TestRandom(t *testing.T) {
	text := base + `
over: {optim.learning_rate: {min: 1e-5, max: 1e-2, scale: log}, lora.r: {min: 2, max: 64, whole: true}, seed: [1, 2]}
search: random
trials: `
	few, many := decode(t, text+"5"), decode(t, text+"200")
	if a, b := names(t, few), names(t, many); !slices.Equal(a, b[:5]) || len(b) != 200 {
		t.Errorf("%q is not the beginning of %q", a, b[:5])
	}
	other := few
	other.Seed = 1
	if slices.Equal(names(t, few), names(t, other)) {
		t.Error("another seed draws the same")
	}
	trials, _ := many.List()
	below := 0
	for _, tr := range trials {
		lr, r := tr.Run.Optim.LearningRate, tr.Run.LoRA.R
		if lr < 1e-5 || lr > 1e-2 || r < 2 || r > 64 {
			t.Errorf("%s is out of its range", tr.Words())
		}
		if lr < math.Sqrt(1e-5*1e-2) {
			below++
		}
	}
	if below < 70 || below > 130 { // even in the logarithm: half of them; six standard deviations
		t.Errorf("%d of 200 draws lie in the lower half of a logarithmic range", below)
	}
	short := decode(t, base+"over: {seed: [1, 2, 3]}\nsearch: random\ntrials: 10")
	if got := names(t, short); len(got) != 3 {
		t.Errorf("three values gave %q", got)
	}
}

func TestHalvingRounds(t *testing.T) {
	s := decode(t, base+"over: {seed: [1, 2, 3, 4]}\nsearch: halving\n")
	if got := s.Rounds(); !slices.Equal(got, []int{10, 30, 90}) {
		t.Errorf("rounds %v", got)
	}
	trials, _ := s.List()
	if trials[0].Run.Eval.Every != 10 {
		t.Errorf("validates every %d steps", trials[0].Run.Eval.Every)
	}
	s.MinSteps, s.Run.Eval.Every = 40, 20
	if got := s.Rounds(); !slices.Equal(got, []int{40, 90}) {
		t.Errorf("rounds %v", got)
	}
	if trials, _ = s.List(); trials[0].Run.Eval.Every != 20 {
		t.Errorf("validates every %d steps", trials[0].Run.Eval.Every)
	}
	var alive []Trial
	var here []Outcome
	for name, v := range map[string]float64{"a": 3, "b": 1, "c": math.NaN(), "d": 2} {
		o := Outcome{Trial: Trial{Name: name}, Step: 90, Events: []ftlib.Event{
			{Type: ftlib.EventEval, Step: 40, Metrics: map[string]float64{"eval_loss": v}},
			{Type: ftlib.EventEval, Step: 90, Metrics: map[string]float64{"eval_loss": -v}}, // it has come further
		}}
		alive, here = append(alive, o.Trial), append(here, o)
	}
	if on := s.Promote(alive, here, 40); len(on) != 2 || on[0].Name != "b" || on[1].Name != "d" {
		t.Errorf("%+v", on)
	}
	s.Goal = "max"
	if on := s.Promote(alive, here, 40); on[0].Name != "a" {
		t.Errorf("%+v", on)
	}
}

func TestValue(t *testing.T) {
	one, two, bad := 1.0, 2.0, math.NaN()
	events := []ftlib.Event{
		{Type: ftlib.EventStep, Step: 1, Loss: &two, Metrics: map[string]float64{"reward": 7}},
		{Type: ftlib.EventEval, Step: 1, Metrics: map[string]float64{"eval_loss": 5}},
		{Type: ftlib.EventStep, Step: 2, Loss: &one},
		{Type: ftlib.EventEval, Step: 2, Metrics: map[string]float64{"eval_loss": 4}},
		{Type: ftlib.EventStep, Step: 3, Loss: &bad},
	}
	for _, c := range []struct {
		metric string
		step   int
		want   float64
	}{{"", 1, 5}, {"", 9, 4}, {"loss", 2, 1}, {"reward", 9, 7}} {
		if v := (Spec{Metric: c.metric}).Value(events, c.step); v == nil || *v != c.want {
			t.Errorf("%q after %d: %v, want %v", c.metric, c.step, v, c.want)
		}
	}
	for metric, step := range map[string]int{"loss": 3, "eval_accuracy": 9} {
		if v := (Spec{Metric: metric}).Value(events, step); v != nil {
			t.Errorf("%s after %d: %v", metric, step, *v)
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	s := decode(t, base+`
over: {optim.learning_rate: {min: 1e-5, max: 1e-2, scale: log}, lora.target_modules: [[q_proj, v_proj], all-linear]}
search: random
trials: 3
seed: 7
`)
	s.Out, s.Name = t.TempDir(), "a"
	for range 2 { // the second time finds it
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	back, err := Open(s.Dir())
	if err != nil || !reflect.DeepEqual(names(t, back), names(t, s)) {
		t.Errorf("%v: %q, want %q", err, names(t, back), names(t, s))
	}
	if err := back.Begin(); err != nil {
		t.Errorf("what was read back is another sweep: %v", err)
	}
	s.Seed = 8
	if err := s.Begin(); err == nil || !strings.Contains(err.Error(), "holds another sweep") {
		t.Errorf("another sweep in its directory: %v", err)
	}
	if _, err := s.WriteBest(nil); err == nil {
		t.Error("a best run of nothing")
	}
	v := 0.5
	trials, _ := s.List()
	path, err := s.WriteBest([]Outcome{{Trial: trials[1], Value: &v, Step: 9}})
	if err != nil {
		t.Fatal(err)
	}
	run, err := ftlib.ReadFile(path)
	if err != nil || run.Name != "" || run.Out != "" || run.Optim.LearningRate != trials[1].Run.Optim.LearningRate {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestBadSweeps(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "a sweep has the keys",
		"over: {seed: [1]}":              "run is missing",
		base:                             "over is missing",
		base + "over: {}":                "nothing is searched",
		base + "over: seed":              "pairs are expected",
		base + "over: {s: 1}":            "a list of values or a range",
		base + "over: {lora.alpha: [1]}": `did you mean "lora.lora_alpha"?`,
		base + "over: {lora.r: [four]}":  `"four" is not a whole number`,
		base + "over: {lora.r: []}":      "no values",
		base + "over: {name: [a]}":       "names its runs itself",
		base + "over: {seed: [1]}\nsearch: bayes":                                   "none of grid, random, halving",
		base + "over: {seed: [1]}\nsearch: random":                                  "trials: 12",
		base + "over: {seed: [1]}\ntrails: 3":                                       `line 8: unknown key "trails"`,
		base + "over: {seed: [1]}\ngoal: best":                                      "neither min nor max",
		base + "over: {seed: [1]}\nparallel: -1":                                    "at least 1",
		base + "over: {seed: [1]}\nname: a/b":                                       "no name of a directory",
		base + "over: {seed: [1]}\nmin_steps: 100\nsearch: halving":                 "not between 1 and max_steps, which is 90",
		base + "over: {batch.max_steps: [9]}\nsearch: halving":                      "halving decides how long",
		base + "over: {optim.weight_decay: {min: 0, max: 1}}":                       "in a grid a range needs steps",
		base + "over: {optim.weight_decay: {min: 0, max: 1, scale: log, steps: 2}}": "must be above 0",
		base + "over: {optim.weight_decay: {min: 2, max: 1, steps: 2}}":             "is not below",
		base + "over: {optim.weight_decay: {min: 2, steps: 2}}":                     "min and max",
		base + "over: {lora.lora_dropout: [0, 2]}":                                  "trial 002 (lora_dropout=2)",
		"run: missing.yaml\nover: {seed: [1]}":                                      "missing.yaml",
	} {
		s, err := Decode([]byte(text), "s.yaml", t.TempDir())
		if err == nil {
			err = s.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v\nwant %q", text, err, want)
		}
	}
	big := decode(t, base+"over: {seed: [1, 2]}")
	big.Over = []Axis{{Key: "seed", Min: 0, Max: 1e5, Steps: 1e4 + 1, Whole: true}}
	if err := big.Validate(); err == nil || !strings.Contains(err.Error(), "search: random") {
		t.Errorf("a grid of 10,001: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no sweep") {
		t.Errorf("an empty directory: %v", err)
	}
}

// A run file is looked for beside the sweep that names it, whatever the working directory.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"run.yaml":   "model: {path: m}\ndata: {train: rows.jsonl}\n",
		"rates.yaml": "run: run.yaml\nover: {optim.learning_rate: [1e-4, 3e-4]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ReadFile(filepath.Join(dir, "rates.yaml"))
	if err != nil || s.Name != "rates" || s.Run.Model.Path != "m" {
		t.Errorf("%+v, %v", s, err)
	}
}
