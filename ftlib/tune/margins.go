package tune

import (
	"context"
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
)

// Margins asks a reward model (an adapter with a score head on run.Model, or a model
// directory) about the pairs in run.Data.Train: by how much the chosen answer scores higher
// than the rejected one. chart.Calibration shows what they are worth.
func Margins(ctx context.Context, run ftlib.Run, path string) ([]float64, []string, error) {
	run.Method = ftlib.Method{Reward: &ftlib.Reward{}}
	run.Model.Adapter = "" // it is the policy's, which is not asked
	run = scored(run)
	if err := run.Validate(); err != nil {
		return nil, nil, err
	}
	d, err := openData(run, tokenizerDir(run.Model.Path))
	if err != nil {
		return nil, nil, err
	}
	b, err := backend.Open(run.Model.Backend)
	if err != nil {
		return nil, nil, err
	}
	m, err := lab.Open(b, run.Model.Path, llm.LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	s := &solver{online: &online{trainer: trainer{model: m}, run: run}}
	s.close = append(s.close, m.Close)
	defer s.Close()
	e, err := s.scorer(path)
	if err != nil {
		return nil, nil, fmt.Errorf("tune: the reward model: %w", err)
	}
	if n := e.Labels(); n != 1 {
		return nil, nil, fmt.Errorf("tune: %s has %d scores; a reward model has one (method: reward trains it)", path, n)
	}
	var examples []corpus.Example
	var at [][]int
	for _, g := range d.Groups {
		for _, ex := range g.Seqs {
			examples, at = append(examples, ex), append(at, []int{len(ex.IDs) - 1})
		}
	}
	scores, err := s.scoresAt(ctx, e, examples, at)
	if err != nil {
		return nil, nil, err
	}
	out, next := make([]float64, len(d.Groups)), 0
	for i, g := range d.Groups {
		out[i] = scores[next][0][0] - scores[next+len(g.Seqs)-1][0][0]
		next += len(g.Seqs)
	}
	return out, d.Warnings, nil
}
