package chart

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
)

// grpo are events as a run of a reinforcement method reports them, rolled back once.
func grpo() []ftlib.Event {
	var out []ftlib.Event
	step := func(i int) {
		loss := 0.1
		out = append(out, ftlib.Event{Type: ftlib.EventStep, Step: i, Steps: 60, Loss: &loss, LR: 1e-4, GradNorm: 0.3, TokensPerSecond: 900, Memory: 1 << 30,
			Metrics: map[string]float64{"reward": 0.1 * float64(i), "reward_std": 0.2, "kl": 0.01, "entropy": 0.4, "frac_reward_zero_std": 0.5,
				"completions/mean_length": 40, "completions/clipped_ratio": 0.1, "rewards/numeric/mean": 0.3, "rewards/numeric/std": 0.1, "accuracy": 0.5}})
	}
	for i := 1; i <= 30; i++ {
		step(i)
	}
	out = append(out, ftlib.Event{Type: ftlib.EventEval, Step: 30, Metrics: map[string]float64{"eval_loss": 1, "eval_accuracy": 0.4}},
		ftlib.Event{Type: ftlib.EventRollback, Step: 20})
	for i := 21; i <= 25; i++ {
		step(i)
	}
	return out
}

func TestPanels(t *testing.T) {
	var got []string
	for _, p := range Panels(Curve{Events: grpo()}) {
		var names []string
		for _, s := range p.Figure.Series {
			names = append(names, s.Name)
			for i := 1; i < len(s.X); i++ {
				if s.X[i] <= s.X[i-1] || s.X[i] > 25 {
					t.Errorf("%s: steps that were rolled back are drawn: %v", s.Name, s.X)
					break
				}
			}
		}
		if p.Figure.X.To != 60 {
			t.Errorf("%s ends at %v of 60 planned steps", p.ID, p.Figure.X.To)
		}
		if _, err := p.Figure.SVG(); err != nil {
			t.Error(err)
		}
		got = append(got, p.Figure.Title+": "+strings.Join(names, ", "))
	}
	want := []string{
		"Loss: each step, training, learning rate",
		"Gradient norm and learning rate: gradient norm, learning rate",
		"Speed and memory: tokens a second, memory (GiB)",
		"Reward: reward, reward_std",
		"Distance from the reference: kl",
		"Entropy: entropy",
		"Shares: accuracy, frac_reward_zero_std",
		"Length of answers: completions/mean_length",
		"Completions: completions/clipped_ratio",
		"Rewards numeric: rewards/numeric/mean, rewards/numeric/std",
	}
	if !slices.Equal(got, want) {
		t.Errorf("panels\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWriteHTML(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.html")
	figures := []Figure{Loss(Curve{Events: grpo()}), Metric("kl", Curve{Events: grpo()})}
	if err := WriteHTML(path, "A run", figures...); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if page := string(data); err != nil || strings.Count(page, `class="ftlab-chart"`) != 2 || !strings.Contains(page, "<title>A run</title>") || strings.Contains(page, "http://") {
		t.Errorf("%v, %d bytes", err, len(data))
	}
	if err := WriteHTML(filepath.Join(path, "x.html"), ""); err == nil {
		t.Error("a folder that is not there")
	}
}
