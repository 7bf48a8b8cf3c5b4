package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/optim"
)

// reopen makes a new loop, as a new process would, at a checkpoint of dir.
func reopen(t testing.TB, dir, which string) (*Loop, *bigram) {
	t.Helper()
	spec, err := ckpt.Spec(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, m := newTestLoop(nil)
	l.Run = spec
	l.Batches.(*fakeSource).Size = spec.Batch.Size
	clear(m.w)
	d, err := ckpt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	l.Dir = d
	c, err := ckpt.Find(dir, which)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(); err != nil {
		t.Fatal(err)
	}
	if err := l.resume(c); err != nil {
		t.Fatal(err)
	}
	return l, m
}

// trained are the step and eval events, the part of a history that must be equal.
func trained(events []ftlib.Event) []ftlib.Event {
	var out []ftlib.Event
	for _, e := range events {
		if e.Type == ftlib.EventStep || e.Type == ftlib.EventEval {
			out = append(out, timeless(e))
		}
	}
	return out
}

func sameRun(t testing.TB, dir, other string) {
	t.Helper()
	x, err := ckpt.Find(dir, "latest")
	if err != nil {
		t.Fatal(err)
	}
	y, err := ckpt.Find(other, "latest")
	if err != nil {
		t.Fatal(err)
	}
	if x.Step != y.Step {
		t.Fatalf("steps %d and %d", x.Step, y.Step)
	}
	for _, name := range []string{stateFile, "adapter_model.safetensors"} {
		a, err := os.ReadFile(filepath.Join(x.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(y.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Errorf("%s differs", name)
		}
	}
	if string(x.Loop) != string(y.Loop) || !reflect.DeepEqual(x.EvalLoss, y.EvalLoss) {
		t.Errorf("loop state differs:\n%s\n%s", x.Loop, y.Loop)
	}
	a, err := ckpt.Events(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ckpt.Events(other)
	if err != nil {
		t.Fatal(err)
	}
	if p, q := trained(a), trained(b); !reflect.DeepEqual(p, q) {
		t.Errorf("histories differ: %d and %d events", len(p), len(q))
	}
}

// straight trains a run to its end and keeps a checkpoint of every second step.
func straight(t testing.TB, dir string) {
	t.Helper()
	l, _ := newTestLoop(func(r *ftlib.Run) { r.Save.Keep = -1; r.Save.Every = 2 })
	d, err := ckpt.Create(dir, l.Run, ckpt.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l.Dir = d
	if _, err := l.Train(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestResumedEqualsStraightBitForBit(t *testing.T) {
	base := t.TempDir()
	whole := filepath.Join(base, "whole")
	straight(t, whole)
	for stop := 1; stop < 21; stop += 6 {
		dir := filepath.Join(base, fmt.Sprint("stopped-", stop))
		l, _ := newTestLoop(func(r *ftlib.Run) { r.Save.Keep = -1; r.Save.Every = 10 })
		keep(t, l, dir)
		ctx, cancel := context.WithCancel(context.Background())
		l.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
			if e.Step >= stop {
				cancel()
			}
			return nil
		})
		if res, err := l.Train(ctx); err != nil || res.Step != stop {
			t.Fatalf("step %d, %v", res.Step, err)
		}
		l.Dir.Close()
		l, _ = reopen(t, dir, "latest")
		if res, err := l.Train(context.Background()); err != nil || res.Status != ckpt.Finished {
			t.Fatalf("%+v, %v", res, err)
		}
		sameRun(t, whole, dir)
	}
}

func TestRollbackAndResumeEqualsStraight(t *testing.T) {
	base := t.TempDir()
	whole, again := filepath.Join(base, "whole"), filepath.Join(base, "again")
	straight(t, whole)
	straight(t, again)
	if c, err := ckpt.Rollback(again, "8"); err != nil || c.Step != 8 {
		t.Fatalf("%d, %v", c.Step, err)
	}
	if info, err := ckpt.Read(again); err != nil || info.Step != 8 || len(trained(info.Events)) != 9 {
		t.Fatalf("after rollback: step %d, %d events, %v", info.Step, len(trained(info.Events)), err)
	}
	l, _ := reopen(t, again, "latest")
	if l.state.Step != 8 {
		t.Fatalf("resumes at %d", l.state.Step)
	}
	if _, err := l.Train(context.Background()); err != nil {
		t.Fatal(err)
	}
	sameRun(t, whole, again)
}

func TestBranchGoesOnWithOtherSettings(t *testing.T) {
	base := t.TempDir()
	whole := filepath.Join(base, "whole")
	straight(t, whole)
	same, err := ckpt.Branch(whole, "6", "same", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := reopen(t, same, "latest")
	if _, err := l.Train(context.Background()); err != nil {
		t.Fatal(err)
	}
	sameRun(t, whole, same) // nothing changed: the same run

	other, err := ckpt.Branch(whole, "step-6", "", []string{"optim.learning_rate=0.001", "batch.max_steps=9"})
	if err != nil {
		t.Fatal(err)
	}
	if other != filepath.Join(base, "whole-from6-1") {
		t.Errorf("branch at %s", other)
	}
	l, m := reopen(t, other, "latest")
	res, err := l.Train(context.Background())
	if err != nil || res.Step != 9 {
		t.Fatalf("%+v, %v", res, err)
	}
	if m.applied[0].Step != 7 || m.applied[0].LR != optim.LearningRate(l.Run.Optim, 7, 9) {
		t.Errorf("first step of the branch: %+v", m.applied[0])
	}
	info, err := ckpt.Read(other)
	if err != nil || info.Run.Parent == nil || *info.Run.Parent != (ftlib.Parent{Run: whole, Step: 6}) || info.Step != 9 {
		t.Errorf("%+v, %v", info.Run.Parent, err)
	}
	if n := len(trained(info.Events)); n < 10 || trained(info.Events)[0].Step != 1 {
		t.Errorf("the branch does not hold its parent's history: %d events", n)
	}
}

func TestFinishedRunResumedTakesNoStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	straight(t, dir)
	l, m := reopen(t, dir, "latest")
	res, err := l.Train(context.Background())
	if err != nil || res.Status != ckpt.Finished || len(m.applied) != 0 || res.Step != 21 {
		t.Errorf("%+v, %v, %d steps", res, err, len(m.applied))
	}
	if info, err := ckpt.Read(dir); err != nil || info.Step != 21 || len(trained(info.Events)) != 26 {
		t.Errorf("%d events, %v", len(trained(info.Events)), err)
	}
}
