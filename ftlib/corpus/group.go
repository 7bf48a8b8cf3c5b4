package corpus

import (
	"errors"
	"fmt"

	"ftlab/ftlib/chat"
)

// Group is what a method compares: one or several sequences that belong together.
type Group struct {
	Seqs   []Example // a pair: chosen, rejected; a ranking: from the best to the worst; else one
	Margin *float64  // by how much chosen is better; nil: not known
	Good   bool      // of a single answer

	Record *Record // of prompts that answers are sampled to; nil else

	Ends   []int     // of steps: the last token of each
	Labels []float64 // of steps: 1 right, 0 wrong, or a probability

	File string
	Num  int
}

// Shape says as what groups a method wants its rows.
type Shape string

const (
	PairShape     Shape = "pairs"    // preferences; of a ranking every pair that differs in rank
	RankingShape  Shape = "rankings" // rankings; a preference is a ranking of two
	UnpairedShape Shape = "unpaired" // single answers that are good or bad; a preference is one of each
	PromptShape   Shape = "prompts"  // what answers are sampled to, of any row that has a prompt
	StepShape     Shape = "steps"    // worked solutions with a label for each step
)

// GroupOptions say how a record becomes groups.
type GroupOptions struct {
	Spans  SpanOptions
	Encode EncodeOptions
	Steps  StepOptions
}

// EncodeGroups turns a record into groups of the shape that a method wants. A record of
// another kind is an error that says which kinds serve; refusals are those of [Encode].
func EncodeGroups(tok Tokenizer, r Record, tmpl *chat.Template, shape Shape, o GroupOptions) ([]Group, error) {
	e := groupEncoder{tok, r, tmpl, o}
	switch {
	case shape == PromptShape:
		o.Encode.File, o.Encode.Num = r.File, r.Num
		ids, text, err := EncodePrompt(tok, r, tmpl, o.Spans, o.Encode)
		if n := len(ids); err == nil && o.Encode.MaxLength > 0 && n > o.Encode.MaxLength {
			err = refuse(o.Encode, LabelsCut, "a prompt of %d tokens: more than %d leave no room for an answer", n, o.Encode.MaxLength)
		}
		r.Text = text
		return []Group{{Seqs: []Example{{IDs: ids, Train: make([]bool, len(ids)), File: r.File, Num: r.Num}}, Record: &r, File: r.File, Num: r.Num}}, err
	case shape == StepShape && r.Kind == KindSteps:
		g, err := e.steps()
		return []Group{g}, err
	case shape == UnpairedShape && r.Kind == KindUnpaired:
		return e.single(r.Completion, r.Label != nil && *r.Label)
	case shape == UnpairedShape && r.Kind == KindPreference:
		good, err := e.single(r.Chosen, true)
		if err != nil {
			return nil, err
		}
		bad, err := e.single(r.Rejected, false)
		return append(good, bad...), err
	case (shape == PairShape || shape == RankingShape) && r.Kind == KindPreference:
		return e.preference()
	case (shape == PairShape || shape == RankingShape) && r.Kind == KindRanking:
		return e.ranking(shape)
	}
	wanted := map[Shape]string{
		PairShape: "preferences (prompt, chosen, rejected) or rankings", RankingShape: "rankings or preferences (prompt, chosen, rejected)",
		UnpairedShape: "answers with a label (prompt, completion, label) or preferences", StepShape: "solutions with a label for each step (prompt, completions, labels)",
	}[shape]
	return nil, &Refusal{r.File, r.Num, NothingTrained, fmt.Sprintf("a row of kind %s, where the method needs %s", r.Kind, wanted), "choose another file or method, or map the columns with data.columns"}
}

type groupEncoder struct {
	tok  Tokenizer
	r    Record
	tmpl *chat.Template
	o    GroupOptions
}

func (e groupEncoder) group(seqs ...Example) Group {
	return Group{Seqs: seqs, File: e.r.File, Num: e.r.Num}
}

// answer is the prompt with one answer.
func (e groupEncoder) answer(a Content) (Example, error) {
	r := e.r
	r.Kind, r.Completion = KindCompletion, a
	return EncodeRecord(e.tok, r, e.tmpl, e.o.Spans, e.o.Encode)
}

func (e groupEncoder) single(a Content, good bool) ([]Group, error) {
	ex, err := e.answer(a)
	g := e.group(ex)
	g.Good = good
	return []Group{g}, err
}

// answers is the prompt with each of several answers. The first failure is that of all: a
// *Refusal, which the audit counts by its reason.
func (e groupEncoder) answers(list ...Content) ([]Example, error) {
	seqs := make([]Example, len(list))
	var first error
	for i, a := range list {
		ex, err := e.answer(a)
		if seqs[i] = ex; first == nil {
			first = err
		}
	}
	return seqs, first
}

func (e groupEncoder) preference() ([]Group, error) {
	seqs, err := e.answers(e.r.Chosen, e.r.Rejected)
	if err != nil {
		return nil, err
	}
	g := e.group(seqs...)
	g.Margin = e.r.Margin
	return []Group{g}, nil
}

// ranking encodes ranked answers, as one ranking or as all pairs that differ in rank. These
// have no margin: how far ranks lie apart says nothing of how far the answers do.
func (e groupEncoder) ranking(shape Shape) ([]Group, error) {
	list := ranked(e.r.Responses)
	contents := make([]Content, len(list))
	for i, a := range list {
		contents[i] = Content{Text: a.Text}
	}
	seqs, err := e.answers(contents...)
	if err != nil {
		return nil, err
	}
	if n := len(list); n < 2 || list[0].Rank == list[n-1].Rank {
		return nil, &Refusal{e.r.File, e.r.Num, NothingTrained, "all answers have one rank: nothing is better than anything", "leave such rows out"}
	}
	if shape == RankingShape {
		return []Group{e.group(seqs...)}, nil
	}
	var out []Group
	for good, bad := range preferred(list) {
		out = append(out, e.group(seqs[good], seqs[bad]))
	}
	return out, nil
}

// steps encodes a worked solution.
func (e groupEncoder) steps() (Group, error) {
	texts, labels := make([]string, len(e.r.Steps)), make([]float64, len(e.r.Steps))
	for i, s := range e.r.Steps {
		texts[i], labels[i] = s.Text, s.Reward
	}
	for i, l := range labels {
		switch {
		case l < 0 && l >= -1: // -1 and 1 are the labels of some data sets
			labels[i] = 0
		case l < 0 || l > 1:
			return e.group(), &Refusal{e.r.File, e.r.Num, NothingTrained, fmt.Sprintf("the label of step %d is %v; it is 0 (or -1) for wrong, 1 for right, or a probability", i+1, l), "map the column of the labels with data.columns"}
		}
	}
	o := e.o.Encode
	o.File, o.Num = e.r.File, e.r.Num
	ex, ends, err := EncodeSteps(e.tok, e.o.Spans.written(e.r.Problem), texts, e.o.Steps, o)
	g := e.group(ex)
	g.Ends, g.Labels = ends, labels[len(labels)-len(ends):]
	if !e.o.Steps.LastOnly {
		g.Labels = labels[:len(ends)]
	}
	return g, err
}

// StepOptions say how steps become tokens.
type StepOptions struct {
	Separator     string // behind every step; "": a new line
	MaxCompletion int    // tokens of all steps together; 0: no limit
	LastOnly      bool   // only the last step has a label (an outcome reward model)
}

// EncodeSteps writes a problem and its steps as TRL's PRMTrainer does: BOS, the problem,
// then each step and its separator, every part tokenised alone. ends are the last tokens of
// the steps, where the labels belong: those that lie within the limits.
//
// TRL trains a row whose labels were cut off without saying so; here a row that loses all of
// them is a *Refusal, and one that loses some counts as cut.
func EncodeSteps(tok Tokenizer, problem string, steps []string, s StepOptions, o EncodeOptions) (Example, []int, error) {
	if s.Separator == "" {
		s.Separator = "\n"
	}
	ex := Example{File: o.File, Num: o.Num}
	if bos := tok.Special().BOS; bos >= 0 {
		ex.IDs = append(ex.IDs, bos)
	}
	ex.IDs = append(ex.IDs, tok.Encode(problem, false)...)
	prompt := len(ex.IDs)
	separator := tok.Encode(s.Separator, false)
	var ends []int
	for i, step := range steps {
		ex.IDs = append(append(ex.IDs, tok.Encode(step, false)...), separator...)
		if !s.LastOnly || i == len(steps)-1 {
			ends = append(ends, len(ex.IDs)-1)
		}
	}
	limit := len(ex.IDs)
	if s.MaxCompletion > 0 {
		limit = min(limit, prompt+s.MaxCompletion)
	}
	if o.MaxLength > 0 {
		limit = min(limit, o.MaxLength)
	}
	all := len(ends)
	for len(ends) > 0 && ends[len(ends)-1] >= limit {
		ends = ends[:len(ends)-1]
	}
	ex.Cut = len(ex.IDs) - limit
	ex.IDs = ex.IDs[:limit:limit]
	ex.Train = make([]bool, limit)
	for _, end := range ends {
		ex.Train[end] = true
	}
	switch {
	case len(steps) == 0:
		return ex, nil, refuse(o, NothingTrained, "no steps")
	case len(ends) == 0:
		return ex, nil, refuse(o, LabelsCut, "all %d labels lie behind the first %d tokens", all, limit)
	}
	return ex, ends, nil
}

// GroupBatches deals groups out in batches, as [Batches] does with examples: a batch of Size groups
// has Width blocks of Size rows, the k-th block with the k-th sequence of each group (of pairs:
// the chosen ones, then the rejected ones). Rows are indices of groups; a partial batch and a
// group with fewer sequences have empty rows.
type GroupBatches struct {
	*Batches
	groups []Group
	width  int
}

// NewGroupBatches groups the groups. Packing is not for them.
func NewGroupBatches(groups []Group, o BatchOptions) (*GroupBatches, error) {
	if o.Packing {
		return nil, errors.New("corpus: packing is for single sequences; groups are compared row by row")
	}
	g := &GroupBatches{groups: groups}
	longest := make([]Example, len(groups)) // stands for the group: its length decides the bucket, its tokens the fingerprint
	for i, group := range groups {
		g.width = max(g.width, len(group.Seqs))
		for _, s := range group.Seqs {
			if len(s.IDs) > len(longest[i].IDs) {
				longest[i] = s
			}
		}
	}
	g.Batches = NewBatches(longest, o)
	return g, nil
}

// Width is the number of blocks of a batch.
func (g *GroupBatches) Width() int { return g.width }

// Next is the next batch; see [Batches.Next].
func (g *GroupBatches) Next() (*Batch, bool) {
	b, ok := g.Batches.Next()
	if !ok {
		return nil, false
	}
	return g.widen(b), true
}

func (g *GroupBatches) widen(b *Batch) *Batch {
	n := b.B * g.width * b.T
	out := &Batch{B: b.B * g.width, T: b.T, IDs: make([]int32, n), Mask: make([]float32, n), Pos: make([]int32, n), Seg: make([]int32, n), Rows: b.Rows}
	for r, i := range b.Rows {
		for k, s := range g.groups[i].Seqs {
			out.set(k*b.B+r, s)
		}
	}
	return out
}

// set writes an example into a row of its own.
func (b *Batch) set(row int, ex Example) {
	at := row * b.T
	for t, id := range ex.IDs {
		b.IDs[at+t], b.Pos[at+t], b.Seg[at+t] = id, int32(t), 1
		if ex.Train[t] && t > 0 {
			b.Mask[at+t] = 1
		}
	}
}

// OneBatch pads examples to one batch of the given number of rows and length, which must be
// large enough; 0: as many and as long as they are.
func OneBatch(examples []Example, rows, length int) *Batch {
	rows = max(rows, len(examples))
	for _, ex := range examples {
		length = max(length, len(ex.IDs))
	}
	n := rows * length
	b := &Batch{B: rows, T: length, IDs: make([]int32, n), Mask: make([]float32, n), Pos: make([]int32, n), Seg: make([]int32, n)}
	for i, ex := range examples {
		b.set(i, ex)
		b.Rows = append(b.Rows, i)
	}
	return b
}

// Part is rows [from, to) of a batch as a batch of their own, which shares its memory.
func (b *Batch) Part(from, to int) *Batch {
	x, y := from*b.T, to*b.T
	return &Batch{B: to - from, T: b.T, IDs: b.IDs[x:y], Mask: b.Mask[x:y], Pos: b.Pos[x:y], Seg: b.Seg[x:y]}
}
