package tune

import (
	"fmt"
	"math"
	"time"
)

// watch follows the validation loss: the best, for early stopping, and against the
// training loss, for the overfitting warning.
type watch struct {
	Best      *float64 `json:"best,omitempty"`
	BestStep  int      `json:"best_step,omitempty"`
	BestTrain float64  `json:"best_train,omitempty"` // mean training loss in the stretch before the best
	Since     int      `json:"since"`                // evaluations since the best
	Warned    bool     `json:"warned,omitempty"`     // since the best
	Sum       float64  `json:"sum"`                  // of training losses since the last evaluation
	Tokens    float64  `json:"tokens"`
}

func (w *watch) train(loss, tokens float64) {
	w.Sum += loss
	w.Tokens += tokens
}

// rise is how far above the best a validation loss must be for a warning: less is
// noise.
const rise = 1.01

// drop is how much of the best reward must be lost for a warning.
const drop = 0.1

// eval takes a validation loss and says whether it is the best so far. Two worse
// ones in a row, the last clearly so, while the training loss went on falling, are a
// warning, once. The loss of a method with rewards is the reward with its sign turned, and its
// training loss says nothing: there the reward itself must have fallen.
func (w *watch) eval(step int, loss float64, rewarded bool) (better bool, warning string) {
	train := w.Sum / max(1, w.Tokens)
	w.Sum, w.Tokens = 0, 0
	if w.Best == nil || loss < *w.Best {
		w.Best, w.BestStep, w.BestTrain, w.Since, w.Warned = &loss, step, train, 0, false
		return true, ""
	}
	w.Since++
	switch {
	case w.Since < 2 || w.Warned:
	case rewarded && loss > *w.Best+drop*math.Abs(*w.Best):
		w.Warned = true
		warning = fmt.Sprintf("the reward on prompts that are not trained on fell from %.4f at step %d to %.4f; "+
			"the best checkpoint is kept, or train with a lower learning rate or held closer to the reference (beta, kl_coef)",
			-*w.Best, w.BestStep, -loss)
	case !rewarded && loss > rise**w.Best && train < w.BestTrain:
		w.Warned = true
		warning = fmt.Sprintf("overfitting: validation loss rose from %.4f at step %d to %.4f, while training loss fell from %.4f to %.4f; "+
			"the best checkpoint is kept, or train for fewer epochs, with more data, a lower learning rate or more dropout",
			*w.Best, w.BestStep, loss, w.BestTrain, train)
	}
	return false, warning
}

// timer measures speed over the steps of this process. The first step compiles and
// counts only while it is the only one.
type timer struct {
	steps  int
	first  time.Time     // end of the first step
	last   time.Time     // end of the last one
	spent  time.Duration // inside the steps that count
	tokens int           // real tokens of them
}

// step takes the time and the tokens of one step.
func (t *timer) step(begin, end time.Time, tokens int) {
	t.steps++
	if t.steps <= 2 {
		t.spent, t.tokens = 0, 0 // what came before was the first step
	}
	if t.steps == 1 {
		t.first = end
	}
	t.last = end
	t.spent += end.Sub(begin)
	t.tokens += tokens
}

// rate is in real tokens a second of training, without validation and saving.
func (t *timer) rate() float64 {
	if t.spent <= 0 {
		return 0
	}
	return float64(t.tokens) / t.spent.Seconds()
}

// left is the time for more steps in seconds, with validation and saving as often as
// up to now; 0 while nothing is known.
func (t *timer) left(steps int) float64 {
	if t.steps < 2 {
		return 0
	}
	return t.last.Sub(t.first).Seconds() / float64(t.steps-1) * float64(steps)
}

// wait leaves a time out in which the run was paused.
func (t *timer) wait(d time.Duration) {
	if t.steps > 0 {
		t.first = t.first.Add(d)
	}
}

// memoryEvery is how often a run looks how much memory is held: asking the device server
// takes a moment.
const memoryEvery = 2 * time.Second

// memory is how much memory is held, where it has not just been asked; else 0.
func (l *Loop) memory() int64 {
	if l.Memory == nil || time.Since(l.weighed) < memoryEvery {
		return 0
	}
	l.weighed = time.Now()
	return l.Memory()
}
