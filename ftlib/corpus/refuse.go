package corpus

import (
	"fmt"
	"sort"
	"strings"
)

// RefusalReason says why an example must not be trained.
type RefusalReason string

const (
	NothingTrained  RefusalReason = "nothing trained"
	DoubleBOS       RefusalReason = "double BOS"
	MissingEOS      RefusalReason = "missing EOS"
	LabelsCut       RefusalReason = "labels cut"
	TemplateRefused RefusalReason = "template"
	TooManyCut      RefusalReason = "too many rows cut"
)

var hints = map[RefusalReason]string{
	NothingTrained:  "give the row an answer, or choose another train_on",
	DoubleBOS:       "take the BOS out of the text, or out of the chat template",
	MissingEOS:      "without it the model never stops: use a template that ends a turn with a token that this tokenizer has as a special token",
	LabelsCut:       "raise max_length, or shorten the prompt",
	TemplateRefused: "change the conversation, or choose another template",
	TooManyCut:      "raise max_length, drop the long rows, or allow it",
}

// Refusal is an example that training refuses.
type Refusal struct {
	File   string
	Num    int // row, from 1; 0: the file as a whole
	Reason RefusalReason
	Detail string
	Hint   string // what to do about it
}

// Error is "corpus: FILE row N: DETAIL; HINT".
func (r *Refusal) Error() string {
	place := r.File
	if r.Num > 0 {
		place = strings.TrimSpace(fmt.Sprintf("%s row %d", r.File, r.Num))
	}
	if place != "" {
		place += ": "
	}
	s := "corpus: " + place + r.Detail
	if r.Hint != "" {
		s += "; " + r.Hint
	}
	return s
}

func refuse(o EncodeOptions, reason RefusalReason, format string, args ...any) *Refusal {
	return &Refusal{o.File, o.Num, reason, fmt.Sprintf(format, args...), hints[reason]}
}

// Audit counts what encoding met, for the report before training. The zero value is
// ready; add every row's result.
type Audit struct {
	Rows      int // all, refused ones too
	Kept      int
	Tokens    int // of kept rows, after cutting
	Trained   int // of these
	Cut       int // kept rows that were too long
	CutTokens int
	CutLabels int // kept rows that lost trained tokens
	Lengths   []int
	Refused   map[RefusalReason]int
	First     map[RefusalReason]*Refusal // the first of each
	Other     []error                    // errors that are no refusals (rows that could not be read), at most ten
	OtherRows int                        // how many there were
}

// Add takes the result of EncodeRecord and says whether the example may be trained.
func (a *Audit) Add(ex Example, err error) bool {
	a.Rows++
	if err == nil {
		a.Kept++
		n := len(ex.IDs)
		a.Tokens += n
		if n > 0 {
			a.Trained += count(ex.Train[1:])
		}
		a.Lengths = append(a.Lengths, n+ex.Cut)
		if ex.Cut > 0 {
			a.Cut++
			a.CutTokens += ex.Cut
			if n > 0 && ex.Train[n-1] {
				a.CutLabels++ // what followed was, as a rule, trained too
			}
		}
		return true
	}
	r, ok := err.(*Refusal)
	if !ok {
		a.OtherRows++
		if len(a.Other) < 10 {
			a.Other = append(a.Other, err)
		}
		return false
	}
	if a.Refused == nil {
		a.Refused, a.First = map[RefusalReason]int{}, map[RefusalReason]*Refusal{}
	}
	a.Refused[r.Reason]++
	if a.First[r.Reason] == nil {
		a.First[r.Reason] = r
	}
	return false
}

// Limits of what training accepts.
type Limits struct {
	MaxCut float64 // fraction of the rows that may be cut; 0: 0.1; negative: any
	Insist bool    // train on what is left; refused rows are left out
}

// Err refuses to train when rows were refused or too many were cut. It names the first
// row of each reason and what to do.
func (a *Audit) Err(l Limits) error {
	if a.Kept == 0 {
		if first := a.first(); first != nil {
			return fmt.Errorf("corpus: none of %d rows can be trained: %w", a.Rows, first)
		}
		return fmt.Errorf("corpus: no rows to train on")
	}
	if l.Insist {
		return nil
	}
	if first := a.first(); first != nil {
		return fmt.Errorf("corpus: %s; train with insist to leave them out. The first: %w", a.refusals(), first)
	}
	if l.MaxCut == 0 {
		l.MaxCut = 0.1
	}
	if share := float64(a.Cut) / float64(a.Kept); l.MaxCut > 0 && share > l.MaxCut {
		return &Refusal{Reason: TooManyCut, Hint: hints[TooManyCut],
			Detail: fmt.Sprintf("%d of %d rows (%.0f %%) are longer than the maximum length and lose %d tokens; at most %.0f %% are accepted",
				a.Cut, a.Kept, 100*share, a.CutTokens, 100*l.MaxCut)}
	}
	return nil
}

func (a *Audit) reasons() []RefusalReason {
	var out []RefusalReason
	for r := range a.Refused {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool {
		if a.Refused[out[i]] != a.Refused[out[j]] {
			return a.Refused[out[i]] > a.Refused[out[j]]
		}
		return out[i] < out[j]
	})
	return out
}

func (a *Audit) first() error {
	if rs := a.reasons(); len(rs) > 0 {
		return a.First[rs[0]]
	}
	if len(a.Other) > 0 {
		return a.Other[0]
	}
	return nil
}

func (a *Audit) refusals() string {
	var parts []string
	for _, r := range a.reasons() {
		parts = append(parts, fmt.Sprintf("%s: %s", someRows(a.Refused[r]), r))
	}
	if a.OtherRows > 0 {
		parts = append(parts, someRows(a.OtherRows)+": cannot be read, or fit no record")
	}
	return strings.Join(parts, ", ")
}

func someRows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// String is the summary that is printed before training.
func (a *Audit) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d tokens, %d trained", someRows(a.Kept), a.Tokens, a.Trained)
	if a.Tokens > 0 {
		fmt.Fprintf(&b, " (%.1f %%)", 100*float64(a.Trained)/float64(a.Tokens))
	}
	if a.Cut > 0 {
		fmt.Fprintf(&b, "; %s cut by %d tokens in all (%d of them inside a trained turn)", someRows(a.Cut), a.CutTokens, a.CutLabels)
	}
	if s := a.refusals(); s != "" {
		fmt.Fprintf(&b, "; refused: %s", s)
	}
	return b.String()
}
