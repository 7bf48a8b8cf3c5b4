package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// Tunable is a [Stepper] with hyperparameters of its own that may change while it
// trains: a preference method's beta, a KL coefficient, a sampling temperature. They
// are inputs of its graphs, so that changing one compiles nothing.
type Tunable interface {
	// Knobs are the hyperparameters with their values now and what is allowed.
	Knobs() []ftlib.Knob
	// Turn gives one of them another value, from the next step on. It is called
	// between steps, with a value that the knob allows.
	Turn(key string, value float64) error
}

// The loop's own knobs.
const (
	knobLR    = "learning_rate"
	knobDecay = "weight_decay"
	knobClip  = "max_grad_norm"
)

// controls is what a person has changed while the loop went on.
type controls struct {
	set     map[string]float64 // hyperparameters that are not as the specification says
	initial map[string]float64 // the stepper's own, as the specification says
	replay  []ftlib.Event      // changes that the run saw before it was resumed, still to be made
	from    int                // step that this process began with
	paused  bool
	stop    bool
}

// knobs are all hyperparameters that can change now.
func (l *Loop) knobs() []ftlib.Knob {
	o := l.optim()
	all := []ftlib.Knob{
		{Key: knobLR, Value: o.LearningRate, Min: 0, Max: 1, Log: true, Help: "highest learning rate; the schedule goes on and scales it"},
		{Key: knobDecay, Value: o.WeightDecay, Min: 0, Max: 1, Help: "share of a weight that is taken away, times the learning rate"},
		{Key: knobClip, Value: max(0, o.MaxGradNorm), Min: 0, Max: 1000, Help: "gradients with a greater norm are scaled down to it; 0: none is"},
	}
	if t, ok := l.Stepper.(Tunable); ok {
		all = append(all, t.Knobs()...)
	}
	return all
}

// optim is the optimizer's part of the specification with what was set since.
func (l *Loop) optim() ftlib.Optim {
	o := l.Run.Optim
	for key, field := range map[string]*float64{knobLR: &o.LearningRate, knobDecay: &o.WeightDecay, knobClip: &o.MaxGradNorm} {
		if v, ok := l.controls.set[key]; ok {
			*field = v
		}
	}
	return o
}

// turn gives a hyperparameter a value.
func (l *Loop) turn(key string, value float64) (old float64, err error) {
	all := l.knobs()
	i := slices.IndexFunc(all, func(k ftlib.Knob) bool { return k.Key == key })
	if i < 0 {
		var names []string
		for _, k := range all {
			names = append(names, k.Key)
		}
		return 0, fmt.Errorf("this run has no %q to set; it has %s", key, joinAnd(names))
	}
	if err := all[i].Check(value); err != nil {
		return 0, err
	}
	if i >= 3 {
		if err := l.Stepper.(Tunable).Turn(key, value); err != nil {
			return 0, err
		}
	}
	if l.controls.set == nil {
		l.controls.set = map[string]float64{}
	}
	l.controls.set[key] = value
	return all[i].Value, nil
}

// lookAtKnobs notes the values that the specification gave, before any is turned.
func (l *Loop) lookAtKnobs() {
	t, ok := l.Stepper.(Tunable)
	if !ok || l.controls.initial != nil {
		return
	}
	l.controls.initial = map[string]float64{}
	for _, k := range t.Knobs() {
		l.controls.initial[k.Key] = k.Value
	}
}

// restoreSet makes the hyperparameters those of a checkpoint.
func (l *Loop) restoreSet(set map[string]float64) error {
	c := &l.controls
	if c.set = maps.Clone(set); c.set == nil {
		c.set = map[string]float64{}
	}
	t, ok := l.Stepper.(Tunable)
	if !ok {
		return nil
	}
	l.lookAtKnobs()
	for _, k := range t.Knobs() {
		want, ok := c.set[k.Key]
		if !ok {
			want = c.initial[k.Key]
		}
		if want != k.Value {
			if err := t.Turn(k.Key, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// announce says to those who watch what the run can be asked for.
func (l *Loop) announce() error {
	if l.Dir == nil {
		return nil
	}
	return l.Dir.SetLive(ckpt.Live{Paused: l.controls.paused, Knobs: l.knobs()})
}

// pausePoll is how often a paused run looks whether it is to go on.
const pausePoll = 100 * time.Millisecond

// control does between two steps what the run was asked for. While it is paused it
// waits in here.
func (l *Loop) control(ctx context.Context) error {
	if l.Dir == nil {
		return nil
	}
	if err := l.again(); err != nil {
		return err
	}
	began := l.now()
	waited := false
	for {
		commands, err := l.Dir.Commands()
		if err != nil {
			return err
		}
		for _, c := range commands {
			if err := l.obey(c); err != nil {
				return err
			}
		}
		if !l.controls.paused || l.controls.stop || ctx.Err() != nil {
			break
		}
		waited = true
		select {
		case <-ctx.Done():
		case <-time.After(pausePoll):
		}
	}
	if waited {
		l.timer.wait(l.now().Sub(began))
	}
	return nil
}

// again makes the changes that the run saw at this step before it was resumed.
func (l *Loop) again() error {
	c := &l.controls
	changed := false
	for len(c.replay) > 0 && c.replay[0].Step <= l.state.Step {
		e := c.replay[0]
		c.replay = c.replay[1:]
		if _, err := l.turn(e.Control.Key, *e.Control.New); err != nil {
			return fmt.Errorf("tune: going on as before from step %d: %w", e.Step, err)
		}
		changed = true
		if e.Step > c.from { // else it still stands in the metrics
			if err := l.emit(ftlib.Event{Type: ftlib.EventControl, Message: e.Message, Control: e.Control}); err != nil {
				return err
			}
		}
	}
	if !changed {
		return nil
	}
	return l.announce()
}

// over says why the run takes no step any more, or "".
func (l *Loop) over() string {
	switch {
	case l.controls.stop:
		return "the run is being stopped"
	case l.state.Stopped != "":
		return "the run has " + l.state.Stopped
	case l.state.Step >= l.plan.Steps:
		return fmt.Sprintf("all %d steps are taken", l.plan.Steps)
	}
	return ""
}

// obey does one command and records what came of it. Only what leaves the run
// unusable is an error.
func (l *Loop) obey(c ckpt.Command) error {
	e := ftlib.Event{Type: ftlib.EventControl, Control: &ftlib.Control{ID: c.ID, Command: c.Do, Key: c.Key, By: c.By}}
	refuse := func(err error) { e.Control.Refused = err.Error() }
	begun := func() bool {
		if l.state.Step == 0 {
			refuse(errors.New("no step is taken yet: ask again after the first"))
		}
		return l.state.Step > 0
	}
	announce := false
	switch over := l.over(); {
	case c.Do == "":
		refuse(errors.New("the command does not read"))
	case over != "" && c.Do != ckpt.DoRollback && c.Do != ckpt.DoBranch && c.Do != ckpt.DoSave:
		refuse(errors.New(over))
	case c.Do == ckpt.DoPause || c.Do == ckpt.DoContinue:
		l.controls.paused, announce = c.Do == ckpt.DoPause, true
		e.Message = map[bool]string{true: "paused", false: "going on"}[l.controls.paused]
	case c.Do == ckpt.DoStop:
		l.controls.stop = true
		e.Message = "stopping"
	case c.Do == ckpt.DoSave:
		if !begun() {
			break
		}
		if err := l.saveAsked(); err != nil {
			refuse(err)
		} else {
			e.Message, e.Path = "checkpoint saved", l.result.Checkpoint
		}
	case c.Do == ckpt.DoBranch:
		from := c.To
		if from == "" {
			if !begun() {
				break
			}
			if err := l.saveAsked(); err != nil {
				refuse(err)
				break
			}
			from = fmt.Sprint(l.state.Step)
		}
		if path, err := ckpt.Branch(l.Dir.Path, from, c.Name, c.Set); err != nil {
			refuse(err)
		} else {
			e.Message, e.Path = "branched to "+path, path
		}
	case c.Do == ckpt.DoRollback:
		before := float64(l.state.Step)
		target, err := ckpt.Find(l.Dir.Path, c.To)
		if err == nil {
			err = target.Verify()
		}
		if err != nil {
			refuse(err)
			break
		}
		if err := l.rollback(target); err != nil {
			return err
		}
		now := float64(target.Step)
		e.Control.Old, e.Control.New, e.Path, announce = &before, &now, target.Path, true
		e.Message = fmt.Sprintf("rolled back from step %g to %g", before, now)
	case c.Do == ckpt.DoSet:
		old, err := l.turn(c.Key, c.Value)
		if err != nil {
			refuse(err)
			break
		}
		// Whoever decides now decides against what an earlier process was told later.
		l.controls.replay = slices.DeleteFunc(l.controls.replay, func(e ftlib.Event) bool { return e.Control.Key == c.Key })
		e.Control.Old, e.Control.New, announce = &old, &c.Value, true
		e.Message = fmt.Sprintf("%s %s → %s", c.Key, ftlib.Short(old), ftlib.Short(c.Value))
	}
	if e.Control.Refused != "" {
		e.Message = fmt.Sprintf("%s refused: %s", c.Do, e.Control.Refused)
	}
	if announce { // before the event: who waits for it reads the new state
		if err := l.announce(); err != nil {
			return err
		}
	}
	if err := l.emit(e); err != nil {
		return err
	}
	if err := l.Dir.Sync(); err != nil { // else a power cut would make the resumed run another one
		return err
	}
	return l.Dir.Done(c)
}

// saveAsked writes a checkpoint that is kept.
func (l *Loop) saveAsked() error {
	l.asked = true
	defer func() { l.asked = false }()
	return l.save()
}

// rollback goes on from an earlier checkpoint, in this process.
func (l *Loop) rollback(target ckpt.Checkpoint) error {
	if err := l.Dir.Rollback(target, l.now()); err != nil {
		return err
	}
	if err := l.resume(target); err != nil {
		return err
	}
	l.controls.replay = nil // what was set after the checkpoint is void
	l.last, l.result.Step = target.TrainLoss, target.Step
	return nil
}

// refuseRest answers what the run was asked for too late.
func (l *Loop) refuseRest() error {
	if l.Dir == nil {
		return nil
	}
	commands, err := l.Dir.Commands()
	if err != nil {
		return err
	}
	for _, c := range commands {
		e := ftlib.Event{Type: ftlib.EventControl, Control: &ftlib.Control{ID: c.ID, Command: c.Do, Key: c.Key, By: c.By, Refused: "the run is over"}}
		e.Message = c.Do + " refused: the run is over"
		if err := l.emit(e); err != nil {
			return err
		}
		if err := l.Dir.Done(c); err != nil {
			return err
		}
	}
	return nil
}

func joinAnd(names []string) string {
	text := ""
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			text += " and "
		default:
			text += ", "
		}
		text += n
	}
	return text
}
