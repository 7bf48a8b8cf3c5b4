package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/reward"
)

// star is the self-taught reasoner (Zelikman et al. 2022). A round
//
//  1. has the model answer the problems; a rationale that reaches the right answer is kept;
//  2. tells it the answer of those that failed, as a hint, and keeps what is right now, written down
//     without the hint (rationalisation);
//  3. trains the model as it came on what was kept, for a number of steps that grows from round
//     to round.
//
// Each round ends with a validation. The rows of each round, kept, rationalised and rejected, are a parquet file of the run:
// rounds/round-1.parquet, ....
type star struct {
	*online
	spec  ftlib.STaR
	data  *Data
	begin State // of every round, unless it continues
	where starState
	deal  *corpus.Batches
}

// starState is where a run stands.
type starState struct {
	Round   int                `json:"round"` // from 1; 0: none has begun
	Step    int                `json:"step"`  // optimizer steps of the round that were taken
	Steps   int                `json:"steps"` // it has
	Rows    []starRow          `json:"rows"`  // that it trains on
	Cursor  corpus.Cursor      `json:"cursor"`
	Metrics map[string]float64 `json:"metrics"`
	Over    string             `json:"over,omitempty"`
}

// starRow is a rationale that was kept.
type starRow struct {
	Prompt int     `json:"prompt"`
	IDs    []int32 `json:"ids"`
}

// The sources of a round's rows.
const (
	starKept         = "kept"         // it found the answer
	starRationalised = "rationalised" // it found a way to the answer that it was told
	starRejected     = "rejected"     // its last try was wrong too
	starLeaked       = "leaked"       // it is right, and speaks of the hint
)

// starMethod is what STaR takes of the sampling methods: it trains on rows, not on rollouts.
type starMethod struct{ spec ftlib.STaR }

func (m *starMethod) plan(ftlib.Run) (prompts, answers, passes int) { return 64, m.spec.Samples, 1 }
func (m *starMethod) needs(ftlib.Run) (old, ref bool)               { return false, false }
func (m *starMethod) open(*online) error                            { return nil }
func (m *starMethod) prepare(*online, *Rollout) error               { return nil }

func openSTaR(run ftlib.Run, g *given, rewards map[string]reward.Func) (Stepper, string, error) {
	if run.Method.STaR.FewShot != "" && run.Data.Prompt == "" {
		return nil, "", errors.New("tune: method.star.few_shot is put before plain prompts: set data.prompt_format")
	}
	s, about, err := openOnline(run, g, rewards)
	if err != nil {
		return nil, "", err
	}
	return &star{online: s.(*online), spec: *run.Method.STaR}, about, nil
}

func (s *star) bind(d *Data) error {
	if err := s.online.bind(d); err != nil {
		return err
	}
	for _, g := range d.Groups {
		if g.Record.Answer == "" {
			return fmt.Errorf("tune: %s row %d has no answer: STaR keeps what reaches it", g.File, g.Num)
		}
	}
	if s.spec.FewShot != "" {
		examples, err := os.ReadFile(s.spec.FewShot)
		if err != nil {
			return fmt.Errorf("tune: method.star.few_shot: %w", err)
		}
		o := *d.encoder
		o.run.Data.Prompt = string(examples) + o.run.Data.Prompt
		d.encoder = &o
	}
	var err error
	s.begin, err = s.trainer.State()
	s.data, d.Train = d, s
	return err
}

// PerEpoch implements [Source]: all rounds are one pass.
func (s *star) PerEpoch() int {
	n := 0
	for round := range s.spec.Rounds {
		n += s.spec.Steps(round+1, s.train, s.run.Batch.Size*s.run.Batch.Accumulate)
	}
	return n * s.run.Batch.Accumulate
}

// Units implements [Counted]: trained tokens.
func (s *star) Units(b *corpus.Batch) float64 { return b.Trained() }

// Next implements [Source].
func (s *star) Next() (*corpus.Batch, bool, error) {
	if s.where.Step == s.where.Steps {
		if err := s.round(); err != nil {
			return nil, false, err
		}
	}
	b, ok := s.deal.Next()
	if !ok {
		if b, ok = s.deal.Next(); !ok {
			return nil, false, errors.New("tune: a round without rows")
		}
	}
	return b, false, nil
}

// round writes and judges rationales, and makes the model ready to be trained on them.
func (s *star) round() error {
	w := starState{Round: s.where.Round + 1, Metrics: map[string]float64{}}
	problems := s.problems(w.Round)
	rows, err := s.gather(problems, &w)
	if err != nil {
		return err
	}
	if len(w.Rows) == 0 {
		return fmt.Errorf("tune: round %d: none of %d rationales reached its answer, with the hint or without: there is nothing to learn from. Give examples (method.star.few_shot), easier problems, more samples, or check data.prompt_format and the reward; %s shows what was written",
			w.Round, len(rows), s.file(w.Round))
	}
	if !s.spec.Continue {
		if err := s.trainer.Restore(s.begin); err != nil {
			return err
		}
	}
	w.Steps = s.spec.Steps(w.Round, len(w.Rows), s.run.Batch.Size*s.run.Batch.Accumulate)
	s.where = w
	return s.dealRows()
}

// problems are those of a round.
func (s *star) problems(round int) []int {
	all := make([]int, s.online.train)
	for i := range all {
		all[i] = i
	}
	n := s.spec.Problems
	if n == 0 || n >= len(all) {
		return all
	}
	rng := rand.New(rand.NewPCG(uint64(s.run.Seed), uint64(round)<<32))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

// try is a rationale of a problem.
type try struct {
	Answer
	source string
}

// gather lets the model try the problems, and again with a hint, keeps what is right and
// writes all of it down.
func (s *star) gather(problems []int, w *starState) ([]try, error) {
	const size = 64 // problems side by side
	var all []try
	solved, hinted := map[int]bool{}, map[int]bool{}
	seen := map[string]bool{}
	keep := func(a Answer, source string) {
		key := fmt.Sprint(a.Prompt, "\x00", strings.TrimSpace(a.Text))
		if seen[key] && !s.spec.KeepEqual {
			return
		}
		seen[key] = true
		ids := a.IDs
		if end := s.end(); end >= 0 && ids[len(ids)-1] != end {
			ids = append(ids[:len(ids):len(ids)], end)
		}
		w.Rows = append(w.Rows, starRow{a.Prompt, ids})
		all = append(all, try{a, source})
	}
	for from := 0; from < len(problems); from += size {
		part := problems[from:min(from+size, len(problems))]
		answers, right, err := s.attempt(part, s.spec.Samples, uint64(w.Round)<<40|uint64(from)<<8, false)
		if err != nil {
			return nil, err
		}
		wrong := map[int]Answer{}
		for i, a := range answers {
			if right[i] {
				solved[a.Prompt] = true
				keep(a, starKept)
			} else {
				wrong[a.Prompt] = a
			}
		}
		var failed []int
		rng := rand.New(rand.NewPCG(uint64(s.run.Seed), uint64(w.Round)<<32|uint64(from)))
		for _, p := range part {
			if !solved[p] {
				if s.spec.NoRationalize || s.spec.HintShare < 1 && rng.Float64() >= s.spec.HintShare {
					all = append(all, try{wrong[p], starRejected})
				} else {
					failed = append(failed, p)
				}
			}
		}
		if len(failed) == 0 {
			continue
		}
		answers, right, err = s.attempt(failed, 1, uint64(w.Round)<<40|uint64(from)<<8|1, true)
		if err != nil {
			return nil, err
		}
		for i, a := range answers {
			switch {
			case !right[i]:
				all = append(all, try{a, starRejected})
			case s.leaks(a):
				all = append(all, try{a, starLeaked})
			default:
				hinted[a.Prompt] = true
				keep(a, starRationalised)
			}
		}
	}
	n := float64(len(problems))
	w.Metrics["star/round"] = float64(w.Round)
	w.Metrics["star/solved"] = float64(len(solved)) / n
	w.Metrics["star/with_hint"] = float64(len(solved)+len(hinted)) / n
	w.Metrics["star/rows"] = float64(len(w.Rows))
	return all, s.write(w.Round, all)
}

// attempt has the model answer problems, with the hint or without.
func (s *star) attempt(problems []int, samples int, seed uint64, hint bool) ([]Answer, []bool, error) {
	if hint || s.spec.FewShot != "" { // other prompts than those that are trained
		own := make([]corpus.Group, len(problems))
		for i, p := range problems {
			r := *s.prompts[p].Record
			if hint {
				r.Problem += strings.ReplaceAll(s.spec.Hint, "{answer}", r.Answer)
			}
			g, err := s.data.encoder.one(r)
			if err != nil {
				return nil, nil, err
			}
			own[i] = g[0]
		}
		was := s.prompts
		s.prompts = append([]corpus.Group{}, was...)
		for i, p := range problems {
			s.prompts[p].Seqs = own[i].Seqs
		}
		defer func() { s.prompts = was }()
	}
	answers, err := s.online.write(problems, samples, seed, false)
	if err != nil {
		return nil, nil, err
	}
	rewards, err := s.judged(answers)
	if err != nil {
		return nil, nil, err
	}
	right := make([]bool, len(answers))
	for i, r := range rewards {
		right[i] = true
		for _, v := range r { // every judge must be content
			right[i] = right[i] && v >= 1
		}
	}
	return answers, right, nil
}

// leaks reports a rationale that speaks of the hint, which will not be there.
func (s *star) leaks(a Answer) bool {
	told := strings.TrimSpace(strings.ReplaceAll(s.spec.Hint, "{answer}", s.prompts[a.Prompt].Record.Answer))
	if told != "" && told != s.prompts[a.Prompt].Record.Answer && strings.Contains(a.Text, told) {
		return true
	}
	return strings.Contains(strings.ToLower(a.Text), "hint")
}

// end is the token that ends an answer; -1: there is none.
func (s *star) end() int32 {
	if ids := s.model.Config.EOS; len(ids) > 0 {
		return ids[0]
	}
	return s.tok.Special().EOS
}

func (s *star) file(round int) string {
	return filepath.Join(s.run.Dir(), "rounds", fmt.Sprintf("round-%d.parquet", round))
}

// write keeps all that a round tried as a file that opens like any data set.
func (s *star) write(round int, all []try) error {
	if s.run.Dir() == "" || len(all) == 0 {
		return nil
	}
	return corpus.WriteRows(s.file(round), func(yield func(corpus.Row, error) bool) {
		for i, t := range all {
			r := s.prompts[t.Prompt].Record
			values := map[string]any{"question": r.Problem, "rationale": strings.TrimSpace(t.Text), "answer": r.Answer, "source": t.source,
				"is_correct": t.source != starRejected, "round": int64(round), "row": int64(s.prompts[t.Prompt].Num)}
			if !yield(corpus.Row{Num: i + 1, Columns: []string{"question", "rationale", "answer", "source", "is_correct", "round", "row"}, Values: values}, nil) {
				return
			}
		}
	})
}

// dealRows makes batches of what was kept.
func (s *star) dealRows() error {
	examples := make([]corpus.Example, len(s.where.Rows))
	for i, r := range s.where.Rows {
		examples[i] = s.example(Answer{Prompt: r.Prompt, IDs: r.IDs})
		examples[i].File, examples[i].Num = s.prompts[r.Prompt].File, s.prompts[r.Prompt].Num
	}
	s.deal = corpus.NewBatches(examples, corpus.BatchOptions{Size: s.run.Batch.Size, Seed: uint64(s.run.Seed) + uint64(s.where.Round)<<32})
	return nil
}

// Accumulate implements [Stepper]: cross-entropy over what was kept.
func (s *star) Accumulate(b *corpus.Batch, scale float32) (Sums, error) {
	t, err := s.Engine.Accumulate(b, llm.NLL, scale, s.key())
	out := sums(t)
	for name, v := range s.where.Metrics {
		out.Metrics[name] = v * t.Tokens
	}
	return out, err
}

// Apply implements [Stepper]. The optimizer begins anew with every round that begins from
// the base.
func (s *star) Apply(h Hyper) (float64, error) {
	if !s.spec.Continue {
		h.Step = s.where.Step + 1
	}
	norm, err := s.trainer.Apply(h)
	if s.where.Step++; s.where.Step == s.where.Steps && s.where.Round == s.spec.Rounds {
		s.where.Over = fmt.Sprintf("finished: all %d rounds are done", s.spec.Rounds)
	}
	return norm, err
}

// milestone is the end of a round: what the model can do then is the curve that rounds are
// compared by.
func (s *star) milestone() bool { return s.where.Step == s.where.Steps }

// stopped is why the run is over.
func (s *star) stopped() string { return s.where.Over }

// Cursor implements [Source].
func (s *star) Cursor() (json.RawMessage, error) {
	if s.deal != nil {
		s.where.Cursor = s.deal.State()
	}
	return json.Marshal(s.where)
}

// Seek implements [Source].
func (s *star) Seek(at json.RawMessage) error {
	var w starState
	if err := json.Unmarshal(at, &w); err != nil {
		return fmt.Errorf("tune: the position of the checkpoint: %w", err)
	}
	for _, r := range w.Rows {
		if r.Prompt < 0 || r.Prompt >= s.online.train {
			return fmt.Errorf("tune: the checkpoint speaks of problem %d of %d: it is of other data", r.Prompt, s.online.train)
		}
	}
	if s.where = w; w.Round == 0 {
		return nil
	}
	if err := s.dealRows(); err != nil {
		return err
	}
	return s.deal.Seek(w.Cursor)
}
