package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/backend"
	"ftlab/kernel/session"
)

// The server is started by one command, found by a second and ended by a third.
func TestDevice(t *testing.T) {
	dir, err := os.MkdirTemp("", "ft") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv(session.EnvAddr, filepath.Join(dir, "s", "device.sock"))
	t.Setenv("FT_TEST_IS_FT", "1")
	ft := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(context.Background(), append([]string{"device"}, args...), &out, &errs); code != want {
			t.Fatalf("ft device %v: exit code %d\n%s%s", args, code, out.String(), errs.String())
		}
		return out.String()
	}
	if out := ft(exitOK, "status"); !strings.Contains(out, "no device server") {
		t.Errorf("status: %s", out)
	}
	ft(exitFailure, "start", "--backend", "nonsense")
	if out := ft(exitOK, "start", "--backend", backend.Go, "--memory", "1.5"); !strings.Contains(out, "1500.0 MB") {
		t.Errorf("start: %s", out)
	}
	var first, second deviceReport
	for _, r := range []*deviceReport{&first, &second} {
		if err := json.Unmarshal([]byte(ft(exitOK, "status", "--json")), r); err != nil {
			t.Fatal(err)
		}
		ft(exitOK, "start")
	}
	if !first.Running || first.PID != second.PID || first.PID == os.Getpid() {
		t.Errorf("%+v, then %+v", first.Stats, second.Stats)
	}
	t.Setenv(backend.Env, "session:") // a program that names no socket
	b, err := backend.Open("")
	if err != nil || b.Name() != "session" {
		t.Errorf("%v, %v", b, err)
	}
	ft(exitOK, "stop")
	ft(exitUsage, "start", "--idle", "soon")
}
