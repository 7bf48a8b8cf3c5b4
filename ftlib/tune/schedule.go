package tune

import (
	"math"

	"ftlab/ftlib"
)

// LearningRate is the learning rate of optimizer step number step (from 1) of a
// run of steps, by the formulas of transformers' get_linear_schedule_with_warmup,
// get_cosine_schedule_with_warmup and get_constant_schedule_with_warmup
// (transformers/optimization.py). With n = step-1 steps done, w warm-up steps and
// T steps in all:
//
//	warm-up   n < w:  n / w
//	linear            (T-n) / (T-w)
//	cosine            (1 + cos(pi (n-w)/(T-w))) / 2
//	constant          1
//
// times o.LearningRate. So the first step of a warm-up has rate 0, as there.
func LearningRate(o ftlib.Optim, step, steps int) float64 {
	n, w := step-1, WarmupSteps(o, steps)
	if n < w {
		return o.LearningRate * float64(n) / float64(max(1, w))
	}
	rest := float64(max(1, steps-w))
	switch o.Schedule {
	case "constant":
		return o.LearningRate
	case "cosine":
		return o.LearningRate * max(0, 0.5*(1+math.Cos(math.Pi*float64(n-w)/rest)))
	default:
		return o.LearningRate * max(0, float64(steps-n)/rest)
	}
}

// WarmupSteps is the length of the warm-up: WarmupSteps, else WarmupRatio of all
// steps rounded up.
func WarmupSteps(o ftlib.Optim, steps int) int {
	if o.WarmupSteps > 0 {
		return o.WarmupSteps
	}
	return int(math.Ceil(float64(steps) * o.WarmupRatio))
}

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
