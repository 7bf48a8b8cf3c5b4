package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"ftlab/ftlib/backend"
)

// TestMain makes the test binary act as ft where a command starts itself again.
func TestMain(m *testing.M) {
	if os.Getenv("FT_TEST_IS_FT") != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// ft runs a command line and returns its exit code and what it wrote.
func ft(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"verson", "did you mean version?"},
		{"nonsense", `no command "nonsense"`},
		{"version --nonsense", "unknown flag"},
		{"version extra", "unknown command"},
	} {
		code, stdout, stderr := ft(t, strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "--help") {
			t.Errorf("ft %s: exit code %d, %q; want %d and %q", c.args, code, stderr, exitUsage, c.want)
		}
		if stdout != "" {
			t.Errorf("ft %s: a mistake was answered on standard output: %q", c.args, stdout)
		}
	}
}

func TestHelpListsEveryCommand(t *testing.T) {
	code, stdout, _ := ft(t, "--help")
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	for _, command := range commands {
		cmd := command()
		if cmd.Short == "" || !strings.Contains(stdout, cmd.Short) {
			t.Errorf("%s: not in ft --help with a short description", cmd.Name())
		}
		if cmd := cmd.Name(); !strings.Contains(fmt.Sprint(groups), cmd) {
			t.Errorf("%s: in no group of ft --help", cmd)
		}
	}
}

func TestExitCodes(t *testing.T) {
	_, missing := os.Open("no such file")
	_, noBackend := backend.Open("nonsense")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailure},
		{fmt.Errorf("train: %w", context.Canceled), exitInterrupted},
		{fmt.Errorf("data: %w", missing), exitUsage},
		{fmt.Errorf("train: %w", noBackend), exitBackend},
		{fmt.Errorf("train: %w", withCode(exitRefused, errors.New("row 3"))), exitRefused},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestVersionJSON(t *testing.T) {
	code, stdout, stderr := ft(t, "version", "--json")
	var v buildInfo
	if err := json.Unmarshal([]byte(stdout), &v); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	if !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("go version %q", v.Go)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := ft(t, "completion", shell); code != exitOK || len(stdout) < 1000 {
			t.Errorf("completion %s: exit code %d, %d bytes", shell, code, len(stdout))
		}
	}
}
