package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/token"
)

func dataCheckCmd() *cobra.Command {
	tokens := &encodeFlags{}
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Find what is wrong with data before training does",
		Long: `check reads all rows and reports: rows that cannot be read or do not fit, one-sided
rows, lengths and rows that would be cut, equal and nearly equal rows, wrong encodings,
role order, imbalance, and, with --validation, rows that stand on both sides.

Exit code 3 when training would refuse the data ("refused" in the report).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return checkData(cmd, args[0], tokens) },
	}
	tokens.add(cmd)
	cmd.Flags().String("validation", "", "validation data to look for in FILE; zero: the validation or test files beside it, if FILE is a directory or data set")
	cmd.Flags().Int("examples", 3, "places named for each finding")
	return cmd
}

// encodeFlags say how training would encode the rows.
type encodeFlags struct {
	tokenizer, template, trainOn, system string
	maxLength                            int
}

func (f *encodeFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.tokenizer, "tokenizer", "", "folder of a tokenizer or model: encode as training does; zero: lengths in words")
	fl.StringVar(&f.template, "template", "", "chat template: file or built-in name; zero: the tokenizer's own")
	fl.StringVar(&f.trainOn, "train-on", "", "assistant, completion, last, all; zero: by the kind of the row")
	fl.StringVar(&f.system, "system", "", "system message for conversations without one")
	fl.IntVar(&f.maxLength, "max-length", 0, "say which rows would be cut at this length")
}

// set makes the check count tokens and find what training would refuse.
func (f *encodeFlags) set(opts *corpus.CheckOptions) error {
	opts.MaxLength = f.maxLength
	if f.tokenizer == "" {
		return nil
	}
	tok, err := token.Load(f.tokenizer)
	if err != nil {
		return withCode(exitUsage, err)
	}
	tmpl, err := chat.Find(f.template, f.tokenizer)
	if errors.Is(err, chat.ErrNoTemplate) {
		tmpl, err = nil, nil // plain rows need none; a conversation is refused
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	count := func(s string) int { return len(tok.Encode(s, false)) }
	opts.Unit = "tokens"
	opts.Length = func(r corpus.Record) int { return r.Length(count) }
	spans := corpus.SpanOptions{TrainOn: chat.Policy(f.trainOn), System: f.system, Chat: f.template != ""}
	opts.Encode = func(r corpus.Record) (corpus.Example, error) {
		eo := corpus.EncodeOptions{MaxLength: f.maxLength}
		if r.Kind == corpus.KindText {
			eo.MaxLength = 0 // long texts become several sequences
		}
		return corpus.EncodeRecord(tok, r, tmpl, spans, eo)
	}
	return nil
}

func checkData(cmd *cobra.Command, path string, tokens *encodeFlags) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	opts := corpus.CheckOptions{}
	opts.Examples, _ = cmd.Flags().GetInt("examples")
	if err := tokens.set(&opts); err != nil {
		return err
	}
	held, err := validationOf(cmd, in)
	if err != nil {
		return err
	}
	if held != nil {
		opts.Validation = held.Rows(corpus.OpenOptions{Split: held.Split})
	}
	p := newPage(cmd)
	if err := in.recognise(); err != nil {
		if wantJSON(cmd) {
			return withJSON(cmd, map[string]any{"source": in.source, "mapping": in.mapping, "error": err.Error()}, err)
		}
		if in.mapping.Rows > 1 || in.mapping.Broken == 0 {
			showMapping(p, in)
		}
		return err
	}
	progress, done := progressLine("checking")
	opts.Progress = progress
	report, err := corpus.Check(in.source.Rows(in.opts), in.mapping, opts)
	done()
	if err != nil {
		return withCode(exitRefused, err)
	}
	if report.Refused() {
		n := 0
		for _, f := range report.Findings {
			if f.Severity == corpus.Refused {
				n += f.Count
			}
		}
		err = withCode(exitRefused, fmt.Errorf("%s: training would refuse %s", path, rowsText(n)))
	}
	if wantJSON(cmd) {
		return withJSON(cmd, map[string]any{"source": in.source, "mapping": in.mapping, "report": report}, err)
	}
	showReport(p, in, held, report)
	return err
}

func withJSON(cmd *cobra.Command, v any, err error) error {
	if perr := printJSON(cmd, v); perr != nil {
		return perr
	}
	return err
}

// validationOf is the data to compare with: named, or the other split of a directory.
func validationOf(cmd *cobra.Command, in *dataInput) (*corpus.Source, error) {
	if path, _ := cmd.Flags().GetString("validation"); path != "" {
		src, err := corpus.Resolve(path, corpus.OpenOptions{Split: "validation", Offline: in.opts.Offline})
		if err != nil {
			if src, err = corpus.Resolve(path, corpus.OpenOptions{Split: "all", Offline: in.opts.Offline}); err != nil {
				return nil, withCode(exitUsage, err)
			}
		}
		return &src, nil
	}
	if in.source.Split == "train" {
		for _, split := range []string{"validation", "test"} {
			if other, ok := in.source.Other(split); ok {
				return &other, nil
			}
		}
	}
	return nil, nil
}

func showReport(p *page, in *dataInput, held *corpus.Source, r corpus.Report) {
	p.line("%s  %s", p.paint(bold, in.source.Path), p.paint(dim, sourceLine(in.source)))
	p.line("")
	l := r.Lengths
	info := [][2]string{
		{"rows", fmt.Sprintf("%s, of which %s make a record", count(r.Rows), count(r.Records))},
		{"format", fmt.Sprintf("%s (%s)", r.Kind, r.Form)},
		{l.Unit, fmt.Sprintf("%s in all; a row has %s to %s, median %s, 90 %% up to %s, 99 %% up to %s", count(l.Total), count(l.Min), count(l.Max), count(l.Median), count(l.P90), count(l.P99))},
	}
	if len(r.Classes) > 0 {
		info = append(info, [2]string{"classes", classesText(r)})
	}
	if held != nil {
		info = append(info, [2]string{"compared", fmt.Sprintf("with %s (%s that fit)", filesText(*held), rowsText(r.Compared))})
	}
	p.pairs(info)
	p.line("")
	histogram(p, l)
	p.line("")
	if len(r.Findings) == 0 {
		p.line("  %s", p.paint(green, "Nothing wrong found."))
		return
	}
	for _, f := range r.Findings {
		showFinding(p, f, r.Rows, len(in.source.Files) > 1 || held != nil)
	}
}

func filesText(s corpus.Source) string {
	var names []string
	for _, f := range s.Files {
		names = append(names, filepath.Base(f.Path))
	}
	if len(names) > 3 {
		return fmt.Sprintf("%d files", len(names))
	}
	return strings.Join(names, ", ")
}

func classesText(r corpus.Report) string {
	total := 0
	var names []string
	for k, n := range r.Classes {
		total += n
		names = append(names, k)
	}
	slices.Sort(names)
	var out []string
	for i, k := range names {
		if i == 12 {
			out = append(out, fmt.Sprintf("and %d more", len(names)-12))
			break
		}
		out = append(out, fmt.Sprintf("%s %s (%.0f %%)", k, count(r.Classes[k]), 100*float64(r.Classes[k])/float64(total)))
	}
	return strings.Join(out, ", ")
}

// histogram draws the lengths as bars of eighths.
func histogram(p *page, l corpus.Lengths) {
	most, w := 1, 0
	names := make([]string, len(l.Bins))
	for i, b := range l.Bins {
		most = max(most, b.Count)
		names[i] = fmt.Sprintf("%s-%s", count(b.From), count(b.To))
		w = max(w, len(names[i]))
	}
	room := max(10, min(50, p.width-w-16))
	for i, b := range l.Bins {
		eighths := b.Count * room * 8 / most
		bar := strings.Repeat("█", eighths/8)
		if rest := eighths % 8; rest > 0 {
			bar += string([]rune(" ▏▎▍▌▋▊▉")[rest])
		}
		if bar == "" && b.Count > 0 {
			bar = "▏"
		}
		p.line("  %*s %s  %s %s", w, names[i], p.paint(dim, "│"), p.paint(cyan, bar), p.paint(dim, count(b.Count)))
	}
	p.line("  %s", p.paint(dim, fmt.Sprintf("%*s   rows by length in %s", w, "", l.Unit)))
}

func showFinding(p *page, f corpus.Finding, rows int, withFile bool) {
	style := map[corpus.Severity]string{corpus.Refused: red, corpus.Warning: yellow, corpus.Note: cyan}[f.Severity]
	what := f.What
	if f.Column != "" {
		what = fmt.Sprintf("column %q: %s", f.Column, what)
	}
	n := ""
	if f.Count > 0 {
		n = count(f.Count)
		if share := 100 * float64(f.Count) / float64(rows); share >= 1 && f.Count <= rows {
			n += fmt.Sprintf(" (%.0f %%)", share)
		}
	}
	head := fmt.Sprintf("%-8s", f.Severity)
	lines := wrap(what, max(20, p.width-30))
	p.line("  %s %12s  %s", p.paint(style, head), n, lines[0])
	indent := strings.Repeat(" ", 25)
	for _, l := range lines[1:] {
		p.line(indent + l)
	}
	var at []string
	same := len(f.Places) > 1
	for _, pl := range f.Places {
		same = same && pl.Text != "" && pl.Text == f.Places[0].Text
	}
	for _, pl := range f.Places {
		text := fmt.Sprintf("row %d", pl.Row)
		if pl.Row == 0 {
			text = "the file"
		}
		if withFile {
			text = filepath.Base(pl.File) + " " + text
		}
		if !same && pl.Text != "" && pl.Text != text {
			text += " (" + pl.Text + ")"
		}
		at = append(at, text)
	}
	if len(at) > 0 && f.Count > len(at) {
		at = append(at, "...")
	}
	extras := []string{strings.Join(at, ", "), f.Hint}
	if same {
		extras[0] += ": " + f.Places[0].Text
	}
	for _, extra := range extras {
		if extra == "" {
			continue
		}
		for _, l := range wrap(extra, max(20, p.width-30)) {
			p.line(indent + p.paint(dim, l))
		}
	}
}

// progressLine shows how far a long pass is, on a terminal only.
func progressLine(what string) (step func(done, total int), end func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil, func() {}
	}
	start, last, shown := time.Now(), time.Now(), false
	return func(done, total int) {
			if time.Since(start) < time.Second || time.Since(last) < 200*time.Millisecond {
				return
			}
			last, shown = time.Now(), true
			fmt.Fprintf(os.Stderr, "\r%s %s of %s rows", what, count(done), count(total))
		}, func() {
			if shown {
				fmt.Fprint(os.Stderr, "\r\x1b[K")
			}
		}
}
