package corpus

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// CheckOptions says what to check. The zero value checks everything that needs no
// tokenizer and no validation data.
type CheckOptions struct {
	Length     func(Record) int              // length of a record in Unit; nil: words
	Encode     func(Record) (Example, error) // as training would, which tells lengths and refusals; nil: Length only
	Unit       string                        // "tokens"; zero: "words"
	MaxLength  int                           // rows longer than this would be cut; zero: none
	MaxCut     float64                       // fraction of cut rows that training accepts; zero: 0.1
	Validation iter.Seq2[Row, error]         // looked at for leakage; nil: none
	Examples   int                           // places named for each finding; zero: 3
	Progress   func(rows, total int)         // called now and then; nil: nobody wants to know
}

// Severity says what a finding means for training.
type Severity string

const (
	Refused Severity = "refused" // training stops unless told to leave such rows out
	Warning Severity = "warning" // training goes on; the result may be worse than it looks
	Note    Severity = "note"    // good to know
)

// Place is where a finding was made.
type Place struct {
	File string `json:"file"`
	Row  int    `json:"row"`
	Text string `json:"text,omitempty"` // what stands there, or which other row it is about
}

// Finding is one kind of fault with its number and some places.
type Finding struct {
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Column   string   `json:"column,omitempty"`
	Count    int      `json:"count"` // rows
	Hint     string   `json:"hint,omitempty"`
	Places   []Place  `json:"places,omitempty"`
}

// Report is the result of Check.
type Report struct {
	Rows     int            `json:"rows"`    // all, read or not
	Records  int            `json:"records"` // rows that make a record
	Kind     Kind           `json:"kind"`
	Form     string         `json:"form"`
	Lengths  Lengths        `json:"lengths"`
	Cut      int            `json:"cut"` // records longer than MaxLength
	Classes  map[string]int `json:"classes,omitempty"`
	Findings []Finding      `json:"findings"` // worst first
	Compared int            `json:"validation_rows,omitempty"`
}

// Refused says whether training would refuse the data.
func (r Report) Refused() bool {
	for _, f := range r.Findings {
		if f.Severity == Refused {
			return true
		}
	}
	return false
}

// checker gathers findings in one pass over the rows.
type checker struct {
	m       Mapping
	opts    CheckOptions
	report  Report
	order   []string
	found   map[string]*Finding
	texts   Finder // whole records
	asks    Finder // what is given, for leakage and contradictions
	places  []place32
	files   []string
	replies map[int]string // class or answer by number of the ask
	longer  int            // preferences whose chosen answer is the longer one
	pairs   int
	mended  bool // the row at hand was read in spite of a fault in its bytes
}

// place32 is a row in few bytes.
type place32 struct{ file, row int32 }

// Check reads all rows once and reports what is wrong with them: rows that cannot
// be read or do not fit, one-sided rows, rows that would be cut, equal and nearly
// equal rows, wrong encodings, role order, imbalance, and what stands in the
// validation data too.
func Check(rows iter.Seq2[Row, error], m Mapping, opts CheckOptions) (Report, error) {
	if opts.Length == nil {
		opts.Length = func(r Record) int { return r.Length(CountWords) }
	}
	if opts.Unit == "" {
		opts.Unit = "words"
	}
	if opts.Examples == 0 {
		opts.Examples = 3
	}
	if opts.MaxCut == 0 {
		opts.MaxCut = 0.1
	}
	c := &checker{m: m, opts: opts, found: map[string]*Finding{}, replies: map[int]string{}}
	if opts.Validation == nil {
		c.asks.NearLimit = -1
	}
	c.report.Kind, c.report.Form, c.report.Classes = m.Kind, m.Form, map[string]int{}
	for row, err := range rows {
		c.row(row, err)
		if opts.Progress != nil && c.report.Rows%512 == 0 {
			opts.Progress(c.report.Rows, m.Rows)
		}
	}
	if c.report.Rows == 0 {
		return c.report, &RowError{File: "(no file)", What: "no rows"}
	}
	c.lengths()
	c.balance()
	if opts.Validation != nil {
		c.leakage()
	}
	c.finish()
	return c.report, nil
}

// add counts a finding and remembers the first places.
func (c *checker) add(sev Severity, what, column, hint string, at Place) {
	c.addN(sev, what, column, hint, 1, at)
}

func (c *checker) addN(sev Severity, what, column, hint string, n int, at Place) {
	key := what + "\x00" + column
	f := c.found[key]
	if f == nil {
		f = &Finding{Severity: sev, What: what, Column: column, Hint: hint}
		c.found[key] = f
		c.order = append(c.order, key)
	}
	f.Count += n
	if len(f.Places) < c.opts.Examples {
		f.Places = append(f.Places, at)
	}
}

func (c *checker) row(row Row, err error) {
	at := Place{File: row.File, Row: row.Num}
	if err != nil {
		rerr := asRowError(err)
		c.report.Rows += rerr.lost()
		if row.Values == nil {
			if rerr.Last > rerr.Row {
				at.Text = fmt.Sprintf("to row %d", rerr.Last)
			}
			c.addN(Refused, "cannot be read: "+rerr.Reason(), rerr.Column, rerr.Hint, rerr.lost(), at)
			return
		}
		c.add(Refused, rerr.Reason(), rerr.Column, rerr.Hint, at) // repaired: looked at further
	} else {
		c.report.Rows++
	}
	c.mended = err != nil
	rec, err := Format(row, c.m)
	if err != nil {
		rerr := asRowError(err)
		what, hint := rerr.Reason(), "complete or remove these rows"
		if what == "empty" || what == "missing" {
			what = "one-sided: " + what
		}
		c.add(Refused, what, rerr.Column, hint, at)
		return
	}
	c.report.Records++
	c.record(rec, at)
}

func (c *checker) record(rec Record, at Place) {
	n := c.length(rec, at)
	c.report.Lengths.add(n)
	if c.opts.MaxLength > 0 && n > c.opts.MaxLength {
		c.report.Cut++
		c.add(Note, "would be cut", "", "", Place{at.File, at.Row, fmt.Sprintf("%d %s", n, c.opts.Unit)})
	}
	c.roles(rec, at)
	c.encodings(rec, at)
	c.classes(rec)
	number := len(c.places)
	c.places = append(c.places, c.short(at))
	if m := c.texts.Add(rec.whole()); m.Exact {
		c.add(Warning, "the same as an earlier row", "", "duplicates weigh double; `ft data split` keeps them on one side", c.of(at, m))
	} else if m.Number >= 0 {
		c.add(Warning, "nearly the same as an earlier row", "", "", c.of(at, m))
	}
	ask := c.asks.Add(SplitKey(rec))
	if ask.Exact && rec.Kind == KindCompletion && c.m.Form == "classification" {
		if was := c.replies[ask.Number]; was != "" && was != rec.Completion.Text {
			c.add(Warning, "the same text as an earlier row with another class", c.m.Columns["label"], "one of the two labels is wrong", c.of(at, ask))
		}
	} else if c.m.Form == "classification" {
		c.replies[number] = rec.Completion.Text
	}
}

// length measures a record; where it can be encoded as training does, what training
// would refuse is found too.
func (c *checker) length(rec Record, at Place) int {
	if c.opts.Encode == nil {
		return c.opts.Length(rec)
	}
	ex, err := c.opts.Encode(rec)
	if r, ok := errors.AsType[*Refusal](err); ok {
		at.Text = r.Detail
		c.add(Refused, string(r.Reason), "", r.Hint, at)
	} else if err != nil {
		at.Text = err.Error()
		c.add(Refused, "cannot be encoded", "", "", at)
	}
	if err != nil {
		return c.opts.Length(rec)
	}
	return len(ex.IDs) + ex.Cut
}

func (c *checker) short(at Place) place32 {
	i := len(c.files) - 1
	if i < 0 || c.files[i] != at.File {
		c.files = append(c.files, at.File)
		i++
	}
	return place32{int32(i), int32(at.Row)}
}

// of names the earlier row in the text of a place.
func (c *checker) of(at Place, m Match) Place {
	if m.Number < len(c.places) {
		p := c.places[m.Number]
		at.Text = fmt.Sprintf("like row %d", p.row)
		if c.files[p.file] != at.File {
			at.Text += " of " + c.files[p.file]
		}
		if !m.Exact {
			at.Text += fmt.Sprintf(", %.0f %%", 100*m.Share)
		}
	}
	return at
}

// roles looks at the order of the turns of a conversation.
func (c *checker) roles(rec Record, at Place) {
	if rec.Kind != KindChat {
		return
	}
	col := c.m.Columns["messages"]
	msgs := rec.Messages
	users, answers, empty := 0, 0, 0
	for i, m := range msgs {
		blank := strings.TrimSpace(m.Content) == "" && m.Extra["tool_calls"] == nil
		switch m.Role {
		case "user":
			users++
		case "assistant":
			answers++
			if blank {
				empty++
			}
		case "system":
			if i > 0 {
				c.add(Warning, "a system message that is not the first", col, "many chat templates refuse it", at)
			}
		}
		if blank {
			c.add(Warning, "an empty turn of the "+m.Role, col, "", at)
		}
		if i > 0 && m.Role == msgs[i-1].Role && (m.Role == "user" || m.Role == "assistant") {
			c.add(Warning, fmt.Sprintf("two turns of the %s in a row", m.Role), col, "some chat templates refuse this; join the turns", at)
		}
	}
	switch {
	case answers == 0:
		c.add(Refused, "one-sided: no assistant turn, nothing to train", col, "complete or remove these rows", at)
	case answers == empty:
		c.add(Refused, "one-sided: all assistant turns are empty", col, "complete or remove these rows", at)
	case msgs[len(msgs)-1].Role != "assistant":
		c.add(Warning, "does not end with the assistant", col, "what comes after the last answer trains nothing", at)
	}
	if users == 0 {
		c.add(Warning, "one-sided: no user turn", col, "", at)
	} else if first := firstTurn(rec); first == "assistant" {
		c.add(Warning, "begins with the assistant", col, "some chat templates refuse this", at)
	}
}

func firstTurn(rec Record) string {
	for _, m := range rec.Messages {
		if m.Role != "system" {
			return m.Role
		}
	}
	return ""
}

func (c *checker) encodings(rec Record, at Place) {
	seen := map[TextFault]bool{}
	for _, s := range rec.texts() {
		for _, f := range TextFaults(s) {
			seen[f] = f != FaultReplacement || !c.mended // those are ours
		}
	}
	for f, hint := range faultHints {
		if seen[f] {
			sev := Warning
			if f == FaultEntities || f == FaultInvisible {
				sev = Note
			}
			c.add(sev, "wrong encoding: "+string(f), "", hint, at)
		}
	}
}

var faultHints = map[TextFault]string{
	FaultReplacement: "bytes were lost when the file was made",
	FaultMojibake:    "UTF-8 that was read as Windows-1252: convert the source again",
	FaultControl:     "remove them, or learn to write them",
	FaultBOM:         "U+FEFF inside the text: remove it",
	FaultInvisible:   "zero-width or direction marks",
	FaultEntities:    "HTML was not unescaped (&amp;)",
}
