package tune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/optim"
)

// tunable is the bigram with a hyperparameter of its own: a factor of the gradient.
type tunable struct {
	*bigram
	beta float32
}

func (m *tunable) Knobs() []ftlib.Knob {
	return []ftlib.Knob{{Key: "beta", Value: float64(m.beta), Min: 0.01, Max: 10}}
}

func (m *tunable) Turn(_ string, v float64) error { m.beta = float32(v); return nil }

func (m *tunable) Apply(h Hyper) (float64, error) {
	for i := range m.g {
		m.g[i] *= m.beta
	}
	return m.bigram.Apply(h)
}

// script are the commands that a test gives a run: after which step, which.
type script map[int][]ckpt.Command

var errCut = errors.New("cut")

// follow sends the commands of a script when their step is taken, and cuts the run off
// as a kill does, without saving, after step cut (0: never). It records all events.
func follow(t *testing.T, l *Loop, s script, cut int, seen *[]ftlib.Event) {
	sent := map[int]bool{}
	l.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		*seen = append(*seen, e)
		if e.Type != ftlib.EventStep {
			return nil
		}
		if cut > 0 && e.Step == cut {
			return errCut
		}
		if !sent[e.Step] {
			sent[e.Step] = true
			for _, c := range s[e.Step] {
				if _, err := ckpt.Send(l.Dir.Path, c); err != nil {
					t.Error(err)
				}
			}
		}
		return nil
	})
}

// controlled trains a run under a script, cut off at each of cuts and resumed.
func controlled(t *testing.T, dir string, s script, cuts ...int) []ftlib.Event {
	t.Helper()
	var seen []ftlib.Event
	for _, cut := range append(cuts, 0) {
		l, m := newTestLoop(func(r *ftlib.Run) { r.Save.Keep = 3; r.Save.Every = 4 })
		l.Stepper = &tunable{m, 1}
		d, err := ckpt.Open(dir)
		if !ckpt.Is(dir) {
			d, err = ckpt.Create(dir, l.Run, ckpt.Env{})
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Dir = d
		if err := l.ResumeLatest(); err != nil {
			t.Fatal(err)
		}
		follow(t, l, s, cut, &seen)
		_, err = l.Train(context.Background())
		if cut > 0 && !errors.Is(err, errCut) || cut == 0 && err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		d.Close()
		s = nil // what was asked for once is not asked for again
	}
	return seen
}

func set(key string, v float64) ckpt.Command {
	return ckpt.Command{Do: ckpt.DoSet, Key: key, Value: v, By: "ada"}
}

var changes = script{
	3: {set("weight_decay", 0.2), set("beta", 2)},
	5: {set("learning_rate", 0.01)}, // at a checkpoint: it is saved before the change
	6: {set("learning_rate", 0.02), set("max_grad_norm", 0.05)},
	7: {set("beta", 0.5)},
}

// What was set while a run went on is set again, at the same steps, by whoever resumes
// it: bit for bit the run that was never cut off, wherever it was.
func TestChangesSurviveResumeBitForBit(t *testing.T) {
	base := t.TempDir()
	whole, plain := filepath.Join(base, "whole"), filepath.Join(base, "plain")
	controlled(t, whole, changes)
	controlled(t, plain, nil)
	a, _ := ckpt.Find(whole, "latest")
	b, _ := ckpt.Find(plain, "latest")
	x, _ := os.ReadFile(filepath.Join(a.Path, stateFile))
	y, _ := os.ReadFile(filepath.Join(b.Path, stateFile))
	if string(x) == string(y) {
		t.Fatal("the changes change nothing: the test would see nothing")
	}
	want := controlEvents(t, whole)
	if len(want) != 6 {
		t.Fatalf("%d control events, not 6: %+v", len(want), want)
	}
	for name, cuts := range map[string][]int{"after them": {12}, "between": {8}, "before they are made again": {8, 6, 6, 7, 11}} {
		dir := filepath.Join(base, name)
		controlled(t, dir, changes, cuts...)
		sameRun(t, whole, dir)
		if got := controlEvents(t, dir); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the history has the changes\n%+v, not\n%+v", name, got, want)
		}
	}
}

// controlEvents are the changes that stand in the history of a run, without names.
func controlEvents(t *testing.T, dir string) []ftlib.Event {
	t.Helper()
	events, err := ckpt.Events(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []ftlib.Event
	for _, e := range events {
		if e.Type == ftlib.EventControl {
			c := *e.Control
			c.ID = ""
			e.Control = &c
			out = append(out, timeless(e))
		}
	}
	return out
}

func TestSetHoldsFromTheNextStepOn(t *testing.T) {
	l, m := newTestLoop(nil)
	keep(t, l, filepath.Join(t.TempDir(), "r"))
	var seen []ftlib.Event
	follow(t, l, script{4: {set("learning_rate", 0.005), set("max_grad_norm", 0)}}, 0, &seen)
	if _, err := l.Train(context.Background()); err != nil {
		t.Fatal(err)
	}
	o := l.Run.Optim
	if h := m.applied[3]; h.LR != optim.LearningRate(o, 4, 21) || h.MaxGradNorm != 1 {
		t.Errorf("step 4 already has %+v", h)
	}
	o.LearningRate = 0.005
	for _, h := range m.applied[4:] {
		if h.LR != optim.LearningRate(o, h.Step, 21) || h.MaxGradNorm != 0 {
			t.Errorf("step %d has %+v", h.Step, h)
		}
	}
	for _, e := range seen {
		if e.Type == ftlib.EventControl && e.Control.Key == "learning_rate" {
			if *e.Control.Old != 0.05 || *e.Control.New != 0.005 || e.Step != 4 || e.Control.By != "ada" || e.Message != "learning_rate 0.05 → 0.005" {
				t.Errorf("event %+v %+v", e, e.Control)
			}
			return
		}
	}
	t.Error("no event")
}

func TestWrongCommandsAreRefusedAndTheRunGoesOn(t *testing.T) {
	l, _ := newTestLoop(nil)
	keep(t, l, filepath.Join(t.TempDir(), "r"))
	var seen []ftlib.Event
	follow(t, l, script{2: {
		set("temperature", 1), set("learning_rate", -1), set("weight_decay", 7),
		{Do: ckpt.DoRollback, To: "99"}, {Do: ckpt.DoBranch, Name: "x", Set: []string{"lora.r=3"}},
	}, 21: {set("learning_rate", 0.1), {Do: ckpt.DoPause}}}, 0, &seen)
	res, err := l.Train(context.Background())
	if err != nil || res.Status != ckpt.Finished || res.Step != 21 {
		t.Fatalf("%+v, %v", res, err)
	}
	var got []string
	for _, e := range seen {
		if e.Type == ftlib.EventControl {
			got = append(got, e.Control.Refused)
		}
	}
	want := []string{"learning_rate, weight_decay and max_grad_norm", "learning_rate is 0 to 1, not -1", "weight_decay is 0 to 1, not 7",
		"no checkpoint yet", "cannot change lora.r", "all 21 steps are taken", "all 21 steps are taken"}
	if len(got) != len(want) {
		t.Fatalf("%d refusals: %q", len(got), got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("refused with %q, want %q", got[i], want[i])
		}
	}
	if left, err := l.Dir.Commands(); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A file that is no command is refused as well, and goes away.
func TestUnreadableCommand(t *testing.T) {
	l, _ := newTestLoop(nil)
	keep(t, l, filepath.Join(t.TempDir(), "r"))
	dir := filepath.Join(l.Dir.Path, "control")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"{", `{"do":"explode"}`} {
		if err := os.WriteFile(filepath.Join(dir, "0"+text[:1]+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, rec := run(t, l)
	if e := rec.of(ftlib.EventControl); len(e) != 1 || e[0].Control.Refused != "the command does not read" {
		t.Errorf("%+v", e)
	}
}

func TestRollbackOfARunningRun(t *testing.T) {
	base := t.TempDir()
	whole, back := filepath.Join(base, "whole"), filepath.Join(base, "back")
	controlled(t, whole, nil)
	// The change at step 8 comes after the checkpoint of step 8: going back voids it.
	s := script{6: {set("beta", 3)}, 8: {set("learning_rate", 0.2)}, 9: {{Do: ckpt.DoRollback, To: "5"}}, 13: {{Do: ckpt.DoRollback, To: "8"}}}
	events := controlled(t, back, s)
	sameRun(t, whole, back)
	var at []int
	for _, e := range events {
		if e.Type == ftlib.EventControl && e.Control.Command == ckpt.DoRollback {
			at = append(at, int(*e.Control.Old), int(*e.Control.New), e.Step)
		}
	}
	if !reflect.DeepEqual(at, []int{9, 5, 5, 13, 8, 8}) {
		t.Errorf("rollbacks %v", at)
	}
	if _, err := os.Stat(filepath.Join(back, "rolled-back", "step-8", stateFile)); err != nil {
		t.Error(err)
	}
	// Cut off after going back, a resumed run does not bring the void change again.
	cut := filepath.Join(base, "cut")
	controlled(t, cut, script{8: {set("learning_rate", 0.2)}, 11: {{Do: ckpt.DoRollback, To: "8"}}}, 16)
	sameRun(t, whole, cut)
}

func TestSaveAskedForIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	controlled(t, dir, script{3: {{Do: ckpt.DoSave}}, 8: {{Do: ckpt.DoSave}}})
	list, err := ckpt.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[int]bool{}
	for _, c := range list {
		if c.Asked {
			asked[c.Step] = true
		}
	}
	if !asked[3] || !asked[8] || len(asked) != 2 {
		t.Errorf("checkpoints that were asked for: %v", asked)
	}
}

func TestBranchOfARunningRun(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "r")
	s := script{5: {set("learning_rate", 0.01), set("beta", 2), {Do: ckpt.DoBranch, Name: "now", Set: []string{"optim.learning_rate=0.1"}}}, 9: {{Do: ckpt.DoBranch, To: "4"}}}
	controlled(t, dir, s)
	whole := filepath.Join(base, "whole")
	controlled(t, whole, script{5: s[5][:2]})
	sameRun(t, whole, dir) // the branches did not disturb it
	now, err := ckpt.Find(filepath.Join(base, "now"), "latest")
	if err != nil || now.Step != 5 || !reflect.DeepEqual(now.Live, map[string]float64{"beta": 2}) {
		t.Errorf("branch: step %d, live %v, %v", now.Step, now.Live, err)
	}
	if c, err := ckpt.Find(filepath.Join(base, "r-from4-1"), "latest"); err != nil || c.Step != 4 || len(c.Live) != 0 {
		t.Errorf("branch of 4: %+v, %v", c, err)
	}
}

// A pause waits with everything in memory; those who watch see it, and commands work.
func TestPauseAndContinue(t *testing.T) {
	base := t.TempDir()
	whole := filepath.Join(base, "whole")
	controlled(t, whole, script{5: {set("learning_rate", 0.01)}})
	dir := filepath.Join(base, "r")
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for !ckpt.Alive(dir) {
			time.Sleep(time.Millisecond)
		}
		tail := ckpt.NewTail(dir)
		for paused := false; !paused && ctx.Err() == nil; time.Sleep(time.Millisecond) {
			events, _ := tail.Next()
			for _, e := range events {
				paused = paused || e.Type == ftlib.EventControl
			}
		}
		if in, err := ckpt.Read(dir); err != nil || in.Status != ckpt.Paused || in.Step != 5 {
			note(errors.New("while paused: " + in.Status))
		}
		if l, err := ckpt.ReadLive(dir); err != nil || len(l.Knobs) != 4 || l.Knobs[3].Key != "beta" || !l.Paused {
			note(errors.New("live.json is wrong"))
		}
		_, err := ckpt.Ask(ctx, dir, set("learning_rate", 0.01))
		note(err)
		if l, err := ckpt.ReadLive(dir); err != nil || l.Knobs[0].Value != 0.01 {
			note(errors.New("live.json has the old learning rate"))
		}
		if _, err = ckpt.Ask(ctx, dir, set("beta", 1e9)); err == nil || !strings.Contains(err.Error(), "beta is 0.01 to 10") {
			note(errors.New("a wrong value was not refused"))
		}
		_, err = ckpt.Ask(ctx, dir, ckpt.Command{Do: ckpt.DoContinue})
		note(err)
	}()
	controlled(t, dir, script{5: {{Do: ckpt.DoPause}}})
	<-done
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	sameRun(t, whole, dir)
	if _, err := ckpt.Ask(context.Background(), dir, ckpt.Command{Do: ckpt.DoPause}); !errors.Is(err, ckpt.ErrNotRunning) {
		t.Errorf("a command for a run that is over: %v", err)
	}
}

func TestStopSavesAndResumes(t *testing.T) {
	base := t.TempDir()
	whole, dir := filepath.Join(base, "whole"), filepath.Join(base, "r")
	controlled(t, whole, nil)
	controlled(t, dir, script{6: {{Do: ckpt.DoPause}, {Do: ckpt.DoStop}}})
	if in, err := ckpt.Read(dir); err != nil || in.Status != ckpt.Interrupted || in.Step != 6 {
		t.Errorf("%s at %d, %v", in.Status, in.Step, err)
	}
	if c, err := ckpt.Find(dir, ""); err != nil || c.Step != 6 {
		t.Errorf("checkpoint %d, %v", c.Step, err)
	}
	controlled(t, dir, nil)
	sameRun(t, whole, dir)
}
