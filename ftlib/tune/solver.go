package tune

import (
	"context"
	"errors"
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/eval"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/reward"
)

// solver answers the problems of a data set, several times each, and has the answers judged:
// what [LabelSteps], [BestOfN] and [ScoreSteps] are made of.
type solver struct {
	*online
	warnings []string
}

// openSolver opens run.Model and the problems of run.Data.Train. Nothing is trained.
func openSolver(run ftlib.Run, roll ftlib.Rollout, own map[string]reward.Func) (*solver, error) {
	run.Method = ftlib.Method{GRPO: &ftlib.GRPO{Rollout: roll}}
	limit := run.Batch.Size
	run = scored(run)
	if err := run.Validate(); err != nil {
		return nil, err
	}
	if run.Batch.Size = limit; limit <= 0 {
		run.Batch.Size = 16
	}
	d, err := openData(run, tokenizerDir(run.Model.Path))
	if err != nil {
		return nil, err
	}
	if len(d.Groups) == 0 {
		return nil, fmt.Errorf("tune: %s has no problem that can be asked", run.Data.Train)
	}
	b, err := backend.Open(run.Model.Backend)
	if err != nil {
		return nil, err
	}
	m, err := lab.Open(b, run.Model.Path, llm.LoadOptions{})
	if err != nil {
		return nil, err
	}
	o := &online{trainer: trainer{model: m}, run: run, roll: run.Method.GRPO.Rollout, told: map[string]bool{}, context: context.Background(),
		prompts: d.Groups, train: len(d.Groups)}
	o.close = append(o.close, m.Close)
	s := &solver{o, d.Warnings}
	fail := func(err error) (*solver, error) {
		s.Close()
		return nil, err
	}
	if run.Model.Adapter != "" {
		if _, err := m.LoadAdapter(run.Model.Adapter); err != nil {
			return fail(err)
		}
	}
	if o.tok, _, err = tokenizerOf(run); err != nil {
		return fail(err)
	}
	if o.gen, err = llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: o.tok, MaxRows: 64}); err != nil {
		return fail(err)
	}
	if o.judges, err = newJudges(o.roll.Rewards, own, o.modelJudge, o.warn); err != nil {
		return fail(err)
	}
	return s, nil
}

func (s *solver) Close() {
	if s.gen != nil {
		s.gen.Close()
	}
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
}

// needAnswers refuses problems that nothing can be compared with.
func (s *solver) needAnswers() error {
	for _, g := range s.prompts {
		if g.Record.Answer == "" {
			return fmt.Errorf("tune: %s row %d has no answer to compare with", g.File, g.Num)
		}
	}
	return nil
}

// right says which answers every judge is content with.
func (s *solver) right(answers []Answer) ([]bool, error) {
	rewards, err := s.judged(answers)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(answers))
	for i, list := range rewards {
		out[i] = true
		for _, v := range list {
			out[i] = out[i] && v >= 1
		}
	}
	return out, nil
}

// BestOf says how [BestOfN] chooses among the answers to a problem.
type BestOf struct {
	N         []int         // answers to choose from; zero: 1, 2, 4, 8, 16
	PRM       string        // a process reward model (method: prm), an adapter or a model directory; "": none
	Joins     []string      // what becomes of its scores of steps: "min", "product", "mean", "last"; zero: min, product, last
	Separator string        // between steps in an answer; zero: a new line
	Reward    string        // an outcome reward model (method: reward); "": none
	Rollout   ftlib.Rollout // how answers are sampled, and what says that one is right; zero: temperature 1, 128 tokens, the number of the row's answer

	Rewards map[string]reward.Func // functions in Go that Rollout.Rewards names
}

// Chosen is a way to choose one of N answers, with the accuracy that it has.
type Chosen struct {
	By       string    `json:"by"`       // "prm min", "reward model", "majority", "oracle", "mean"
	Accuracy []float64 `json:"accuracy"` // for each N
}

// BestOfResult compares ways to choose.
type BestOfResult struct {
	N        []int        `json:"n"`
	Problems int          `json:"problems"`
	Samples  int          `json:"samples"` // answers in all
	Ways     []Chosen     `json:"ways"`
	Warnings []string     `json:"warnings,omitempty"`
	Answers  [][]Solution `json:"-"` // [problems][samples]
}

// Solution is one answer to a problem with what was said about it.
type Solution struct {
	Problem string     `json:"problem"`
	Answer  string     `json:"answer"` // that is expected
	Text    string     `json:"text"`
	Right   bool       `json:"right"`
	Reward  *float64   `json:"reward,omitempty"` // of an outcome reward model
	Steps   []StepMark `json:"steps,omitempty"`
	File    string     `json:"file,omitempty"`
	Row     int        `json:"row,omitempty"`
}

// StepMark is a step with what is known of it.
type StepMark struct {
	Text  string   `json:"text"`
	Score *float64 `json:"score,omitempty"` // probability of being right, by a process reward model
	Label *float64 `json:"label,omitempty"` // 1 for right, 0 for wrong, or between
}

// BestOfN samples max(N) answers to each problem of run.Data.Train and compares ways to
// choose one of N: by a process reward model, by an outcome reward model, by majority, by
// somebody who knows ("oracle": any of N is right, pass@N), and not at all ("mean"). All are
// given the same answers. Accuracies are expectations over all choices of N of them
// ([eval.BestOf]), those of the majority means over 200 choices.
func BestOfN(ctx context.Context, run ftlib.Run, o BestOf) (BestOfResult, error) {
	if len(o.N) == 0 {
		o.N = []int{1, 2, 4, 8, 16}
	}
	if len(o.Joins) == 0 {
		o.Joins = []string{"min", "product", "last"}
	}
	most := 0
	for _, n := range o.N {
		if most = max(most, n); n < 1 {
			return BestOfResult{}, fmt.Errorf("tune: the best of %d answers", n)
		}
	}
	for _, join := range o.Joins {
		switch join {
		case "min", "product", "mean", "last":
		default:
			return BestOfResult{}, fmt.Errorf("tune: scores of steps are joined by min, product, mean or last, not %q", join)
		}
	}
	s, err := openSolver(run, o.Rollout, o.Rewards)
	if err != nil {
		return BestOfResult{}, err
	}
	defer s.Close()
	s.setContext(ctx)
	if err := s.needAnswers(); err != nil {
		return BestOfResult{}, err
	}
	asked := make([]int, len(s.prompts))
	for i := range asked {
		asked[i] = i
	}
	answers, err := s.write(asked, most, 1, false)
	if err != nil {
		return BestOfResult{}, err
	}
	right, err := s.right(answers)
	if err != nil {
		return BestOfResult{}, err
	}
	type way struct {
		name   string
		scores []float64
	}
	var ways []way
	var marks [][]Scored
	if o.PRM != "" {
		e, err := s.scorer(o.PRM)
		if err != nil {
			return BestOfResult{}, fmt.Errorf("tune: the process reward model: %w", err)
		}
		if e.Labels() != 2 {
			return BestOfResult{}, fmt.Errorf("tune: %s has %d scores; a process reward model has two (method: prm trains it)", o.PRM, e.Labels())
		}
		if marks, err = s.stepScores(ctx, e, answers, o.Separator); err != nil {
			return BestOfResult{}, err
		}
		for _, join := range o.Joins {
			w := way{name: "prm " + join}
			for _, list := range marks {
				w.scores = append(w.scores, joinSteps(join, list))
			}
			ways = append(ways, w)
		}
	}
	var rewards []float64
	if o.Reward != "" {
		j, err := s.modelJudge(ftlib.RewardFunc{Use: "model", Path: o.Reward})
		if err != nil {
			return BestOfResult{}, err
		}
		if rewards, err = j.model(ctx, answers); err != nil {
			return BestOfResult{}, err
		}
		ways = append(ways, way{"reward model", rewards})
	}
	res := BestOfResult{N: o.N, Problems: len(asked), Samples: len(answers), Warnings: append(s.warnings, s.online.warnings()...)}
	for _, w := range ways {
		res.Ways = append(res.Ways, Chosen{By: w.name})
	}
	res.Ways = append(res.Ways, Chosen{By: "majority"}, Chosen{By: "oracle"}, Chosen{By: "mean"})
	for _, n := range o.N {
		sum := make([]float64, len(res.Ways))
		for p := range asked {
			from, to := p*most, (p+1)*most
			sampled := eval.Sampled{Right: right[from:to]}
			for _, a := range answers[from:to] {
				final, _ := eval.FinalAnswer(a.Text)
				sampled.Answers = append(sampled.Answers, final)
			}
			add := func(k int, v float64, e error) {
				sum[k] += v
				err = errors.Join(err, e)
			}
			for k, w := range ways {
				v, e := eval.BestOf(n, sampled.Right, w.scores[from:to])
				add(k, v, e)
			}
			k := len(ways)
			v, e := eval.Vote(n, sampled, 200, uint64(run.Seed))
			add(k, v, e)
			v, e = eval.PassAt(n, sampled.Right)
			add(k+1, v, e)
			v, e = eval.PassAt(1, sampled.Right)
			add(k+2, v, e)
		}
		for k := range sum {
			res.Ways[k].Accuracy = append(res.Ways[k].Accuracy, sum[k]/float64(len(asked)))
		}
	}
	for p := range asked {
		var list []Solution
		for i := p * most; i < (p+1)*most; i++ {
			x := s.solution(answers[i], right[i])
			if rewards != nil {
				x.Reward = &rewards[i]
			}
			if marks != nil {
				for _, m := range marks[i] {
					x.Steps = append(x.Steps, StepMark{Text: m.Text, Score: &m.Right})
				}
			}
			list = append(list, x)
		}
		res.Answers = append(res.Answers, list)
	}
	return res, err
}

func (s *solver) solution(a Answer, right bool) Solution {
	g := s.prompts[a.Prompt]
	return Solution{Problem: g.Record.Problem, Answer: g.Record.Answer, Text: a.Text, Right: right, File: g.File, Row: g.Num}
}

// ScoreSteps asks a process reward model (an adapter with a score head on run.Model, or a
// model directory) about the steps of the solutions in run.Data.Train; each step keeps the
// label that the row has. separator parts a solution that is written in one piece into
// steps; "" is a new line.
func ScoreSteps(ctx context.Context, run ftlib.Run, prm, separator string) ([]Solution, []string, error) {
	s, err := openSolver(run, ftlib.Rollout{}, nil)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	e, err := s.scorer(prm)
	if err != nil {
		return nil, nil, fmt.Errorf("tune: the process reward model: %w", err)
	}
	if e.Labels() != 2 {
		return nil, nil, fmt.Errorf("tune: %s has %d scores; a process reward model has two (method: prm trains it)", prm, e.Labels())
	}
	var out []Solution
	var parts [][]string
	var problems []string
	for i := range s.prompts {
		r := s.prompts[i].Record
		x := s.solution(Answer{Prompt: i}, false)
		var texts []string
		for _, step := range r.Steps {
			label := max(0, step.Reward) // -1 is wrong too
			x.Steps, texts = append(x.Steps, StepMark{Text: step.Text, Label: &label}), append(texts, step.Text)
		}
		if r.Rationale != "" {
			texts, _ = steps(r.Rationale, separator)
			for _, t := range texts {
				x.Steps = append(x.Steps, StepMark{Text: t})
			}
		}
		if len(texts) == 0 {
			return nil, nil, fmt.Errorf("tune: %s row %d has no steps", s.prompts[i].File, s.prompts[i].Num)
		}
		out, parts, problems = append(out, x), append(parts, texts), append(problems, s.written(r))
	}
	scores, err := s.rightness(ctx, e, problems, parts)
	if err != nil {
		return nil, nil, err
	}
	for i := range out {
		for k := range scores[i] {
			out[i].Steps[k].Score = &scores[i][k]
		}
	}
	return out, s.warnings, nil
}
