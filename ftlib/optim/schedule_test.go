package optim

import (
	"math"
	"testing"

	"ftlab/ftlib"
)

// The numbers are transformers' (get_scheduler with AdamW at 1.0), the rate that
// each optimizer step was taken with.
func TestLearningRateAgreesWithTransformers(t *testing.T) {
	for _, c := range []struct {
		schedule      string
		warmup, steps int
		want          []float64
	}{
		{"linear", 0, 5, []float64{1, 0.8, 0.6, 0.4, 0.2}},
		{"linear", 2, 6, []float64{0, 0.5, 1, 0.75, 0.5, 0.25}},
		{"constant", 0, 3, []float64{1, 1, 1}},
		{"constant", 3, 5, []float64{0, 1.0 / 3, 2.0 / 3, 1, 1}},
		{"cosine", 0, 4, []float64{1, 0.8535533905932737, 0.5, 0.14644660940672627}},
		{"cosine", 2, 6, []float64{0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627}},
		{"linear", 10, 4, []float64{0, 0.1, 0.2, 0.3}},
		{"linear", 0, 1, []float64{1}},
		{"cosine", 1, 1, []float64{0}},
	} {
		o := ftlib.Optim{LearningRate: 2, Schedule: c.schedule, WarmupSteps: c.warmup}
		for i, want := range c.want {
			if got := LearningRate(o, i+1, c.steps); math.Abs(got-2*want) > 1e-15 {
				t.Errorf("%s warmup %d of %d: step %d: %v, want %v", c.schedule, c.warmup, c.steps, i+1, got, 2*want)
			}
		}
		for n := c.steps; n < c.steps+3; n++ { // beyond the end: never negative
			if got := LearningRate(o, n+1, c.steps); got < 0 || got > 2 {
				t.Errorf("%s: step %d of %d: %v", c.schedule, n+1, c.steps, got)
			}
		}
	}
}

func TestWarmupRatioRoundsUp(t *testing.T) {
	for _, c := range []struct {
		ratio float64
		steps int
		want  int
	}{{0, 10, 0}, {0.03, 100, 3}, {0.03, 101, 4}, {0.1, 5, 1}} {
		if got := WarmupSteps(ftlib.Optim{WarmupRatio: c.ratio}, c.steps); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.ratio, c.steps, got, c.want)
		}
	}
	if got := WarmupSteps(ftlib.Optim{WarmupSteps: 7}, 10); got != 7 {
		t.Errorf("%d warm-up steps, want 7", got)
	}
}
