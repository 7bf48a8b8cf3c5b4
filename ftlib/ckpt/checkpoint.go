package ckpt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Checkpoint describes a step-N directory; it is the content of its state.json.
type Checkpoint struct {
	Path string `json:"-"` // of the directory

	Step      int       `json:"step"`  // optimizer steps done
	Steps     int       `json:"steps"` // planned when it was written
	Epoch     float64   `json:"epoch"`
	Time      time.Time `json:"time"`
	TrainLoss *float64  `json:"train_loss,omitempty"` // of the last step, nats a trained token
	EvalLoss  *float64  `json:"eval_loss,omitempty"`  // validation loss at this step; nil: not measured here

	Asked    bool               `json:"asked,omitempty"`    // a person asked for it: never pruned
	Live     map[string]float64 `json:"live,omitempty"`     // hyperparameters that were set while it trained
	Counters map[string]int64   `json:"counters,omitempty"` // of the stepper's state
	Loop     json.RawMessage    `json:"loop,omitempty"`     // the loop's own state: data position, early stopping
	Files    []File             `json:"files"`              // all others in the directory
}

// File is a file of a checkpoint with what it must be.
type File struct {
	Name   string `json:"name"` // below the checkpoint, with slashes
	Size   int64  `json:"size"`
	CRC32C string `json:"crc32c"` // Castagnoli, eight hexadecimal digits
}

const stateFile = "state.json"

func stepName(step int) string { return "step-" + strconv.Itoa(step) }

func stepOf(name string) (int, bool) {
	n, ok := strings.CutPrefix(name, "step-")
	if !ok {
		return 0, false
	}
	step, err := strconv.Atoi(n)
	return step, err == nil && step >= 0 && stepName(step) == name
}

// read reads a checkpoint's description and checks that its files are there and
// have their size. Contents are checked by [Checkpoint.Verify].
func read(path string) (Checkpoint, error) {
	var c Checkpoint
	data, err := os.ReadFile(filepath.Join(path, stateFile))
	if err != nil {
		return c, fmt.Errorf("ckpt: %s is not a whole checkpoint: %w", path, err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("ckpt: %s: %s: %w", path, stateFile, err)
	}
	c.Path = path
	for _, f := range c.Files {
		info, err := os.Stat(filepath.Join(path, filepath.FromSlash(f.Name)))
		if err != nil {
			return c, fmt.Errorf("ckpt: %s is damaged: %w", path, err)
		}
		if info.Size() != f.Size {
			return c, fmt.Errorf("ckpt: %s is damaged: %s has %d bytes, not %d", path, f.Name, info.Size(), f.Size)
		}
	}
	return c, nil
}

// Verify reads all files of the checkpoint and compares their checksums.
func (c Checkpoint) Verify() error {
	for _, want := range c.Files {
		f, err := os.Open(filepath.Join(c.Path, filepath.FromSlash(want.Name)))
		if err != nil {
			return fmt.Errorf("ckpt: %s is damaged: %w", c.Path, err)
		}
		crc, size, err := checksum(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("ckpt: %s: %w", c.Path, err)
		}
		if crc != want.CRC32C || size != want.Size {
			return fmt.Errorf("ckpt: %s is damaged: the content of %s is not what was written", c.Path, want.Name)
		}
	}
	return nil
}

// List gives the checkpoints of a run by step. Directories that are not whole
// checkpoints are left out and reported in the error, beside the good ones.
func List(dir string) ([]Checkpoint, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	var list []Checkpoint
	var bad []error
	for _, e := range entries {
		step, ok := stepOf(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		c, err := read(filepath.Join(dir, e.Name()))
		if err == nil && c.Step != step {
			err = fmt.Errorf("ckpt: %s says it is step %d", c.Path, c.Step)
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Step < list[j].Step })
	return list, errors.Join(bad...)
}

// Best is the index of the checkpoint with the lowest validation loss, the earliest
// of equals; -1 when none was validated.
func Best(list []Checkpoint) int {
	best := -1
	for i, c := range list {
		if c.EvalLoss != nil && (best < 0 || *c.EvalLoss < *list[best].EvalLoss) {
			best = i
		}
	}
	return best
}

// Find resolves the name of a checkpoint of a run: "latest" or "", "best", or a
// step as "200" or "step-200".
func Find(dir, which string) (Checkpoint, error) {
	list, damaged := List(dir)
	if len(list) == 0 {
		if damaged != nil {
			return Checkpoint{}, damaged
		}
		return Checkpoint{}, fmt.Errorf("ckpt: %s has no checkpoint yet; start it again with ft train", dir)
	}
	switch which {
	case "", "latest":
		return list[len(list)-1], nil
	case "best":
		if i := Best(list); i >= 0 {
			return list[i], nil
		}
		return Checkpoint{}, fmt.Errorf("ckpt: %s has no checkpoint with a validation loss; name a step: %s", dir, steps(list))
	}
	step, err := strconv.Atoi(strings.TrimPrefix(which, "step-"))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("ckpt: %q is not a checkpoint; write latest, best or a step: %s", which, steps(list))
	}
	for _, c := range list {
		if c.Step == step {
			return c, nil
		}
	}
	if _, err := os.Stat(filepath.Join(dir, stepName(step))); err == nil && damaged != nil {
		return Checkpoint{}, damaged
	}
	return Checkpoint{}, fmt.Errorf("ckpt: %s has no checkpoint of step %d; there are %s", dir, step, steps(list))
}

func steps(list []Checkpoint) string {
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = strconv.Itoa(c.Step)
	}
	return strings.Join(names, ", ")
}

// Save writes a checkpoint: write fills a new directory, which then becomes
// step-N at once. Metrics written before are on disk when Save returns, as is the
// checkpoint. An older step-N is replaced.
func (d *Dir) Save(c Checkpoint, write func(dir string) error) (Checkpoint, error) {
	fail := func(err error) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("ckpt: saving step %d of %s: %w; earlier checkpoints are untouched", c.Step, d.Path, err)
	}
	if err := d.metrics.Sync(); err != nil {
		return fail(err)
	}
	c.Path = filepath.Join(d.Path, stepName(c.Step))
	tmp := filepath.Join(d.Path, "."+stepName(c.Step)+".tmp")
	crashPoint()
	if err := os.RemoveAll(tmp); err != nil {
		return fail(err)
	}
	crashPoint()
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return fail(err)
	}
	discard := func(err error) (Checkpoint, error) {
		os.RemoveAll(tmp) // a full disk is full of this
		return fail(err)
	}
	if err := write(tmp); err != nil {
		return discard(err)
	}
	crashPoint()
	files, err := syncTree(tmp)
	if err != nil {
		return discard(err)
	}
	c.Files = files
	if err := writeJSON(filepath.Join(tmp, stateFile), c); err != nil {
		return discard(err)
	}
	if _, err := os.Stat(c.Path); err == nil {
		old := filepath.Join(d.Path, "."+stepName(c.Step)+".old.tmp")
		os.RemoveAll(old)
		if err := rename(c.Path, old); err != nil {
			return discard(err)
		}
		defer os.RemoveAll(old)
	}
	if err := rename(tmp, c.Path); err != nil {
		return discard(err)
	}
	return c, nil
}

// Prune removes old checkpoints and keeps the last ones, the best by validation loss
// and those that a person asked for. A negative number keeps all.
func (d *Dir) Prune(last int) error {
	if last < 0 {
		return nil
	}
	list, _ := List(d.Path) // what is damaged stays for a person to look at
	list = slices.DeleteFunc(list, func(c Checkpoint) bool { return c.Asked })
	best := Best(list)
	for i, c := range list {
		if i == best || i >= len(list)-max(last, 1) {
			continue
		}
		if err := remove(c.Path); err != nil {
			return fmt.Errorf("ckpt: removing old checkpoint: %w", err)
		}
	}
	return nil
}
