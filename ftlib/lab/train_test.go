package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/tune"
	"ftlab/internal/testkit"
)

const out = "FTLAB_LAB_TEST_OUT" // folder of the runs of other processes

func init() {
	cells["first half"] = func() error { return half("ft-tiny", "first", &ftlib.LoRA{R: 2}) }
	cells["second half"] = func() error { return half("first", "second", nil) }
}

// half trains a resident model for an epoch and prints the losses.
func half(model, name string, lora *ftlib.LoRA) error {
	losses, _, err := train(context.Background(), model, name, lora, 1)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(losses)
}

// train trains a resident model on six batches an epoch.
func train(ctx context.Context, model, name string, lora *ftlib.LoRA, epochs float64) (losses []float64, res tune.Result, err error) {
	m, err := lab.Model(model)
	if err != nil {
		return nil, res, err
	}
	defer m.Close()
	res, err = tune.Run(ctx, spec(name, lora, epochs), tune.Options{Model: m, Sink: recorder(&losses)})
	return losses, res, err
}

func spec(name string, lora *ftlib.LoRA, epochs float64) ftlib.Run {
	return ftlib.Run{
		Name: name, Out: os.Getenv(out), LoRA: lora,
		Data:  ftlib.Data{Train: filepath.Join(testkit.Root(), "datasets", "reviews", "train.parquet"), Split: -1, Limit: 24},
		Optim: ftlib.Optim{LearningRate: 1e-3, Schedule: "constant"},
		Batch: ftlib.Batch{Size: 4, Epochs: epochs, NoShuffle: true},
	}
}

type sink func(ftlib.Event)

func (s sink) Event(e ftlib.Event) error { s(e); return nil }

func recorder(losses *[]float64) sink {
	return func(e ftlib.Event) {
		if e.Type == ftlib.EventStep {
			*losses = append(*losses, *e.Loss)
		}
	}
}

var straightLosses []float64

// straight is what 12 steps give that nothing interrupts.
func straight(t *testing.T) []float64 {
	t.Helper()
	t.Setenv(out, t.TempDir())
	lab.Forget()
	if straightLosses != nil {
		return straightLosses
	}
	losses, _, err := train(context.Background(), "ft-tiny", "straight", &ftlib.LoRA{R: 2}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(losses) != 12 || losses[11] >= losses[0] {
		t.Fatalf("the losses are %v", losses)
	}
	straightLosses = losses
	return losses
}

func TestTrainingGoesOnInAnotherProcess(t *testing.T) {
	want := straight(t)
	b := serve(t)
	t.Setenv(out, t.TempDir())
	var first, second []float64
	cell(t, "first half", &first)
	cell(t, "second half", &second)
	if got := append(first, second...); !slices.Equal(got, want) {
		t.Errorf("two processes on a device server:\n%v\nin this process, at one go:\n%v", got, want)
	}
	list := must[lab.Residents](t)(lab.List())
	if len(list) != 3 || list[0].Name != "first" || list[1].Name != "ft-tiny" || list[2].Name != "second" {
		t.Fatalf("resident are\n%v", list)
	}
	for _, r := range []lab.Resident{list[0], list[2]} {
		if r.Adapter == 0 || r.Optimizer != 2*r.Adapter {
			t.Errorf("%s has an adapter of %d bytes and %d of moments, want two a weight", r.Name, r.Adapter, r.Optimizer)
		}
	}
	if stats, err := b.Stats(); err != nil || stats.KeptBytes-list.Bytes() > 1<<16 {
		t.Errorf("the server keeps %d bytes, the list counts %d (%v)", stats.KeptBytes, list.Bytes(), err)
	}
}

func TestTrainingGoesOnInTheProcess(t *testing.T) {
	want := straight(t)
	lab.Forget()
	first, _, err := train(context.Background(), "ft-tiny", "first", &ftlib.LoRA{R: 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first time leaves the model "first" as it was
		os.RemoveAll(filepath.Join(os.Getenv(out), "second"))
		second, res, err := train(context.Background(), "first", "second", nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Concat(first, second); !slices.Equal(got, want) {
			t.Errorf("two runs:\n%v\none:\n%v", got, want)
		}
		if said := strings.Join(res.Warnings, "\n"); !strings.Contains(said, "after 6 steps") {
			t.Errorf("the run says %q", said)
		}
	}
}

// A run that went on with a resident adapter is resumed exactly from its checkpoint, by a
// program that has none of it in memory.
func TestResumedFromDisk(t *testing.T) {
	want := straight(t)
	lab.Forget()
	if _, _, err := train(context.Background(), "ft-tiny", "first", &ftlib.LoRA{R: 2}, 1); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	m := must[*llm.Model](t)(lab.Model("first"))
	var losses []float64
	record := recorder(&losses)
	res, err := tune.Run(ctx, spec("second", nil, 1), tune.Options{Model: m, Sink: sink(func(e ftlib.Event) {
		record(e)
		if e.Type == ftlib.EventStep && e.Step == 3 {
			stop()
		}
	})})
	if err != nil || res.Status != ckpt.Interrupted {
		t.Fatalf("%+v, %v", res, err)
	}
	if kept := must[*llm.Model](t)(lab.Model("second")); kept.Adapter() == nil {
		t.Error("the interrupted run has kept no adapter")
	}
	m.Close()
	lab.Forget()
	if _, err := tune.Resume(context.Background(), res.Dir, tune.Options{Sink: recorder(&losses)}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(losses, want[6:]) {
		t.Errorf("interrupted after 3 steps and resumed:\n%v\nat one go:\n%v", losses, want[6:])
	}
}

func TestFullWeightsStayApart(t *testing.T) {
	serve(t)
	t.Setenv(out, t.TempDir())
	before := fmt.Sprint(must[map[string]float64](t)(sums(must[*llm.Model](t)(lab.Model("ft-tiny")))))
	if _, _, err := train(context.Background(), "ft-tiny", "full", nil, 1); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprint(must[map[string]float64](t)(sums(must[*llm.Model](t)(lab.Model("ft-tiny"))))); after != before {
		t.Error("training a copy has changed the resident model")
	}
	full := must[*llm.Model](t)(lab.Model("full"))
	if trained := fmt.Sprint(must[map[string]float64](t)(sums(full))); trained == before || !full.Changed() {
		t.Error("the run has kept the weights that it began with")
	}
	// What cannot be repeated from files is said, and not resumed by mistake.
	res, err := tune.Run(context.Background(), spec("on top", &ftlib.LoRA{R: 2}, 1), tune.Options{Model: full})
	if err != nil || !strings.Contains(strings.Join(res.Warnings, "\n"), "does not repeat") {
		t.Fatalf("%+v, %v", res.Warnings, err)
	}
	if _, err := tune.Resume(context.Background(), res.Dir, tune.Options{}); err == nil || !strings.Contains(err.Error(), "weights in memory") {
		t.Errorf("resumed on other weights: %v", err)
	}
}

func TestModelOfARunIsChecked(t *testing.T) {
	lab.Forget()
	t.Setenv(out, t.TempDir())
	m := must[*llm.Model](t)(lab.Model("ft-tiny"))
	run := spec("x", nil, 1)
	run.Model.DType = "bfloat16"
	if _, err := tune.Run(context.Background(), run, tune.Options{Model: m}); err == nil || !strings.Contains(err.Error(), "lab.LoadAs") {
		t.Errorf("another type: %v", err)
	}
	run = spec("x", nil, 1)
	run.Model.Adapter = "somewhere"
	if _, err := tune.Run(context.Background(), run, tune.Options{Model: m}); err == nil || !strings.Contains(err.Error(), "LoadAdapter") {
		t.Errorf("two adapters: %v", err)
	}
}
