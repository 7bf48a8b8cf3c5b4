package tune

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// A collapse is noticed, and the step is known at which rewards were best.
func TestGuardKnowsTheLastGoodStep(t *testing.T) {
	var g guard
	for i := range 60 {
		reward := 0.2 // of the beginning
		switch {
		case i >= 16 && i < 32:
			reward = 0.8
		case i >= 32:
			reward = 0
		}
		g.look(&Rollout{Metrics: map[string]float64{"reward": reward}}, 2*i)
		if g.Reason != "" {
			break
		}
	}
	if !strings.Contains(g.Reason, "collapse") || g.Good != 2*31 {
		t.Errorf("%q, the last good step is %d, want 62", g.Reason, g.Good)
	}
}

// Rewards that move about as they do by chance, and a gain that is kept, stop nothing.
func TestGuardBearsNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, gain := range []float64{0, 0.3} {
		var g guard
		for i := range 400 {
			g.look(&Rollout{Metrics: map[string]float64{"reward": 0.2 + gain*min(1, float64(i)/100) + 0.06*rng.NormFloat64()}}, i)
		}
		if g.Reason != "" {
			t.Errorf("gain %v: %s", gain, g.Reason)
		}
	}
}

// collapsed is a stepper that says from the start that all was lost after step 3.
type collapsed struct{ *bigram }

func (collapsed) stopped() string { return "collapse" }
func (collapsed) lastGood() int   { return 3 }

func TestStopNamesTheLastGoodCheckpoint(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []string{"step-2", "step-3", "step-4"} { // none is whole
		if err := os.Mkdir(filepath.Join(dir, step), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := &Loop{Run: ftlib.Run{}, Stepper: collapsed{newBigram(4, 0)}, Dir: &ckpt.Dir{Path: dir}}
	if got := l.lastGood(); !strings.Contains(got, "No checkpoint from before step 3") {
		t.Errorf("%q", got)
	}
	l.Stepper = newBigram(4, 0)
	if got := l.lastGood(); got != "" {
		t.Errorf("%q", got)
	}
}
