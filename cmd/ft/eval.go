package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/eval"
	"ftlab/ftlib/tune"
)

func init() { commands = append(commands, evalCmd) }

// evaluation is what `ft eval --json` prints.
type evaluation struct {
	Model    string        `json:"model"`
	Adapter  string        `json:"adapter,omitempty"`
	Data     string        `json:"data"`
	Score    eval.Score    `json:"score"`
	Match    *eval.Matches `json:"match,omitempty"` // with --match
	Warnings []string      `json:"warnings,omitempty"`
}

func evalCmd() *cobra.Command {
	var run ftlib.Run
	var match bool
	var maxNew int
	cmd := &cobra.Command{
		Use:   "eval --model DIR --data FILE",
		Short: "Measure a model on data: perplexity, exact match",
		Long: `eval gives the loss and the perplexity of a model over the tokens of the data that
training would train: answers, not prompts. Perplexities compare only between models
with one tokenizer, on the same data.

With --match the model also answers, greedily, and its final answers are compared with
those of the data: what stands in \boxed{}, after "####", behind "the answer is", or
else the last mathematics or number; compared by value, as ft verify --kind math does.

An adapter brings the chat template that it was trained with.

Below it are measures of models that judge: ft eval reward, steps and best-of.`,
		Example: `  ft eval --model models/tiny --data reviews.parquet
  ft eval --model models/tiny --adapter runs/NAME/step-200 --data reviews.parquet
  ft eval --model models/tiny --data math.parquet --match --limit 100 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			score, warnings, err := tune.Score(cmd.Context(), run)
			if err != nil {
				return err
			}
			e := evaluation{run.Model.Path, run.Model.Adapter, run.Data.Train, score, nil, warnings}
			if match {
				m, more, err := tune.Match(cmd.Context(), run, maxNew)
				if err != nil {
					return err
				}
				e.Match, e.Warnings = &m, append(e.Warnings, more...)
			}
			if wantJSON(cmd) {
				return printJSON(cmd, e)
			}
			for _, w := range e.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
			}
			rows := [][]string{
				{"rows", fmt.Sprint(score.Rows)}, {"tokens", fmt.Sprintf("%.0f", score.Tokens)},
				{"loss", fmt.Sprintf("%.4f nats a token", score.Loss)}, {"perplexity", fmt.Sprintf("%.4f", score.Perplexity)},
			}
			if m := e.Match; m != nil {
				rows = append(rows, []string{"exact match", fmt.Sprintf("%.1f %% (%d of %d)", 100*m.Accuracy, m.Right, m.Rows)})
			}
			return table(cmd.OutOrStdout(), rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&run.Model.Path, "model", "", "model directory or llama2.c .bin file")
	f.StringVar(&run.Model.Adapter, "adapter", "", "PEFT adapter directory to put on the model")
	f.StringVar(&run.Model.Backend, "backend", "", "xla:cuda, xla:cpu or go (default: the best that works)")
	f.StringVar(&run.Data.Train, "data", "", "file, directory, glob or hub data set")
	f.StringVar(&run.Data.Format, "format", "", "what the rows are (default: recognised)")
	f.StringVar(&run.Data.Template, "template", "", "chat template: a built-in name or a file (default: the adapter's, else the tokenizer's)")
	f.IntVar(&run.Data.MaxLength, "max-length", 0, "tokens a row (default: 1024 or the model's limit)")
	f.IntVar(&run.Data.Limit, "limit", 0, "a sample of this many rows (default: all)")
	f.IntVar(&run.Batch.Size, "batch", 8, "rows at once")
	f.Int64Var(&run.Seed, "seed", 42, "of the sample")
	f.BoolVar(&match, "match", false, "generate answers and compare them with those of the data")
	f.IntVar(&maxNew, "max-new", 256, "with --match: tokens an answer may have")
	for _, name := range []string{"model", "data"} {
		cmd.MarkFlagRequired(name)
	}
	cmd.AddCommand(bestOfCmd(), evalStepsCmd(), evalRewardCmd())
	return cmd
}
