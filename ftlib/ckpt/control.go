package ckpt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ftlab/ftlib"
)

// What a running run can be asked to do. It is done between two steps.
const (
	DoPause    = "pause"    // wait, with everything in memory, until told to continue
	DoContinue = "continue" // go on after a pause
	DoSave     = "save"     // write a checkpoint now, which is kept until a person removes it
	DoStop     = "stop"     // save and end; resume goes on
	DoRollback = "rollback" // go back to the checkpoint To and train on from there
	DoBranch   = "branch"   // make a new run from the checkpoint To, or from now
	DoSet      = "set"      // give the hyperparameter Key the Value from the next step on
)

var doings = []string{DoPause, DoContinue, DoSave, DoStop, DoRollback, DoBranch, DoSet}

// Command asks a running run for something.
type Command struct {
	ID    string    `json:"id"` // zero: made by [Send]
	Do    string    `json:"do"`
	To    string    `json:"to,omitempty"`    // rollback, branch: a step, "best" or "latest"; zero: branch from now
	Name  string    `json:"name,omitempty"`  // branch: of the new run; zero: the old one's with step and number
	Set   []string  `json:"set,omitempty"`   // branch: changed settings, as [ftlib.Run.Set] takes them
	Key   string    `json:"key,omitempty"`   // set
	Value float64   `json:"value,omitempty"` // set
	By    string    `json:"by,omitempty"`    // who asks; zero: the user's name
	Time  time.Time `json:"time"`            // zero: now
}

// Check finds what is wrong with a command without looking at the run.
func (c Command) Check() error {
	switch {
	case !slices.Contains(doings, c.Do):
		return fmt.Errorf("ckpt: a run cannot be asked to %q; it can %s", c.Do, strings.Join(doings, ", "))
	case c.Do == DoRollback && c.To == "":
		return errors.New("ckpt: rollback to which checkpoint? name a step or best")
	case c.Do == DoSet && c.Key == "":
		return errors.New("ckpt: set which hyperparameter? name one, for example learning_rate")
	}
	return nil
}

// ErrNotRunning is wrapped by the error of a command for a run that no process trains.
var ErrNotRunning = errors.New("no process trains this run")

const (
	controlDir = "control"
	liveFile   = "live.json"
)

// Send leaves a command for the process that trains the run in dir; it is taken
// before the next step. The command that is returned has its ID, by which the
// event that answers it is known.
func Send(dir string, c Command) (Command, error) {
	if err := c.Check(); err != nil {
		return c, err
	}
	if !locked(filepath.Join(dir, lockFile)) {
		return c, fmt.Errorf("ckpt: %s: %w; ft runs resume goes on with it", dir, ErrNotRunning)
	}
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	if c.ID == "" {
		// In the order of time by name.
		c.ID = fmt.Sprintf("%019d-%08x", c.Time.UnixNano(), rand.Uint32())
	}
	if c.By == "" {
		c.By = Me()
	}
	if err := os.MkdirAll(filepath.Join(dir, controlDir), 0o700); err != nil {
		return c, fmt.Errorf("ckpt: %w", err)
	}
	if err := writeJSON(filepath.Join(dir, controlDir, c.ID+".json"), c); err != nil {
		return c, fmt.Errorf("ckpt: %w", err)
	}
	return c, nil
}

// Me names the user of this process.
func Me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "someone"
}

// Ask sends a command and waits for the event that answers it. A refusal is an
// error that says why. A step that is under way is ended first, which can take
// long: when ctx ends before, the command stays and will be done.
func Ask(ctx context.Context, dir string, c Command) (ftlib.Event, error) {
	tail := NewTail(dir)
	tail.SkipToEnd()
	c, err := Send(dir, c)
	if err != nil {
		return ftlib.Event{}, err
	}
	for {
		alive := Alive(dir) // looked at before the events: the last one of a run is seen
		events, err := tail.Next()
		for _, e := range events {
			if e.Control != nil && e.Control.ID == c.ID && e.Type == ftlib.EventControl {
				if e.Control.Refused != "" {
					return e, fmt.Errorf("ckpt: %s: %s: %s", dir, c.Do, e.Control.Refused)
				}
				return e, nil
			}
		}
		if err != nil {
			return ftlib.Event{}, err
		}
		if !alive {
			os.Remove(filepath.Join(dir, controlDir, c.ID+".json"))
			why := ""
			if in, err := Read(dir); err == nil && in.Message != "" {
				why = ": " + in.Message
			}
			return ftlib.Event{}, fmt.Errorf("ckpt: %s ended before it took the command to %s: %w%s", dir, c.Do, ErrNotRunning, why)
		}
		select {
		case <-ctx.Done():
			return ftlib.Event{}, fmt.Errorf("ckpt: %s is still in its step and will %s after it: %w", dir, c.Do, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Alive reports whether a process trains the run in dir.
func Alive(dir string) bool { return locked(filepath.Join(dir, lockFile)) }

// Commands are what the run has been asked for and has not done, in order. One that
// does not read has no Do.
func (d *Dir) Commands() ([]Command, error) {
	entries, err := os.ReadDir(filepath.Join(d.Path, controlDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	var all []Command
	for _, e := range entries { // sorted by name
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		var c Command
		data, err := os.ReadFile(filepath.Join(d.Path, controlDir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // taken back
		}
		if err != nil || json.Unmarshal(data, &c) != nil || c.Check() != nil {
			c = Command{}
		}
		c.ID = id
		all = append(all, c)
	}
	return all, nil
}

// Done takes a command away that has been answered.
func (d *Dir) Done(c Command) error {
	err := os.Remove(filepath.Join(d.Path, controlDir, c.ID+".json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// Live is what a running run says about itself, for those who watch it.
type Live struct {
	PID    int          `json:"pid"`
	Host   string       `json:"host,omitempty"`
	Paused bool         `json:"paused,omitempty"`
	Knobs  []ftlib.Knob `json:"knobs"` // what can be changed while it runs
}

// SetLive writes what the run says about itself.
func (d *Dir) SetLive(l Live) error {
	l.PID = os.Getpid()
	l.Host, _ = os.Hostname()
	return d.WriteJSON(liveFile, l)
}

// ReadLive reads what a running run says about itself. A run that is loading, or that
// no process trains, says nothing: the error wraps [ErrNotRunning].
func ReadLive(dir string) (Live, error) {
	var l Live
	data, err := os.ReadFile(filepath.Join(dir, liveFile))
	if !Alive(dir) || errors.Is(err, os.ErrNotExist) {
		return l, fmt.Errorf("ckpt: %s: %w", dir, ErrNotRunning)
	}
	if err == nil {
		err = json.Unmarshal(data, &l)
	}
	if err != nil {
		return l, fmt.Errorf("ckpt: %s: %w", filepath.Join(dir, liveFile), err)
	}
	return l, nil
}

// forget removes what an earlier process has left: its commands are not for this one.
func forget(dir string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, controlDir)), os.RemoveAll(filepath.Join(dir, liveFile)))
}

// Changes are the hyperparameters that were set while a run went on and that a
// process which resumes from the checkpoint of this step must set again, in order.
// The checkpoint itself has those from before it. What a rollback made void, and what
// was decided otherwise at an earlier step after a resume, does not count.
func Changes(events []ftlib.Event, step int) []ftlib.Event {
	var all []ftlib.Event
	seen := map[string]bool{}
	for _, e := range events {
		switch c := e.Control; {
		case e.Type == ftlib.EventRollback:
			all = slices.DeleteFunc(all, func(old ftlib.Event) bool { return old.Step >= e.Step })
		case e.Type == ftlib.EventControl && c != nil && c.Command == DoSet && c.Refused == "" && c.New != nil && !seen[c.ID]:
			seen[c.ID] = true
			all = slices.DeleteFunc(all, func(old ftlib.Event) bool { return old.Control.Key == c.Key && old.Step > e.Step })
			all = append(all, e)
		}
	}
	return slices.DeleteFunc(all, func(e ftlib.Event) bool { return e.Step < step })
}
