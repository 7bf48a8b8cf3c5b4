package chart

import (
	"strings"
	"testing"

	"ftlab/ftlib"
)

func history(metrics ...func(step int) (string, float64)) (events []ftlib.Event) {
	for step := 1; step <= 20; step++ {
		loss := 0.001
		e := ftlib.Event{Type: ftlib.EventStep, Step: step, Loss: &loss, Metrics: map[string]float64{}}
		for _, m := range metrics {
			name, v := m(step)
			e.Metrics[name] = v
		}
		events = append(events, e)
	}
	return events
}

func slope(name string, per float64) func(int) (string, float64) {
	return func(step int) (string, float64) { return name, -20 + per*float64(step) }
}

// The questions that everybody asks are answered where they arise.
func TestPanelsExplain(t *testing.T) {
	panel := func(events []ftlib.Event, title string) Figure {
		for _, p := range Panels(Curve{Events: events}) {
			if p.Figure.Title == title {
				return p.Figure
			}
		}
		t.Fatalf("no panel %s", title)
		return Figure{}
	}
	online := history(slope("frac_reward_zero_std", 0), slope("kl", 0))
	if f := panel(online, "Loss"); !strings.Contains(f.Subtitle, "gradient is not") || !strings.Contains(f.Series[0].Help, "Look at the reward") {
		t.Errorf("%+v", f)
	}
	if f := panel(history(), "Loss"); strings.Contains(f.Subtitle, "gradient") {
		t.Errorf("of another method: %q", f.Subtitle)
	}
	for _, c := range []struct {
		chosen, rejected float64
		want             string
	}{{-0.5, -1, "both fall: normal"}, {-1, -1, "nothing is preferred"}, {0.2, -1, ""}, {-0.01, -1, ""}} {
		f := panel(history(slope("logps/chosen", c.chosen), slope("logps/rejected", c.rejected)), "Logps")
		if !strings.Contains(f.Subtitle, c.want) || (c.want == "") != (f.Subtitle == "") || f.Series[0].Help == "" {
			t.Errorf("%+v: %q", c, f.Subtitle)
		}
	}
}
