package lab

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"ftlab/ftlib/llm"
)

// keys are what a model that is asked for by this name may be resident as: the name
// itself, and what its files are called.
func keys(name string) []string {
	all := []string{name}
	if _, key, err := locate(name); err == nil && key != name {
		all = append(all, key)
	}
	return all
}

// keyOf is the key that a resident model has which is asked for by this name; the name
// itself if there is none.
func keyOf(b compute.Backend, name string) string {
	for _, key := range keys(name) {
		if ok, _ := storeOf(b).has(b, key); ok {
			return key
		}
	}
	return name
}

// locate finds the files of a model and what it is called: by its bare name if it is one
// of the checkout's, by its hub name, or by its absolute path.
func locate(name string) (path, key string, err error) {
	models := ""
	if root := checkout(); root != "" {
		models = filepath.Join(root, "models")
	}
	if models != "" && name != "" && !strings.ContainsAny(name, `/\`) {
		if at := filepath.Join(models, name); isModel(at) {
			return at, name, nil
		}
	}
	if path, err = llm.Resolve(name); err != nil {
		return "", "", fmt.Errorf("lab: no model %q: %w%s", name, err, choices(models))
	}
	if _, err := os.Stat(name); err != nil {
		return path, name, nil // a name of the hub
	}
	if key, err = filepath.Abs(path); err != nil {
		return "", "", fmt.Errorf("lab: %w", err)
	}
	if real, err := filepath.EvalSymlinks(key); err == nil {
		key = real
	}
	if real, err := filepath.EvalSymlinks(models); err == nil && filepath.Dir(key) == real {
		return path, filepath.Base(key), nil
	}
	return path, key, nil
}

func isModel(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil
}

// choices ends the message that there is no such model.
func choices(models string) string {
	entries, _ := os.ReadDir(models)
	var names []string
	for _, e := range entries {
		if isModel(filepath.Join(models, e.Name())) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; here are " + strings.Join(names, ", ")
}

// checkout is the top of the repository that the program stands in, or was built from;
// "" if neither is there.
func checkout() string {
	dir, err := os.Getwd()
	for err == nil {
		if isCheckout(dir) {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			break
		}
		dir = above
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		if dir := filepath.Dir(filepath.Dir(filepath.Dir(file))); isCheckout(dir) {
			return dir
		}
	}
	return ""
}

func isCheckout(dir string) bool {
	return !slices.ContainsFunc([]string{"go.mod", "models", filepath.Join("ftlib", "lab")}, func(name string) bool {
		_, err := fs.Stat(os.DirFS(dir), filepath.ToSlash(name))
		return err != nil
	})
}
