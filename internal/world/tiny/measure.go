package tiny

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
	"ftlab/ftlib/tune"
	"ftlab/internal/world"
)

// opened is a model that writes.
type opened struct {
	model     *llm.Model
	generator *llm.Generator
	tok       *token.Tokenizer
}

// open loads a model and, if there is one, an adapter.
func open(dir, adapter string) (*opened, error) {
	b, err := backend.Open("")
	if err != nil {
		return nil, err
	}
	o := &opened{}
	if o.tok, err = token.Load(dir); err != nil {
		return nil, err
	}
	if o.model, err = llm.Load(b, dir, llm.LoadOptions{}); err != nil {
		return nil, err
	}
	if adapter != "" {
		if _, err = o.model.LoadAdapter(adapter); err != nil {
			o.model.Close()
			return nil, err
		}
	}
	if o.generator, err = llm.NewGenerator(o.model, llm.GeneratorOptions{Tokenizer: o.tok, MaxRows: 64}); err != nil {
		o.model.Close()
		return nil, err
	}
	return o, nil
}

func (o *opened) close() {
	o.generator.Close()
	o.model.Close()
}

// complete is a [Completer].
func (o *opened) complete(prompts []string, tokens int, temperature float64) ([]string, error) {
	ids := make([][]int32, len(prompts))
	for i, p := range prompts {
		ids[i] = o.tok.Encode(p, true)
	}
	out, err := o.generator.Generate(context.Background(), ids, llm.Sampling{MaxNew: tokens, Temperature: temperature, Seed: 1})
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(out))
	for i, t := range out {
		texts[i] = t.Text
	}
	return texts, nil
}

// Measure asks a model everything that [Results] holds, n times where there is a
// choice.
func Measure(dir string, n int) (Results, error) {
	o, err := open(dir, "")
	if err != nil {
		return Results{}, err
	}
	defer o.close()
	return Evaluate(world.New(FTTiny.Seed), o.complete, n)
}

// Lesson is what fine-tuning with LoRA on the reviews data set does: the run of the
// quickstart notebook.
type Lesson struct {
	Rows    int     `json:"rows"`
	Steps   int     `json:"steps"`
	Seconds float64 `json:"seconds"`
	Before  Share   `json:"before"` // labels right on the validation reviews, greedy
	After   Share   `json:"after"`
}

// LessonRun is the specification of that run, below a folder.
func LessonRun(dir, datasets, out string) ftlib.Run {
	return ftlib.Run{
		Name: "reviews", Out: out, Model: ftlib.Model{Path: dir},
		Data:  ftlib.Data{Train: filepath.Join(datasets, "reviews", "train.parquet"), Validation: filepath.Join(datasets, "reviews", "validation.parquet")},
		LoRA:  &ftlib.LoRA{R: 16},
		Optim: ftlib.Optim{LearningRate: 1e-3},
		Batch: ftlib.Batch{Size: 16, MaxSteps: 80},
	}
}

// Teach trains that lesson below the folder out and measures it.
func Teach(ctx context.Context, dir, datasets, out string) (Lesson, error) {
	var l Lesson
	run := LessonRun(dir, datasets, out)
	reviews := world.New(FTTiny.Seed).Reviews().Validation
	labels := func(adapter string) (Share, error) {
		o, err := open(dir, adapter)
		if err != nil {
			return Share{}, err
		}
		defer o.close()
		prompts := make([]string, len(reviews))
		for i, r := range reviews {
			prompts[i] = r.Prompt
		}
		texts, err := o.complete(prompts, 4, 0)
		s := Share{Of: len(texts)}
		for i, t := range texts {
			if strings.TrimSpace(t) == strings.TrimSpace(reviews[i].Completion) {
				s.Right++
			}
		}
		return s, err
	}
	var err error
	if l.Before, err = labels(""); err != nil {
		return l, err
	}
	if err := os.RemoveAll(run.Resolve().Dir()); err != nil {
		return l, fmt.Errorf("tiny: %w", err)
	}
	begin := time.Now()
	res, err := tune.Run(ctx, run, tune.Options{})
	if err != nil {
		return l, err
	}
	l.Rows, l.Steps, l.Seconds = res.Steps*run.Batch.Size, res.Steps, time.Since(begin).Seconds()
	l.After, err = labels(res.Checkpoint)
	return l, err
}

// HeldOutLoss is the loss, in nats a token, on documents that were not read.
func (s Spec) HeldOutLoss(dir, work string) (float64, error) {
	path := filepath.Join(work, "held-out.jsonl")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return 0, fmt.Errorf("tiny: %w", err)
	}
	if err := s.WriteText(path, "held out", HeldOutDocuments); err != nil {
		return 0, err
	}
	o, err := open(dir, "")
	if err != nil {
		return 0, err
	}
	defer o.close()
	e, err := llm.NewEngine(o.model, llm.EngineOptions{})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	var examples []corpus.Example
	for row, err := range corpus.Open(path, corpus.OpenOptions{}) {
		if err != nil {
			return 0, err
		}
		ids := o.tok.Encode(row.Values["text"].(string)+eosText, true)
		for from := 0; from+1 < len(ids); from += s.Window {
			ex := corpus.Example{IDs: ids[from:min(from+s.Window, len(ids))]}
			ex.Train = make([]bool, len(ex.IDs))
			for i := range ex.Train {
				ex.Train[i] = true
			}
			examples = append(examples, ex)
		}
	}
	batches := corpus.NewBatches(examples, corpus.BatchOptions{Size: s.Batch})
	loss, tokens := 0.0, 0.0
	for b, ok := batches.Next(); ok; b, ok = batches.Next() {
		t, err := e.Evaluate(b, llm.NLL)
		if err != nil {
			return 0, err
		}
		loss, tokens = loss+t.Loss, tokens+t.Tokens
	}
	return loss / tokens, nil
}
