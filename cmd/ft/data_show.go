package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
)

func dataShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show what the rows are understood as, and some of them",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if tokens, _ := cmd.Flags().GetBool("tokens"); tokens {
				if tokenView == nil {
					return usageErrorf("this ft was built without --tokens")
				}
				return tokenView(cmd, args)
			}
			return showData(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.Int("rows", 3, "how many rows to show")
	f.Int("from", 1, "first row to show")
	f.Bool("full", false, "show long values whole")
	f.Bool("tokens", false, "show every token: trained, not trained, cut")
	f.String("tokenizer", "", "directory of the tokenizer, for --tokens")
	f.String("template", "", "chat template for --tokens: a built-in name or a file; zero: the tokenizer's own")
	f.String("train-on", "", "for --tokens: assistant, completion, all, last; zero: what training would do")
	f.String("system", "", "for --tokens: system message put before conversations without one")
	f.Int("max-length", 0, "for --tokens: tokens a row")
	return cmd
}

// sample is one row as ft data show --json prints it.
type sample struct {
	File    string         `json:"file"`
	Row     int            `json:"row"`
	Columns []string       `json:"-"`
	Record  map[string]any `json:"record,omitempty"`
	Error   string         `json:"error,omitempty"`
}

func showData(cmd *cobra.Command, path string) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	recErr := in.recognise()
	rows, _ := cmd.Flags().GetInt("rows")
	from, _ := cmd.Flags().GetInt("from")
	if wantJSON(cmd) {
		out := struct {
			Source  corpus.Source  `json:"source"`
			Mapping corpus.Mapping `json:"mapping"`
			Samples []sample       `json:"samples"`
		}{in.source, in.mapping, []sample{}}
		if recErr == nil {
			eachSample(in, from, rows, func(rec corpus.Record, row corpus.Row, err error) {
				s := sample{File: row.File, Row: row.Num}
				if err != nil {
					s.Error = err.Error()
				} else {
					s.Record = rec.Row(false).Values
				}
				out.Samples = append(out.Samples, s)
			})
		}
		if err := printJSON(cmd, out); err != nil {
			return err
		}
		return recErr
	}
	p := newPage(cmd)
	if recErr != nil && in.mapping.Rows == in.mapping.Broken {
		return recErr // nothing can be read
	}
	showMapping(p, in)
	if recErr != nil {
		showRawRows(p, in, rows)
		return recErr
	}
	full, _ := cmd.Flags().GetBool("full")
	eachSample(in, from, rows, func(rec corpus.Record, row corpus.Row, err error) {
		p.line("")
		title := fmt.Sprintf("row %d", row.Num)
		if len(in.source.Files) > 1 {
			title += " of " + row.File
		}
		p.rule(title)
		if err != nil {
			p.pairs([][2]string{{"left out", err.Error()}})
			return
		}
		showRecord(p, rec, full)
	})
	return nil
}

// eachSample hands over n rows from the given one on.
func eachSample(in *dataInput, from, n int, do func(corpus.Record, corpus.Row, error)) {
	at := 0
	for row, err := range in.source.Rows(in.opts) {
		if at++; at < from {
			continue
		}
		if n--; n < 0 {
			return
		}
		var rec corpus.Record
		if err == nil {
			rec, err = corpus.Format(row, in.mapping)
		}
		do(rec, row, err)
	}
}

// showMapping prints what was recognised and how columns were mapped.
func showMapping(p *page, in *dataInput) {
	m := in.mapping
	p.line("%s  %s", p.paint(bold, in.source.Path), p.paint(dim, sourceLine(in.source)+", "+rowsText(m.Rows)))
	p.line("")
	var info [][2]string
	if m.Kind != "" {
		what := string(m.Kind)
		for _, f := range corpus.Forms() {
			if f.Name == m.Form {
				what += " (" + f.Name + "): " + f.Doc
			}
		}
		if m.Forced {
			what += " [--format]"
		}
		info = append(info, [2]string{"format", what})
		fits := fmt.Sprintf("%s of %s", count(m.Fits), rowsText(m.Rows))
		if m.Fits == m.Rows {
			fits = "all " + rowsText(m.Rows)
		}
		info = append(info, [2]string{"fit", fits})
	}
	if left := leftLine(in.source); left != "" {
		info = append(info, [2]string{"other files", left})
	}
	if len(m.Unused) > 0 {
		info = append(info, [2]string{"not used", strings.Join(m.Unused, ", ")})
	}
	if others := othersText(m); others != "" {
		info = append(info, [2]string{"could be", others})
	}
	for _, n := range m.Notes {
		info = append(info, [2]string{"note", n})
	}
	p.pairs(info)
	if len(m.Columns) > 0 {
		p.line("")
		rows := [][]string{{"field", "column"}}
		for _, f := range fieldOrder(m) {
			rows = append(rows, []string{f, m.Columns[f]})
		}
		p.table(rows)
	}
	if len(m.Reasons) > 0 {
		p.line("")
		rows := [][]string{{"rows", "first", "column", "left out because"}}
		for i, r := range m.Reasons {
			if i == 10 {
				rows = append(rows, []string{"", "", "", fmt.Sprintf("... and %d other reasons", len(m.Reasons)-10)})
				break
			}
			first := fmt.Sprintf("row %d", r.Row)
			if r.Row == 0 {
				first = "the file"
			}
			rows = append(rows, []string{count(r.Count), first, r.Column, r.What})
		}
		p.table(rows)
	}
}

// othersText names the readings not taken, those with one reason together.
func othersText(m corpus.Mapping) string {
	var whys []string
	byWhy := map[string][]string{}
	for _, o := range m.Others {
		if byWhy[o.Why] == nil {
			whys = append(whys, o.Why)
		}
		byWhy[o.Why] = append(byWhy[o.Why], o.Form)
	}
	for i, w := range whys {
		whys[i] = strings.Join(byWhy[w], ", ") + " (" + w + ")"
	}
	return strings.Join(whys, "; ")
}

// fieldOrder is the order of the form's fields.
func fieldOrder(m corpus.Mapping) []string {
	var out []string
	for _, f := range corpus.Forms() {
		if f.Name != m.Form {
			continue
		}
		for _, name := range f.Fields {
			name = strings.TrimSuffix(name, "?")
			if m.Columns[name] != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

// showRawRows shows rows of no known format as they stand.
func showRawRows(p *page, in *dataInput, n int) {
	for row, err := range in.source.Rows(in.opts) {
		if n--; n < 0 {
			return
		}
		p.rule(fmt.Sprintf("row %d", row.Num))
		if err != nil {
			p.pairs([][2]string{{"broken", err.Error()}})
			continue
		}
		var pairs [][2]string
		for _, c := range row.Columns {
			pairs = append(pairs, [2]string{c, shorten(fmt.Sprint(row.Values[c]), 400)})
		}
		p.pairs(pairs)
	}
}

// showRecord prints a record by its parts, speakers and verdicts in colour.
func showRecord(p *page, rec corpus.Record, full bool) {
	lines := 12
	if full {
		lines = 1 << 30
	}
	var parts []part
	add := func(name, style, text string) { parts = append(parts, part{name, style, text}) }
	content := func(name, style string, c corpus.Content) {
		if c.Messages == nil {
			add(name, style, c.Text)
			return
		}
		for i, m := range c.Messages {
			label := name
			if i > 0 {
				label = ""
			}
			add(strings.TrimSpace(label+" "+m.Role), style, m.Content)
		}
	}
	switch rec.Kind {
	case corpus.KindText:
		add("text", green, rec.Text)
	case corpus.KindChat:
		for _, m := range rec.Messages {
			add(m.Role, roleStyle(m), m.Content)
		}
	case corpus.KindPrompt:
		content("prompt", blue, rec.Prompt)
	case corpus.KindCompletion, corpus.KindUnpaired:
		content("prompt", blue, rec.Prompt)
		content("completion", green, rec.Completion)
		if rec.Label != nil {
			add("label", yellow, map[bool]string{true: "wanted", false: "not wanted"}[*rec.Label])
		}
	case corpus.KindPreference:
		content("prompt", blue, rec.Prompt)
		content("chosen", green, rec.Chosen)
		content("rejected", red, rec.Rejected)
		if rec.Margin != nil {
			add("margin", yellow, fmt.Sprint(*rec.Margin))
		}
	case corpus.KindRanking:
		content("prompt", blue, rec.Prompt)
		for _, r := range rec.Responses {
			add(fmt.Sprintf("rank %g", r.Rank), green, r.Text)
		}
	case corpus.KindReasoning, corpus.KindCode, corpus.KindSteps:
		add("problem", blue, rec.Problem)
		if rec.Rationale != "" {
			add("reasoning", green, rec.Rationale)
		}
		for _, s := range rec.Steps {
			style := green
			if s.Reward < 0.5 {
				style = red
			}
			add(fmt.Sprintf("step %+.3g", s.Reward), style, s.Text)
		}
		if rec.Code != "" {
			add("code", green, rec.Code)
		}
		if rec.Tests != nil {
			add("tests", dim, testsText(rec.Tests))
		}
		if rec.Answer != "" {
			add("answer", yellow, rec.Answer)
		}
		if rec.Correct != nil {
			add("correct", yellow, fmt.Sprint(*rec.Correct))
		}
		if rec.Reward != nil {
			add("reward", yellow, fmt.Sprint(*rec.Reward))
		}
	}
	showParts(p, parts, lines)
}

type part struct{ name, style, text string }

func showParts(p *page, parts []part, lines int) {
	w := 0
	for _, a := range parts {
		w = max(w, cells(a.name))
	}
	if !(lines > 1000) && len(parts) > 16 {
		rest := len(parts) - 15
		parts = append(parts[:15:15], part{"", dim, fmt.Sprintf("... %d more parts (--full)", rest)})
	}
	for _, a := range parts {
		text := strings.Trim(a.text, "\n")
		if text == "" {
			text = p.paint(dim, "(empty)")
		}
		wrapped := wrap(text, max(20, p.width-w-5))
		if len(wrapped) > lines {
			rest := len(wrapped) - lines + 1
			wrapped = append(wrapped[:lines-1:lines-1], p.paint(dim, fmt.Sprintf("... %d more lines (--full)", rest)))
		}
		name := a.name
		for _, l := range wrapped {
			p.line("  " + p.paint(a.style, name) + strings.Repeat(" ", w-cells(name)+2) + l)
			name = ""
		}
	}
}

func roleStyle(m chat.Message) string {
	switch m.Role {
	case "assistant":
		return green
	case "user":
		return blue
	case "system", "developer":
		return yellow
	}
	return cyan
}

func testsText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case []any:
		var out []string
		for _, e := range x {
			out = append(out, fmt.Sprint(e))
		}
		return strings.Join(out, "\n")
	case map[string]any:
		var out []string
		for k, e := range x {
			out = append(out, k+": "+strings.Trim(fmt.Sprint(e), "\n"))
		}
		sort.Strings(out)
		return strings.Join(out, "\n")
	}
	return fmt.Sprint(v)
}

// shorten cuts a text to n runes.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
