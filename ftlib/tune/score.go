package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/eval"
)

// Score measures the perplexity of a model, with the adapter of run.Model.Adapter if
// one is named, on the rows of run.Data.Train: over the tokens that training would
// train. Rows that training would refuse are left out; the warnings count them.
// Data.Limit takes a sample.
func Score(ctx context.Context, run ftlib.Run) (eval.Score, []string, error) {
	run = scored(run)
	if err := run.Validate(); err != nil {
		return eval.Score{}, nil, err
	}
	p, err := openParts(run, nil, nil)
	if err != nil {
		return eval.Score{}, nil, err
	}
	defer p.close()
	s, err := eval.Perplexity(inBatches(corpus.NewBatches(p.Data.Examples, corpus.BatchOptions{Size: run.Batch.Size}), len(p.Data.Examples)), func(b *corpus.Batch) (float64, float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		sums, err := p.Stepper.Evaluate(b)
		return sums.Loss, sums.Tokens, err
	})
	return s, p.Data.Warnings, err
}

// scored is a run whose data is only looked at.
func scored(run ftlib.Run) ftlib.Run {
	run = withAdapterTemplate(run)
	run = run.Clone()
	run.LoRA, run.Data.Validation, run.Data.Split, run.Data.Insist, run.Data.Packing = nil, "", -1, true, false
	run.Eval.Patience = 0
	return run.Resolve()
}

// Questions reads rows as prompts with the answers that are expected of a model: what
// stands before the last trained stretch of a row, as training writes it, and that
// stretch. Rows that training would refuse, and prompts that leave no room for an
// answer, are left out; the warnings count them. Plain text asks nothing and is an
// error.
func Questions(run ftlib.Run) ([]eval.Question, []string, error) {
	run = scored(run)
	limit := run.Data.MaxLength
	run.Data.MaxLength = uncut // an answer that is cut off is no answer
	dir := tokenizerDir(run.Model.Path)
	d, err := openData(run, dir)
	if err != nil {
		return nil, nil, err
	}
	if limit == 0 {
		limit = positions(run.Model.Path, d.Tokenizer)
	}
	if d.Mapping.Kind == corpus.KindText {
		return nil, nil, fmt.Errorf("tune: %s holds plain text, which asks nothing: exact match needs prompts with answers", run.Data.Train)
	}
	var questions []eval.Question
	long := 0
	for _, ex := range d.Examples {
		from, to := lastTrained(ex)
		if limit > 0 && from >= limit {
			long++
			continue
		}
		questions = append(questions, eval.Question{
			IDs: ex.IDs[:from], Prompt: d.Tokenizer.Decode(ex.IDs[:from], true), Answer: d.Tokenizer.Decode(ex.IDs[from:to], true), File: ex.File, Row: ex.Num,
		})
	}
	if long > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d prompts are longer than the model's %d positions and are left out", long, limit))
	}
	return questions, d.Warnings, nil
}

// lastTrained is the last stretch of trained tokens of an example.
func lastTrained(ex corpus.Example) (from, to int) {
	to = len(ex.Train)
	for to > 0 && !ex.Train[to-1] {
		to--
	}
	from = to
	for from > 0 && ex.Train[from-1] {
		from--
	}
	return from, to
}

// withAdapterTemplate takes the chat template that lies beside an adapter, where the
// specification names no other: an adapter was trained on texts that look like it.
func withAdapterTemplate(run ftlib.Run) ftlib.Run {
	if run.Data.Template == "" && run.Model.Adapter != "" {
		path := filepath.Join(run.Model.Adapter, "chat_template.jinja")
		if _, err := os.Stat(path); err == nil {
			run.Data.Template = path
		}
	}
	return run
}
