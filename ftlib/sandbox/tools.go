package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// tool is an interpreter or compiler of the host, and what it reads.
type tool struct {
	path  string
	read  []string // folders outside of the system's
	root  string   // of Go: GOROOT
	cache string   // of Go: compiled packages of the standard library
}

// outside says that a folder is not one that every job sees.
func outside(dir string) bool {
	return dir != "" && dir != "/usr" && !strings.HasPrefix(dir, "/usr/") && !strings.HasPrefix(dir, "/nix/store/")
}

// findPython asks the python3 of PATH (FTLAB_PYTHON, if set) who it is: it may be a
// script, or a virtual environment.
var findPython = sync.OnceValues(func() (tool, error) {
	name := os.Getenv("FTLAB_PYTHON")
	if name == "" {
		name = "python3"
	}
	out, err := exec.Command(name, "-c", "import json,sys; print(json.dumps([sys.executable, sys.prefix, sys.base_prefix]))").Output()
	var who []string
	if err == nil {
		err = json.Unmarshal(out, &who)
	}
	if err != nil || len(who) != 3 {
		return tool{}, fmt.Errorf("sandbox: no Python to run solutions with: %s: %w; install python3 or set FTLAB_PYTHON", name, err)
	}
	t := tool{path: who[0]}
	for _, dir := range who[1:] {
		if outside(dir) && (len(t.read) == 0 || t.read[0] != dir) {
			t.read = append(t.read, dir)
		}
	}
	return t, nil
})

var goOnce struct {
	sync.Mutex
	tool
}

// nobody is the user that a job runs as when root starts it. Root itself would be
// exempt from the limit of processes.
const nobody = 65534

// warm is what makes the cache hold what solutions import most.
const warm = `package main

import (
	_ "bufio"
	_ "bytes"
	_ "cmp"
	_ "container/heap"
	_ "container/list"
	_ "errors"
	_ "fmt"
	_ "maps"
	_ "math/big"
	_ "math/bits"
	_ "os"
	_ "regexp"
	_ "slices"
	_ "sort"
	_ "strconv"
	_ "strings"
	_ "testing"
	_ "time"
	_ "unicode"
)

func main() {}
`

// findGo is the go command of PATH, with a cache of its own in which the standard
// library is compiled once.
func findGo(ctx context.Context) (tool, error) {
	goOnce.Lock()
	defer goOnce.Unlock()
	if goOnce.path != "" {
		return goOnce.tool, nil
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return tool{}, fmt.Errorf("sandbox: no Go to compile solutions with: %w; install Go and put it on PATH", err)
	}
	t := tool{root: strings.TrimSpace(string(out))}
	t.path = filepath.Join(t.root, "bin", "go")
	if outside(t.root) {
		t.read = []string{t.root}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return tool{}, fmt.Errorf("sandbox: no place for compiled packages: %w", err)
	}
	t.cache = filepath.Join(cache, "ftlab", "sandbox-go")
	dir, err := os.MkdirTemp("", "ftlab-warm-")
	if err != nil {
		return tool{}, fmt.Errorf("sandbox: %w", err)
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"go.mod": "module warm\n\ngo 1.21\n", "main.go": warm, "main_test.go": "package main\n\nimport \"testing\"\n\nfunc TestNothing(*testing.T) {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return tool{}, fmt.Errorf("sandbox: %w", err)
		}
	}
	if err := os.MkdirAll(t.cache, 0o755); err != nil {
		return tool{}, fmt.Errorf("sandbox: %w", err)
	}
	cmd := exec.CommandContext(ctx, t.path, "test", "-c", "-vet=off", "-o", os.DevNull, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOCACHE="+t.cache, "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GOEXPERIMENT=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return tool{}, fmt.Errorf("sandbox: compiling the standard library: %w: %s", err, out)
	}
	if os.Geteuid() == 0 { // the compiler runs as nobody, and fails where it cannot write
		err := filepath.WalkDir(t.cache, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody)
		})
		if err != nil {
			return tool{}, fmt.Errorf("sandbox: giving the compiler its cache: %w", err)
		}
	}
	goOnce.tool = t
	return t, nil
}
