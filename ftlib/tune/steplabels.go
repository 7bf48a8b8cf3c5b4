package tune

import (
	"context"
	"fmt"
	"hash/fnv"
	"iter"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/eval"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/reward"
)

// StepLabels say how [LabelSteps] works. The zero value works.
type StepLabels struct {
	Samples   int           // completions of each prefix; zero: 8
	Hard      bool          // a step is right when any completion is; else its label is the share of those that are
	Solutions int           // write so many solutions to each problem and label those; zero: the rows' own
	Separator string        // between steps; zero: a new line
	Rollout   ftlib.Rollout // how completions are sampled, and what says that one is right; zero: temperature 1, 128 tokens, the number of the row's answer

	Rewards map[string]reward.Func           // functions in Go that Rollout.Rewards names
	Tell    func(done, all int, what string) // progress; nil: none
}

// LabelledSteps are solutions with labels of their steps.
type LabelledSteps struct {
	Solutions   []Solution
	Completions int      // that were sampled
	Warnings    []string // what was noticed
}

// LabelSteps labels the steps of solutions without a person (Math-Shepherd, Wang et al.
// 2024): from the end of each step, the model of run finishes the solution Samples times;
// the label is the share of completions that reach the right answer (soft), or 1 where any
// does (hard). What a solution comes to is judged as it stands: the label of its last step
// is 1 or 0. Prefixes that several solutions of a problem share are completed once.
//
// The solutions are those of run.Data.Train (steps, or a rationale that is parted into steps),
// or are written by the model first. The model should solve the problems sometimes: one
// that never does calls every step wrong.
func LabelSteps(ctx context.Context, run ftlib.Run, o StepLabels) (LabelledSteps, error) {
	if o.Samples == 0 {
		o.Samples = 8
	}
	if o.Samples < 1 || o.Solutions < 0 {
		return LabelledSteps{}, fmt.Errorf("tune: %d completions of %d solutions", o.Samples, o.Solutions)
	}
	if o.Separator == "" {
		o.Separator = "\n"
	}
	s, err := openSolver(run, o.Rollout, o.Rewards)
	if err != nil {
		return LabelledSteps{}, err
	}
	defer s.Close()
	s.setContext(ctx)
	if err := s.needAnswers(); err != nil {
		return LabelledSteps{}, err
	}
	l := &labeller{solver: s, o: o, at: map[string]int{}}
	if o.Solutions > 0 {
		err = l.written()
	} else {
		err = l.given()
	}
	if err == nil {
		err = l.complete()
	}
	if err != nil {
		return LabelledSteps{}, err
	}
	out := LabelledSteps{Completions: l.sampled, Warnings: append(s.warnings, s.online.warnings()...)}
	reached := 0
	for _, w := range l.works {
		x := s.solution(Answer{Prompt: w.prompt, Text: w.text}, w.right)
		for k, step := range w.steps {
			label := l.prefixes[w.at[k]].label(o.Hard)
			if label > 0 {
				reached++
			}
			x.Steps = append(x.Steps, StepMark{Text: step, Label: &label})
		}
		out.Solutions = append(out.Solutions, x)
	}
	if reached == 0 {
		out.Warnings = append(out.Warnings, "no completion of any step reached its answer: the labels say nothing about the steps. Use a model that solves some of the problems, more samples, or check the prompt's form and the separator")
	}
	return out, nil
}

// labeller collects prefixes and completes them.
type labeller struct {
	*solver
	o        StepLabels
	works    []work
	prefixes []prefix
	at       map[string]int // prefix by problem and tokens
	sampled  int
}

// work is a solution under labels.
type work struct {
	prompt int
	text   string
	steps  []string
	at     []int // prefix that ends with each step
	right  bool
}

// prefix is the beginning of a solution, up to the end of a step.
type prefix struct {
	prompt  int
	ids     []int32 // of the solution
	text    string
	whole   bool // it is a solution: nothing is to be completed
	tried   int
	reached int
}

func (p prefix) label(hard bool) float64 {
	if p.tried == 0 {
		return 0
	}
	if hard && p.reached > 0 {
		return 1
	}
	return float64(p.reached) / float64(p.tried)
}

func (l *labeller) prefix(p prefix) int {
	key := fmt.Sprint(p.prompt, p.whole, p.ids)
	at, ok := l.at[key]
	if !ok {
		at = len(l.prefixes)
		l.at[key], l.prefixes = at, append(l.prefixes, p)
	}
	return at
}

// given takes the solutions of the rows.
func (l *labeller) given() error {
	lead, _, _ := strings.Cut(l.run.Data.Answer, "{rationale}")
	for i, g := range l.prompts {
		r := g.Record
		w := work{prompt: i, text: r.Rationale}
		var ends []int
		if len(r.Steps) > 0 {
			w.text, w.steps, ends = joined(r.Steps, l.o.Separator)
		} else {
			w.steps, ends = steps(w.text, l.o.Separator)
		}
		if len(w.steps) == 0 {
			return fmt.Errorf("tune: %s row %d has no solution; the model can write some (solutions)", g.File, g.Num)
		}
		_, whole := eval.FinalAnswer(w.text)
		for k, end := range ends {
			text := lead + strings.TrimRight(w.text[:end], " ") // the space belongs to the next word's token
			w.at = append(w.at, l.prefix(prefix{prompt: i, ids: l.tok.Encode(text, false), text: text, whole: whole && k == len(ends)-1}))
		}
		l.works = append(l.works, w)
	}
	return nil
}

// joined writes steps as one text, and where each ends in it.
func joined(list []corpus.Step, separator string) (text string, parts []string, ends []int) {
	for k, step := range list {
		part := strings.TrimSpace(step.Text)
		if k > 0 {
			// A step may end as the separator begins: "... = 4." and ". ".
			sep := separator
			for n := len(sep); n > 0; n-- {
				if strings.HasSuffix(text, sep[:n]) {
					sep = sep[n:]
					break
				}
			}
			text += sep
			ends[k-1] = len(text)
		}
		text += part
		parts, ends = append(parts, part), append(ends, len(text))
	}
	return text, parts, ends
}

// written lets the model write the solutions. Equal ones to a problem are one.
func (l *labeller) written() error {
	asked := make([]int, len(l.prompts))
	for i := range asked {
		asked[i] = i
	}
	answers, err := l.write(asked, l.o.Solutions, 1, false)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, a := range answers {
		w := work{prompt: a.Prompt, text: strings.TrimSpace(a.Text)}
		key := fmt.Sprint(a.Prompt, "\x00", w.text)
		parts, ends := steps(a.Text, l.o.Separator)
		if len(parts) == 0 || seen[key] {
			continue
		}
		seen[key] = true
		w.steps = parts
		for k, end := range ends {
			p := prefix{prompt: a.Prompt, ids: a.IDs, text: a.Text, whole: k == len(ends)-1}
			if !p.whole {
				p.text = strings.TrimRight(a.Text[:end], " ")
				p.ids = l.tok.Encode(p.text, false)
			}
			w.at = append(w.at, l.prefix(p))
		}
		l.works = append(l.works, w)
	}
	return nil
}

// complete finishes all prefixes and counts what is right.
func (l *labeller) complete() error {
	const rows = 512 // completions between two looks at progress
	all := 0
	for _, p := range l.prefixes {
		if !p.whole {
			all++
		}
	}
	done := 0
	var batch []int
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := l.finish(batch)
		done, batch = done+len(batch), batch[:0]
		if l.o.Tell != nil && err == nil {
			l.o.Tell(done, all, "prefixes completed")
		}
		return err
	}
	var whole []Answer
	var wholeAt []int
	for i, p := range l.prefixes {
		if p.whole {
			whole, wholeAt = append(whole, Answer{Prompt: p.prompt, IDs: p.ids, Text: p.text}), append(wholeAt, i)
			continue
		}
		if batch = append(batch, i); len(batch)*l.o.Samples >= rows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	right, err := l.right(whole)
	if err != nil {
		return err
	}
	for k, i := range wholeAt {
		l.prefixes[i].tried = 1
		if right[k] {
			l.prefixes[i].reached = 1
		}
	}
	for i := range l.works {
		w := &l.works[i]
		last := l.prefixes[w.at[len(w.at)-1]]
		w.right = last.whole && last.reached > 0
	}
	return nil
}

// finish completes some prefixes.
func (l *labeller) finish(at []int) error {
	var prompts [][]int32
	var answers []Answer
	var owner []int
	sampling := llm.Sampling{MaxNew: l.roll.MaxLength, Temperature: l.roll.Temperature, TopP: l.roll.TopP, TopK: l.roll.TopK, MinP: l.roll.MinP, StopStrings: l.roll.Stop}
	for _, i := range at {
		p := &l.prefixes[i]
		ids := l.prompts[p.prompt].Seqs[0].IDs
		ids = append(ids[:len(ids):len(ids)], p.ids...)
		if len(ids) >= l.model.Config.MaxPositions {
			continue // no room for an answer: it is not reached
		}
		for k := range l.o.Samples {
			h := fnv.New64a()
			fmt.Fprint(h, l.run.Seed, " ", i, " ", k)
			prompts, sampling.Seeds = append(prompts, ids), append(sampling.Seeds, h.Sum64())
			answers, owner = append(answers, Answer{Prompt: p.prompt, Text: p.text, IDs: p.ids}), append(owner, i)
		}
	}
	if len(prompts) == 0 {
		return nil
	}
	outputs, err := l.gen.Generate(l.context, prompts, sampling)
	if err != nil {
		return err
	}
	for k, x := range outputs {
		a := &answers[k]
		a.Text += x.Text
		a.IDs = append(a.IDs[:len(a.IDs):len(a.IDs)], x.IDs...)
	}
	right, err := l.right(answers)
	if err != nil {
		return err
	}
	for k, i := range owner {
		l.prefixes[i].tried++
		if right[k] {
			l.prefixes[i].reached++
		}
	}
	l.sampled += len(outputs)
	return nil
}

// Rows are the solutions as rows of a data file that "method: prm" trains on and
// `ft data show` opens: problem, steps (each with its text and its reward), final_answer, and
// the row that the problem is from.
func (l LabelledSteps) Rows() iter.Seq2[corpus.Row, error] {
	return func(yield func(corpus.Row, error) bool) {
		for i, s := range l.Solutions {
			list := make([]any, len(s.Steps))
			for k, step := range s.Steps {
				list[k] = map[string]any{"step": step.Text, "reward": *step.Label}
			}
			row := corpus.Row{Num: i + 1, Columns: []string{"problem", "steps", "final_answer", "row"},
				Values: map[string]any{"problem": s.Problem, "steps": list, "final_answer": s.Answer, "row": int64(s.Row)}}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Write keeps the solutions in a .parquet or .jsonl file.
func (l LabelledSteps) Write(path string) error { return corpus.WriteRows(path, l.Rows()) }
