package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/llm"
)

// Log is told what a program cannot see from what it gets: that files have changed.
var Log io.Writer = os.Stderr

// ErrNotResident is wrapped by the errors of [Drop].
var ErrNotResident = errors.New("not resident")

// Model returns the model that is resident under a name, with its adapter and the state
// of its optimizer, or loads it, in float32, and keeps it. Each call gives a model of its
// own over the same tensors: training it or switching its adapter changes no other.
func Model(name string) (*llm.Model, error) {
	b, err := open()
	if err != nil {
		return nil, err
	}
	var m *llm.Model
	if name != "" {
		if m, err = find(b, name); err != nil {
			return nil, err
		}
	}
	if m == nil {
		return LoadAs(name, llm.LoadOptions{})
	}
	stale := m.Stale()
	if stale == "" {
		return m, nil
	}
	if m.Trained() {
		fmt.Fprintf(Log, "lab: %s: %s since it was loaded; the resident model was trained in the meantime and stays as it is: drop it to start from the files\n", name, stale)
		return m, nil
	}
	fmt.Fprintf(Log, "lab: %s: %s since it was loaded; it is read again\n", name, stale)
	again, err := llm.Load(b, m.Path, llm.LoadOptions{DType: m.DType()})
	m.Close()
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", name, err)
	}
	return again, keep(b, keyOf(b, name), again)
}

// Load reads a model from its files, in float32, and keeps it under its name, whatever is
// resident under that.
func Load(name string) (*llm.Model, error) { return LoadAs(name, llm.LoadOptions{}) }

// LoadAs is [Load] with the types of the weights chosen. [Model] then finds it as it is.
func LoadAs(name string, o llm.LoadOptions) (*llm.Model, error) {
	b, err := open()
	if err != nil {
		return nil, err
	}
	path, key, err := locate(name)
	if err != nil {
		if ok, _ := storeOf(b).has(b, name); ok {
			err = fmt.Errorf("lab: %s is resident, but was kept and not loaded: lab.Model gives it, a run's checkpoints are in its folder", name)
		}
		return nil, err
	}
	m, err := llm.Load(b, path, o)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", name, err)
	}
	return m, keep(b, key, m)
}

// Open is for a program that is given the path of a model and a backend: it gets the
// resident model if there is one that is what its files hold, in the type that is wanted,
// else it loads the files and keeps nothing.
func Open(b compute.Backend, path string, o llm.LoadOptions) (*llm.Model, error) {
	if o.DType == dtypes.InvalidDType {
		o.DType = dtypes.Float32
	}
	at, key, err := locate(path)
	if err != nil {
		return nil, err
	}
	m, err := storeOf(b).get(b, key)
	if err != nil || m == nil {
		return llm.Load(b, at, o)
	}
	if m.Trained() || m.DType() != o.DType || (m.Quantized() != nil) != (o.Quantize != nil) || m.Stale() != "" {
		m.Close()
		return llm.Load(b, at, o)
	}
	return m, nil
}

// Keep makes a model resident under a name, with its adapter and the state of its
// optimizer, instead of what had the name. It is a snapshot: the model can be trained
// further or closed, the resident one stays as it is now.
func Keep(name string, m *llm.Model) error {
	switch {
	case m == nil:
		return fmt.Errorf("lab: keep %q: there is no model", name)
	case strings.TrimSpace(name) == "":
		return errors.New("lab: keep: the name is empty")
	}
	return keep(m.Backend, keyOf(m.Backend, name), m)
}

// Drop frees what is resident under a name. Programs that use it go on; the memory is
// free when they end. Files are untouched.
func Drop(name string) error {
	b, err := open()
	if err != nil {
		return err
	}
	if name == "" {
		return errors.New("lab: drop: the name is empty")
	}
	for _, key := range keys(name) {
		if ok, err := storeOf(b).drop(b, key); ok || err != nil {
			return err
		}
	}
	list, err := List()
	if err != nil {
		return err
	}
	names := list.names()
	if len(names) == 0 {
		return fmt.Errorf("lab: drop %q: %w; nothing is", name, ErrNotResident)
	}
	return fmt.Errorf("lab: drop %q: %w; resident are %s", name, ErrNotResident, strings.Join(names, ", "))
}

// List tells what is resident, by name.
func List() (Residents, error) {
	b, err := open()
	if err != nil {
		return nil, err
	}
	list, err := storeOf(b).list(b)
	slices.SortFunc(list, func(a, b Resident) int { return strings.Compare(a.Name, b.Name) })
	list.share()
	return list, err
}

func open() (compute.Backend, error) {
	b, err := backend.Open("")
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return b, nil
}

// find gets a resident model by a name in any of its forms; nil if there is none.
func find(b compute.Backend, name string) (*llm.Model, error) {
	for _, key := range keys(name) {
		if m, err := storeOf(b).get(b, key); m != nil || err != nil {
			return m, err
		}
	}
	return nil, nil
}

// keep stores a model.
func keep(b compute.Backend, key string, m *llm.Model) error {
	if err := storeOf(b).put(b, key, m); err != nil {
		return fmt.Errorf("lab: keep %q: %w", key, err)
	}
	return nil
}
