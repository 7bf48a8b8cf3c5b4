package llm

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// File is a file that a model was read from, as it was then.
type File struct {
	Path string    `json:"path"`
	Size int64     `json:"size"` // bytes
	Time time.Time `json:"time"` // of its last change
}

// filesOf describes the files that Load reads at path; what is not there is left out.
func filesOf(path string) []File {
	paths := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		paths, _ = filepath.Glob(filepath.Join(path, "*.safetensors"))
		paths = append(paths, filepath.Join(path, "config.json"))
	}
	var all []File
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		if info, err := os.Stat(p); err == nil {
			all = append(all, File{p, info.Size(), info.ModTime()})
		}
	}
	return all
}

// Stale says what has happened to the files of the model since they were read; "" if
// nothing has, or if the model was read from none.
func (m *Model) Stale() string {
	for _, f := range m.files {
		info, err := os.Stat(f.Path)
		switch {
		case err != nil:
			return f.Path + " is gone"
		case info.Size() != f.Size:
			return fmt.Sprintf("%s has changed (%d bytes then, %d now)", f.Path, f.Size, info.Size())
		case !info.ModTime().Equal(f.Time):
			return fmt.Sprintf("%s was written again at %s", f.Path, info.ModTime().Format(time.DateTime))
		}
	}
	return ""
}
