//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tune"
	"ftlab/internal/testkit"
	"ftlab/kernel/session"
)

// Two runs in the background share one device server, are listed, controlled from the
// command line, and end equal: they do not disturb each other.
func TestTwoRunsInTheBackground(t *testing.T) {
	dir, err := os.MkdirTemp("", "ft") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv(session.EnvAddr, filepath.Join(dir, "s", "device.sock"))
	t.Setenv("FT_TEST_IS_FT", "1")
	t.Setenv(tune.Program, os.Args[0])
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ft := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(ctx, args, &out, &errs); code != want {
			logs, _ := filepath.Glob(filepath.Join(dir, "runs", "*", "log.txt"))
			for _, l := range logs {
				data, _ := os.ReadFile(l)
				t.Logf("%s:\n%s", l, data)
			}
			t.Fatalf("ft %v: exit code %d\n%s%s", args, code, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	ft(exitOK, "device", "start", "--backend", backend.Go)
	defer ft(exitOK, "device", "stop")
	t.Setenv(backend.Env, "session:")

	runs := filepath.Join(dir, "runs")
	spec := filepath.Join(dir, "run.yaml")
	text := fmt.Sprintf("output_dir: %q\nmodel: {path: %q}\ndata: {train: %q, limit: 40, validation_split: -1}\nlora: {r: 2}\nbatch: {max_steps: 12, per_device_train_batch_size: 2}\nsave: {save_steps: -1}\n",
		runs, filepath.Join(testkit.Root(), "models", "ft-tiny"), filepath.Join(testkit.Root(), "datasets", "reviews", "train.parquet"))
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ft(exitUsage, "train", spec, "--detach", "--set", "optim.learning_rate=-1")
	var losses []float64
	for _, name := range []string{"a", "b"} {
		var got struct{ Run, Log string }
		if err := json.Unmarshal([]byte(ft(exitOK, "train", spec, "--detach", "--json", "--set", "name="+name)), &got); err != nil || got.Run != filepath.Join(runs, name) {
			t.Fatalf("%+v, %v", got, err)
		}
		// Asked for while it loads, done before the first step.
		if out := ft(exitOK, "runs", "pause", got.Run); !strings.Contains(out, "after step 0: paused") {
			t.Errorf("pause: %s", out)
		}
	}
	if out := ft(exitOK, "runs", "list", "--dir", runs); strings.Count(out, ckpt.Paused) != 2 {
		t.Errorf("two runs are paused:\n%s", out)
	}
	if out := ft(exitOK, "runs", "set", "a", "--dir", runs); !strings.Contains(out, "learning_rate") {
		t.Errorf("knobs:\n%s", out)
	}
	if out := ft(exitOK, "runs", "set", "a", "optim.learning_rate=1e-3", "--dir", runs); !strings.Contains(out, "learning_rate 0.0002 → 0.001") {
		t.Errorf("set: %s", out)
	}
	ft(exitOK, "runs", "set", "b", "learning_rate=0.001", "--dir", runs)
	if out := ft(exitFailure, "runs", "set", "b", "warmth=1", "--dir", runs); !strings.Contains(out, "weight_decay") {
		t.Errorf("a knob that is not there: %s", out)
	}
	ft(exitUsage, "runs", "set", "b", "learning_rate", "--dir", runs)
	for _, name := range []string{"a", "b"} {
		ft(exitOK, "runs", "continue", name, "--dir", runs)
	}
	for _, name := range []string{"a", "b"} {
		b, err := tune.Attach(filepath.Join(runs, name))
		if err != nil {
			t.Fatal(err)
		}
		in, err := b.Wait(ctx)
		if err != nil || in.Status != ckpt.Finished || in.Step != 12 {
			log, _ := os.ReadFile(ckpt.Log(b.Dir))
			t.Fatalf("%s at %d, %v\n%s", in.Status, in.Step, err, log)
		}
		losses = append(losses, *in.TrainLoss)
	}
	if losses[0] != losses[1] {
		t.Errorf("the same run twice, side by side: losses %v", losses)
	}
	if out := ft(exitFailure, "runs", "pause", "a", "--dir", runs); !strings.Contains(out, "no process trains") {
		t.Errorf("pausing what is over: %s", out)
	}
	if out := ft(exitOK, "runs", "branch", "a", "--dir", runs, "--detach", "--set", "batch.max_steps=14"); !strings.Contains(out, "background") {
		t.Errorf("branch: %s", out)
	}
	b, err := tune.Attach(filepath.Join(runs, "a-from12-1"))
	if err != nil {
		t.Fatal(err)
	}
	if in, err := b.Wait(ctx); err != nil || in.Step != 14 {
		t.Errorf("the branch is at step %d, %v", in.Step, err)
	}
}
