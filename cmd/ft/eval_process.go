package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
	"ftlab/ftlib/tune"
	"ftlab/kernel/notebook"
)

func bestOfCmd() *cobra.Command {
	var p problemFlags
	var o tune.BestOf
	var page string
	cmd := &cobra.Command{
		Use:   "best-of --model DIR --data FILE",
		Short: "Compare ways to choose one of N sampled solutions",
		Long: `best-of samples solutions to problems and compares how often the one that is chosen of N
is right: chosen by a process reward model (--prm), by an outcome reward model (--reward),
by majority, by somebody who knows (oracle, pass@N), and blindly (mean). All choose from
the same solutions; accuracies are expectations over all choices of N of them.`,
		Example: `  ft eval best-of --model models/ft-tiny --data datasets/math/validation.parquet --limit 100 \
    --prompt-format 'Problem: {prompt}\nSolution:' --separator '. ' --prm runs/prm/step-200 --chart best.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run, roll, separator := p.made()
			o.Rollout, o.Separator = roll, separator
			r, err := tune.BestOfN(cmd.Context(), run, o)
			if err != nil {
				return err
			}
			if page != "" {
				if err := chart.WriteHTML(page, "Best of N", notebook.BestOfFigure(r)); err != nil {
					return err
				}
			}
			if wantJSON(cmd) {
				return printJSON(cmd, r)
			}
			warn(cmd, r.Warnings)
			fmt.Fprintf(cmd.OutOrStdout(), "%s problems, %s solutions\n\n%s", count(r.Problems), count(r.Samples), notebook.BestOfText(r))
			return nil
		},
	}
	p.add(cmd)
	p.addSampling(cmd)
	addProblems(cmd, &p.run)
	f := cmd.Flags()
	f.StringVar(&o.PRM, "prm", "", "process reward model: adapter or model directory")
	f.StringVar(&o.Reward, "reward", "", "outcome reward model: adapter or model directory")
	f.StringSliceVar(&o.Joins, "join", []string{"min", "product", "last"}, "what becomes of the scores of steps: min, product, last, mean")
	f.IntSliceVar(&o.N, "n", []int{1, 2, 4, 8, 16}, "numbers of solutions to choose from")
	f.StringVar(&page, "chart", "", "write the chart to this HTML file")
	return cmd
}

func evalStepsCmd() *cobra.Command {
	var p problemFlags
	var prm, page string
	var show int
	cmd := &cobra.Command{
		Use:   "steps --model DIR --prm DIR --data FILE",
		Short: "Score the steps of solutions with a process reward model: a heat-map",
		Long: `steps asks a process reward model about every step of the solutions in FILE and prints
them as a heat-map; ! marks the weakest step of a solution, ≠ one that is scored against
its label.`,
		Example: `  ft eval steps --model models/ft-tiny --prm runs/prm/step-200 --data datasets/steps/validation.parquet --limit 100 \
    --prompt-format 'Problem: {prompt}\nSolution:' --html steps.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run, _, separator := p.made()
			all, warnings, err := tune.ScoreSteps(cmd.Context(), run, prm, separator)
			if err != nil {
				return err
			}
			view := notebook.StepView(all)
			if page != "" {
				text, err := view.HTML()
				if err == nil {
					err = os.WriteFile(page, []byte("<!doctype html><meta charset=utf-8><title>Steps</title>\n<body style=\"font-family:sans-serif\">\n"+text), 0o644)
				}
				if err != nil {
					return err
				}
			}
			if wantJSON(cmd) {
				return printJSON(cmd, map[string]any{"solutions": all, "warnings": warnings})
			}
			warn(cmd, warnings)
			agree, labelled := 0, 0
			for _, s := range all {
				for _, step := range s.Steps {
					if step.Label != nil {
						labelled++
						if (*step.Label > 0.5) == (*step.Score > 0.5) {
							agree++
						}
					}
				}
			}
			fmt.Fprint(cmd.OutOrStdout(), view[:min(show, len(view))].Text())
			if labelled > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "\n%s solutions; %.1f %% of %s labelled steps are scored as they are labelled\n", count(len(all)), 100*float64(agree)/float64(labelled), count(labelled))
			}
			return nil
		},
	}
	p.add(cmd)
	addProblems(cmd, &p.run)
	f := cmd.Flags()
	f.StringVar(&prm, "prm", "", "process reward model: adapter or model directory")
	f.IntVar(&show, "show", 5, "solutions to print")
	f.StringVar(&page, "html", "", "write all as an HTML page")
	cmd.MarkFlagRequired("prm")
	return cmd
}

func evalRewardCmd() *cobra.Command {
	var run ftlib.Run
	var path, page string
	cmd := &cobra.Command{
		Use:   "reward --model DIR --reward DIR --data PAIRS",
		Short: "Measure a reward model on pairs: accuracy, margin, calibration",
		Long: `reward asks a reward model about pairs of answers. By Bradley and Terry a margin m claims
that the chosen answer is better with the probability 1/(1+e^-m): the table compares, for
pairs of about one margin, how often it is right with how often it claims to be.`,
		Example: `  ft eval reward --model models/ft-tiny --reward runs/rm/step-100 --data datasets/preferences/validation.parquet --chart rm.html`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run.Data.Prompt = unescape(run.Data.Prompt)
			margins, warnings, err := tune.Margins(cmd.Context(), run, path)
			if err != nil {
				return err
			}
			c := chart.Calibrate(margins, 10)
			if page != "" {
				if err := chart.WriteHTML(page, "Reward model", chart.Calibration(margins)); err != nil {
					return err
				}
			}
			mean := 0.0
			for _, m := range margins {
				mean += m / float64(len(margins))
			}
			if wantJSON(cmd) {
				return printJSON(cmd, map[string]any{"calibration": c, "mean_margin": mean, "warnings": warnings})
			}
			warn(cmd, warnings)
			rows := [][]string{{"margin", "claimed", "right", "pairs"}}
			for _, b := range c.Bins {
				rows = append(rows, []string{fmt.Sprintf("%.2f", b.Margin), fmt.Sprintf("%.1f %%", 100*b.Claimed), fmt.Sprintf("%.1f %%", 100*b.Accuracy), count(b.Pairs)})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s pairs, %.1f %% right, mean margin %.3f, calibration error %.3f\n\n", count(c.Pairs), 100*c.Accuracy, mean, c.Error)
			return table(cmd.OutOrStdout(), rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&run.Model.Path, "model", "", "base model directory")
	f.StringVar(&path, "reward", "", "reward model: adapter or model directory")
	f.StringVar(&run.Data.Prompt, "prompt-format", "", "how a prompt is written, as data.prompt_format of runs")
	f.StringVar(&run.Data.Template, "template", "", "chat template: a built-in name or a file (default: the tokenizer's)")
	f.StringVar(&run.Model.Backend, "backend", "", "xla:cuda, xla:cpu or go (default: the best that works)")
	f.IntVar(&run.Batch.Size, "batch", 16, "answers at once")
	f.Int64Var(&run.Seed, "seed", 42, "of the sample")
	f.StringVar(&page, "chart", "", "write the chart to this HTML file")
	addProblems(cmd, &run)
	cmd.MarkFlagRequired("model")
	cmd.MarkFlagRequired("reward")
	return cmd
}

// addProblems adds the flags that name data.
func addProblems(cmd *cobra.Command, run *ftlib.Run) {
	f := cmd.Flags()
	f.StringVar(&run.Data.Train, "data", "", "file, directory, glob or hub data set")
	f.StringVar(&run.Data.Format, "format", "", "what the rows are (default: recognised)")
	f.IntVar(&run.Data.Limit, "limit", 0, "a sample of this many rows (default: all)")
	cmd.MarkFlagRequired("data")
}

func warn(cmd *cobra.Command, warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
	}
}
