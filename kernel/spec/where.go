package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// Where is a folder that Jupyter looks for kernels in.
type Where struct {
	Folder string `json:"folder"`
	Kind   string `json:"kind"` // user, prefix or system
}

// Prefix is the folder of a Python environment.
func Prefix(env string) Where {
	return Where{filepath.Join(env, "share", "jupyter", "kernels"), "prefix"}
}

// System is the folder that every user of the machine has; writing to it takes an
// administrator.
func System() Where { return Where{"/usr/local/share/jupyter/kernels", "system"} }

// User is the folder of the user who asks.
func User() (Where, error) {
	data := os.Getenv("JUPYTER_DATA_DIR")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return Where{}, fmt.Errorf("spec: %w", err)
		}
		switch xdg := os.Getenv("XDG_DATA_HOME"); {
		case runtime.GOOS == "darwin":
			data = filepath.Join(home, "Library", "Jupyter")
		case xdg != "":
			data = filepath.Join(xdg, "jupyter")
		default:
			data = filepath.Join(home, ".local", "share", "jupyter")
		}
	}
	return Where{filepath.Join(data, "kernels"), "user"}, nil
}

// Places are the folders that Jupyter may look in, in its order: the user's, those of
// JUPYTER_PATH, the environment that is active, the ones named, and the system's.
func Places(environments ...string) []Where {
	var out []Where
	add := func(w Where) {
		if !slices.ContainsFunc(out, func(o Where) bool { return o.Folder == w.Folder }) {
			out = append(out, w)
		}
	}
	for _, data := range filepath.SplitList(os.Getenv("JUPYTER_PATH")) {
		if data != "" {
			add(Where{filepath.Join(data, "kernels"), "user"})
		}
	}
	if user, err := User(); err == nil {
		add(user)
	}
	for _, env := range append([]string{os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX")}, environments...) {
		if env != "" {
			add(Prefix(env))
		}
	}
	add(System())
	add(Where{"/usr/share/jupyter/kernels", "system"})
	return out
}

// Installed is a kernelspec that is there.
type Installed struct {
	Where
	Dir     string `json:"path"`
	Display string `json:"display_name"`
	Broken  string `json:"broken,omitempty"` // why it cannot start, or ""
}

// List finds FTLab's kernelspecs.
func List(places []Where) ([]Installed, error) {
	var out []Installed
	for _, w := range places {
		dir := filepath.Join(w.Folder, Name)
		data, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("spec: %w", err)
		}
		in := Installed{Where: w, Dir: dir}
		var k kernelJSON
		if err := json.Unmarshal(data, &k); err != nil || len(k.Argv) == 0 {
			in.Broken = "kernel.json cannot be read; ft kernel install writes it again"
		} else {
			in.Display = k.DisplayName
			for _, arg := range k.Argv {
				if _, err := os.Stat(arg); filepath.IsAbs(arg) && err != nil {
					in.Broken = arg + " is missing; run scripts/lab --setup"
				}
			}
		}
		out = append(out, in)
	}
	return out, nil
}

// Remove takes the kernelspec out of a folder.
func Remove(w Where) (string, error) {
	dir := filepath.Join(w.Folder, Name)
	if _, err := os.Stat(filepath.Join(dir, "kernel.json")); err != nil {
		return dir, fmt.Errorf("spec: no kernel %s in %s: %w", Name, w.Folder, fs.ErrNotExist)
	}
	if err := os.RemoveAll(dir); err != nil {
		return dir, fmt.Errorf("spec: %w", err)
	}
	return dir, nil
}
