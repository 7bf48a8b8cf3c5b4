package health

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
)

func method(name string) ftlib.Run {
	r := ftlib.Run{LoRA: &ftlib.LoRA{}}
	switch name {
	case "grpo":
		r.Method.GRPO = &ftlib.GRPO{}
	case "ppo":
		r.Method.PPO = &ftlib.PPO{}
	case "star":
		r.Method.STaR = &ftlib.STaR{}
	case "dpo":
		r.Method.DPO = &ftlib.DPO{}
	}
	return r
}

// steps makes one step event for each value of a metric.
func steps(name string, values ...float64) []ftlib.Event {
	var out []ftlib.Event
	for i, v := range values {
		loss := 1.0
		e := ftlib.Event{Type: ftlib.EventStep, Step: i + 1, Loss: &loss, LR: 2e-4, GradNorm: 0.5}
		switch name {
		case "loss":
			e.Loss = &v
		case "grad_norm":
			e.GradNorm = v
		case "learning_rate":
			e.LR = v
		default:
			e.Metrics = map[string]float64{name: v}
		}
		out = append(out, e)
	}
	return out
}

func repeat(v float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func find(t *testing.T, list []Finding, metric string, look Look) Finding {
	t.Helper()
	for _, f := range list {
		if f.Rule.Metric == metric && f.Rule.Look == look {
			return f
		}
	}
	t.Fatalf("nothing about %s (%s) in %+v", metric, look, list)
	return Finding{}
}

func TestBuiltinRules(t *testing.T) {
	rules, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	join := func(parts ...[]float64) (all []float64) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		method, metric, reported string
		look                     Look
		values                   []float64
		want                     State
		words                    string
	}{
		{"sft", "loss", "loss", "", repeat(1.2, 30), Healthy, ""},
		{"sft", "loss", "loss", "", repeat(0.3, 30), Suspect, "by heart"},
		{"sft", "loss", "loss", "", repeat(0.001, 30), Wrong, "by heart"},
		{"sft", "loss", "loss", "", repeat(6, 5), Unknown, ""}, // too early
		{"sft", "loss", "loss", Growth, join(repeat(1, 30), repeat(1.2, 30)), Suspect, "rises"},
		{"sft", "loss", "loss", Growth, repeat(1, 40), Unknown, ""}, // not enough before
		{"sft", "grad_norm", "grad_norm", "", repeat(150, 20), Wrong, "Unstable"},
		{"sft", "learning_rate", "learning_rate", Last, []float64{1, 2e-4}, Healthy, ""},
		{"grpo", "grad_norm", "grad_norm", "", repeat(5, 20), Suspect, "Unstable"},
		{"grpo", "kl", "kl", "", repeat(0.2, 20), Healthy, ""},
		{"grpo", "kl", "objective/kl", "", repeat(2.5, 20), Wrong, "diverged"},
		{"grpo", "kl", "kl", Growth, join(repeat(0.1, 20), repeat(0.4, 20)), Suspect, "three times"},
		{"grpo", "entropy", "entropy", "", repeat(0.005, 20), Wrong, "one and the same"},
		{"grpo", "entropy", "entropy", "", repeat(0.7, 20), Suspect, "mind"},
		{"grpo", "reward", "reward", "", repeat(0.05, 25), Suspect, "broken"},
		{"grpo", "reward_std", "reward_std", Zeros, join(repeat(0, 15), repeat(0.2, 5)), Suspect, "nothing to learn"},
		{"grpo", "frac_reward_zero_std", "frac_reward_zero_std", "", repeat(1, 20), Wrong, "no gradient"},
		{"grpo", "clip_ratio", "clip_ratio/region_mean", "", repeat(0.35, 20), Wrong, "too large"},
		{"grpo", "completions/clipped_ratio", "completions/clipped_ratio", "", repeat(0.5, 20), Suspect, "max_completion_length"},
		{"grpo", "completions/mean_length", "completions/mean_length", Growth, join(repeat(40, 20), repeat(70, 20)), Suspect, "length is what is rewarded"},
		{"ppo", "objective/kl", "objective/kl", "", repeat(2.5, 20), Healthy, ""}, // nats an answer
		{"ppo", "objective/kl", "objective/kl", "", repeat(80, 20), Wrong, "kl_target"},
		{"ppo", "policy/approxkl", "policy/approxkl", "", repeat(0.2, 20), Suspect, "num_ppo_epochs"},
		{"ppo", "entropy", "policy/entropy", "", repeat(0.005, 20), Wrong, "one and the same"},
		{"ppo", "clip_ratio", "policy/clipfrac", "", repeat(0.35, 20), Wrong, "too large"},
		{"star", "star/solved", "star/solved", Last, []float64{0.01, 0.02}, Suspect, "worked examples"},
		{"dpo", "logps/chosen", "logps/chosen", Growth, join(repeat(-20, 20), repeat(-30, 20)), Suspect, "less likely"},
		{"dpo", "logps/chosen", "logps/chosen", Growth, join(repeat(-20, 20), repeat(-19, 20)), Healthy, ""},
		{"dpo", "rewards/accuracies", "rewards/accuracies", "", repeat(0.9, 30), Healthy, ""},
	} {
		f := find(t, rules.Look(method(c.method), steps(c.reported, c.values...)), c.metric, c.look)
		if f.State != c.want || !strings.Contains(f.Words, c.words) || (c.words == "") != (f.Words == "") || f.Name != c.reported {
			t.Errorf("%s %s %v: %q as %s, %q; want %q, %q", c.method, c.metric, c.values[len(c.values)-1], f.State, f.Name, f.Words, c.want, c.words)
		}
		if f.Rule.Source == "" || f.Rule.Meaning == "" || f.Shown() == "" || f.Range() == "" {
			t.Errorf("%s: a rule without words: %+v", c.metric, f)
		}
	}
}

func TestGapBetweenTrainingAndValidation(t *testing.T) {
	rules, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	eval := func(step int, v float64) ftlib.Event {
		return ftlib.Event{Type: ftlib.EventEval, Step: step, Metrics: map[string]float64{"eval_loss": v}}
	}
	events := append(steps("loss", 3, 3), eval(2, 3))
	events = append(events, steps("loss", 1, 1)...)
	f := find(t, rules.Look(method("sft"), append(events, eval(4, 1.8))), "eval_gap", Last)
	if f.State != Suspect || f.Value < 0.79 || f.Value > 0.81 {
		t.Errorf("%+v", f)
	}
}

// A class writes its own rules; what is wrong in them is said with its place.
func TestRulesOfOnesOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	text := "rules:\n- {metric: giggles, look: last, healthy: {min: 2}, low: Tell jokes., meaning: laughs a step, source: the class}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	rules, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if f := rules.Look(method("sft"), steps("giggles", 5, 1)); len(f) != 1 || f[0].Words != "Tell jokes." || f[0].Range() != "at least 2" {
		t.Errorf("%+v", f)
	}
	for text, want := range map[string]string{
		"rules:\n- {metric: a, helthy: {min: 1}}":                             "helthy",
		"rules:\n- {metric: a, healthy: {min: 1}}":                            "no words",
		"rules:\n- {metric: a, healthy: {min: 1, max: 0}, low: x, high: y}":   "ends before",
		"rules:\n- {metric: a, look: mode, healthy: {min: 1}, low: x}":        "mode",
		"rules:\n- {metric: a, methods: [dbo], healthy: {min: 1}, low: x}":    "dbo",
		"rules:\n- {metric: a, healthy: {}}\n- {healthy: {min: 1}, low: x}\n": "rule 2",
	} {
		if _, err := Parse([]byte(text), "r.yaml"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "r.yaml") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
