package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/tune"
	"ftlab/kernel/notebook"
)

// problemFlags are those of commands that have a model answer problems.
type problemFlags struct {
	run       ftlib.Run
	roll      ftlib.Rollout
	kind      string
	separator string
}

func (p *problemFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.run.Model.Path, "model", "", "model directory")
	f.StringVar(&p.run.Model.Adapter, "adapter", "", "PEFT adapter directory to put on the model")
	f.StringVar(&p.run.Model.Backend, "backend", "", "xla:cuda, xla:cpu or go (default: the best that works)")
	f.StringVar(&p.run.Data.Prompt, "prompt-format", "", "how a problem is asked, with {prompt}, as data.prompt_format of runs (default: the chat template)")
	f.StringVar(&p.run.Data.Answer, "answer-format", "", "how a solution is written, with {rationale} and {answer}, as data.answer_format of runs")
	f.StringVar(&p.separator, "separator", "\n", `what stands between steps, for example ". "`)
	f.Int64Var(&p.run.Seed, "seed", 42, "of sampling")
	f.IntVar(&p.run.Batch.Size, "batch", 16, "rows that a reward model scores at once")
	cmd.MarkFlagRequired("model")
}

func (p *problemFlags) addSampling(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&p.roll.MaxLength, "max-new", 128, "tokens of an answer at most")
	f.Float64Var(&p.roll.Temperature, "temperature", 1, "of sampling")
	f.Float64Var(&p.roll.TopP, "top-p", 1, "draw from the most probable tokens that together have this probability")
	f.StringArrayVar(&p.roll.Stop, "stop", nil, "end before this text; may be repeated")
	f.StringVar(&p.kind, "kind", "numeric", "how answers are compared: numeric, math or gsm8k, as ft verify does")
}

// made is the run and the rollout that the flags ask for; \n and \t in formats are meant.
func (p *problemFlags) made() (ftlib.Run, ftlib.Rollout, string) {
	run, roll := p.run, p.roll
	run.Data.Prompt, run.Data.Answer = unescape(run.Data.Prompt), unescape(run.Data.Answer)
	if p.kind != "" {
		roll.Rewards = []ftlib.RewardFunc{{Use: "accuracy", Kind: p.kind}}
	}
	return run, roll, unescape(p.separator)
}

func labelStepsCmd() *cobra.Command {
	var p problemFlags
	var o tune.StepLabels
	var out string
	cmd := &cobra.Command{
		Use:   "label-steps FILE --model DIR --out STEPS.parquet",
		Short: "Label the steps of solutions by completing them (for method: prm)",
		Long: `label-steps has a model finish each solution from the end of each of its steps, several
times. A step's label is the share of these completions that reach the right answer, or
with --hard 1 where any does (Math-Shepherd, Wang et al. 2024). No person labels anything.

FILE has problems with answers, and solutions: steps, or a rationale that --separator
parts. With --solutions N the model writes N solutions to each problem first, and those
are labelled: what it is itself likely to do wrong is what a judge of it should know.

The file that is written has problem, steps (step, reward) and final_answer: ft data show
opens it, and method: prm trains on it.`,
		Example: `  ft data label-steps datasets/math/train.parquet --model models/ft-tiny --limit 200 --solutions 4 --samples 8 \
    --prompt-format 'Problem: {prompt}\nSolution:' --answer-format ' {rationale} Answer: {answer}' --separator '. ' --out steps.parquet
  ft data show steps.parquet`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openData(cmd, args[0])
			if err != nil {
				return err
			}
			run, roll, separator := p.made()
			run.Data.Train, run.Data.Limit = args[0], in.opts.Limit
			run.Data.Format, run.Data.Columns = in.want.Format, in.want.Columns
			o.Rollout, o.Separator = roll, separator
			if !wantJSON(cmd) {
				o.Tell = func(done, all int, what string) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s of %s %s\n", count(done), count(all), what)
				}
			}
			begin := time.Now()
			l, err := tune.LabelSteps(cmd.Context(), run, o)
			if err != nil {
				return err
			}
			if err := l.Write(out); err != nil {
				return err
			}
			steps, right, sum := 0, 0, 0.0
			for _, s := range l.Solutions {
				if s.Right {
					right++
				}
				for _, step := range s.Steps {
					steps++
					sum += *step.Label
				}
			}
			seconds := time.Since(begin).Seconds()
			if wantJSON(cmd) {
				return printJSON(cmd, map[string]any{"out": out, "solutions": len(l.Solutions), "right": right, "steps": steps, "mean_label": sum / float64(max(1, steps)),
					"completions": l.Completions, "seconds": seconds, "warnings": l.Warnings})
			}
			for _, w := range l.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
			}
			if err := table(cmd.OutOrStdout(), [][]string{
				{"solutions", fmt.Sprintf("%s, %s of them right", count(len(l.Solutions)), count(right))},
				{"steps", fmt.Sprintf("%s, mean label %.3f", count(steps), sum/float64(max(1, steps)))},
				{"completions", fmt.Sprintf("%s, %.0f a second", count(l.Completions), float64(l.Completions)/seconds)},
				{"written", out},
			}); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
			fmt.Fprint(cmd.OutOrStdout(), notebook.StepView(l.Solutions[:min(3, len(l.Solutions))]).Text())
			return nil
		},
	}
	p.add(cmd)
	p.addSampling(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "file to write, .parquet or .jsonl")
	f.IntVar(&o.Samples, "samples", 8, "completions of each step")
	f.BoolVar(&o.Hard, "hard", false, "label a step 1 when any completion is right, else 0")
	f.IntVar(&o.Solutions, "solutions", 0, "let the model write so many solutions to each problem (0: those of the file)")
	cmd.MarkFlagRequired("out")
	return cmd
}

// unescape reads \n and \t of an argument as a specification in YAML would.
func unescape(s string) string { return strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(s) }
