package ckpt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib"
)

const (
	runFile  = "run.yaml"
	lockFile = "lock"
)

// ErrBusy is wrapped by [Open] when another process trains the run.
var ErrBusy = errors.New("another process is training this run")

// Dir is a run directory held for writing; one process at a time can have it. It
// is a sink: events become lines of metrics.jsonl.
type Dir struct {
	Path    string
	lock    *os.File
	metrics *os.File
}

var _ ftlib.Sink = (*Dir)(nil)

// Create makes the directory of a new run and writes its specification and
// environment. A directory that holds a run already is an error.
func Create(path string, run ftlib.Run, env Env) (*Dir, error) {
	d, err := Reserve(path)
	if err != nil {
		return nil, err
	}
	if err := d.Begin(run, env); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Begin makes a directory that was reserved the directory of a run.
func (d *Dir) Begin(run ftlib.Run, env Env) error {
	// run.yaml comes last: with it the directory is a run.
	err := writeJSON(filepath.Join(d.Path, envFile), env)
	if err == nil {
		err = d.SetRun(run)
	}
	if err != nil {
		return fmt.Errorf("ckpt: creating run: %w", err)
	}
	return nil
}

// Open takes an existing run for writing and removes what a killed process left
// half done.
func Open(path string) (*Dir, error) {
	if !Is(path) {
		return nil, fmt.Errorf("ckpt: %s is not a run: it has no %s", path, runFile)
	}
	return hold(path)
}

func hold(path string) (*Dir, error) {
	l, ok, err := lock(filepath.Join(path, lockFile))
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("ckpt: %s: %w; wait for it or stop it", path, ErrBusy)
	}
	d := &Dir{Path: path, lock: l}
	if err := errors.Join(clean(path), forget(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("ckpt: %w", err), d.Close())
	}
	if d.metrics, err = openMetrics(path); err != nil {
		return nil, errors.Join(fmt.Errorf("ckpt: %w", err), d.Close())
	}
	return d, nil
}

// SetRun replaces the specification.
func (d *Dir) SetRun(run ftlib.Run) error {
	text, err := run.Encode()
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(d.Path, runFile), text); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// WriteJSON writes a file of the run, whole or not at all.
func (d *Dir) WriteJSON(name string, v any) error {
	if err := writeJSON(filepath.Join(d.Path, name), v); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// WriteDir makes the directory name of the run hold what write writes, whole or not
// at all. What was there before is replaced.
func (d *Dir) WriteDir(name string, write func(dir string) error) error {
	path, tmp := filepath.Join(d.Path, name), filepath.Join(d.Path, "."+name+".new.tmp")
	err := os.RemoveAll(tmp)
	if err == nil {
		err = os.Mkdir(tmp, 0o755)
	}
	if err == nil {
		err = write(tmp)
	}
	if err == nil {
		_, err = syncTree(tmp)
	}
	if _, e := os.Stat(path); err == nil && e == nil {
		err = remove(path)
	}
	if err == nil {
		err = rename(tmp, path)
	}
	if err != nil {
		os.RemoveAll(tmp)
		return fmt.Errorf("ckpt: writing %s: %w", path, err)
	}
	return nil
}

// Event appends a line to metrics.jsonl.
func (d *Dir) Event(e ftlib.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	crashPoint()
	// One write a line: what a kill can leave is a whole line or its beginning.
	if _, err := d.metrics.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// Sync puts all metrics on disk.
func (d *Dir) Sync() error {
	if err := d.metrics.Sync(); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// Close syncs the metrics and gives the run back.
func (d *Dir) Close() error {
	var err error
	if d.metrics != nil {
		err = errors.Join(d.metrics.Sync(), d.metrics.Close())
	}
	err = errors.Join(err, d.lock.Close())
	if err != nil {
		return fmt.Errorf("ckpt: closing %s: %w", d.Path, err)
	}
	return nil
}

// Is reports whether path is the directory of a run.
func Is(path string) bool {
	info, err := os.Stat(filepath.Join(path, runFile))
	return err == nil && info.Mode().IsRegular()
}

// Spec reads the specification of a run.
func Spec(path string) (ftlib.Run, error) {
	if !Is(path) {
		return ftlib.Run{}, fmt.Errorf("ckpt: %s is not a run: it has no %s", path, runFile)
	}
	return ftlib.ReadFile(filepath.Join(path, runFile))
}
