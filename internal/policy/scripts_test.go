package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// programs are what the scripts use besides Go and Python.
var programs = []string{
	"bash", "sh", "env", "cat", "sed", "sort", "head", "tail", "cut", "awk", "df", "mkdir", "rm", "mv", "dirname",
	"grep", "find", "sha256sum", "flock", "tr", "wc",
}

// bareMachine makes a checkout with only the scripts, and a PATH with only the
// programs given: name -> shell script, or "" for the real one.
func bareMachine(t *testing.T, extra map[string]string) (checkout, path string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("SKIPPED: the scripts' helpers are looked for as Linux has them, this is %s", runtime.GOOS)
	}
	checkout, path = t.TempDir(), t.TempDir()
	if err := os.CopyFS(filepath.Join(checkout, "scripts"), os.DirFS(filepath.Join(testkit.Root(), "scripts"))); err != nil {
		t.Fatal(err)
	}
	link := func(name string) {
		if real, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(real, filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range programs {
		link(name)
	}
	for name, script := range extra {
		if script == "" {
			link(name)
		} else if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return checkout, path
}

func TestLabSaysWhatIsMissing(t *testing.T) {
	goIs := func(version string) string {
		return `case "$*" in *GOVERSION*) echo ` + version + `;; *CGO*) echo 1;; *) exit 1;; esac`
	}
	const python = `case "$*" in *version_info*) echo 3.12.1;; esac`
	for _, c := range []struct {
		name  string
		path  map[string]string
		env   string
		wants []string
	}{
		{"no Go", map[string]string{"python3": python}, "", []string{"Go is not installed", "1.26.5"}},
		{"old Go", map[string]string{"python3": python, "go": goIs("go1.24.13")}, "", []string{"Go 1.24.13 is too old", "1.26.5"}},
		{"Go nearly new enough", map[string]string{"python3": python, "go": goIs("go1.26.4")}, "", []string{"Go 1.26.4 is too old"}},
		{"no Python", map[string]string{"go": goIs("go1.26.5")}, "", []string{"Python is not installed", "3.10"}},
		{"old Python", map[string]string{"go": goIs("go1.27.0"), "python3": "echo 3.9.18"}, "", []string{"python3 is Python 3.9.18", "3.10", "variable PYTHON"}},
		{"no venv", map[string]string{"go": goIs("go1.26.5"), "python3": `case "$*" in *ensurepip*) exit 1;; *) echo 3.10.0;; esac`}, "",
			[]string{"no venv module", "python3-venv"}},
		{"full disk", map[string]string{"go": goIs("go1.26.5"), "python3": python}, "FTLAB_FREE_MB=2999", []string{"2999 MB", "3000 MB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checkout, path := bareMachine(t, c.path)
			cmd := exec.Command("bash", filepath.Join(checkout, "scripts", "lab"), "--setup")
			cmd.Env = []string{"PATH=" + path, "HOME=" + checkout}
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v, want exit code 1", err)
			}
			said := stderr.String()
			for _, want := range append(c.wants, "error: ", "run this again") {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in:\n%s", want, said)
				}
			}
		})
	}
}

func TestLabUsage(t *testing.T) {
	lab := filepath.Join(testkit.Root(), "scripts", "lab")
	out, err := exec.Command("bash", lab, "--help").Output()
	if err != nil || !strings.Contains(string(out), "--run NOTEBOOK.ipynb") {
		t.Errorf("--help: %v\n%s", err, out)
	}
	var exit *exec.ExitError
	if out, err := exec.Command("bash", lab, "--run", "missing.ipynb").CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "no notebook missing.ipynb") {
		t.Errorf("--run missing.ipynb: %v\n%s", err, out)
	}
}

// python3 is the path of Python; the test is skipped where there is none.
func python3(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: no python3 here")
	}
	return path
}

func TestTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	out, err := exec.Command(python3(t), filepath.Join(testkit.Root(), "scripts", "free_port.py"), fmt.Sprint(port)).Output()
	var got int
	if _, scanErr := fmt.Sscan(string(out), &got); err != nil || scanErr != nil || got <= port || got > port+100 {
		t.Errorf("port %d is taken: %q, %v; want one of the next hundred", port, out, err)
	}
}

// How scripts/test counts: tests without subtests, and packages that fail outside of
// their tests; a passing parent of a skipped subtest is not counted.
func TestReportCounts(t *testing.T) {
	events := `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestB/x"}
{"Action":"output","Package":"p","Test":"TestB/x","Output":"    b_test.go:7: SKIPPED: no such file\n"}
{"Action":"skip","Package":"p","Test":"TestB/x","Elapsed":0}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestC","Output":"    b_test.go:9: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":1}
{"ImportPath":"q [q.test]","Action":"build-output","Output":"q.go:1:1: undefined: x\n"}
{"Action":"fail","Package":"q","Elapsed":0,"FailedBuild":"q [q.test]"}
{"Action":"skip","Package":"r","Elapsed":0}
{"Action":"output","Package":"s","Test":"TestD","Output":"panic: oh no\n"}
{"Action":"fail","Package":"s","Test":"TestD","Elapsed":0}
{"Action":"fail","Package":"s","Elapsed":0}
`
	dir := t.TempDir()
	cmd := exec.Command(python3(t), filepath.Join(testkit.Root(), "scripts", "report_tests.py"), dir)
	cmd.Stdin = io.NopCloser(strings.NewReader(events))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for file, want := range map[string]string{
		"passed":  "p TestA\n",
		"skipped": "p TestB/x\n",
		"failed":  "p TestC\nq\ns TestD\n",
	} {
		if got, _ := os.ReadFile(filepath.Join(dir, file)); string(got) != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	for _, want := range []string{"got 1, want 2", "undefined: x", "oh no", "1 skipped: no such file"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}
