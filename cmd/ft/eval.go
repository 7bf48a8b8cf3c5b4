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
	Model    string     `json:"model"`
	Adapter  string     `json:"adapter,omitempty"`
	Data     string     `json:"data"`
	Score    eval.Score `json:"score"`
	Warnings []string   `json:"warnings,omitempty"`
}

func evalCmd() *cobra.Command {
	var run ftlib.Run
	cmd := &cobra.Command{
		Use:   "eval --model DIR --data FILE",
		Short: "Measure a model on data: perplexity",
		Long: `eval gives the loss and the perplexity of a model over the tokens of the data that
training would train: answers, not prompts. Perplexities compare only between models
with one tokenizer, on the same data.

An adapter brings the chat template that it was trained with.`,
		Example: `  ft eval --model models/tiny --data reviews.parquet
  ft eval --model models/tiny --adapter runs/NAME/step-200 --data reviews.parquet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			score, warnings, err := tune.Score(cmd.Context(), run)
			if err != nil {
				return err
			}
			e := evaluation{run.Model.Path, run.Model.Adapter, run.Data.Train, score, warnings}
			if wantJSON(cmd) {
				return printJSON(cmd, e)
			}
			for _, w := range warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
			}
			return table(cmd.OutOrStdout(), [][]string{
				{"rows", fmt.Sprint(score.Rows)}, {"tokens", fmt.Sprintf("%.0f", score.Tokens)},
				{"loss", fmt.Sprintf("%.4f nats a token", score.Loss)}, {"perplexity", fmt.Sprintf("%.4f", score.Perplexity)},
			})
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
	for _, name := range []string{"model", "data"} {
		cmd.MarkFlagRequired(name)
	}
	return cmd
}
