package main

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tune"
)

func init() { commands = append(commands, runsCmd) }

func runsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List, compare, continue, branch and roll back runs",
		Long: `A run is a directory, runs/NAME by default. RUN is its path, or its name below the
directory that --dir names.

  ft runs list
  ft runs show RUN
  ft runs compare RUN RUN... --html runs.html
  ft runs tensorboard RUN...              event files of runs, for TensorBoard
  ft runs resume RUN                      go on from the last checkpoint
  ft runs branch RUN --step 200 --set optim.learning_rate=5e-5
  ft runs rollback RUN --step 200         make step 200 the last one again

While a process trains the run, from any other one:

  ft runs pause RUN                       and continue, save, stop
  ft runs set RUN learning_rate=5e-5      from the next step on
  ft runs rollback RUN --step 200         in place: it trains on from there`,
	}
	cmd.PersistentFlags().String("dir", "runs", "directory of the runs")
	cmd.AddCommand(runsListCmd(), runsShowCmd(), runsCompareCmd(), runsResumeCmd(), runsBranchCmd(), runsRollbackCmd(), runsTensorBoardCmd())
	cmd.AddCommand(controlCmds()...)
	return cmd
}

// findRun is the directory that a RUN argument names.
func findRun(cmd *cobra.Command, arg string) (string, error) {
	dir, _ := cmd.Flags().GetString("dir")
	for _, path := range []string{arg, filepath.Join(dir, arg)} {
		if ckpt.Known(path) {
			return filepath.Clean(path), nil
		}
	}
	return "", usageErrorf("runs: no run %q, here or in %s; ft runs list shows what there is", arg, dir)
}

// readRun reads a run and puts faults that leave it readable on standard error.
func readRun(cmd *cobra.Command, arg string) (ckpt.Info, error) {
	path, err := findRun(cmd, arg)
	if err != nil {
		return ckpt.Info{}, err
	}
	info, err := ckpt.Read(path)
	if info.Run.Model.Path == "" {
		return info, err
	}
	complain(cmd, err)
	return info, nil
}

func complain(cmd *cobra.Command, err error) {
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "ft: %v\n", err)
	}
}

func runsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the runs of a directory", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, _ := cmd.Flags().GetString("dir")
			runs, err := ckpt.Runs(dir)
			complain(cmd, err)
			if wantJSON(cmd) {
				return printJSON(cmd, append([]ckpt.Info{}, runs...))
			}
			if len(runs) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "no runs in %s\n", dir)
				return nil
			}
			rows := [][]string{{"run", "status", "step", "train loss", "best eval", "method", "model", "data"}}
			for _, in := range runs {
				rows = append(rows, []string{in.Name, in.Status, fmt.Sprintf("%d/%d", in.Step, in.Steps), number(in.TrainLoss), number(in.BestLoss),
					methodOf(in.Run), filepath.Base(in.Run.Model.Path), in.Run.Data.Train})
			}
			if err := table(cmd.OutOrStdout(), rows); err != nil {
				return err
			}
			for _, in := range runs {
				if in.Status == ckpt.Killed {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", in.Name, in.Message)
				}
			}
			return nil
		},
	}
}

func runsShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "Show a run: how it went, its settings and checkpoints", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := readRun(cmd, args[0])
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, in)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s: %s, step %d of %d, %s trained\n", in.Path, in.Status, in.Step, in.Steps, minutes(in.Seconds))
			if in.Message != "" && in.Message != in.Status {
				fmt.Fprintf(out, "  %s\n", in.Message)
			}
			if p := in.Run.Parent; p != nil {
				fmt.Fprintf(out, "  branched from %s at step %d\n", p.Run, p.Step)
			}
			fmt.Fprintln(out)
			for _, c := range curvesOf(in) {
				fmt.Fprintf(out, "  %-16s %8s %s %s\n", c.name, brief(c.values[0]), sparkline(c.values, 40), brief(c.values[len(c.values)-1]))
			}
			fmt.Fprintln(out)
			rows := [][]string{{"setting", "value"}}
			for _, s := range in.Run.Settings() {
				rows = append(rows, []string{s[0], s[1]})
			}
			if err := table(out, rows); err != nil {
				return err
			}
			if len(in.Checkpoints) == 0 {
				return nil
			}
			fmt.Fprintln(out)
			best := ckpt.Best(in.Checkpoints)
			rows = [][]string{{"checkpoint", "epoch", "train loss", "eval loss", ""}}
			for i, c := range in.Checkpoints {
				var notes []string
				if i == best {
					notes = append(notes, "best")
				}
				if i == len(in.Checkpoints)-1 {
					notes = append(notes, "latest")
				}
				rows = append(rows, []string{c.Path, fmt.Sprintf("%.2f", c.Epoch), number(c.TrainLoss), number(c.EvalLoss), strings.Join(notes, ", ")})
			}
			return table(out, rows)
		},
	}
}

func runsCompareCmd() *cobra.Command {
	var page string
	cmd := &cobra.Command{
		Use: "compare RUN RUN...", Short: "Compare runs: what differs in their settings and results", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var infos []ckpt.Info
			for _, arg := range args {
				in, err := readRun(cmd, arg)
				if err != nil {
					return err
				}
				infos = append(infos, in)
			}
			c := ckpt.Compare(infos...)
			if page != "" {
				return comparePage(page, c, infos)
			}
			if wantJSON(cmd) {
				return printJSON(cmd, c)
			}
			rows := compareRows(c)
			for _, name := range []string{"training loss", "validation loss"} {
				row := []string{name}
				for _, in := range infos {
					line := "-"
					for _, curve := range curvesOf(in) {
						if curve.name == name {
							line = sparkline(curve.values, 20)
						}
					}
					row = append(row, line)
				}
				rows = append(rows, row)
			}
			return table(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().StringVar(&page, "html", "", "write a page with charts to this file instead")
	return cmd
}

func runsResumeCmd() *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use: "resume RUN", Short: "Go on with a run from its last checkpoint", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findRun(cmd, args[0])
			if err != nil {
				return err
			}
			if detach {
				return started(cmd)(tune.StartResume(path))
			}
			return report(cmd, func(o tune.Options) (tune.Result, error) { return tune.Resume(cmd.Context(), path, o) })
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "train in the background and return at once")
	cmd.Flags().Bool("insist", false, "go on although the data or the model changed since the run began")
	return cmd
}

func runsBranchCmd() *cobra.Command {
	var step, name string
	var set []string
	var only, detach bool
	cmd := &cobra.Command{
		Use: "branch RUN --step N --set KEY=VALUE...", Short: "Train on from a checkpoint with other settings, as a new run", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findRun(cmd, args[0])
			if err != nil {
				return err
			}
			to := ""
			if ckpt.Alive(path) {
				if step == "now" {
					step = ""
				}
				e, err := ask(cmd, path, ckpt.Command{Do: ckpt.DoBranch, To: step, Name: name, Set: set})
				if err != nil {
					return err
				}
				to = e.Path
			} else if to, err = ckpt.Branch(path, step, name, set); err != nil {
				return withCode(exitUsage, err)
			}
			if only {
				if wantJSON(cmd) {
					return printJSON(cmd, map[string]string{"run": to})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is ready; train it with: ft runs resume %s\n", to, to)
				return nil
			}
			if detach {
				return started(cmd)(tune.StartResume(to))
			}
			return report(cmd, func(o tune.Options) (tune.Result, error) { return tune.Resume(cmd.Context(), to, o) })
		},
	}
	cmd.Flags().StringVar(&step, "step", "latest", "checkpoint to begin with: a step, latest or best; of a running run also now")
	cmd.Flags().StringVar(&name, "name", "", "name of the new run (default: the old one's with step and number)")
	cmd.Flags().StringArrayVar(&set, "set", nil, "setting to change, key=value; may be repeated")
	cmd.Flags().BoolVar(&detach, "detach", false, "train it in the background")
	cmd.Flags().BoolVar(&only, "no-train", false, "only make the run")
	return cmd
}

func runsRollbackCmd() *cobra.Command {
	var step string
	cmd := &cobra.Command{
		Use: "rollback RUN --step N", Short: "Make an earlier checkpoint the last one again; a running run trains on from it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := findRun(cmd, args[0])
			if err != nil {
				return err
			}
			if ckpt.Alive(path) {
				return control(cmd, path, ckpt.Command{Do: ckpt.DoRollback, To: step})
			}
			c, err := ckpt.Rollback(path, step)
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, c)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s ends at step %d now; later checkpoints are in %s\ngo on with: ft runs resume %s\n",
				path, c.Step, filepath.Join(path, "rolled-back"), path)
			return nil
		},
	}
	cmd.Flags().StringVar(&step, "step", "", "checkpoint to go back to: a step or best")
	cmd.MarkFlagRequired("step")
	return cmd
}

type curve struct {
	name   string
	values []float64
}

func curvesOf(in ckpt.Info) []curve {
	train, eval := curve{name: "training loss"}, curve{name: "validation loss"}
	for _, e := range in.Events {
		if e.Type == ftlib.EventStep && e.Loss != nil {
			train.values = append(train.values, *e.Loss)
		}
		if v, ok := e.Metrics["eval_loss"]; ok && e.Type == ftlib.EventEval {
			eval.values = append(eval.values, v)
		}
	}
	return slices.DeleteFunc([]curve{train, eval}, func(c curve) bool { return len(c.values) == 0 })
}

// sparkline draws values in at most width characters, each the mean of its stretch.
func sparkline(values []float64, width int) string {
	const bars = "▁▂▃▄▅▆▇█"
	n := min(width, len(values))
	means := make([]float64, n)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range means {
		from, to := i*len(values)/n, (i+1)*len(values)/n
		for _, v := range values[from:to] {
			means[i] += v / float64(to-from)
		}
		low, high = min(low, means[i]), max(high, means[i])
	}
	var b strings.Builder
	for _, v := range means {
		level := 0
		if high > low {
			level = int(math.Round((v - low) / (high - low) * 7))
		}
		b.WriteRune([]rune(bars)[level])
	}
	return b.String()
}

func methodOf(r ftlib.Run) string {
	if r.LoRA != nil {
		return fmt.Sprintf("%s lora r=%d", r.Method.Name(), r.LoRA.R)
	}
	if r.Model.Adapter != "" {
		return r.Method.Name() + " adapter"
	}
	return r.Method.Name()
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return brief(*v)
}

func brief(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return fmt.Sprintf("%.0f", v)
	}
	if math.Abs(v) >= 1e6 || math.Abs(v) < 1e-3 {
		return fmt.Sprintf("%.3e", v)
	}
	return fmt.Sprintf("%.4f", v)
}

func minutes(seconds float64) string {
	return fmt.Sprintf("%dm%02ds", int(seconds)/60, int(seconds)%60)
}

func dashes(values []string) []string {
	out := slices.Clone(values)
	for i, v := range out {
		if v == "" {
			out[i] = "-"
		}
	}
	return out
}

// table prints rows under their heading in aligned columns.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, "  "+strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return t.Flush()
}
