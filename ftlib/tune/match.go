package tune

import (
	"context"
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/eval"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
)

// Match asks a model the questions of run.Data.Train (see [Questions]), greedily, and
// counts the right answers. maxNew bounds an answer in tokens.
func Match(ctx context.Context, run ftlib.Run, maxNew int) (eval.Matches, []string, error) {
	run.LoRA = nil // of training
	if err := run.Validate(); err != nil {
		return eval.Matches{}, nil, err
	}
	questions, warnings, err := Questions(run)
	if err != nil {
		return eval.Matches{}, nil, err
	}
	b, err := backend.Open(run.Model.Backend)
	if err != nil {
		return eval.Matches{}, nil, err
	}
	m, err := lab.Open(b, run.Model.Path, llm.LoadOptions{})
	if err != nil {
		return eval.Matches{}, nil, err
	}
	defer m.Close()
	if run.Model.Adapter != "" {
		if _, err := m.LoadAdapter(run.Model.Adapter); err != nil {
			return eval.Matches{}, nil, err
		}
	}
	tok, _, err := tokenizerOf(run)
	if err != nil {
		return eval.Matches{}, nil, err
	}
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: tok})
	if err != nil {
		return eval.Matches{}, nil, err
	}
	defer g.Close()
	size := run.Batch.Size
	if size <= 0 {
		size = 32 // side by side, ten times as fast as one by one
	}
	matches, err := eval.ExactMatch(ctx, questions, size, func(ctx context.Context, group []eval.Question) ([]string, error) {
		prompts := make([][]int32, len(group))
		for i, q := range group {
			prompts[i] = q.IDs
		}
		outputs, err := g.Generate(ctx, prompts, llm.Sampling{MaxNew: maxNew})
		if err != nil {
			return nil, fmt.Errorf("%s row %d: %w", group[0].File, group[0].Row, err)
		}
		texts := make([]string, len(outputs))
		for i, o := range outputs {
			texts[i] = o.Text
		}
		return texts, nil
	})
	return matches, warnings, err
}
