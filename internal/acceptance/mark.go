//go:build unix

package acceptance

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Mark is a word in the environment of everything that a test starts: whatever
// inherits it can be found again, also when its parents are gone. It comes with a
// folder of its own for Jupyter, the caches and the device server.
type Mark struct {
	Dir string // short: a unix socket's path may have a hundred bytes

	t     testing.TB
	word  string
	cache []string
}

const markName = "FTLAB_ACCEPTANCE"

// NewMark makes one; with the test end all that carries it and its folder.
func NewMark(t testing.TB) *Mark {
	t.Helper()
	dir, err := os.MkdirTemp("", "fta")
	if err != nil {
		t.Fatal(err)
	}
	m := &Mark{Dir: dir, t: t, word: rand.Text(), cache: goCache(t)}
	t.Cleanup(func() {
		for _, p := range m.Processes() {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
		_ = os.RemoveAll(dir)
	})
	return m
}

// Device is the socket of the device server.
func (m *Mark) Device() string { return filepath.Join(m.Dir, "device.sock") }

// Environ is what a program must be started with to carry the mark.
func (m *Mark) Environ() []string {
	out := []string{markName + "=" + m.word, "FTLAB_DEVICE=" + m.Device(), "TMPDIR=" + m.Dir, "XDG_CACHE_HOME=" + filepath.Join(m.Dir, "cache")}
	for _, name := range []string{"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"} {
		out = append(out, name+"="+filepath.Join(m.Dir, strings.ToLower(name)))
	}
	return append(out, m.cache...)
}

// Process is one that carries a mark.
type Process struct {
	PID  int
	Args []string
}

// Is says whether the arguments of the process begin with a program of this name, and
// those that follow.
func (p Process) Is(name string, args ...string) bool {
	if len(p.Args) < 1+len(args) || filepath.Base(p.Args[0]) != name {
		return false
	}
	for i, arg := range args {
		if p.Args[1+i] != arg {
			return false
		}
	}
	return true
}

// Processes are those that carry the mark and live.
func (m *Mark) Processes() []Process {
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var out []Process
	for _, name := range names {
		environ, err := os.ReadFile(name) // fails for processes of others; a dead one has none
		if err != nil || !bytes.Contains(environ, []byte(markName+"="+m.word)) {
			continue
		}
		dir := filepath.Dir(name)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		out = append(out, Process{pid, strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")})
	}
	return out
}

// Find returns the process that carries the mark and Is so, when there is one.
func (m *Mark) Find(name string, args ...string) Process {
	m.t.Helper()
	var found Process
	m.Wait(name+" "+strings.Join(args, " ")+" to run", func() bool {
		for _, p := range m.Processes() {
			if p.Is(name, args...) {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

// patience bounds every wait; what is waited for comes much sooner.
const patience = 60 * time.Second

// Wait waits until something is so.
func (m *Mark) Wait(what string, so func() bool) {
	m.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("acceptance: waited %s for %s; running: %v", patience, what, m.Processes())
		}
	}
}

// Left ends the device server, which is meant to outlive a kernel, and checks that
// nothing else is left of what carried the mark, and no file of a kernel either.
func (m *Mark) Left() {
	m.t.Helper()
	if runtime.GOOS != "linux" {
		return // no way to ask for the environment of a process
	}
	for _, p := range m.Processes() {
		if p.Is("ft", "device", "run") {
			_ = syscall.Kill(p.PID, syscall.SIGTERM)
		}
	}
	var left []Process
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = m.Processes(); len(left) == 0 {
			break
		}
	}
	for _, p := range left {
		m.t.Errorf("acceptance: process %d is left: %q", p.PID, p.Args)
	}
	for _, pattern := range []string{"ftk*", "ftw*", "gonb_*"} {
		files, _ := filepath.Glob(filepath.Join(m.Dir, pattern))
		for _, f := range files {
			m.t.Errorf("acceptance: left on the disk: %s", fmt.Sprint(f))
		}
	}
}
