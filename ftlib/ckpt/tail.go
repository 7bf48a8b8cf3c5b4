package ckpt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ftlab/ftlib"
)

// Tail reads metrics.jsonl of a run while it grows.
type Tail struct {
	path string
	at   int64 // whole lines before this byte have been read
}

// NewTail begins with the first event of the run in dir; the file need not be there.
func NewTail(dir string) *Tail { return &Tail{path: filepath.Join(dir, metricsFile)} }

// SkipToEnd leaves out what is there already.
func (t *Tail) SkipToEnd() {
	// A torn last line, or one that is just being written, is read again as a whole.
	if data, err := os.ReadFile(t.path); err == nil {
		t.at = int64(bytes.LastIndexByte(data, '\n') + 1)
	}
}

// Next gives the events that were written since the last call. A line that is not
// whole yet waits for the next call; one that does not read is left out and reported
// beside the others.
func (t *Tail) Next() ([]ftlib.Event, error) {
	f, err := os.Open(t.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() == t.at {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, t.at, 1<<62))
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	var events []ftlib.Event
	for line := range bytes.Lines(data[:whole]) {
		t.at += int64(len(line))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var e ftlib.Event
		if bad := json.Unmarshal(line, &e); bad != nil {
			err = errors.Join(err, fmt.Errorf("ckpt: %s before byte %d: %w; the line is left out", t.path, t.at, bad))
			continue
		}
		events = append(events, e)
	}
	return events, err
}

// History leaves out of events, as [Tail] gives them, what came after the step that
// the run was resumed from or rolled back to.
func History(events []ftlib.Event) []ftlib.Event { return history(events) }
