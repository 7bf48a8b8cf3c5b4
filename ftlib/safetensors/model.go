package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

// Model is all weight files of one model directory.
type Model struct {
	files []*File
	where map[string]*File
}

// OpenModel opens dir/model.safetensors, or the shards that
// dir/model.safetensors.index.json lists, or the single *.safetensors file of
// the directory.
func OpenModel(dir string) (*Model, error) {
	paths, err := modelFiles(dir)
	if err != nil {
		return nil, err
	}
	m := &Model{where: map[string]*File{}}
	for _, path := range paths {
		f, err := Open(path)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.files = append(m.files, f)
		for name := range f.entries {
			if other := m.where[name]; other != nil {
				return nil, errors.Join(fmt.Errorf("safetensors: tensor %q is in both %s and %s", name, other.Path, path), m.Close())
			}
			m.where[name] = f
		}
	}
	return m, nil
}

func modelFiles(dir string) ([]string, error) {
	single := filepath.Join(dir, "model.safetensors")
	if _, err := os.Stat(single); err == nil {
		return []string{single}, nil
	}
	index := filepath.Join(dir, "model.safetensors.index.json")
	if data, err := os.ReadFile(index); err == nil {
		var doc struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return nil, fmt.Errorf("safetensors: %s: %w", index, err)
		}
		set := map[string]bool{}
		for name, file := range doc.WeightMap {
			if file != filepath.Base(file) {
				return nil, fmt.Errorf("safetensors: %s: tensor %q is said to be in %q, outside the directory", index, name, file)
			}
			set[filepath.Join(dir, file)] = true
		}
		var paths []string
		for path := range set {
			if _, err := os.Stat(path); err != nil {
				return nil, fmt.Errorf("safetensors: %s lists %s, which is missing; fetch the model again", index, filepath.Base(path))
			}
			paths = append(paths, path)
		}
		sort.Strings(paths)
		return paths, nil
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if len(found) == 1 {
		return found, nil
	}
	return nil, fmt.Errorf("safetensors: %s holds no model.safetensors and no model.safetensors.index.json", dir)
}

// Names are all tensor names, sorted.
func (m *Model) Names() []string {
	names := make([]string, 0, len(m.where))
	for name := range m.where {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Has reports whether the model holds a tensor of this name.
func (m *Model) Has(name string) bool { return m.where[name] != nil }

// Tensor returns a tensor without copying its data.
func (m *Model) Tensor(name string) (Tensor, error) {
	f := m.where[name]
	if f == nil {
		return Tensor{}, fmt.Errorf("safetensors: no tensor %q in the model", name)
	}
	return f.Tensor(name)
}

// Release gives the memory of a tensor that was read back to the system; it is read from
// the file again when it is used again.
func (m *Model) Release(t Tensor) { releaseMapped(t.Data) }

// Close unmaps all files.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
