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

// tokenFlags are those of ft data show --tokens.
type tokenFlags struct {
	on                     bool
	tokenizer, template    string
	trainOn, system        string
	maxLength, first, from int
	chat                   bool
}

func (f *tokenFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.on, "tokens", false, "show every token: trained, not trained or cut")
	fl.StringVar(&f.tokenizer, "tokenizer", "", "folder of the tokenizer (with --tokens)")
	fl.StringVar(&f.template, "template", "", "chat template: file or built-in name (default: the tokenizer's own)")
	fl.StringVar(&f.trainOn, "train-on", "", "assistant, completion, last, all (default: by the kind of the row)")
	fl.StringVar(&f.system, "system", "", "system message for conversations without one")
	fl.IntVar(&f.maxLength, "max-length", 1024, "tokens of a row that are kept; 0: all")
	fl.BoolVar(&f.chat, "chat", false, "write plain prompts and completions with the chat template")
	fl.IntVar(&f.first, "rows", 3, "how many rows to show")
	fl.IntVar(&f.from, "from", 1, "the first row to show")
}

// tokenRow is a row in the JSON output.
type tokenRow struct {
	File    string             `json:"file"`
	Row     int                `json:"row"`
	Tokens  []corpus.TokenView `json:"tokens"`
	Trained int                `json:"trained"`
	Context int                `json:"context"`
	Cut     int                `json:"cut"`
	Error   string             `json:"error,omitempty"`
}

// show prints the rows of a file token by token. The mapping is what was recognised.
func (f *tokenFlags) show(cmd *cobra.Command, path string, m corpus.Mapping) error {
	if f.tokenizer == "" {
		return usageErrorf("--tokens needs --tokenizer DIR")
	}
	tok, err := token.Load(f.tokenizer)
	if err != nil {
		return err
	}
	tmpl, err := f.find()
	if err != nil {
		return err
	}
	so := corpus.SpanOptions{TrainOn: chat.Policy(f.trainOn), System: f.system, Chat: f.chat}
	out := cmd.OutOrStdout()
	color := useColor(out)
	if !wantJSON(cmd) {
		fmt.Fprintln(out, corpus.TerminalLegend(color))
	}
	var rows []tokenRow
	var refused error
	n := 0
	for row, rerr := range corpus.Open(path, corpus.OpenOptions{}) {
		if rerr != nil {
			continue // ft data check reports it
		}
		if n++; n < f.from {
			continue
		}
		if n >= f.from+f.first {
			break
		}
		rec, err := corpus.Format(row, m)
		var views []corpus.TokenView
		if err == nil {
			views, err = corpus.Tokens(tok, rec, tmpl, so, corpus.EncodeOptions{MaxLength: f.maxLength})
		}
		r := tokenRow{File: row.File, Row: row.Num, Tokens: views}
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

func printTokens(out io.Writer, r tokenRow, kind string, color bool) {
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

// find is the template in use; nil when none is named and the tokenizer has none.
func (f *tokenFlags) find() (*chat.Template, error) {
	t, err := chat.Find(f.template, f.tokenizer)
	if errors.Is(err, chat.ErrNoTemplate) {
		return nil, nil
	}
	return t, withCode(exitUsage, err)
}

// useColor says whether the output is a terminal that wants color (https://no-color.org).
func useColor(out io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
