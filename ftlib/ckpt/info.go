package ckpt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"ftlab/ftlib"
)

// The states of a run.
const (
	Running     = "running"     // a process trains it now
	Paused      = "paused"      // a process holds it and waits to be told to continue
	Finished    = "finished"    // all planned steps were taken, or it stopped early
	Interrupted = "interrupted" // it was asked to stop and saved
	Failed      = "failed"      // it stopped with an error
	Killed      = "killed"      // its process is gone without a word
	New         = "new"         // no step was taken
)

// Info is what a run directory says about itself.
type Info struct {
	Path        string        `json:"path"`
	Name        string        `json:"name"`
	Status      string        `json:"status"`
	Message     string        `json:"message,omitempty"` // why it ended
	Step        int           `json:"step"`              // the last step taken
	Steps       int           `json:"steps"`             // planned
	Started     time.Time     `json:"started"`
	Seconds     float64       `json:"seconds"` // between events, pauses left out
	Seen        int           `json:"tokens_seen"`
	TrainLoss   *float64      `json:"train_loss,omitempty"` // of the last step
	FirstLoss   *float64      `json:"first_loss,omitempty"`
	EvalLoss    *float64      `json:"eval_loss,omitempty"`      // last
	BestLoss    *float64      `json:"best_eval_loss,omitempty"` // lowest
	BestStep    int           `json:"best_step,omitempty"`
	Run         ftlib.Run     `json:"run"`
	Checkpoints []Checkpoint  `json:"checkpoints"`
	Events      []ftlib.Event `json:"-"`
}

// Asked reads the specification of a run as [Spec] does, or, of one that is still loading
// or has never begun, what it was told to train.
func Asked(path string) (ftlib.Run, error) {
	if Known(path) && !Is(path) {
		return ftlib.ReadFile(StartFile(path))
	}
	return Spec(path)
}

// Read reads a run without touching it; it may be running. Parts that do not read
// are reported in the error beside everything that does.
func Read(path string) (Info, error) {
	in := Info{Path: path, Name: filepath.Base(path)}
	run, err := Asked(path)
	if err != nil {
		return in, err
	}
	in.Run = run
	var errs []error
	if in.Events, err = Events(path); err != nil {
		errs = append(errs, err)
	}
	if in.Checkpoints, err = List(path); err != nil {
		errs = append(errs, err)
	}
	in.summarize()
	in.look()
	return in, errors.Join(errs...)
}

// Summary is what [Read] gives, from events that were read already, for those who
// watch a run and need not read the whole file again. It has no checkpoints.
func Summary(path string, run ftlib.Run, events []ftlib.Event) Info {
	in := Info{Path: path, Name: filepath.Base(path), Run: run, Events: events}
	in.summarize()
	in.look()
	return in
}

// look sees whether a process trains the run now.
func (in *Info) look() {
	if Alive(in.Path) {
		in.Status, in.Message = Running, ""
		switch l, err := ReadLive(in.Path); {
		case err != nil:
			in.Message = "loading"
		case l.Paused:
			in.Status, in.Message = Paused, "go on with: ft runs continue "+in.Path
		}
	}
	if in.Status == New && !Is(in.Path) {
		in.Status = Killed
	}
	if in.Status == Killed {
		in.Message = fmt.Sprintf("its process is gone without a word; go on with: ft runs resume %s", in.Path)
	}
}

func (in *Info) summarize() {
	in.Status = New
	var last time.Time
	for _, e := range in.Events {
		if in.Started.IsZero() {
			in.Started = e.Time
		}
		paused := e.Control != nil && e.Control.Command == DoContinue
		if !last.IsZero() && e.Type != ftlib.EventResume && e.Type != ftlib.EventStart && e.Type != ftlib.EventRollback && !paused {
			in.Seconds += max(0, e.Time.Sub(last).Seconds())
		}
		last = e.Time
		if e.Steps > 0 {
			in.Steps = e.Steps
		}
		in.Step = max(in.Step, e.Step)
		switch e.Type {
		case ftlib.EventStep:
			in.Status, in.Message = Killed, ""
			in.TrainLoss, in.Seen = e.Loss, e.Seen
			if in.FirstLoss == nil {
				in.FirstLoss = e.Loss
			}
		case ftlib.EventEval:
			if v, ok := e.Metrics["eval_loss"]; ok {
				in.EvalLoss = &v
				if in.BestLoss == nil || v < *in.BestLoss {
					in.BestLoss, in.BestStep = &v, e.Step
				}
			}
		case ftlib.EventError:
			in.Status, in.Message = Failed, e.Message
		case ftlib.EventEnd:
			in.Status, in.Message = Finished, e.Message
			if strings.HasPrefix(e.Message, Interrupted) {
				in.Status = Interrupted
			}
		case ftlib.EventStart, ftlib.EventResume:
			in.Status, in.Message = Killed, ""
		case ftlib.EventRollback:
			in.Status, in.Message = Interrupted, fmt.Sprintf("rolled back to step %d", e.Step)
		}
	}
}

// Runs reads all runs directly below dir, oldest first. What does not read is
// reported in the error beside what does.
func Runs(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	var runs []Info
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !Known(path) {
			continue
		}
		in, err := Read(path)
		if err != nil {
			errs = append(errs, err)
		}
		if in.Run.Model.Path != "" {
			runs = append(runs, in)
		}
	}
	sort.SliceStable(runs, func(i, j int) bool { return runs[i].Started.Before(runs[j].Started) })
	return runs, errors.Join(errs...)
}
