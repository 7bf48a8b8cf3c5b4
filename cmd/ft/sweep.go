package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/sweep"
	"ftlab/ftlib/tune"
)

func init() { commands = append(commands, sweepCmd) }

func sweepCmd() *cobra.Command {
	var name string
	var parallel int
	var list bool
	cmd := &cobra.Command{
		Use:   "sweep SWEEP.yaml | DIRECTORY",
		Short: "Search over hyperparameters: grid, random, successive halving",
		Long: `sweep trains a run many times with other settings. SWEEP.yaml says which:

  run: run.yaml                        # or the keys of a run, written here
  over:
    optim.learning_rate: {min: 1e-5, max: 1e-3, scale: log}
    lora.r: [4, 8, 16]
  search: random                       # grid (default), random, halving
  trials: 12
  metric: eval_loss                    # default; goal: min or max where the name does not tell

A range takes whole: true for whole numbers, and steps: N in a grid. halving trains all
trials for min_steps steps, the best third (factor: 3) for three times as many, and so on,
up to the run's batch.max_steps. parallel: N keeps N trials in memory, which take their
steps in turn.

The trials are runs below sweeps/NAME: ft runs list --dir sweeps/NAME. What is trained is
not trained again: after Ctrl-C, or a crash, the same command goes on. The end is a table,
best first, charts in sweep.html, and best.yaml, a run file of the best trial.

With a DIRECTORY of a sweep nothing is trained and what it holds is shown.`,
		Example: `  ft sweep rates.yaml --list
  ft sweep rates.yaml
  ft train sweeps/rates/best.yaml --set batch.max_steps=2000`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, trained, err := readSweep(args[0])
			if err != nil {
				return withCode(exitUsage, err)
			}
			if name != "" {
				s.Name = name
			}
			if parallel > 0 {
				s.Parallel = parallel
			}
			if err := s.Validate(); err != nil {
				return withCode(exitUsage, err)
			}
			if list {
				return listTrials(cmd, s)
			}
			var results []sweep.Outcome
			if trained {
				results, err = s.Results()
			} else {
				results, err = tune.Sweep(cmd.Context(), s, tune.SweepOptions{Sink: trialProgress(cmd.ErrOrStderr())})
			}
			if results == nil {
				return err
			}
			return errors.Join(reportSweep(cmd, s, results), err)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "directory of the sweep below sweeps; the file's name")
	cmd.Flags().IntVar(&parallel, "parallel", 0, "trials in memory at once, which take their steps in turn")
	cmd.Flags().BoolVar(&list, "list", false, "list the trials and train nothing")
	return cmd
}

// readSweep reads a sweep file, or the directory of a sweep that was trained.
func readSweep(path string) (s sweep.Spec, trained bool, err error) {
	if info, e := os.Stat(path); e == nil && info.IsDir() {
		s, err = sweep.Open(path)
		return s, true, err
	}
	s, err = sweep.ReadFile(path)
	return s, false, err
}

func listTrials(cmd *cobra.Command, s sweep.Spec) error {
	trials, err := s.List()
	if err != nil {
		return withCode(exitUsage, err)
	}
	if wantJSON(cmd) {
		var all []sweep.Outcome
		for _, t := range trials {
			all = append(all, sweep.Outcome{Trial: t})
		}
		return printJSON(cmd, trialsJSON(s, all))
	}
	for _, t := range trials {
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", t.Name, t.Words())
	}
	if rounds := s.Rounds(); len(rounds) > 1 {
		fmt.Fprintf(cmd.OutOrStdout(), "compared after %s steps; one in %d goes on\n", strings.Trim(fmt.Sprint(rounds), "[]"), s.Resolve().Factor)
	}
	return nil
}

// trialProgress says when a trial begins, ends or fails.
func trialProgress(w io.Writer) func(sweep.Trial, ftlib.Event) error {
	return func(t sweep.Trial, e ftlib.Event) error {
		switch e.Type {
		case ftlib.EventStart, ftlib.EventResume:
			what := "begins"
			if e.Type == ftlib.EventResume {
				what = fmt.Sprintf("goes on after step %d", e.Step)
			}
			fmt.Fprintf(w, "%s  %s  %s\n", t.Name, t.Words(), what)
		case ftlib.EventEval:
			var parts []string
			for _, name := range []string{"eval_loss", "eval_reward", "eval_accuracy"} {
				if v, ok := e.Metrics[name]; ok {
					parts = append(parts, fmt.Sprintf("%s %.4g", name, v))
				}
			}
			fmt.Fprintf(w, "%s  step %d of %d  %s\n", t.Name, e.Step, e.Steps, strings.Join(parts, "  "))
		case ftlib.EventWarning, ftlib.EventError:
			fmt.Fprintf(w, "%s  %s: %s\n", t.Name, e.Type, e.Message)
		}
		return nil
	}
}

// trialJSON is one trial of `ft sweep --json`.
type trialJSON struct {
	Trial   string            `json:"trial"`
	Dir     string            `json:"dir"`
	Values  map[string]string `json:"values"`
	Metric  string            `json:"metric"`
	Value   *float64          `json:"value"` // null: not measured
	Step    int               `json:"step"`
	Status  string            `json:"status,omitempty"`
	Message string            `json:"message,omitempty"`
	Seconds float64           `json:"seconds"`
}

func trialsJSON(s sweep.Spec, outcomes []sweep.Outcome) []trialJSON {
	out := []trialJSON{}
	for _, o := range outcomes {
		t := trialJSON{Trial: o.Name, Dir: o.Run.Dir(), Values: map[string]string{}, Metric: s.Resolve().Metric, Value: o.Value, Step: o.Step, Status: o.Status, Message: o.Message, Seconds: o.Seconds}
		for _, v := range o.Values {
			t.Values[v[0]] = v[1]
		}
		out = append(out, t)
	}
	return out
}

// reportSweep writes best.yaml and sweep.html and prints the table.
func reportSweep(cmd *cobra.Command, s sweep.Spec, results []sweep.Outcome) error {
	best, err := s.WriteBest(results)
	page := filepath.Join(s.Dir(), "sweep.html")
	if figures := s.Charts(results); len(figures) > 0 {
		err = errors.Join(err, chart.WriteHTML(page, "sweep "+s.Name, figures...))
	}
	if wantJSON(cmd) {
		return errors.Join(printJSON(cmd, trialsJSON(s, results)), err)
	}
	fmt.Fprint(cmd.OutOrStdout(), sweepTable(s, results))
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "\n%s  the run file of the best\n%s  charts\n", best, page)
	}
	return err
}

func sweepTable(s sweep.Spec, results []sweep.Outcome) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "trial")
	for _, a := range s.Over {
		fmt.Fprint(t, "\t"+a.Key)
	}
	fmt.Fprintf(t, "\t%s\tstep\tstatus\n", s.Resolve().Metric)
	for _, o := range results {
		fmt.Fprint(t, o.Name)
		for _, v := range o.Values {
			fmt.Fprint(t, "\t"+v[1])
		}
		status := o.Status
		if o.Status == ckpt.Failed {
			status += ": " + strings.SplitN(o.Message, "\n", 2)[0]
		}
		fmt.Fprintf(t, "\t%s\t%d\t%s\n", number(o.Value), o.Step, status)
	}
	t.Flush()
	return b.String()
}
