package tune

import (
	"context"
	"fmt"
	"math"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// steps are the steps of an answer: where each ends in its text, in bytes. What follows the
// last separator is a step too, unless it is blank.
func steps(text, separator string) (parts []string, ends []int) {
	if separator == "" {
		separator = "\n"
	}
	at := 0
	for _, part := range strings.SplitAfter(text, separator) {
		at += len(part)
		if strings.TrimSpace(part) == "" {
			continue
		}
		parts, ends = append(parts, strings.TrimSpace(part)), append(ends, at)
	}
	return parts, ends
}

// stepTokens are the tokens of an answer that end its steps.
func (o *online) stepTokens(a Answer, ends []int) []int {
	out, text, written := make([]int, 0, len(ends)), o.tok.NewStream().SkipSpecial(), 0
	for t, id := range a.IDs {
		written += len(text.Add(id))
		for len(out) < len(ends) && written >= ends[len(out)] {
			out = append(out, t)
		}
	}
	for len(out) < len(ends) { // trimmed text ends with its last token
		out = append(out, len(a.IDs)-1)
	}
	return out
}

// processJudge is a process reward model: each step of an answer has the probability of
// being right. "each" makes rewards of the steps where they end; else they become one
// reward of the whole answer.
func (o *online) processJudge(s ftlib.RewardFunc) (judge, error) {
	e, err := o.scorer(s.Path)
	if err != nil {
		return judge{}, fmt.Errorf("the process reward model %s: %w", s.Path, err)
	}
	if n := e.Labels(); n != 2 {
		return judge{}, fmt.Errorf("%s has %d scores; a process reward model has two, wrong and right (method: prm trains it)", s.Path, n)
	}
	return judge{
		steps: s.Steps == "each",
		model: func(ctx context.Context, answers []Answer) ([]float64, error) {
			all, err := o.stepScores(ctx, e, answers, s.Separator)
			out := make([]float64, len(all))
			for i, list := range all {
				if s.Steps == "each" {
					answers[i].Steps, out[i] = list, math.NaN()
					continue
				}
				out[i] = joinSteps(s.Steps, list)
			}
			return out, err
		},
	}, nil
}

// joinSteps makes one number of the probabilities of steps.
func joinSteps(how string, steps []Scored) float64 {
	if len(steps) == 0 {
		return math.NaN()
	}
	low, product, sum := math.Inf(1), 1.0, 0.0
	for _, s := range steps {
		low, product, sum = min(low, s.Right), product*s.Right, sum+s.Right
	}
	switch how {
	case "product":
		return product
	case "mean":
		return sum / float64(len(steps))
	case "last":
		return steps[len(steps)-1].Right
	}
	return low
}

// Scored is a step of an answer with the probability that it is right.
type Scored struct {
	Text  string  `json:"text"`
	End   int     `json:"end"` // its last token in the answer
	Right float64 `json:"right"`
}

// stepScores asks a process reward model about the steps of answers, written as it was trained.
func (o *online) stepScores(ctx context.Context, e *llm.Engine, answers []Answer, separator string) ([][]Scored, error) {
	out := make([][]Scored, len(answers))
	problems, all := make([]string, len(answers)), make([][]string, len(answers))
	for i, a := range answers {
		parts, ends := steps(a.Text, separator)
		tokens := o.stepTokens(a, ends)
		for k, part := range parts {
			out[i] = append(out[i], Scored{Text: part, End: tokens[k]})
		}
		problems[i], all[i] = o.written(o.prompts[a.Prompt].Record), parts
	}
	right, err := o.rightness(ctx, e, problems, all)
	if err != nil {
		return nil, err
	}
	for i := range out {
		for k := range out[i] {
			out[i][k].Right = right[i][k]
		}
	}
	return out, nil
}

// rightness are the probabilities that steps are right, written as the process reward model
// was trained.
func (o *online) rightness(ctx context.Context, e *llm.Engine, problems []string, all [][]string) ([][]float64, error) {
	var examples []corpus.Example
	var at [][]int
	for i, parts := range all {
		ex := corpus.Example{IDs: []int32{0}} // no steps: nothing is asked
		var ends []int
		if len(parts) > 0 {
			var err error
			if ex, ends, err = corpus.EncodeSteps(o.tok, problems[i], parts, corpus.StepOptions{}, corpus.EncodeOptions{}); err != nil {
				return nil, err
			}
		}
		ex.Train = make([]bool, len(ex.IDs))
		examples, at = append(examples, ex), append(at, ends)
	}
	scores, err := o.scoresAt(ctx, e, examples, at)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(all))
	for i := range out {
		for _, x := range scores[i] {
			out[i] = append(out[i], 1/(1+math.Exp(x[0]-x[1])))
		}
	}
	return out, nil
}

// written is a problem in the form of data.prompt_format.
func (o *online) written(r *corpus.Record) string {
	if o.run.Data.Prompt == "" {
		return r.Problem
	}
	return strings.ReplaceAll(o.run.Data.Prompt, "{prompt}", r.Problem)
}

// processAdvantages adds what rewards of steps say to the advantages of the outcome
// ([loss.StepAdvantages]); without such rewards it does nothing.
func processAdvantages(r *Rollout, group int, scale bool) error {
	rewards, ends, tokens := make([][]float64, len(r.Samples)), make([][]int, len(r.Samples)), make([]int, len(r.Samples))
	some := false
	for i, a := range r.Samples {
		for _, s := range a.Steps {
			rewards[i], ends[i] = append(rewards[i], s.Right), append(ends[i], s.End)
			some = true
		}
		tokens[i] = len(a.IDs)
	}
	if !some {
		return nil
	}
	all, err := loss.StepAdvantages(rewards, ends, tokens, group, scale)
	if err != nil {
		return err
	}
	for i := range r.Samples {
		for t := range all[i] {
			all[i][t] += r.Samples[i].Advantage
		}
		r.Samples[i].Tokens = all[i]
	}
	return nil
}
