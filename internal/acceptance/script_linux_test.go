package acceptance

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const shellLine = `//usr/bin/env ft script run "$0" "$@"; exit` + "\n\n"

const script = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/chart"
	"ftlab/kernel/notebook"
)

func main() {
	switch os.Args[1] {
	case "args":
		fmt.Printf("%q\n", os.Args[2:])
		fmt.Fprintln(os.Stderr, "to stderr")
		os.Exit(7)
	case "chart":
		notebook.Show(chart.Bars("A title", chart.Axis{Name: "x"}, []string{"a", "b"}, chart.Group{Name: "g", Values: []float64{1, 2}}))
	case "backend":
		b, err := backend.Open("")
		fmt.Println(b.Name(), err)
	case "signal":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGINT)
		fmt.Println("ready")
		fmt.Println((<-c).String())
	}
}
`

// runFile runs a program with this checkout's ft in the PATH.
func runFile(t *testing.T, mark *Mark, program string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	place := Installed(t)
	cmd := exec.Command(program, args...)
	cmd.Dir = mark.Dir
	cmd.Env = append(append(place.Environ(), mark.Environ()...), "PATH="+filepath.Dir(place.Argv[0])+":"+os.Getenv("PATH"))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// A Go file is a program: by ft script run, and by its own name with either first line.
func TestScript(t *testing.T) {
	t.Parallel()
	ft := Installed(t).Argv[0]
	mark := NewMark(t)
	write := func(name, text string) string {
		path := filepath.Join(mark.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain, byShell, byKernel := write("plain.go", script), write("shell.go", shellLine+script), write("kernel.go", "#!/usr/bin/env -S ft script run\n\n"+script)

	for _, argv := range [][]string{{ft, "script", "run", plain}, {"sh", byShell}, {"bash", "-c", `"$0" "$@"`, byShell}, {byKernel}} {
		out, said, code := runFile(t, mark, argv[0], append(argv[1:], "args", "a b", "--help", "")...)
		if out != "[\"a b\" \"--help\" \"\"]\n" || said != "to stderr\n" || code != 7 {
			t.Errorf("%q: exit code %d, %q, %q", argv, code, out, said)
		}
	}

	out, _, code := runFile(t, mark, ft, "script", "run", "plain.go", "chart")
	page, err := os.ReadFile(filepath.Join(mark.Dir, "plain-1.html"))
	if code != 0 || !strings.Contains(out, "plain-1.html") || err != nil || !bytes.Contains(page, []byte("A title")) || !bytes.HasPrefix(page, []byte("<!doctype html>")) {
		t.Errorf("chart: exit code %d, %q, %v, %.200q", code, out, err, page)
	}

	out, said, code := runFile(t, mark, ft, "script", "run", "plain.go", "backend")
	if out != "session <nil>\n" || code != 0 {
		t.Errorf("backend: exit code %d, %q, %q", code, out, said)
	}

	for text, want := range map[string]string{
		shellLine + "package main\n\nfunc main() {\n\tmissing()\n}\n":   "bad.go:6:2: undefined: missing",
		"#!x\npackage main\nfunc main() {\n\tmissing()\n}\n":            "bad.go:4:2: undefined: missing",
		"package main\nimport _ \"example.com/none\"\nfunc main() {}\n": "bad.go:2:8: no required module provides package example.com/none",
		"package main\nfunc main() { foo bar }\n":                       "bad.go:2:",
	} {
		write("bad.go", text)
		if _, said, code := runFile(t, mark, ft, "script", "run", "bad.go"); code != 1 || !strings.Contains(said, "\n"+want) {
			t.Errorf("%q: exit code %d: %s\nwant %s", text, code, said, want)
		}
	}
	for _, args := range [][]string{{"script", "run", "none.go"}, {"script", "run", "plain.txt"}, {"script", "run"}} {
		if _, said, code := runFile(t, mark, ft, args...); code != 2 {
			t.Errorf("%q: exit code %d: %s", args, code, said)
		}
	}
	signalled(t, mark, ft)
	mark.Left()
}

// signalled checks that a signal reaches the program, which has taken the place of ft.
func signalled(t *testing.T, mark *Mark, ft string) {
	t.Helper()
	place := Installed(t)
	cmd := exec.Command(ft, "script", "run", "plain.go", "signal")
	cmd.Dir, cmd.Env = mark.Dir, append(place.Environ(), mark.Environ()...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("ready\n"))
	if _, err := out.Read(said); err != nil || string(said) != "ready\n" {
		t.Errorf("%q %v", said, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	var rest bytes.Buffer
	_, _ = rest.ReadFrom(out) // until it ends
	if err := cmd.Wait(); err != nil || rest.String() != "interrupt\n" {
		t.Errorf("%q %v", rest.String(), err)
	}
}
