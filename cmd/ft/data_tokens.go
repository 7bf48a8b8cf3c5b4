package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/token"
)

func init() { tokenView = showTokens }

// viewRow is a row in the JSON output.
type viewRow struct {
	File    string             `json:"file"`
	Row     int                `json:"row"`
	Tokens  []corpus.TokenView `json:"tokens"`
	Trained int                `json:"trained"`
	Context int                `json:"context"`
	Cut     int                `json:"cut"`
	Error   string             `json:"error,omitempty"`
}

// showTokens prints the rows of a file token by token, as training would see them.
func showTokens(cmd *cobra.Command, files []string) error {
	f := cmd.Flags()
	dir, _ := f.GetString("tokenizer")
	name, _ := f.GetString("template")
	trainOn, _ := f.GetString("train-on")
	system, _ := f.GetString("system")
	maxLength, _ := f.GetInt("max-length")
	count, _ := f.GetInt("rows")
	from, _ := f.GetInt("from")
	if dir == "" {
		return usageErrorf("--tokens needs --tokenizer DIR")
	}
	tok, err := token.Load(dir)
	if err != nil {
		return withCode(exitUsage, err)
	}
	tmpl, err := chat.Find(name, dir)
	if errors.Is(err, chat.ErrNoTemplate) {
		tmpl, err = nil, nil // plain rows need none; a conversation says so
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	in, err := openData(cmd, files[0])
	if err != nil {
		return err
	}
	if err := in.recognise(); err != nil {
		return err
	}
	// As in a run: naming a template asks for it, for plain prompts too.
	so := corpus.SpanOptions{TrainOn: chat.Policy(trainOn), System: system, Chat: name != ""}
	out := cmd.OutOrStdout()
	color := useColor(out)
	if !wantJSON(cmd) {
		fmt.Fprintln(out, corpus.TerminalLegend(color))
	}
	var rows []viewRow
	var refused error
	n := 0
	for row, rerr := range in.source.Rows(in.opts) {
		if rerr != nil {
			continue // ft data check reports it
		}
		if n++; n < from {
			continue
		}
		if n >= from+count {
			break
		}
		rec, err := corpus.Format(row, in.mapping)
		var views []corpus.TokenView
		if err == nil {
			views, err = corpus.Tokens(tok, rec, tmpl, so, corpus.EncodeOptions{MaxLength: maxLength})
		}
		r := viewRow{File: row.File, Row: row.Num, Tokens: views}
		r.Trained, r.Context, r.Cut = corpus.TokenCounts(views)
		if err != nil {
			r.Error = err.Error()
			refused = err
		}
		if wantJSON(cmd) {
			rows = append(rows, r)
			continue
		}
		printTokens(out, r, string(rec.Kind), color)
	}
	if wantJSON(cmd) {
		return printJSON(cmd, rows)
	}
	return withCode(exitRefused, refused)
}

func printTokens(out io.Writer, r viewRow, kind string, color bool) {
	all := r.Trained + r.Context + r.Cut
	share := 0.0
	if all > 0 {
		share = 100 * float64(r.Trained) / float64(all)
	}
	fmt.Fprintf(out, "\nrow %d (%s): %d tokens, %d trained (%.0f %%), %d cut\n", r.Row, kind, all, r.Trained, share, r.Cut)
	fmt.Fprintln(out, corpus.Terminal(r.Tokens, color))
	if r.Error != "" {
		fmt.Fprintln(out, "refused:", r.Error)
	}
}

// useColor says whether the output is a terminal that wants color (https://no-color.org).
func useColor(out io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
