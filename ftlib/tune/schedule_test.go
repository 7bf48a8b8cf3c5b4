package tune

import (
	"testing"

	"ftlab/ftlib"
)

func TestPlan(t *testing.T) {
	base := ftlib.Run{Batch: ftlib.Batch{Accumulate: 4, Epochs: 2}}
	for _, c := range []struct {
		change  func(*ftlib.Run)
		batches int
		valid   bool
		want    schedule
	}{
		{nil, 100, true, schedule{Steps: 50, PerEpoch: 25, EvalEvery: 5, SaveEvery: 5}},
		{nil, 101, true, schedule{Steps: 52, PerEpoch: 26, EvalEvery: 5, SaveEvery: 5}},
		{nil, 100, false, schedule{Steps: 50, PerEpoch: 25, SaveEvery: 5}},
		{nil, 1, true, schedule{Steps: 2, PerEpoch: 1, EvalEvery: 1, SaveEvery: 1}},
		{func(r *ftlib.Run) { r.Batch.Epochs = 0.5 }, 100, true, schedule{Steps: 13, PerEpoch: 25, EvalEvery: 1, SaveEvery: 1}},
		{func(r *ftlib.Run) { r.Batch.MaxSteps = 7; r.Eval.Every = 3 }, 100, true, schedule{Steps: 7, PerEpoch: 25, EvalEvery: 3, SaveEvery: 3}},
		{func(r *ftlib.Run) { r.Eval.Every = -1; r.Save.Every = 11 }, 100, true, schedule{Steps: 50, PerEpoch: 25, SaveEvery: 11}},
		{func(r *ftlib.Run) { r.Save.Every = -1 }, 100, true, schedule{Steps: 50, PerEpoch: 25, EvalEvery: 5}},
	} {
		r := base
		if c.change != nil {
			c.change(&r)
		}
		if got := newSchedule(r, c.batches, c.valid); got != c.want {
			t.Errorf("%d batches, %+v: %+v, want %+v", c.batches, r.Batch, got, c.want)
		}
	}
}
