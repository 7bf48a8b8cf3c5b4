package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/optim"
	"ftlab/ftlib/safetensors"
)

const stateFile = "state.safetensors"

// save writes a checkpoint of this moment and removes the ones no longer kept.
func (l *Loop) save() error {
	if l.Dir == nil {
		l.saved = l.state.Step
		return nil
	}
	state, err := l.Stepper.State()
	if err != nil {
		return fmt.Errorf("tune: reading the state after step %d: %w", l.state.Step, err)
	}
	if l.state.Cursor, err = l.Batches.Cursor(); err != nil {
		return err
	}
	// Files that are equal when states are equal.
	slices.SortFunc(state.Tensors, func(a, b safetensors.Tensor) int { return strings.Compare(a.Name, b.Name) })
	loop, err := json.Marshal(l.state)
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	c := ckpt.Checkpoint{
		Step: l.state.Step, Steps: l.plan.Steps, Time: l.now(), TrainLoss: l.last, Counters: state.Counters, Loop: loop,
		Asked: l.asked, Live: l.controls.set,
	}
	if l.plan.PerEpoch > 0 {
		c.Epoch = float64(c.Step) / float64(l.plan.PerEpoch)
	}
	if l.evaluated() {
		c.EvalLoss = l.result.EvalLoss
	}
	c, err = l.Dir.Save(c, func(dir string) error {
		if err := safetensors.Write(filepath.Join(dir, stateFile), state.Tensors, nil); err != nil {
			return err
		}
		if err := l.Stepper.Save(dir); err != nil {
			return err
		}
		return l.beside(dir, l.Run.LoRA == nil && l.Run.Model.Adapter == "")
	})
	if err != nil {
		return err
	}
	l.saved, l.result.Checkpoint = c.Step, c.Path
	if err := l.emit(ftlib.Event{Type: ftlib.EventSave, Path: filepath.Base(c.Path)}); err != nil {
		return err
	}
	return l.Dir.Prune(l.Run.Save.Keep)
}

// evaluated says whether the validation loss of the result is of this step.
func (l *Loop) evaluated() bool {
	return l.result.EvalLoss != nil && l.validates()
}

// ResumeLatest goes back to the newest checkpoint of the run directory that is
// whole; a run without any starts from the beginning. A damaged one is skipped with
// a warning.
func (l *Loop) ResumeLatest() error {
	list, damaged := ckpt.List(l.Dir.Path)
	for i := len(list) - 1; i >= 0; i-- {
		if err := list[i].Verify(); err != nil {
			damaged = errors.Join(damaged, err)
			continue
		}
		if damaged != nil {
			l.early = append(l.early, fmt.Sprintf("%v; going on from step %d", damaged, list[i].Step))
		}
		if err := l.resume(list[i]); err != nil {
			return err
		}
		return l.remember()
	}
	if damaged != nil {
		return fmt.Errorf("tune: no checkpoint of %s is whole: %w", l.Dir.Path, damaged)
	}
	l.resumed = true // metrics of steps that were lost are void
	return l.remember()
}

// remember looks up what was set after the step that the run goes on from, so that it
// goes on as it was.
func (l *Loop) remember() error {
	events, err := ckpt.AllEvents(l.Dir.Path)
	if err != nil {
		l.early = append(l.early, err.Error())
	}
	l.controls.replay = ckpt.Changes(events, l.state.Step)
	return nil
}

// resume goes back to a checkpoint. It must come before Train.
func (l *Loop) resume(c ckpt.Checkpoint) error {
	fail := func(err error) error { return fmt.Errorf("tune: resuming from %s: %w", c.Path, err) }
	f, err := safetensors.Open(filepath.Join(c.Path, stateFile))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	state := State{Counters: c.Counters}
	for _, name := range f.Names() {
		t, err := f.Tensor(name)
		if err != nil {
			return fail(err)
		}
		state.Tensors = append(state.Tensors, t)
	}
	if err := json.Unmarshal(c.Loop, &l.state); err != nil {
		return fail(err)
	}
	if err := l.Stepper.Restore(state); err != nil {
		return fail(err)
	}
	if err := l.Batches.Seek(l.state.Cursor); err != nil {
		return fail(err)
	}
	if err := l.restoreSet(c.Live); err != nil {
		return fail(err)
	}
	l.saved, l.resumed = c.Step, true
	l.result.Checkpoint = c.Path
	l.result.EvalLoss, l.result.BestLoss, l.result.BestStep = c.EvalLoss, l.state.Watch.Best, l.state.Watch.BestStep
	l.result.Seen = l.state.Seen
	if c.TrainLoss != nil {
		l.result.Loss = *c.TrainLoss
	}
	return nil
}

// saveMerged writes the whole model into the directory "merged" of the run.
func (l *Loop) saveMerged() error {
	return l.Dir.WriteDir("merged", func(dir string) error {
		if err := l.Stepper.SaveMerged(dir); err != nil {
			return err
		}
		return l.beside(dir, true)
	})
}

func (l *Loop) beside(dir string, whole bool) error {
	if l.Beside == nil {
		return nil
	}
	return l.Beside(dir, whole)
}

// badBatch is the content of bad-batch-step-N.json.
type badBatch struct {
	Step    int        `json:"step"`
	What    string     `json:"what"`
	Value   string     `json:"value"`
	LR      float64    `json:"learning_rate"`
	Batches []badGroup `json:"micro_batches"`
}

type badGroup struct {
	Rows []badRow    `json:"rows"`
	IDs  [][]int32   `json:"ids"`
	Mask [][]float32 `json:"mask"`
	Pos  [][]int32   `json:"positions"`
	Seg  [][]int32   `json:"segments"`
}

type badRow struct {
	Example int    `json:"example"`
	File    string `json:"file,omitempty"`
	Row     int    `json:"row,omitempty"`
}

// notFinite saves what was being trained on and makes the error that ends the run.
func (l *Loop) notFinite(step int, what string, value float64, batches []*corpus.Batch) error {
	lr := optim.LearningRate(l.optim(), step, l.plan.Steps)
	err := fmt.Errorf("tune: step %d: %s is %v: %w%s", step, what, value, ErrNotFinite, l.rowsOf(batches))
	if l.Dir != nil {
		name := fmt.Sprintf("bad-batch-step-%d.json", step)
		bad := badBatch{Step: step, What: what, Value: fmt.Sprint(value), LR: lr}
		for _, b := range batches {
			bad.Batches = append(bad.Batches, l.badGroup(b))
		}
		if e := l.Dir.WriteJSON(name, bad); e != nil {
			return errors.Join(err, e)
		}
		err = fmt.Errorf("%w; the batch is in %s", err, filepath.Join(l.Dir.Path, name))
	}
	hint := "lower optim.learning_rate"
	if l.optim().MaxGradNorm <= 0 {
		hint += " or set optim.max_grad_norm"
	}
	if l.result.Checkpoint != "" {
		return fmt.Errorf("%w; the last good checkpoint is %s: %s on a branch of it (ft runs branch %s --set ...)", err, l.result.Checkpoint, hint, l.Dir.Path)
	}
	return fmt.Errorf("%w; no checkpoint was written before it: %s", err, hint)
}

func (l *Loop) badGroup(b *corpus.Batch) badGroup {
	var g badGroup
	for _, row := range b.Rows {
		r := badRow{Example: row}
		if l.Where != nil {
			r.File, r.Row = l.Where(row)
		}
		g.Rows = append(g.Rows, r)
	}
	for i := 0; i < b.B; i++ {
		from, to := i*b.T, (i+1)*b.T
		g.IDs, g.Mask = append(g.IDs, b.IDs[from:to]), append(g.Mask, b.Mask[from:to])
		g.Pos, g.Seg = append(g.Pos, b.Pos[from:to]), append(g.Seg, b.Seg[from:to])
	}
	return g
}

// rowsOf names the first rows of batches for an error message.
func (l *Loop) rowsOf(batches []*corpus.Batch) string {
	if l.Where == nil {
		return ""
	}
	var names []string
	for _, b := range batches {
		for _, row := range b.Rows {
			if len(names) == 4 {
				names = append(names, "...")
				return " (" + strings.Join(names, ", ") + ")"
			}
			file, num := l.Where(row)
			names = append(names, fmt.Sprintf("%s row %d", filepath.Base(file), num))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}
