//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ftlab/ftlib/backend"
	"ftlab/kernel/jupyter"
	"ftlab/kernel/session"
	"ftlab/kernel/spec"
)

func TestShortBackend(t *testing.T) {
	for long, want := range map[string]string{
		"go": "go",
		"xla:/a (b)/p.so - PJRT plugin (/a (b)/p.so) v0.115 [StableHLO] [4 device(s)]": "xla:p.so v0.115 [StableHLO] [4 device(s)]",
	} {
		if got := shortBackend(long); got != want {
			t.Errorf("%q: %q, want %q", long, got, want)
		}
	}
}

// magic runs a magic's line and returns the command of the shell and what it drew.
func magic(t *testing.T, name string, c jupyter.Call) (shell, text, page string, err error) {
	t.Helper()
	c.Show = func(a, b string) { text, page = text+a, page+b }
	for _, m := range labMagics("/opt/it's/ft") {
		if m.Name == name {
			shell, err = m.Run(t.Context(), c)
			return shell, text, page, err
		}
	}
	t.Fatalf("no magic %s", name)
	return "", "", "", nil
}

func TestMagicCommands(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(`{"prompt": "1 < 2?", "completion": "yes"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if shell, _, _, err := magic(t, "%ft", jupyter.Call{Line: "runs list --json"}); err != nil || shell != `'/opt/it'\''s/ft' runs list --json` {
		t.Errorf("%s %v", shell, err)
	}
	if _, text, page, err := magic(t, "%ft", jupyter.Call{Line: "data rows.jsonl", Dir: dir}); err != nil || !strings.Contains(text, "row 1") || !strings.Contains(page, "1 &lt; 2?") {
		t.Errorf("%q %q %v", text, page, err)
	}
	if shell, _, _, err := magic(t, "%ft", jupyter.Call{Line: "data check rows.jsonl", Dir: dir}); err != nil || !strings.HasSuffix(shell, " data check rows.jsonl") {
		t.Errorf("%q %v", shell, err)
	}
	for line, want := range map[string]string{"chat --model x": "terminal", "drop": "the name of one model", "drop a b": "the name of one model"} {
		if shell, _, _, err := magic(t, "%ft", jupyter.Call{Line: line}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q %v", line, shell, err)
		}
	}
	shell, _, _, err := magic(t, "%%ft", jupyter.Call{Line: "train --set lora.r=2", Body: "model: {path: x}", Temp: dir})
	if spec, e := os.ReadFile(filepath.Join(dir, "cell.yaml")); err != nil || e != nil || string(spec) != "model: {path: x}\n" || !strings.HasSuffix(shell, "cell.yaml' --set lora.r=2") {
		t.Errorf("%s %q %v %v", shell, spec, err, e)
	}
	for line, want := range map[string]string{"runs": "only train", "train": "there are none"} {
		if _, _, _, err := magic(t, "%%ft", jupyter.Call{Line: line}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%%%%ft %s: %v", line, err)
		}
	}
}

func TestMagicCompletion(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want, not string }{
		{"", "status", "chat"}, {"ru", "runs", ""}, {"runs ", "list", "./"}, {"runs list --js", "--json", "sets/"}, {"data show se", "sets/", ""},
	} {
		got := completeFt(c.line, dir)
		if !slices.Contains(got, c.want) || c.not != "" && slices.Contains(got, c.not) {
			t.Errorf("%q: %v", c.line, got)
		}
	}
}

// The kernel's server is started, found again when it was killed, and outlives the
// kernel; without one, cells are told to compute by themselves.
func TestDeviceServerOfTheKernel(t *testing.T) {
	dir, err := os.MkdirTemp("", "ft") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv(session.EnvAddr, filepath.Join(dir, "s", "device.sock"))
	t.Setenv("FT_TEST_IS_FT", "1")
	t.Setenv(backend.Env, backend.Go)
	t.Setenv("GOFLAGS", spec.GoFlags)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := startDeviceServer(self)
	if err != nil {
		t.Fatal(err)
	}
	if env, notice := d.prepare(`import "ftlab/ftlib/llm"`); env != nil || notice != "" {
		t.Errorf("%v %q", env, notice)
	}
	if os.Getenv(backend.Env) != "session:" {
		t.Errorf("%s=%s", backend.Env, os.Getenv(backend.Env))
	}
	first, err := d.b.Stats()
	if err != nil || !strings.HasPrefix(first.Backend, "go") && !strings.Contains(first.Backend, "Go") {
		t.Errorf("%+v %v", first, err)
	}
	if _, text, _, err := magic(t, "%ft", jupyter.Call{Dir: dir}); err != nil || !strings.Contains(text, "resident models: none") || !strings.Contains(text, "runs: none") {
		t.Errorf("%q %v", text, err)
	}
	syscall.Kill(first.PID, syscall.SIGKILL)
	if env, notice := d.prepare("1+2"); env != nil || notice == "" {
		t.Errorf("after it was killed: %v %q", env, notice)
	}
	second, err := d.b.Stats()
	if err != nil || second.PID == first.PID {
		t.Errorf("%+v %v", second, err)
	}
	if err := d.b.Stop(); err != nil {
		t.Fatal(err)
	}
	d.command[3] = "--nonsense"
	env, notice := d.prepare("1+2")
	if len(env) != 2 || env[0] != backend.Env+"=go" || env[1] != "GOFLAGS='-ldflags=-s -w' -tags=netgo,osusergo" || !strings.Contains(notice, "no device server") {
		t.Errorf("without a server: %v %q", env, notice)
	}
	if env, notice := d.prepare("1+2"); env != nil || notice != "" {
		t.Errorf("told twice: %v %q", env, notice)
	}
	d.command[3], d.tried = "--backend", d.tried.Add(-2*tryAgain)
	if env, _ := d.prepare("1+2"); len(env) != 2 || env[0] != backend.Env+"=session:" || env[1] != "GOFLAGS="+spec.GoFlags {
		t.Errorf("with a server again: %v", env)
	}
	if err := d.b.Stop(); err != nil {
		t.Fatal(err)
	}
}
