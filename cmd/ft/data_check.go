package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ftlab/ftlib/corpus"
)

func dataCheckCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Find what is wrong with data before training does",
		Long: `check reads all rows and reports: rows that cannot be read or do not fit, one-sided
rows, lengths and rows that would be cut, equal and nearly equal rows, wrong encodings,
role order, imbalance, and, with --validation, rows that stand on both sides.

Exit code 3 when training would refuse the data ("refused" in the report).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return checkData(cmd, args[0]) },
	}
	lengthFlags(cmd)
	cmd.Flags().String("validation", "", "validation data to look for in FILE; zero: the validation or test files beside it, if FILE is a directory or data set")
	cmd.Flags().Int("examples", 3, "places named for each finding")
	return cmd
}

func checkData(cmd *cobra.Command, path string) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	opts := corpus.CheckOptions{}
	opts.MaxLength, _ = cmd.Flags().GetInt("max-length")
	opts.Examples, _ = cmd.Flags().GetInt("examples")
	if opts.Length, opts.Unit, err = lengthOf(cmd); err != nil {
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
		showMapping(p, in)
		return err
	}
	done := func() {}
	opts.Progress, done = progressLine("checking")
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
	for _, pl := range f.Places {
		text := fmt.Sprintf("row %d", pl.Row)
		if pl.Row == 0 {
			text = "the file"
		}
		if withFile {
			text = filepath.Base(pl.File) + " " + text
		}
		if pl.Text != "" && pl.Text != text {
			text += " (" + pl.Text + ")"
		}
		at = append(at, text)
	}
	if len(at) > 0 && f.Count > len(at) {
		at = append(at, "...")
	}
	for _, extra := range []string{strings.Join(at, ", "), f.Hint} {
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
