package tune

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/optim"
)

// record keeps events without what a clock decides.
type record struct{ events []ftlib.Event }

func (r *record) Event(e ftlib.Event) error {
	r.events = append(r.events, timeless(e))
	return nil
}

func timeless(e ftlib.Event) ftlib.Event {
	e.Time, e.TokensPerSecond, e.SecondsLeft, e.Memory = time.Time{}, 0, 0, 0
	return e
}

func (r *record) of(kind string) []ftlib.Event {
	var out []ftlib.Event
	for _, e := range r.events {
		if e.Type == kind {
			out = append(out, e)
		}
	}
	return out
}

func keep(t *testing.T, l *Loop, path string) {
	t.Helper()
	d, err := ckpt.Create(path, l.Run, ckpt.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	l.Dir = d
}

func run(t *testing.T, l *Loop) (Result, *record) {
	t.Helper()
	rec := &record{}
	l.Sink = rec
	res, err := l.Train(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return res, rec
}

func TestLossFalls(t *testing.T) {
	l, _ := newTestLoop(nil)
	keep(t, l, filepath.Join(t.TempDir(), "r"))
	res, rec := run(t, l)
	steps := rec.of(ftlib.EventStep)
	// 50 rows by 4 are 13 micro-batches, by 2 are 7 steps, 3 epochs.
	if res.Steps != 21 || len(steps) != 21 || res.Status != ckpt.Finished {
		t.Fatalf("%d steps of %d, %s", len(steps), res.Steps, res.Status)
	}
	if res.Loss > 0.85*res.FirstLoss {
		t.Errorf("loss %v to %v", res.FirstLoss, res.Loss)
	}
	if got := steps[20].Epoch; got != 3 {
		t.Errorf("epoch %v at the end", got)
	}
	evals := rec.of(ftlib.EventEval)
	if len(evals) != 5 { // 5, 10, 15, 20 and the last
		t.Fatalf("%d evaluations", len(evals))
	}
	for _, e := range evals {
		if p := e.Metrics["perplexity"]; p != math.Exp(e.Metrics["eval_loss"]) {
			t.Errorf("perplexity %v of loss %v", p, e.Metrics["eval_loss"])
		}
	}
	if _, ok := steps[0].Metrics["accuracy"]; !ok {
		t.Error("the method's metric is missing")
	}
	info, err := ckpt.Read(l.Dir.Path)
	if err != nil || len(info.Checkpoints) < 2 || len(info.Checkpoints) > 3 {
		t.Errorf("%d checkpoints kept, %v", len(info.Checkpoints), err)
	}
	seen := 0
	for range 3 {
		for _, e := range l.Batches.(*fakeSource).Examples {
			seen += len(e.IDs)
		}
	}
	if res.Seen != seen {
		t.Errorf("%d tokens seen, want %d", res.Seen, seen)
	}
}

func TestAccumulation8x1Equals1x8(t *testing.T) {
	train := func(size, accumulate int) (*bigram, *record) {
		l, m := newTestLoop(func(r *ftlib.Run) { r.Batch.Size, r.Batch.Accumulate = size, accumulate })
		m.Dropout = 0 // differs by micro-batch
		_, rec := run(t, l)
		return m, rec
	}
	a, ra := train(8, 1)
	b, rb := train(1, 8)
	if !reflect.DeepEqual(a.w, b.w) {
		t.Error("weights differ")
	}
	x, y := ra.of(ftlib.EventStep), rb.of(ftlib.EventStep)
	if len(x) != len(y) || len(x) == 0 {
		t.Fatalf("%d and %d steps", len(x), len(y))
	}
	for i := range x {
		if math.Abs(*x[i].Loss-*y[i].Loss) > 1e-12 || x[i].GradNorm != y[i].GradNorm || x[i].Tokens != y[i].Tokens {
			t.Errorf("step %d: %+v and %+v", i+1, x[i], y[i])
		}
	}
}

func TestHyperparametersReachTheStepper(t *testing.T) {
	l, m := newTestLoop(func(r *ftlib.Run) { r.Optim.MaxGradNorm = -1; r.Seed = 9 })
	run(t, l)
	for i, h := range m.applied {
		want := Hyper{LR: optim.LearningRate(l.Run.Optim, i+1, 21), WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Step: i + 1, Seed: 9}
		if h != want {
			t.Errorf("step %d: %+v, want %+v", i+1, h, want)
		}
	}
}

func TestNotFiniteStopsAndKeepsTheBatch(t *testing.T) {
	for name, poison := range map[string]func(*bigram){
		"loss":     func(m *bigram) { m.Poison = 12 },
		"gradient": func(m *bigram) { m.Norm = 12 },
	} {
		t.Run(name, func(t *testing.T) {
			l, m := newTestLoop(nil)
			poison(m)
			dir := filepath.Join(t.TempDir(), "r")
			keep(t, l, dir)
			res, err := l.Train(context.Background())
			if !errors.Is(err, ErrNotFinite) || res.Status != ckpt.Failed {
				t.Fatalf("%v, %s", err, res.Status)
			}
			for _, want := range []string{"step 12", "rows.jsonl row ", "bad-batch-step-12.json", "step-10", "optim.learning_rate"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			var bad badBatch
			data, err := os.ReadFile(filepath.Join(dir, "bad-batch-step-12.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &bad); err != nil {
				t.Fatal(err)
			}
			rows := l.Batches.(*fakeSource).Examples
			want := 2 // the gradient is of both micro-batches
			if name == "loss" {
				want = 1
			}
			if len(bad.Batches) != want {
				t.Fatalf("%d micro-batches kept, want %d", len(bad.Batches), want)
			}
			for _, g := range bad.Batches {
				for i, r := range g.Rows {
					ids := rows[r.Example].IDs
					if r.File != "rows.jsonl" || r.Row != r.Example+1 || !reflect.DeepEqual(g.IDs[i][:len(ids)], ids) {
						t.Errorf("row %+v: %v, want %v", r, g.IDs[i], ids)
					}
				}
			}
			if c, err := ckpt.Find(dir, "latest"); err != nil || c.Step != 10 || c.Verify() != nil {
				t.Errorf("last good checkpoint: %+v, %v", c.Step, err)
			}
			if info, err := ckpt.Read(dir); err != nil || info.Step != 11 {
				t.Errorf("metrics: %d steps, %v", info.Step, err)
			}
		})
	}
}

func TestInterruptEndsTheStepAndSaves(t *testing.T) {
	l, _ := newTestLoop(nil)
	dir := filepath.Join(t.TempDir(), "r")
	keep(t, l, dir)
	ctx, cancel := context.WithCancel(context.Background())
	l.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		if e.Type == ftlib.EventStep && e.Step == 7 {
			cancel()
		}
		return nil
	})
	res, err := l.Train(ctx)
	if err != nil || res.Status != ckpt.Interrupted || res.Step != 7 {
		t.Fatalf("%+v, %v", res, err)
	}
	if !strings.Contains(res.Message, "ft runs resume "+dir) {
		t.Errorf("message %q does not say how to go on", res.Message)
	}
	if c, err := ckpt.Find(dir, ""); err != nil || c.Step != 7 {
		t.Errorf("checkpoint of step %d, %v", c.Step, err)
	}
	l.Dir.Close()
	if info, err := ckpt.Read(dir); err != nil || info.Status != ckpt.Interrupted {
		t.Errorf("status %q, %v", info.Status, err)
	}
}

// overfit makes validation rows contradict the training rows.
func overfit(l *Loop) {
	held := examples(6, 11, 5)
	for _, e := range held {
		for i := range e.IDs {
			e.IDs[i] = int32((7*i + 2) % 11)
		}
	}
	l.Validation = []*corpus.Batch{pad(held, []int{0, 1, 2, 3, 4, 5})}
}

func TestOverfittingWarnsAndEarlyStoppingStops(t *testing.T) {
	l, _ := newTestLoop(func(r *ftlib.Run) { r.Batch.Epochs = 8; r.Eval.Every = 4; r.Optim.WarmupSteps = 0 })
	overfit(l)
	res, rec := run(t, l)
	if w := rec.of(ftlib.EventWarning); len(w) != 1 || !strings.Contains(w[0].Message, "overfitting: validation loss rose") {
		t.Errorf("warnings: %+v", w)
	}
	if res.Status != ckpt.Finished || res.Step != res.Steps || len(res.Warnings) != 1 {
		t.Errorf("%+v", res)
	}

	l, _ = newTestLoop(func(r *ftlib.Run) {
		r.Batch.Epochs = 8
		r.Eval.Every, r.Eval.Patience, r.Optim.WarmupSteps = 4, 3, 0
	})
	overfit(l)
	dir := filepath.Join(t.TempDir(), "r")
	keep(t, l, dir)
	res, _ = run(t, l)
	if res.Status != ckpt.Finished || res.Step >= res.Steps || !strings.HasPrefix(res.Message, "stopped early: no better validation loss in 3 evaluations") {
		t.Errorf("%+v", res)
	}
	if res.Step != res.BestStep+3*4 {
		t.Errorf("stopped at %d, best at %d", res.Step, res.BestStep)
	}
	if c, err := ckpt.Find(dir, "best"); err != nil || c.Step != res.BestStep {
		t.Errorf("best checkpoint: step %d, %v; want %d", c.Step, err, res.BestStep)
	}
	if c, err := ckpt.Find(dir, "latest"); err != nil || c.Step != res.Step {
		t.Errorf("latest checkpoint: step %d, %v; want %d", c.Step, err, res.Step)
	}
}

func TestWatch(t *testing.T) {
	for name, c := range map[string]struct {
		train, eval []float64
		warns       int // index of the evaluation that warns; -1: none
	}{
		"falling":                      {[]float64{3, 2, 1}, []float64{3, 2, 1}, -1},
		"rising":                       {[]float64{3, 2, 1, 0.5, 0.4}, []float64{2, 1.5, 1.6, 1.7, 1.8}, 3},
		"noise":                        {[]float64{3, 2, 1, 0.5}, []float64{2, 1.5, 1.502, 1.503}, -1},
		"once worse":                   {[]float64{3, 2, 1, 0.5}, []float64{2, 1.5, 1.6, 1.4}, -1},
		"both rising":                  {[]float64{3, 2, 2.5, 2.6}, []float64{2, 1.5, 1.6, 1.7}, -1},
		"again after a new best":       {[]float64{3, 2, 1, 1, 0.9, 0.8}, []float64{2, 1.5, 1.6, 1, 1.2, 1.3}, 5},
		"a loss of zero is no overfit": {[]float64{1, 0, 0, 0}, []float64{0, 0, 0, 0}, -1},
	} {
		var w watch
		at := -1
		for i := range c.eval {
			w.train(c.train[i]*10, 10)
			if _, warning := w.eval(i, c.eval[i], false); warning != "" {
				if at >= 0 {
					t.Errorf("%s: warns at %d and %d", name, at, i)
				}
				at = i
			}
		}
		if at != c.warns {
			t.Errorf("%s: warns at %d, want %d", name, at, c.warns)
		}
	}
}

func TestNoWarningWhileValidationFalls(t *testing.T) {
	l, _ := newTestLoop(nil)
	if res, _ := run(t, l); len(res.Warnings) != 0 {
		t.Errorf("%v", res.Warnings)
	}
}

func TestStepThatTrainsNothingIsAnError(t *testing.T) {
	l, _ := newTestLoop(nil)
	for _, e := range l.Batches.(*fakeSource).Examples {
		clear(e.Train)
	}
	_, err := l.Train(context.Background())
	if err == nil || !strings.Contains(err.Error(), "tokens is trained (rows.jsonl row ") {
		t.Error(err)
	}
}

func TestTimer(t *testing.T) {
	var c timer
	at := func(s int) time.Time { return time.Unix(100, 0).Add(time.Duration(s) * time.Second) }
	if c.rate() != 0 || c.left(10) != 0 {
		t.Error("a speed before the first step")
	}
	c.step(at(0), at(10), 50) // compiled
	if c.rate() != 5 || c.left(10) != 0 {
		t.Errorf("%v tokens/s after one step", c.rate())
	}
	c.step(at(10), at(12), 30)
	c.step(at(16), at(18), 50) // after four seconds of validation
	if c.rate() != 20 || c.left(3) != 12 {
		t.Errorf("%v tokens/s, %v s left", c.rate(), c.left(3))
	}
}
