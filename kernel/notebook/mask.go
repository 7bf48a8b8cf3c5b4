package notebook

import (
	"errors"
	"fmt"
	"html"
	"strings"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/token"
)

// Mask shows rows as a run would see them: every token with who says it, whether it is
// trained, and whether it fits.
//
//	notebook.Mask{Model: "../models/ft-tiny"}.File("../datasets/chat/train.jsonl", 3)
//
// A row that a run would refuse says why.
type Mask struct {
	Model     string      // folder with the tokenizer, and the chat template if there is one; required
	Template  string      // name or file of a chat template; zero: the model's
	TrainOn   chat.Policy // zero: answers
	System    string      // system message of conversations that have none
	MaxLength int         // tokens; zero: all
}

// File shows the first n rows of a data file, of a folder or of a named data set.
func (m Mask) File(path string, n int) {
	_, records, err := corpus.Read(path, corpus.OpenOptions{Limit: n}, corpus.Want{})
	if err != nil {
		showError(err)
		return
	}
	var rows []maskedRow
	load, err := m.load()
	for r, bad := range records {
		if err != nil || n == 0 {
			break
		}
		n--
		if bad != nil {
			rows = append(rows, maskedRow{err: bad})
			continue
		}
		rows = append(rows, load(r)...)
	}
	m.show(rows, err)
}

// Show shows records.
func (m Mask) Show(records ...corpus.Record) {
	var rows []maskedRow
	load, err := m.load()
	if err == nil {
		for _, r := range records {
			rows = append(rows, load(r)...)
		}
	}
	m.show(rows, err)
}

func (m Mask) show(rows []maskedRow, err error) {
	if err != nil {
		showError(err)
		return
	}
	showView(masked(rows))
}

// load gives the function that makes tokens of a record: a line, or two for a
// preference.
func (m Mask) load() (func(corpus.Record) []maskedRow, error) {
	if m.Model == "" {
		return nil, errors.New("notebook: Mask needs Model, the folder of the tokenizer")
	}
	tok, err := token.Load(m.Model)
	if err != nil {
		return nil, err
	}
	tmpl, err := chat.Find(m.Template, m.Model)
	if errors.Is(err, chat.ErrNoTemplate) {
		tmpl, err = nil, nil // rows that are no conversations need none; one that is says so
	}
	if err != nil {
		return nil, err
	}
	so := corpus.SpanOptions{TrainOn: m.TrainOn, System: m.System, Chat: m.Template != "", EOS: corpus.EOSText(tok)}
	return func(r corpus.Record) []maskedRow {
		row := func(what string) maskedRow {
			views, err := corpus.Tokens(tok, r, tmpl, so, corpus.EncodeOptions{MaxLength: m.MaxLength})
			return maskedRow{fmt.Sprintf("row %d, %s", r.Num, what), views, err}
		}
		if r.Kind != corpus.KindPreference {
			return []maskedRow{row(string(r.Kind))}
		}
		rows := []maskedRow{row("chosen")}
		r.Chosen, r.Rejected = r.Rejected, r.Chosen
		return append(rows, row("rejected"))
	}, nil
}

// maskedRow is one row of [Mask].
type maskedRow struct {
	name  string
	views tokens
	err   error
}

type masked []maskedRow

func (rows masked) HTML() (string, error) {
	var all tokens
	for _, r := range rows {
		all = append(all, r.views...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<div style="max-width:920px"><div style="margin-bottom:.4em"><small>%s</small></div>`, all.key())
	for _, r := range rows {
		if r.name != "" {
			fmt.Fprintf(&b, `<div style="margin-top:.9em"><small><b>%s</b> <span style="opacity:.7">%s</span></small></div>`, html.EscapeString(r.name), r.views.legend())
		}
		if r.err != nil {
			fmt.Fprintf(&b, `<div style="border-left:4px solid #d64f5c;padding:.1em .8em;margin:.3em 0">%s</div>`, html.EscapeString(r.err.Error()))
		}
		b.WriteString(r.views.boxes())
	}
	b.WriteString("</div>\n")
	return b.String(), nil
}

func (rows masked) Text() string {
	var b strings.Builder
	b.WriteString(corpus.TerminalLegend(false) + "\n")
	for _, r := range rows {
		if r.name != "" {
			b.WriteString("\n" + r.name + ": " + r.views.legend() + "\n")
		}
		if r.err != nil {
			b.WriteString("refused: " + r.err.Error() + "\n")
		}
		b.WriteString(corpus.Terminal(r.views, false) + "\n")
	}
	return b.String()
}
