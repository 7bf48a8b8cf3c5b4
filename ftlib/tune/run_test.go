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
	"ftlab/ftlib/corpus"
)

// fakeOptions are options whose model is the bigram and whose input is one file.
func fakeOptions(t *testing.T, input string) Options {
	return Options{open: func(run ftlib.Run) (*parts, error) {
		l, m := newTestLoop(nil)
		m.seed = run.Seed
		src := l.Batches.(*fakeSource)
		src.Size, src.Seed = run.Batch.Size, uint64(run.Seed)
		in, err := ckpt.HashFile("train", input)
		return &parts{
			Stepper: m, Inputs: []ckpt.Input{in},
			Data: &Data{Train: src, Validation: l.Validation, Examples: src.Examples, Audit: corpus.Audit{Rows: 50, Kept: 50}},
		}, err
	}}
}

func fakeSpec(out string) ftlib.Run {
	r := ftlib.Run{Out: out, Model: ftlib.Model{Path: "m"}, Data: ftlib.Data{Train: "rows.jsonl"}}
	r.Optim.LearningRate, r.Batch.Epochs, r.Save.Keep = 0.05, 3, -1
	return r
}

func TestRunThenResume(t *testing.T) {
	base := t.TempDir()
	input := filepath.Join(base, "rows.jsonl")
	if err := os.WriteFile(input, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := fakeOptions(t, input)
	spec := fakeSpec(filepath.Join(base, "runs"))

	spec.Name = "whole"
	whole, err := Run(context.Background(), spec, o)
	if err != nil || whole.Status != ckpt.Finished || whole.Dir != filepath.Join(spec.Out, "whole") {
		t.Fatalf("%+v, %v", whole, err)
	}
	if _, err := Run(context.Background(), spec, o); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("a second run of the same name: %v", err)
	}
	env, err := ckpt.ReadEnv(whole.Dir)
	if err != nil || len(env.Inputs) != 1 || env.Data["train_rows"] != 50.0 {
		t.Errorf("environment: %+v, %v", env, err)
	}
	kept, err := ckpt.Spec(whole.Dir)
	if err != nil || kept.Eval.Every != 3 || kept.Save.Every != 3 || *kept.Optim.Beta2 != 0.999 {
		t.Errorf("the specification is not resolved: %+v, %v", kept, err)
	}

	// Without a name --resume finds the run by its settings.
	spec.Name = ""
	o.Resume = true
	ctx, cancel := context.WithCancel(context.Background())
	o.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		if e.Step == 8 {
			cancel()
		}
		return nil
	})
	spec.Optim.WeightDecay = 0.5 // not the settings of "whole"
	part, err := Run(ctx, spec, o)
	if err != nil || part.Status != ckpt.Interrupted || part.Step != 8 {
		t.Fatalf("%+v, %v", part, err)
	}
	o.Sink = nil
	other := spec
	other.Optim.WeightDecay = 0.25
	if dir, err := findSame(other); err != nil || dir != "" {
		t.Errorf("other settings: found %q, %v", dir, err)
	}
	rest, err := Run(context.Background(), spec, o)
	if err != nil || rest.Dir != part.Dir || rest.Status != ckpt.Finished {
		t.Fatalf("%+v, %v", rest, err)
	}
	spec.Name, o.Resume = "decay", false
	straight, err := Run(context.Background(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	sameRun(t, straight.Dir, rest.Dir)

	// A named run with other settings is not silently trained on.
	spec.Name, o.Resume = "whole", true
	if _, err := Run(context.Background(), spec, o); err == nil || !strings.Contains(err.Error(), "optim.weight_decay") {
		t.Errorf("resumed with other settings: %v", err)
	}
}

func TestResumeRefusesChangedInputs(t *testing.T) {
	base := t.TempDir()
	input := filepath.Join(base, "rows.jsonl")
	os.WriteFile(input, []byte("{}\n"), 0o644)
	o := fakeOptions(t, input)
	spec := fakeSpec(base)
	spec.Name = "r"
	ctx, cancel := context.WithCancel(context.Background())
	o.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		if e.Step == 4 {
			cancel()
		}
		return nil
	})
	if _, err := Run(ctx, spec, o); err != nil {
		t.Fatal(err)
	}
	o.Sink = nil
	os.WriteFile(input, []byte("{\"a\":1}\n"), 0o644)
	_, err := Resume(context.Background(), filepath.Join(base, "r"), o)
	if err == nil || !strings.Contains(err.Error(), "rows.jsonl has changed") || !strings.Contains(err.Error(), "--insist") {
		t.Fatal(err)
	}
	o.Insist = true
	res, err := Resume(context.Background(), filepath.Join(base, "r"), o)
	if err != nil || res.Status != ckpt.Finished || len(res.Warnings) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestRunChecksTheSpecificationFirst(t *testing.T) {
	o := Options{open: func(ftlib.Run) (*parts, error) { return nil, errors.New("opened") }}
	if _, err := Run(context.Background(), ftlib.Run{}, o); err == nil || !strings.Contains(err.Error(), "model.path: missing") {
		t.Error(err)
	}
	spec := fakeSpec(filepath.Join(t.TempDir(), "runs"))
	if _, err := Run(context.Background(), spec, o); err == nil || err.Error() != "opened" {
		t.Error(err)
	}
	if _, err := os.Stat(spec.Out); !errors.Is(err, os.ErrNotExist) {
		t.Error("a run that did not open left a directory")
	}
	if _, err := Resume(context.Background(), t.TempDir(), o); err == nil || !strings.Contains(err.Error(), "is not a run") {
		t.Error(err)
	}
}

func TestDamagedLatestIsSkippedWithAWarning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	whole := filepath.Join(t.TempDir(), "whole")
	straight(t, dir)
	straight(t, whole)
	f, err := os.OpenFile(filepath.Join(dir, "step-21", stateFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{1, 2, 3}, 900)
	f.Close()
	l, _ := newTestLoop(func(r *ftlib.Run) { r.Save.Keep = -1; r.Save.Every = 1 })
	if l.Dir, err = ckpt.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer l.Dir.Close()
	if err := l.ResumeLatest(); err != nil {
		t.Fatal(err)
	}
	res, err := l.Train(context.Background())
	if err != nil || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "going on from step 20") {
		t.Fatalf("%+v, %v", res, err)
	}
	sameRun(t, whole, dir)
}

// A run that reports to TensorBoard writes an event file for each part of its life.
func TestReportToTensorBoard(t *testing.T) {
	base := t.TempDir()
	input := filepath.Join(base, "rows.jsonl")
	if err := os.WriteFile(input, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := fakeOptions(t, input)
	spec := fakeSpec(filepath.Join(base, "runs"))
	spec.Name, spec.ReportTo = "tb", []string{"tensorboard"}
	ctx, cancel := context.WithCancel(context.Background())
	o.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		if e.Type == ftlib.EventStep && e.Step == 4 {
			cancel()
		}
		return nil
	})
	res, err := Run(ctx, spec, o)
	if err != nil || res.Status != ckpt.Interrupted {
		t.Fatalf("%+v, %v", res, err)
	}
	if res, err = Resume(context.Background(), res.Dir, o); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(res.Dir, "tensorboard", "events.out.tfevents.*"))
	steps := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		steps += strings.Count(string(data), "train/loss")
	}
	if len(files) != 2 || steps != res.Steps {
		t.Errorf("%d files with %d of %d steps", len(files), steps, res.Steps)
	}
}
