package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/safetensors"
	"ftlab/kernel/session"
)

// deviceDir is a folder for the socket of servers that the test starts.
func deviceDir(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ft") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv(session.EnvAddr, filepath.Join(dir, "s", "device.sock"))
	t.Setenv("FT_TEST_IS_FT", "1")
	return dir
}

// deviceFT runs ft device with arguments, and wants an exit code.
func deviceFT(t *testing.T) func(want int, args ...string) string {
	return func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(context.Background(), append([]string{"device"}, args...), &out, &errs); code != want {
			t.Fatalf("ft device %v: exit code %d\n%s%s", args, code, out.String(), errs.String())
		}
		return out.String()
	}
}

// The server is started by one command, found by a second and ended by a third.
func TestDevice(t *testing.T) {
	deviceDir(t)
	ft := deviceFT(t)
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

// What is kept is saved, restored by the next server and by one after a crash, loaded
// and dropped, all from the command line.
func TestDeviceKeeps(t *testing.T) {
	dir := deviceDir(t)
	ft := deviceFT(t)
	file := filepath.Join(dir, "w.safetensors")
	w, err := safetensors.FromFloat32s("w", safetensors.F32, []int{3}, []float32{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(file, []safetensors.Tensor{w}, nil); err != nil {
		t.Fatal(err)
	}
	ft(exitFailure, "load", file, "--as", "m") // there is no server
	report := func(args ...string) (r deviceReport) {
		t.Helper()
		if err := json.Unmarshal([]byte(ft(exitOK, append(args, "--json")...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	ft(exitOK, "start", "--backend", backend.Go, "--memory", "1.5")
	ft(exitUsage, "load", file)
	if out := ft(exitOK, "load", file, "--as", "models/m", "--dtype", "bfloat16"); !strings.Contains(out, "loaded 1 tensors") || !strings.Contains(out, "BFloat16") {
		t.Errorf("load: %s", out)
	}
	ft(exitFailure, "load", filepath.Join(dir, "none"), "--as", "m")
	ft(exitUsage, "drop", "nothing")
	if out := ft(exitOK, "checkpoint", filepath.Join(dir, "by hand")); !strings.Contains(out, "saved 1 tensors") {
		t.Errorf("checkpoint: %s", out)
	}
	first := report("status")
	if len(first.Names) != 1 || first.Names[0].Name != "models/m/w" || first.Names[0].Bytes != 6 || first.Kept != 1 || first.Clients != 0 || first.State == "" {
		t.Errorf("%+v", first)
	}
	second := report("restart")
	if second.PID == first.PID || second.Kept != 1 || second.LimitBytes != first.LimitBytes || second.Notice != "" {
		t.Errorf("after a restart: %+v", second)
	}
	if err := syscall.Kill(second.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for { // until its socket is deaf
		if _, err := session.Connect(""); errors.Is(err, session.ErrNoServer) {
			break
		}
	}
	if out := ft(exitOK, "status"); !strings.Contains(out, fmt.Sprintf("process %d) died", second.PID)) {
		t.Errorf("status after a crash: %s", out)
	}
	third := report("start")
	if third.PID == second.PID || third.Kept != 1 || third.LimitBytes != first.LimitBytes || !strings.Contains(third.Notice, "had died") {
		t.Errorf("after a crash: %+v", third)
	}
	if out := ft(exitOK, "status"); !strings.Contains(out, "models/m/w") || !strings.Contains(out, "saved") || strings.Contains(out, "had died") {
		t.Errorf("status: %s", out)
	}
	if out := ft(exitOK, "drop", "models"); !strings.Contains(out, "dropped 1 tensors") {
		t.Errorf("drop: %s", out)
	}
	if out := ft(exitOK, "stop"); !strings.Contains(out, "0 tensors") {
		t.Errorf("stop: %s", out)
	}
	if r := report("start"); r.Kept != 0 || r.LimitBytes == first.LimitBytes {
		t.Errorf("after an orderly stop: %+v", r)
	}
	if out := ft(exitOK, "restore", filepath.Join(dir, "by hand")); !strings.Contains(out, "restored 1 tensors") {
		t.Errorf("restore: %s", out)
	}
	ft(exitFailure, "restore", filepath.Join(dir, "none"))
	if pid, err := session.End(""); err != nil || pid == third.PID { // SIGTERM, as when the machine goes down
		t.Errorf("%d, %v", pid, err)
	}
	if r := report("start"); r.Kept != 1 || r.Notice != "" {
		t.Errorf("after SIGTERM: %+v", r)
	}
	if r := report("restart", "--fresh", "--idle", "1m"); r.Kept != 0 {
		t.Errorf("fresh: %+v", r)
	}
	ft(exitOK, "restore", filepath.Join(dir, "s", "state.before"))
	if out := ft(exitOK, "stop", "--discard", "--json"); !strings.Contains(out, `"saved": false`) {
		t.Errorf("stop: %s", out)
	}
}
