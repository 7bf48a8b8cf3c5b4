package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/corpus"
)

func dataConvertCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert FILE --out OUT",
		Short: "Write data with canonical columns, in its own or another kind",
		Long: `convert writes .parquet or .jsonl (also .jsonl.gz, .jsonl.zst). The columns are those of
the kind, whatever the source called them:

  text               text
  chat               messages [{role, content}]
  prompt-completion  prompt, completion
  preference         prompt, chosen, rejected, margin
  ranking            prompt, responses [{text, rank}]
  unpaired           prompt, completion, label
  reasoning          problem, reasoning, answer, is_correct
  code               problem, reasoning, code, tests, reward
  steps              problem, steps [{step, reward}], final_answer
  prompt             prompt

Rows that give no record are counted and explained; --strict makes them an error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return convertData(cmd, args[0]) },
	}
	cmd.Flags().StringP("out", "o", "", "file to write (needed)")
	cmd.Flags().String("to", "", "kind to write; zero: the kind that the rows are")
	cmd.Flags().Bool("strict", false, "fail, writing nothing, when a row gives no record")
	cmd.MarkFlagRequired("out")
	return cmd
}

func convertData(cmd *cobra.Command, path string) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	if err := in.recognise(); err != nil {
		return err
	}
	out, _ := cmd.Flags().GetString("out")
	to, _ := cmd.Flags().GetString("to")
	if strict, _ := cmd.Flags().GetBool("strict"); strict && in.mapping.Fits < in.mapping.Rows {
		r := in.mapping.Reasons[0]
		return withCode(exitRefused, fmt.Errorf("%s: %s do not fit %s, the first is row %d: %s", path, rowsText(in.mapping.Rows-in.mapping.Fits), in.mapping.Form, r.Row, r.What))
	}
	if f := in.source.Files; len(f) == 1 && filepath.Clean(f[0].Path) == filepath.Clean(out) {
		return usageErrorf("--out %s would replace its own source", out)
	}
	c, err := corpus.Convert(in.source.Rows(in.opts), in.mapping, corpus.Kind(strings.ToLower(to)), out)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if wantJSON(cmd) {
		return printJSON(cmd, map[string]any{"mapping": in.mapping, "result": c})
	}
	p := newPage(cmd)
	p.line("%s  %s", p.paint(bold, c.Out), p.paint(dim, fmt.Sprintf("%s records of kind %s, from %s", count(c.Records), c.Kind, rowsText(c.Rows))))
	if c.Left > 0 {
		p.line("")
		rows := [][]string{{"rows", "first", "column", "left out because"}}
		for _, r := range c.Reasons[:min(10, len(c.Reasons))] {
			rows = append(rows, []string{count(r.Count), fmt.Sprintf("row %d", r.Row), r.Column, r.What})
		}
		p.table(rows)
	}
	return nil
}

func dataSplitCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "split FILE --out DIR",
		Short: "Split data into train and validation, the same way every time",
		Long: `split writes DIR/train.parquet and DIR/validation.parquet with the columns of the source.
A tenth of the rows is validation. Their sides are decided by the seed and a hash of what
is given in them (prompt, problem, text, a conversation up to its last answer): the order
of the rows changes nothing, and rows that ask the same stay together.

Rows that cannot be read are counted and left out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return splitData(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.StringP("out", "o", "", "directory to write to (needed)")
	f.Float64("fraction", 0.1, "part that becomes validation")
	f.Int64("seed", 42, "another seed gives another split")
	f.String("to", "parquet", "parquet or jsonl")
	cmd.MarkFlagRequired("out")
	return cmd
}

// splitResult is what ft data split --json prints.
type splitResult struct {
	Train      string          `json:"train"`
	Validation string          `json:"validation"`
	TrainRows  int             `json:"train_rows"`
	HeldRows   int             `json:"validation_rows"`
	Broken     int             `json:"broken"`
	Reasons    []corpus.Reason `json:"reasons,omitempty"`
}

func splitData(cmd *cobra.Command, path string) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	dir, _ := cmd.Flags().GetString("out")
	fraction, _ := cmd.Flags().GetFloat64("fraction")
	seed, _ := cmd.Flags().GetInt64("seed")
	to, _ := cmd.Flags().GetString("to")
	if fraction <= 0 || fraction >= 1 {
		return usageErrorf("--fraction %g: a number between 0 and 1 is expected", fraction)
	}
	if !slices.Contains([]string{"parquet", "jsonl"}, to) {
		return usageErrorf("--to %q: parquet or jsonl is expected", to)
	}
	if err := in.recognise(); err != nil {
		return err
	}
	res := splitResult{Train: filepath.Join(dir, "train."+to), Validation: filepath.Join(dir, "validation."+to)}
	for _, f := range in.source.Files {
		if p := filepath.Clean(f.Path); p == filepath.Clean(res.Train) || p == filepath.Clean(res.Validation) {
			return usageErrorf("--out %s would replace the source %s", dir, p)
		}
	}
	s, err := corpus.WriteSplit(in.source.Rows(in.opts), in.mapping, fraction, seed, res.Train, res.Validation)
	if err != nil {
		return err
	}
	res.TrainRows, res.HeldRows, res.Broken, res.Reasons = s.Train, s.Held, s.Broken, s.Reasons
	if wantJSON(cmd) {
		return printJSON(cmd, res)
	}
	p := newPage(cmd)
	p.table([][]string{{"rows", "share", "file"},
		{count(res.TrainRows), fmt.Sprintf("%.1f %%", 100*float64(res.TrainRows)/float64(res.TrainRows+res.HeldRows)), res.Train},
		{count(res.HeldRows), fmt.Sprintf("%.1f %%", 100*float64(res.HeldRows)/float64(res.TrainRows+res.HeldRows)), res.Validation}})
	if res.Broken > 0 {
		p.line("")
		p.line("  %s could not be read and are left out: row %d: %s", rowsText(res.Broken), res.Reasons[0].Row, res.Reasons[0].What)
	}
	return nil
}
