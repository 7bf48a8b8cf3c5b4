package tune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/sweep"
)

func fakeSweep(t *testing.T, text string) (sweep.Spec, SweepOptions) {
	t.Helper()
	base := t.TempDir()
	input := filepath.Join(base, "rows.jsonl")
	if err := os.WriteFile(input, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := sweep.Decode([]byte("run: {model: {path: m}, data: {train: rows.jsonl}, batch: {max_steps: 18, per_device_train_batch_size: 4}}\n"+text), "s.yaml", base)
	if err != nil {
		t.Fatal(err)
	}
	s.Out = filepath.Join(base, "sweeps")
	return s, SweepOptions{open: fakeOptions(t, input).open}
}

func outcomes(list []sweep.Outcome) string {
	var out []string
	for _, o := range list {
		text := o.Name + " " + o.Status
		if o.Value != nil {
			text += " " + ftlib.Short(*o.Value)
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func TestSweep(t *testing.T) {
	s, o := fakeSweep(t, "over: {optim.learning_rate: [0.001, 0.05, 0.01]}")
	list, err := Sweep(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, c := range list {
		if c.Status != ckpt.Finished || c.Step != 18 || c.Value == nil {
			t.Errorf("%+v", c)
		}
		order = append(order, c.Name)
	}
	if got := strings.Join(order, " "); got != "002 003 001" {
		t.Errorf("from best to worst: %s", got)
	}
	steps := 0
	o.Sink = func(sweep.Trial, ftlib.Event) error { steps++; return nil }
	again, err := Sweep(context.Background(), s, o)
	if err != nil || steps != 0 || outcomes(again) != outcomes(list) {
		t.Errorf("a sweep that is done was trained again: %d events, %v", steps, err)
	}
}

// Trials that take turns compute what they compute alone, and do take turns.
func TestSweepInTurns(t *testing.T) {
	text := "over: {optim.learning_rate: [0.001, 0.05, 0.01, 0.02]}\n"
	s, o := fakeSweep(t, text)
	alone, err := Sweep(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	s, o = fakeSweep(t, text+"parallel: 3")
	at := map[string]int{}
	o.Sink = func(tr sweep.Trial, e ftlib.Event) error {
		if e.Type == ftlib.EventStep {
			at[tr.Name] = e.Step
			if tr.Name != "004" && max(at["001"], at["002"], at["003"])-min(at["001"], at["002"], at["003"]) > 1 {
				t.Errorf("not in turn: %v", at)
			}
		}
		return nil
	}
	together, err := Sweep(context.Background(), s, o)
	if err != nil || outcomes(together) != outcomes(alone) {
		t.Errorf("%v\n%s\nalone\n%s", err, outcomes(together), outcomes(alone))
	}
}

// The trial that a halving lets through is, bit for bit, the run that trains alone; and a
// sweep that is interrupted after any event ends as one that is not.
func TestSweepHalving(t *testing.T) {
	text := "over: {optim.learning_rate: [0.001, 0.05, 0.01, 0.02, 0.03, 0.002]}\nsearch: halving\n"
	s, o := fakeSweep(t, text)
	events := 0
	o.Sink = func(sweep.Trial, ftlib.Event) error { events++; return nil }
	whole, err := Sweep(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, c := range whole {
		count[c.Step]++
		if (c.Step == 18) != (c.Status == ckpt.Finished) || c.Step < 18 && c.Status != sweep.Out {
			t.Errorf("%s: %s after %d steps", c.Name, c.Status, c.Step)
		}
	}
	if count[2] != 4 || count[6] != 1 || count[18] != 1 {
		t.Errorf("trials by the steps they took: %v", count)
	}
	run := whole[0].Run
	run.Name = "alone"
	alone, err := Run(context.Background(), run, Options{open: o.open})
	if err != nil || whole[0].Value == nil || *alone.EvalLoss != *whole[0].Value {
		t.Errorf("alone %v, in the sweep %v: %v", alone.EvalLoss, whole[0].Value, err)
	}

	for stop := 1; stop <= events; stop += 13 {
		s, o := fakeSweep(t, text)
		ctx, cancel := context.WithCancel(context.Background())
		seen := 0
		o.Sink = func(sweep.Trial, ftlib.Event) error {
			if seen++; seen == stop {
				cancel()
			}
			return nil
		}
		if _, err := Sweep(ctx, s, o); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
		got, err := Sweep(context.Background(), s, o)
		if err != nil || outcomes(got) != outcomes(whole) {
			t.Errorf("interrupted after %d events: %v\n%s\nwant\n%s", stop, err, outcomes(got), outcomes(whole))
		}
	}
}

func TestSweepFailures(t *testing.T) {
	s, o := fakeSweep(t, "over: {seed: [1, 2, 3]}")
	open := o.open
	o.open = func(run ftlib.Run) (*parts, error) {
		p, err := open(run)
		if err == nil && run.Seed == 2 {
			p.Stepper.(*bigram).Poison = 4
		}
		return p, err
	}
	list, err := Sweep(context.Background(), s, o)
	if err != nil || len(list) != 3 || list[2].Name != "002" || list[2].Status != ckpt.Failed || list[2].Message == "" || list[0].Status != ckpt.Finished {
		t.Errorf("%v\n%s", err, outcomes(list))
	}

	s, o = fakeSweep(t, "over: {seed: [1, 2, 3]}")
	tries := 0
	o.open = func(ftlib.Run) (*parts, error) { tries++; return nil, errors.New("no such model") }
	if _, err := Sweep(context.Background(), s, o); err == nil || !strings.Contains(err.Error(), "trial 001") || !strings.Contains(err.Error(), "no such model") || tries != 1 {
		t.Errorf("%d tries: %v", tries, err)
	}
	o.open = open // what was wrong is put right, and the same sweep goes on
	if list, err := Sweep(context.Background(), s, o); err != nil || list[2].Status != ckpt.Finished {
		t.Errorf("%v\n%s", err, outcomes(list))
	}
}
