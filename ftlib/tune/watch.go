package tune

import (
	"fmt"
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

// eval takes a validation loss and says whether it is the best so far. Two worse
// ones in a row, while the training loss went on falling, are a warning, once.
func (w *watch) eval(step int, loss float64) (better bool, warning string) {
	train := w.Sum / max(1, w.Tokens)
	w.Sum, w.Tokens = 0, 0
	if w.Best == nil || loss < *w.Best {
		w.Best, w.BestStep, w.BestTrain, w.Since, w.Warned = &loss, step, train, 0, false
		return true, ""
	}
	w.Since++
	if w.Since >= 2 && !w.Warned && loss > *w.Best && train < w.BestTrain {
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
	begin, first, last time.Time
	steps              int
	tokens, rest       int // real tokens of all steps, of all but the first
}

func (t *timer) start(now time.Time) { t.begin, t.last = now, now }

func (t *timer) step(now time.Time, tokens int) {
	if t.steps++; t.steps == 1 {
		t.first = now
	} else {
		t.rest += tokens
	}
	t.tokens += tokens
	t.last = now
}

// rate is in real tokens a second, validation and saving included.
func (t *timer) rate() float64 {
	tokens, d := t.rest, t.last.Sub(t.first)
	if t.steps < 2 {
		tokens, d = t.tokens, t.last.Sub(t.begin)
	}
	if t.steps == 0 || d <= 0 {
		return 0
	}
	return float64(tokens) / d.Seconds()
}

// left is the time for more steps in seconds; 0 while nothing is known.
func (t *timer) left(steps int) float64 {
	if t.steps < 2 {
		return 0
	}
	return t.last.Sub(t.first).Seconds() / float64(t.steps-1) * float64(steps)
}
