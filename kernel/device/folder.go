package device

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// A checkpoint is a folder:
//
//	kept.json              which names there are, and where each one's data is
//	kept-000007.safetensors  data; a checkpoint may use several of these files
//
// Buffers never change, so a checkpoint writes only those that the one before it did
// not hold. It exists from the moment on at which the new kept.json takes the old
// one's place; until then the old one and all of its files are there.
const (
	indexName   = "kept.json"
	indexFormat = "ftlab kept tensors 1"
)

// index is kept.json.
type index struct {
	Format  string        `json:"format"`
	ID      string        `json:"id"` // of this checkpoint
	Time    time.Time     `json:"time"`
	Backend string        `json:"backend"`
	Tensors []indexTensor `json:"tensors"`
}

// indexTensor is one name. Names with the same File and Key are one buffer.
type indexTensor struct {
	Name   string   `json:"name"`
	DType  string   `json:"dtype"`
	Shape  []int    `json:"shape"`
	Axes   []string `json:"axes,omitempty"`
	Device int      `json:"device,omitempty"`
	File   string   `json:"file"`
	Key    string   `json:"key"`    // the tensor's name in File
	CRC32C uint32   `json:"crc32c"` // of its bytes
}

func (t indexTensor) shape() (s shapes.Shape, err error) {
	d, err := dtypes.DTypeString(t.DType)
	if err != nil {
		return s, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	for _, n := range t.Shape {
		if n < 0 {
			return s, fmt.Errorf("tensor %q: the shape %v", t.Name, t.Shape)
		}
	}
	s = shapes.Make(d, t.Shape...)
	s.AxisNames = t.Axes
	return s, nil
}

// place is where a buffer's data is in a folder.
type place struct {
	file, key string
	crc       uint32
	bytes     int64
}

// folder is what this server knows of a checkpoint that it wrote or restored.
type folder struct {
	id string
	at map[uint64]place // by buffer
}

func newIndex() index {
	return index{Format: indexFormat, ID: rand.Text(), Time: time.Now().Round(0)}
}

func readIndex(dir string) (x index, err error) {
	data, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		return x, err
	}
	if err := json.Unmarshal(data, &x); err != nil {
		return x, fmt.Errorf("%s: %w; the file is damaged", filepath.Join(dir, indexName), err)
	}
	if x.Format != indexFormat {
		return x, fmt.Errorf("%s: its format is %q, this server reads %q", filepath.Join(dir, indexName), x.Format, indexFormat)
	}
	for _, t := range x.Tensors {
		if t.Name == "" || t.File != filepath.Base(t.File) {
			return x, fmt.Errorf("%s: the tensor %q is said to be in %q; the file is damaged", filepath.Join(dir, indexName), t.Name, t.File)
		}
	}
	return x, nil
}

// writeIndex replaces kept.json; with it the checkpoint is whole.
func writeIndex(dir string, x index) error {
	data, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(dir, indexName), data); err != nil {
		return err
	}
	return syncDir(dir)
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// syncDir makes sure that names in a folder are on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return err
	}
	return nil
}

// nextFile is a name of a data file that is not in use.
func nextFile(dir string) (string, error) {
	next := 1
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "kept-%d.safetensors", &n); err == nil {
			next = max(next, n+1)
		}
	}
	return fmt.Sprintf("kept-%06d.safetensors", next), nil
}

// sweep removes data files that a checkpoint does not use, and what a server that was
// killed while it wrote has left.
func sweep(dir string, x index) error {
	used := map[string]bool{}
	for _, t := range x.Tensors {
		used[t.File] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		data := strings.HasPrefix(name, "kept-") && strings.HasSuffix(name, ".safetensors") && !used[name]
		half := strings.HasPrefix(name, ".kept")
		if data || half {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
