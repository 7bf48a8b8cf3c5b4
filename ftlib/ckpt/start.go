package ckpt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ftlab/ftlib"
)

const (
	startFile = "start.yaml" // what a process in the background was told to train
	logFile   = "log.txt"    // what it printed
)

// Prepare writes into a new directory what a process in the background is to train
// there. Until that process has loaded everything and begun, the directory is no run
// yet, but it is listed with the others, and says why when it never begins.
func Prepare(path string, run ftlib.Run) error {
	if Known(path) {
		return fmt.Errorf("ckpt: %s holds a run already; continue it with ft runs resume, or give the new one another name", path)
	}
	text, err := run.Encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	if err := WriteFile(filepath.Join(path, startFile), text); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// Withdraw removes what [Prepare] and a process that never began have left.
func Withdraw(path string) error {
	if Is(path) || Alive(path) {
		return nil
	}
	for _, name := range []string{startFile, logFile, metricsFile, lockFile} {
		if err := os.Remove(filepath.Join(path, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("ckpt: %w", err)
		}
	}
	os.Remove(path)               // if it is empty
	os.Remove(filepath.Dir(path)) // the same
	return nil
}

// Known reports whether path is the directory of a run, or of one that is to begin.
func Known(path string) bool {
	info, err := os.Stat(filepath.Join(path, startFile))
	return Is(path) || err == nil && info.Mode().IsRegular()
}

// StartFile is the file that [Prepare] writes.
func StartFile(path string) string { return filepath.Join(path, startFile) }

// Log is the file that a run in the background prints to.
func Log(path string) string { return filepath.Join(path, logFile) }

// Reserve takes the directory of a new run for this process, before minutes of
// loading. [Dir.Begin] makes it a run, [Dir.GiveUp] gives it back.
func Reserve(path string) (*Dir, error) {
	if Is(path) {
		return nil, fmt.Errorf("ckpt: %s holds a run already; continue it with --resume, or give the new one another name", path)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	return hold(path)
}

// GiveUp ends a reservation after cause. Nothing is left, unless the directory was
// prepared for this process: then cause is recorded there.
func (d *Dir) GiveUp(cause error) error {
	if Known(d.Path) {
		err := d.Event(ftlib.Event{Time: time.Now(), Type: ftlib.EventError, Message: cause.Error()})
		return errors.Join(err, d.Close())
	}
	err := d.Close()
	os.Remove(filepath.Join(d.Path, metricsFile))
	os.Remove(filepath.Join(d.Path, lockFile))
	os.Remove(d.Path)               // if it is empty
	os.Remove(filepath.Dir(d.Path)) // the same
	return err
}
