package ckpt

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ftlab/ftlib"
)

// Rollback makes a checkpoint the latest again. Later ones are moved into the
// directory "rolled-back" of the run, later metrics stay in the file and no longer
// count. The next resume goes on from here.
func Rollback(dir, which string) (Checkpoint, error) {
	d, err := Open(dir)
	if err != nil {
		return Checkpoint{}, err
	}
	defer d.Close()
	target, err := Find(dir, which)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := target.Verify(); err != nil {
		return Checkpoint{}, err
	}
	return target, d.Rollback(target, time.Now())
}

// Rollback makes a checkpoint of the run the latest, as [Rollback] does, for the
// process that holds the run. It must have been verified.
func (d *Dir) Rollback(target Checkpoint, now time.Time) error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	// The event comes last: whatever a kill leaves undone, resuming from the
	// checkpoint that is then the latest makes later metrics void by itself.
	for _, e := range entries {
		step, ok := stepOf(e.Name())
		if !ok || step <= target.Step {
			continue
		}
		if err := setAside(d.Path, e.Name()); err != nil {
			return fmt.Errorf("ckpt: %w", err)
		}
	}
	return d.Event(ftlib.Event{Time: now, Type: ftlib.EventRollback, Step: target.Step, Steps: target.Steps, Path: target.Path})
}

// setAside moves a checkpoint into "rolled-back" under a free name.
func setAside(dir, name string) error {
	aside := filepath.Join(dir, "rolled-back")
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	to := filepath.Join(aside, name)
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = filepath.Join(aside, fmt.Sprintf("%s.%d", name, i))
	}
	return rename(filepath.Join(dir, name), to)
}

// frozen are the sections that a branch shares with its parent: weights, moments
// and the data position of a checkpoint mean nothing under others.
var frozen = []string{"model.", "lora.", "method.", "data.", "seed", "batch.per_device_train_batch_size", "batch.no_shuffle"}

// Branch makes a new run from a checkpoint of another: the same history up to
// there, other settings from there on. The changes are what [ftlib.Run.Set] takes.
// An empty name that no change sets becomes that of the parent with the step and a number. The new run
// has its own copy of the checkpoint and is trained by resuming it.
func Branch(dir, which, name string, changes []string) (string, error) {
	parent, err := Spec(dir)
	if err != nil {
		return "", err
	}
	from, err := Find(dir, which)
	if err != nil {
		return "", err
	}
	if err := from.Verify(); err != nil {
		return "", err
	}
	run := parent.Clone()
	from.Live = maps.Clone(from.Live)
	for _, c := range changes {
		if err := run.Set(c); err != nil {
			return "", err
		}
		// What was set while the parent ran gives way to what is asked for now.
		key, _, _ := strings.Cut(strings.ReplaceAll(c, " ", ""), "=")
		delete(from.Live, key[strings.LastIndexByte(key, '.')+1:])
	}
	if err := sameFrozen(parent, run); err != nil {
		return "", err
	}
	if err := run.Validate(); err != nil {
		return "", err
	}
	if run.Out == parent.Out {
		run.Out = filepath.Dir(dir)
	}
	if run.Name == parent.Name || name != "" {
		run.Name = name
	}
	for i := 1; run.Name == ""; i++ {
		n := fmt.Sprintf("%s-from%d-%d", filepath.Base(dir), from.Step, i)
		if _, err := os.Lstat(filepath.Join(run.Out, n)); errors.Is(err, os.ErrNotExist) {
			run.Name = n
		}
	}
	run.Parent = &ftlib.Parent{Run: dir, Step: from.Step}
	env, err := ReadEnv(dir)
	if err != nil {
		return "", err
	}
	now := NewEnv()
	now.Inputs, now.Data, now.Backend = env.Inputs, env.Data, env.Backend

	events, err := Events(dir)
	if err != nil {
		return "", err
	}
	// A run with a specification and no checkpoint would be trained from the
	// beginning, so the branch appears with everything in it.
	to := run.Dir()
	if _, err := os.Lstat(to); err == nil {
		return "", fmt.Errorf("ckpt: %s is there already; give the branch another name", to)
	}
	tmp := filepath.Join(run.Out, "."+run.Name+".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return "", fmt.Errorf("ckpt: %w", err)
	}
	if err := fill(tmp, run, now, events, from); err != nil {
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	if err := rename(tmp, to); err != nil {
		return "", fmt.Errorf("ckpt: %w", err)
	}
	return to, nil
}

// fill writes the directory of a branch.
func fill(dir string, run ftlib.Run, env Env, events []ftlib.Event, from Checkpoint) error {
	d, err := Create(dir, run, env)
	if err != nil {
		return err
	}
	defer d.Close()
	for _, e := range events {
		// The checkpoint paths of the parent are not this run's.
		if e.Step > from.Step || e.Type == ftlib.EventEnd || e.Type == ftlib.EventError || e.Type == ftlib.EventSave {
			continue
		}
		// What was set since is not the branch's; what was set before, the checkpoint has.
		if e.Type == ftlib.EventControl && e.Step == from.Step {
			continue
		}
		if err := d.Event(e); err != nil {
			return err
		}
	}
	_, err = d.Save(from, func(tmp string) error { return copyFiles(from, tmp) })
	return err
}

func sameFrozen(a, b ftlib.Run) error {
	list := func(r ftlib.Run) map[string]string {
		out := map[string]string{}
		for _, s := range r.Settings() {
			for _, f := range frozen {
				if strings.HasPrefix(s[0], f) {
					out[s[0]] = s[1]
				}
			}
		}
		return out
	}
	x, y := list(a), list(b)
	var errs []error
	for _, key := range ftlib.Keys() {
		if x[key] != y[key] {
			errs = append(errs, fmt.Errorf("ckpt: a branch cannot change %s (%q to %q): the checkpoint would not fit; start a new run instead", key, x[key], y[key]))
		}
	}
	return errors.Join(errs...)
}

func copyFiles(from Checkpoint, to string) error {
	for _, f := range from.Files {
		target := filepath.Join(to, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := copyFile(filepath.Join(from.Path, filepath.FromSlash(f.Name)), target); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
