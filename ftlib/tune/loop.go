package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/optim"
)

// Source gives the micro-batches of a run, epoch after epoch without end, in an
// order that depends on the seed and the position alone.
type Source interface {
	// PerEpoch is the number of micro-batches in the first epoch.
	PerEpoch() int
	// Next gives the next micro-batch and whether it is the last of its epoch.
	Next() (b *corpus.Batch, last bool, err error)
	// Cursor is the position of what Next gives next; Seek goes there.
	Cursor() (json.RawMessage, error)
	Seek(json.RawMessage) error
}

// Loop is the one training loop. Run, Stepper and Batches must be set.
type Loop struct {
	Run        ftlib.Run // resolved
	Stepper    Stepper
	Batches    Source
	Validation []*corpus.Batch                          // nil: no validation
	Dir        *ckpt.Dir                                // where the run is kept; nil: nowhere
	Sink       ftlib.Sink                               // besides Dir; nil: none
	Where      func(example int) (file string, row int) // of Batch.Rows; nil: not known
	Clock      func() time.Time                         // nil: time.Now
	Memory     func() int64                             // bytes held by what computes; nil: not known
	Beside     func(dir string, whole bool) error       // adds to saved weights what goes with them, of a whole model or an adapter; nil: nothing

	plan     schedule
	state    loopState
	controls controls
	timer    timer
	weighed  time.Time // when the memory was last looked at
	saved    int       // step of the last checkpoint of this process, -1: none
	asked    bool      // the checkpoint that is being saved is one that a person asked for
	resumed  bool
	early    []string      // warnings from before the first event
	about    string        // of data and machine, for the first event
	told     func() string // said once, when the first step has compiled everything; nil: nothing
	result   Result
	last     *float64 // loss of the last step
}

// loopState is what a checkpoint keeps of the loop.
type loopState struct {
	Step    int             `json:"step"`
	Cursor  json.RawMessage `json:"cursor"`
	Seen    int             `json:"tokens_seen"`
	Watch   watch           `json:"watch"`
	Stopped string          `json:"stopped,omitempty"` // why the run is over before all steps
}

// Result is how a run ended.
type Result struct {
	Dir        string             `json:"dir,omitempty"`
	Status     string             `json:"status"` // ckpt.Finished, ckpt.Interrupted, ckpt.Failed
	Message    string             `json:"message,omitempty"`
	Step       int                `json:"step"`
	Steps      int                `json:"steps"`
	FirstLoss  float64            `json:"first_loss"` // of the first step of this process
	Loss       float64            `json:"loss"`       // of the last step
	EvalLoss   *float64           `json:"eval_loss,omitempty"`
	Eval       map[string]float64 `json:"eval,omitempty"` // metrics of the last validation
	BestLoss   *float64           `json:"best_eval_loss,omitempty"`
	BestStep   int                `json:"best_step,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"` // of the last step
	Seen       int                `json:"tokens_seen"`
	Seconds    float64            `json:"seconds"`           // of this process
	PerSecond  float64            `json:"tokens_per_second"` // real tokens, while training steps ran
	Checkpoint string             `json:"checkpoint,omitempty"`
	Warnings   []string           `json:"warnings,omitempty"`
}

// ErrNotFinite is wrapped by the error of a run whose loss or gradient became NaN
// or infinite.
var ErrNotFinite = errors.New("not a finite number")

// Train takes the steps that are left. When ctx is cancelled it ends the step it is
// in, saves and returns with status interrupted and no error.
func (l *Loop) Train(ctx context.Context) (res Result, err error) {
	l.init()
	if s, ok := l.Stepper.(interface{ setContext(context.Context) }); ok {
		s.setContext(ctx)
	}
	started := l.now()
	defer func() {
		l.result.Seconds = l.now().Sub(started).Seconds()
		l.result.PerSecond = l.timer.rate()
		res = l.result
	}()
	kind := ftlib.EventStart
	if l.resumed {
		kind = ftlib.EventResume
	}
	if err := errors.Join(l.announce(), l.emit(ftlib.Event{Type: kind, Message: l.describe()})); err != nil {
		return l.result, err
	}
	for _, w := range l.early {
		if err := l.warn(w); err != nil {
			return l.result, err
		}
	}
	if l.Dir != nil && l.resumed { // a kill can come between saving and pruning
		if err := l.Dir.Prune(l.Run.Save.Keep); err != nil {
			return l.result, l.fail(err)
		}
	}
	for ctx.Err() == nil {
		if err := l.control(ctx); err != nil {
			return l.result, l.fail(err)
		}
		if l.over() != "" || ctx.Err() != nil {
			break
		}
		if err := l.step(); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				break // while a rollout was being written: the step has not begun
			}
			return l.result, l.fail(err)
		}
		if err := l.afterStep(); err != nil {
			return l.result, l.fail(err)
		}
	}
	if err := l.finish(); err != nil {
		return l.result, l.fail(err)
	}
	return l.result, nil
}

func (l *Loop) init() {
	if l.Clock == nil {
		l.Clock = time.Now
	}
	l.plan = newSchedule(l.Run, l.Batches.PerEpoch(), len(l.Validation) > 0)
	l.result.Steps = l.plan.Steps
	l.result.Step = l.state.Step
	l.controls.from = l.state.Step
	l.lookAtKnobs()
	if l.Dir != nil {
		l.result.Dir = l.Dir.Path
	}
}

func (l *Loop) now() time.Time { return l.Clock() }

// step takes one optimizer step: it gathers its micro-batches, so that the loss is
// normalised by the trained tokens of all of them, accumulates and applies.
func (l *Loop) step() error {
	step, begin := l.state.Step+1, l.now()
	batches, err := l.gather()
	if err != nil {
		return err
	}
	trained, tokens, seen := 0.0, 0.0, 0
	for _, b := range batches {
		trained += l.units(b)
		tokens += b.Trained()
		seen += b.Tokens()
	}
	if trained <= 0 {
		return fmt.Errorf("tune: step %d: none of its %d tokens is trained%s; see ft data show --tokens", step, seen, l.rowsOf(batches))
	}
	var sums Sums
	for i, b := range batches {
		s, err := l.Stepper.Accumulate(b, float32(1/trained))
		if err != nil {
			return fmt.Errorf("tune: step %d: %w", step, err)
		}
		if !finite(s.Loss) {
			return l.notFinite(step, fmt.Sprintf("the loss of micro-batch %d of %d", i+1, len(batches)), s.Loss, batches[i:i+1])
		}
		sums.Add(s)
	}
	lr := optim.LearningRate(l.optim(), step, l.plan.Steps)
	norm, err := l.Stepper.Apply(l.hyper(step, lr))
	if err != nil {
		return fmt.Errorf("tune: step %d: %w", step, err)
	}
	if !finite(norm) {
		return l.notFinite(step, "the gradient norm", norm, batches)
	}
	loss := sums.Loss / trained
	l.state.Step, l.state.Seen = step, l.state.Seen+seen
	l.state.Watch.train(sums.Loss, trained)
	l.timer.step(begin, l.now(), seen)
	if l.result.Metrics = means(sums.Metrics, trained); l.last == nil {
		l.result.FirstLoss = loss
	}
	l.last, l.result.Loss, l.result.Step, l.result.Seen = &loss, loss, step, l.state.Seen
	if err := l.tell(); err != nil {
		return err
	}
	return l.emit(ftlib.Event{
		Type: ftlib.EventStep, Loss: &loss, LR: lr, GradNorm: norm, Tokens: int(math.Round(tokens)), Seen: l.state.Seen,
		Metrics: l.result.Metrics, TokensPerSecond: l.timer.rate(), SecondsLeft: l.timer.left(l.plan.Steps - step), Memory: l.memory(),
	})
}

// tell says what is known once everything is compiled.
func (l *Loop) tell() error {
	told := l.told
	if l.told = nil; told == nil {
		return nil
	}
	if text := told(); text != "" {
		return l.emit(ftlib.Event{Type: ftlib.EventNote, Message: text})
	}
	return nil
}

// units is what the loss of a batch is a mean over.
func (l *Loop) units(b *corpus.Batch) float64 {
	if c, ok := l.Stepper.(Counted); ok {
		return c.Units(b)
	}
	return b.Trained()
}

// gather takes the micro-batches of one step; a step never reaches over the end of
// an epoch.
func (l *Loop) gather() ([]*corpus.Batch, error) {
	var batches []*corpus.Batch
	for len(batches) < l.Run.Batch.Accumulate {
		b, last, err := l.Batches.Next()
		if err != nil {
			return nil, err
		}
		batches = append(batches, b)
		if last {
			break
		}
	}
	return batches, nil
}

func (l *Loop) hyper(step int, lr float64) Hyper {
	o := l.optim()
	return Hyper{
		LR: lr, WeightDecay: o.WeightDecay, Beta1: *o.Beta1, Beta2: *o.Beta2, Epsilon: o.Epsilon,
		Momentum: o.Momentum, MaxGradNorm: max(0, o.MaxGradNorm), Step: step, Seed: l.Run.Seed,
	}
}

// afterStep validates and saves where the plan says so.
func (l *Loop) afterStep() error {
	step, due := l.state.Step, false
	if s, ok := l.Stepper.(interface{ stopped() string }); ok && s.stopped() != "" {
		l.state.Stopped = s.stopped() + l.lastGood()
	}
	if s, ok := l.Stepper.(interface{ warnings() []string }); ok {
		for _, w := range s.warnings() {
			if err := l.warn(w); err != nil {
				return err
			}
		}
	}
	if l.validates() {
		better, err := l.validate()
		if err != nil {
			return err
		}
		due = better && l.plan.SaveEvery > 0 // the best is always kept
	}
	if due || l.plan.SaveEvery > 0 && step%l.plan.SaveEvery == 0 {
		return l.save()
	}
	return nil
}

// validates says whether there is a validation after this step: where the plan says so, and
// where the stepper has come to a place that is worth one, as the end of a round of STaR.
func (l *Loop) validates() bool {
	s, every := l.state.Step, l.plan.EvalEvery
	if every == 0 || s%every == 0 || s == l.plan.Steps {
		return every > 0
	}
	m, ok := l.Stepper.(interface{ milestone() bool })
	return ok && m.milestone()
}

// lastGood names the newest checkpoint from before a collapse; "" when nothing collapsed.
func (l *Loop) lastGood() string {
	s, ok := l.Stepper.(interface{ lastGood() int })
	if !ok || s.lastGood() == 0 || l.Dir == nil {
		return ""
	}
	list, _ := ckpt.List(l.Dir.Path) // those that are whole
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Step <= s.lastGood() {
			return fmt.Sprintf(". The last good checkpoint is %s, the reward was highest at step %d: ft runs rollback %s --step %d, or ft runs branch", list[i].Path, s.lastGood(), l.Dir.Path, list[i].Step)
		}
	}
	return fmt.Sprintf(". No checkpoint from before step %d, where the reward was highest, is left: save more often, or keep more (save.save_total_limit)", s.lastGood())
}

// validate measures the validation loss and draws the conclusions.
func (l *Loop) validate() (better bool, err error) {
	var sums Sums
	for _, b := range l.Validation {
		s, err := l.Stepper.Evaluate(b)
		if err != nil {
			return false, fmt.Errorf("tune: validation after step %d: %w", l.state.Step, err)
		}
		sums.Add(s)
	}
	loss := sums.Loss / sums.Tokens
	if !finite(loss) {
		return false, fmt.Errorf("tune: validation after step %d: the loss is %v: %w; the last checkpoint is from before it", l.state.Step, loss, ErrNotFinite)
	}
	metrics := means(sums.Metrics, sums.Tokens)
	named := map[string]float64{"eval_loss": loss}
	if _, other := l.Stepper.(Counted); !other {
		named["perplexity"] = math.Exp(loss)
	}
	for name, v := range metrics {
		named["eval_"+name] = v
	}
	if s, ok := l.Stepper.(interface{ evaluated() map[string]float64 }); ok { // of all rows together, no means of batches
		for name, v := range s.evaluated() {
			named["eval_"+name] = v
		}
	}
	_, rewarded := named["eval_reward"]
	better, warning := l.state.Watch.eval(l.state.Step, loss, rewarded)
	l.result.Eval = named
	l.result.EvalLoss, l.result.BestLoss, l.result.BestStep = &loss, l.state.Watch.Best, l.state.Watch.BestStep
	if err := l.emit(ftlib.Event{Type: ftlib.EventEval, Metrics: named, Tokens: int(math.Round(sums.Tokens))}); err != nil {
		return better, err
	}
	if p := l.Run.Eval.Patience; p > 0 && l.state.Watch.Since >= p {
		what, best := "validation loss", *l.state.Watch.Best
		if rewarded {
			what, best = "reward in validation", -best
		}
		l.state.Stopped = fmt.Sprintf("stopped early: no better %s in %d evaluations; the best is %.4f at step %d", what, p, best, l.state.Watch.BestStep)
	}
	if warning != "" {
		return better, l.warn(warning)
	}
	return better, nil
}

// finish saves the end of the run, whatever ended it, and says so.
func (l *Loop) finish() error {
	interrupted := l.state.Step < l.plan.Steps && l.state.Stopped == ""
	if l.saved != l.state.Step && l.state.Step > 0 {
		if err := l.save(); err != nil {
			return err
		}
	}
	if err := l.refuseRest(); err != nil {
		return err
	}
	l.result.Status, l.result.Message = ckpt.Finished, ckpt.Finished
	switch {
	case interrupted:
		l.result.Status = ckpt.Interrupted
		l.result.Message = fmt.Sprintf("interrupted after step %d of %d", l.state.Step, l.plan.Steps)
		if l.Dir != nil {
			l.result.Message += "; go on with: ft runs resume " + l.Dir.Path
		}
	case l.state.Stopped != "":
		l.result.Message = l.state.Stopped
	}
	if !interrupted && l.Run.Save.Merged && l.Dir != nil {
		if err := l.saveMerged(); err != nil {
			return err
		}
	}
	if err := l.emit(ftlib.Event{Type: ftlib.EventEnd, Message: l.result.Message, Path: l.result.Checkpoint, Seen: l.state.Seen}); err != nil {
		return err
	}
	if l.Dir != nil {
		return l.Dir.Sync()
	}
	return nil
}

// fail records why the run ends. The last checkpoint stays as it is.
func (l *Loop) fail(err error) error {
	l.result.Status, l.result.Message = ckpt.Failed, err.Error()
	if e := l.emit(ftlib.Event{Type: ftlib.EventError, Message: err.Error(), Path: l.result.Checkpoint}); e != nil {
		err = errors.Join(err, e)
	}
	return err
}

func (l *Loop) warn(message string) error {
	l.result.Warnings = append(l.result.Warnings, message)
	return l.emit(ftlib.Event{Type: ftlib.EventWarning, Message: message})
}

// emit fills in where the run is and gives the event to the directory, then to the sink.
func (l *Loop) emit(e ftlib.Event) error {
	e.Time, e.Step, e.Steps = l.now(), l.state.Step, l.plan.Steps
	if l.plan.PerEpoch > 0 {
		e.Epoch = float64(e.Step) / float64(l.plan.PerEpoch)
	}
	if l.Dir != nil {
		if err := l.Dir.Event(e); err != nil {
			return err
		}
	}
	if l.Sink != nil {
		if err := l.Sink.Event(e); err != nil {
			return fmt.Errorf("tune: the sink failed: %w", err)
		}
	}
	return nil
}

func (l *Loop) describe() string {
	text := l.Run.Method.Name()
	if lo := l.Run.LoRA; lo != nil {
		text += fmt.Sprintf(" with LoRA r=%d", lo.R)
	} else if l.Run.Model.Adapter != "" {
		text += " of the adapter " + l.Run.Model.Adapter
	} else {
		text += " of all weights"
	}
	text = fmt.Sprintf("%s: %s on %s, %d steps of %d x %d sequences", text, l.Run.Model.Path, l.Run.Data.Train,
		l.plan.Steps, l.Run.Batch.Accumulate, l.Run.Batch.Size)
	if l.about != "" {
		text += "\n" + l.about
	}
	return text
}

func means(sums map[string]float64, tokens float64) map[string]float64 {
	if len(sums) == 0 || tokens == 0 {
		return nil
	}
	out := make(map[string]float64, len(sums))
	for name, v := range sums {
		out[name] = v / tokens
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
