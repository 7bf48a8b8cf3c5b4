package optim

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
