//go:build unix

package acceptance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestJupyter runs Jupyter's tests for kernels (jupyter_kernel_test), and more of the
// protocol as its own client library speaks it.
func TestJupyter(t *testing.T) {
	t.Parallel()
	python(t, "protocol", "jupyter_kernel_test", 18)
}

// TestNotebooks executes notebooks with nbclient and papermill.
func TestNotebooks(t *testing.T) {
	t.Parallel()
	python(t, "notebooks", "papermill", 5)
}

// TestConsole types into ft repl.
func TestConsole(t *testing.T) {
	t.Parallel()
	python(t, "console", "jupyter_console, pexpect", 2)
}

// python runs a module of testdata; each of its tests is a test. There are at least
// that many of them: a module that breaks off must not look like one that passes.
func python(t *testing.T, module, needs string, least int) {
	t.Helper()
	place := Installed(t)
	program := filepath.Join(place.Root, ".lab", "venv", "bin", "python")
	if err := exec.Command(program, "-c", "import "+needs).Run(); err != nil {
		t.Skipf("SKIPPED: %s is not in .lab/venv; scripts/test installs it", needs)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	mark := NewMark(t)
	cmd := exec.Command(program, filepath.Join("testdata", "run.py"), module)
	cmd.Env = append(append(place.Environ(), mark.Environ()...), "FT="+place.Argv[0])
	cmd.ExtraFiles = []*os.File{w}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	got := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one struct{ Name, Outcome, Why string }
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		got++
		t.Run(one.Name, func(t *testing.T) {
			switch one.Outcome {
			case "skip":
				t.Skipf("SKIPPED: %s", one.Why)
			case "fail":
				t.Error(one.Why)
			}
		})
	}
	if err := cmd.Wait(); err != nil || got < least {
		t.Errorf("%d tests of %s ran, want %d at least: %v\n%s", got, module, least, err, said.String())
	}
	_, _ = io.Copy(io.Discard, r)
	mark.Left()
}
