//go:build unix

package acceptance

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// Place is an installation of the kernel.
type Place struct {
	Root string   // the checkout
	Argv []string // of the kernel; {connection_file} stands for that file
	Env  []string // NAME=value, what the kernelspec sets
}

// Installed finds the kernel that scripts/lab has set up in this checkout. It skips
// the test where there is none.
func Installed(t testing.TB) Place {
	t.Helper()
	root := testkit.Root()
	path := filepath.Join(root, ".lab", "venv", "share", "jupyter", "kernels", "ftlab", "kernel.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skip("SKIPPED: the kernel is not installed; scripts/lab --setup does it")
	}
	var spec struct {
		Argv []string
		Env  map[string]string
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatalf("acceptance: %s: %v", path, err)
	}
	for _, program := range []string{spec.Argv[0], filepath.Join(root, ".lab", "bin", "gonb")} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("SKIPPED: %s is missing; scripts/lab --setup makes it", program)
		}
	}
	place := Place{Root: root, Argv: spec.Argv}
	for name, value := range spec.Env {
		place.Env = append(place.Env, name+"="+strings.ReplaceAll(value, "${PATH}", os.Getenv("PATH")))
	}
	slices.Sort(place.Env)
	return place
}

// Environ is the environment that scripts/lab runs Jupyter in, without what a test
// runner's own environment may have set for FTLab.
func (p Place) Environ() []string {
	out := slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		switch name {
		case "GOFLAGS", "PYTHONPATH", "PYTHONHOME", "GOWORK":
			return true
		}
		return strings.HasPrefix(name, "FTLAB_") && name != "FTLAB_PLUGINS"
	})
	return append(out, "JUPYTER_PREFER_ENV_PATH=1", "PYTHONNOUSERSITE=1",
		"PATH="+filepath.Join(p.Root, ".lab", "venv", "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// goCache names the caches of Go, which are shared with all else on the machine
// although a test has a home of its own.
func goCache(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	names := strings.Fields(string(out))
	if err != nil || len(names) != 2 {
		t.Fatalf("acceptance: go env: %v: %q", err, out)
	}
	return []string{"GOCACHE=" + names[0], "GOMODCACHE=" + names[1]}
}
