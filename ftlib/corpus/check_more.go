package corpus

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Lengths is the distribution of lengths.
type Lengths struct {
	Unit   string `json:"unit"`
	Min    int    `json:"min"`
	Median int    `json:"median"`
	P90    int    `json:"p90"`
	P99    int    `json:"p99"`
	Max    int    `json:"max"`
	Total  int    `json:"total"`
	Bins   []Bin  `json:"bins"`

	count map[int]int
	n     int
}

// Bin counts the lengths from From to To, both included.
type Bin struct {
	From  int `json:"from"`
	To    int `json:"to"`
	Count int `json:"count"`
}

func (l *Lengths) add(n int) {
	if l.count == nil {
		l.count = map[int]int{}
	}
	l.count[n]++
	l.n++
	l.Total += n
}

// settle fills the figures in. The bins are about a dozen round ranges; the
// longest hundredth shares the last one.
func (l *Lengths) settle(unit string) {
	l.Unit = unit
	if l.n == 0 {
		return
	}
	keys := slices.Sorted(maps.Keys(l.count))
	l.Min, l.Max = keys[0], keys[len(keys)-1]
	at := func(q float64) int {
		want := int(math.Ceil(q*float64(l.n))) - 1
		for _, k := range keys {
			if want -= l.count[k]; want < 0 {
				return k
			}
		}
		return l.Max
	}
	l.Median, l.P90, l.P99 = at(0.5), at(0.9), at(0.99)
	width := roundUp(float64(l.P99-l.Min+1) / float64(min(12, l.n)))
	first := l.Min / width * width
	for from := first; from <= l.P99; from += width {
		l.Bins = append(l.Bins, Bin{From: from, To: from + width - 1})
	}
	l.Bins[len(l.Bins)-1].To = max(l.Max, l.Bins[len(l.Bins)-1].To)
	if last := &l.Bins[len(l.Bins)-1]; l.Max >= last.From+width {
		last.To = last.From + width - 1
		l.Bins = append(l.Bins, Bin{From: last.To + 1, To: l.Max})
	}
	for k, n := range l.count {
		i := min((k-first)/width, len(l.Bins)-1)
		l.Bins[i].Count += n
	}
}

// roundUp is the next of 1, 2, 5, 10, 20, 50, ...
func roundUp(x float64) int {
	for base := 1; ; base *= 10 {
		for _, f := range []int{1, 2, 5} {
			if float64(base*f) >= x {
				return base * f
			}
		}
	}
}

func (c *checker) lengths() {
	c.report.Lengths.settle(c.opts.Unit)
	if c.report.Cut == 0 {
		return
	}
	f := c.found["would be cut\x00"]
	share := float64(c.report.Cut) / float64(c.report.Records)
	f.What = fmt.Sprintf("longer than %d %s: would be cut", c.opts.MaxLength, c.opts.Unit)
	if c.report.Kind == KindText {
		f.What = fmt.Sprintf("longer than %d %s: become several sequences", c.opts.MaxLength, c.opts.Unit)
		return
	}
	f.Severity, f.Hint = Warning, fmt.Sprintf("99 %% of the rows have at most %d", c.report.Lengths.P99)
	if share > c.opts.MaxCut {
		f.Severity = Refused
		f.Hint = fmt.Sprintf("that is %.0f %%; raise max_length (%d holds 99 %%) or shorten the rows", 100*share, c.report.Lengths.P99)
	}
}

// classes counts what should be balanced.
func (c *checker) classes(rec Record) {
	switch {
	case c.m.Form == "classification":
		c.report.Classes[strings.TrimSpace(rec.Completion.Text)]++
	case rec.Kind == KindUnpaired && rec.Label != nil:
		c.report.Classes[fmt.Sprint(*rec.Label)]++
	case rec.Kind == KindReasoning && rec.Correct != nil:
		c.report.Classes[fmt.Sprintf("correct %v", *rec.Correct)]++
	case rec.Kind == KindSteps:
		for _, s := range rec.Steps {
			if s.Reward >= 0.5 {
				c.report.Classes["right steps"]++
			} else {
				c.report.Classes["wrong steps"]++
			}
		}
	case rec.Kind == KindPreference:
		a, b := len(rec.Chosen.Plain()), len(rec.Rejected.Plain())
		c.pairs++
		if a > b {
			c.longer++
		}
	}
}

func (c *checker) balance() {
	if n := len(c.report.Classes); n > 0 && n <= maxClasses {
		names := slices.Collect(maps.Keys(c.report.Classes))
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(c.report.Classes[a], c.report.Classes[b]) })
		least, most := names[0], names[n-1]
		a, b := c.report.Classes[least], c.report.Classes[most]
		hint := "always answering " + most + fmt.Sprintf(" would be right in %.0f %%", 100*float64(b)/float64(c.sumClasses()))
		switch {
		case n == 1 && c.report.Kind != KindSteps:
			c.addN(Warning, "only one class: "+most, "", "nothing to tell apart", b, Place{})
		case n > 1 && b >= 3*a:
			c.addN(Warning, fmt.Sprintf("imbalance: %s %d, %s %d", most, b, least, a), "", hint, b, Place{})
		}
	}
	if c.pairs >= 20 {
		share := float64(c.longer) / float64(c.pairs)
		if share >= 0.7 || share <= 0.3 {
			word := "longer"
			n := c.longer
			if share <= 0.3 {
				word, n = "not longer", c.pairs-c.longer
			}
			c.addN(Note, fmt.Sprintf("imbalance: chosen is %s than rejected in %.0f %%", word, 100*max(share, 1-share)), "", "a model can learn length instead of quality", n, Place{})
		}
	}
}

func (c *checker) sumClasses() int {
	n := 0
	for _, v := range c.report.Classes {
		n += v
	}
	return n
}

// leakage looks the validation rows up among the training rows.
func (c *checker) leakage() {
	for row, err := range c.opts.Validation {
		if err != nil {
			continue // reported when that file is checked itself
		}
		rec, err := Format(row, c.m)
		if err != nil {
			continue
		}
		c.report.Compared++
		at := Place{File: row.File, Row: row.Num}
		m := c.asks.Find(SplitKey(rec))
		hint := "the validation loss will look better than it is; `ft data split` makes a clean split"
		if m.Exact {
			c.add(Warning, "leakage: a validation row that is in the training data", "", hint, c.of(at, m))
		} else if m.Number >= 0 {
			c.add(Warning, "leakage: a validation row that is nearly in the training data", "", hint, c.of(at, m))
		}
	}
	if c.report.Compared == 0 {
		c.addN(Refused, "no validation row fits the training format "+c.m.Form, "", "check the validation data by itself", 1, Place{})
	}
}

// finish puts the findings in order: worst first, then by number.
func (c *checker) finish() {
	rank := map[Severity]int{Refused: 0, Warning: 1, Note: 2}
	c.report.Findings = []Finding{}
	for _, key := range c.order {
		f := c.found[key]
		f.Places = slices.DeleteFunc(f.Places, func(p Place) bool { return p.File == "" })
		c.report.Findings = append(c.report.Findings, *f)
	}
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(b.Count, a.Count))
	})
	if c.texts.Full() {
		c.report.Findings = append(c.report.Findings, Finding{Severity: Note, What: fmt.Sprintf("nearly equal rows were looked for in the first %d rows only", c.texts.limit())})
	}
	if len(c.report.Classes) == 0 {
		c.report.Classes = nil
	}
}
