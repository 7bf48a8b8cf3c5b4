package tune

import (
	"math"

	"ftlab/ftlib"
)

// schedule is a run's timetable in optimizer steps.
type schedule struct {
	Steps     int // in all
	PerEpoch  int
	EvalEvery int // 0: never
	SaveEvery int // 0: only at the end
}

// newSchedule plans a resolved run over epochs of batches micro-batches. The last
// step of an epoch takes what is left of it, as in transformers' Trainer.
func newSchedule(r ftlib.Run, batches int, validation bool) schedule {
	s := schedule{PerEpoch: (batches + r.Batch.Accumulate - 1) / r.Batch.Accumulate}
	s.Steps = r.Batch.MaxSteps
	if s.Steps == 0 {
		s.Steps = max(1, int(math.Ceil(r.Batch.Epochs*float64(s.PerEpoch))))
	}
	tenth := max(1, s.Steps/10)
	if validation {
		s.EvalEvery = every(r.Eval.Every, tenth)
	}
	if s.EvalEvery > 0 {
		tenth = s.EvalEvery
	}
	s.SaveEvery = every(r.Save.Every, tenth)
	return s
}

func every(asked, usual int) int {
	switch {
	case asked < 0:
		return 0
	case asked == 0:
		return usual
	}
	return asked
}
