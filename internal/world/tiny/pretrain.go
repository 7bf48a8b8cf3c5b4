package tiny

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
	"ftlab/ftlib/tune"
)

// HeldOutDocuments is how many documents of another stream the validation loss is
// measured on.
const HeldOutDocuments = 1000

// Run is the training run as it is done with everything else: plain text, all
// weights. The files are those that [Spec.Prepare] writes.
func (s Spec) Run(work string) ftlib.Run {
	return ftlib.Run{
		Name: "pretraining", Out: work, Seed: int64(s.Seed),
		Model: ftlib.Model{Path: filepath.Join(work, "start")},
		Data: ftlib.Data{
			Train: filepath.Join(work, "documents.jsonl"), Validation: filepath.Join(work, "held-out.jsonl"),
			Format: "text", MaxLength: s.Window,
		},
		Optim: s.Optim,
		Batch: ftlib.Batch{Size: s.Batch},
		Save:  ftlib.Save{Keep: 1},
	}
}

// Prepare writes what the run needs below work.
func (s Spec) Prepare(work string) error {
	b, err := backend.Open("")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	if err := s.WriteStart(b, filepath.Join(work, "start")); err != nil {
		return err
	}
	if err := s.WriteText(filepath.Join(work, "documents.jsonl"), "pretraining", s.Documents); err != nil {
		return err
	}
	return s.WriteText(filepath.Join(work, "held-out.jsonl"), "held out", HeldOutDocuments)
}

// Train prepares and runs the pretraining below work, or goes on with one that was
// interrupted there.
func (s Spec) Train(ctx context.Context, work string, sink ftlib.Sink) (tune.Result, error) {
	run := s.Run(work)
	if dir := run.Resolve().Dir(); exists(filepath.Join(dir, "run.yaml")) {
		return tune.Resume(ctx, dir, tune.Options{Sink: sink})
	}
	if err := s.Prepare(work); err != nil {
		return tune.Result{}, err
	}
	return tune.Run(ctx, run, tune.Options{Sink: sink})
}

// Publish writes the trained weights as float16, with everything that belongs to
// the model, into a folder.
func (s Spec) Publish(checkpoint, work, out string) error {
	b, err := backend.Open("")
	if err != nil {
		return err
	}
	m, err := llm.Load(b, checkpoint, llm.LoadOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Save(out, safetensors.F16); err != nil {
		return err
	}
	start := filepath.Join(work, "start")
	tok, err := token.Load(start)
	if err != nil {
		return err
	}
	if err := tok.Save(out); err != nil {
		return err
	}
	generation, err := os.ReadFile(filepath.Join(start, "generation_config.json"))
	if err != nil {
		return fmt.Errorf("tiny: %w", err)
	}
	return write(filepath.Join(out, "generation_config.json"), generation)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
