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

const metricsFile = "metrics.jsonl"

// openMetrics opens metrics.jsonl for appending. A torn last line, which a killed
// process can leave, is cut off: a line appended behind it would be unreadable.
func openMetrics(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, metricsFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err == nil {
		end := int64(bytes.LastIndexByte(data, '\n') + 1)
		if end != int64(len(data)) {
			err = f.Truncate(end)
		}
		if err == nil {
			_, err = f.Seek(end, io.SeekStart)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// AllEvents reads metrics.jsonl of a run as it was written, including steps that
// were taken again after a resume. A torn last line is ignored; a run without the
// file has no events. Any other line that does not read is an error with its number,
// returned with the events around it.
func AllEvents(dir string) ([]ftlib.Event, error) {
	path := filepath.Join(dir, metricsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	var events []ftlib.Event
	for line := 1; len(data) > 0; line++ {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break // torn: the process was killed while it wrote
		}
		text := bytes.TrimSpace(data[:end])
		data = data[end+1:]
		if len(text) == 0 {
			continue
		}
		var e ftlib.Event
		if bad := json.Unmarshal(text, &e); bad != nil {
			// After a power cut the file system may have kept the length and lost the end.
			if len(bytes.Trim(data, "\x00")) > 0 {
				err = errors.Join(err, fmt.Errorf("ckpt: %s line %d: %w; the line is left out", path, line, bad))
			}
			continue
		}
		events = append(events, e)
	}
	return events, err
}

// Events reads metrics.jsonl of a run as one history: what came after the step
// that a run was resumed from or rolled back to is left out.
func Events(dir string) ([]ftlib.Event, error) {
	all, err := AllEvents(dir)
	return history(all), err
}

func history(all []ftlib.Event) []ftlib.Event {
	var events []ftlib.Event
	for _, e := range all {
		if e.Type == ftlib.EventResume || e.Type == ftlib.EventRollback {
			keep := events[:0]
			for _, old := range events {
				over := old.Type == ftlib.EventEnd || old.Type == ftlib.EventError
				if old.Step <= e.Step && !over {
					keep = append(keep, old)
				}
			}
			events = keep
		}
		events = append(events, e)
	}
	return events
}
