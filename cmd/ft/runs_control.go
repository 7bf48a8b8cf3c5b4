package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// controlCmds are the commands that a run takes while a process trains it.
func controlCmds() []*cobra.Command {
	simple := func(name, do, short string) *cobra.Command {
		return &cobra.Command{
			Use: name + " RUN", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return control(cmd, args[0], ckpt.Command{Do: do})
			},
		}
	}
	return []*cobra.Command{
		simple("pause", ckpt.DoPause, "Make a running run wait, with everything in memory"),
		simple("continue", ckpt.DoContinue, "Make a paused run go on"),
		simple("save", ckpt.DoSave, "Write a checkpoint of a running run now, and keep it"),
		simple("stop", ckpt.DoStop, "Save a running run and end it; resume goes on with it"),
		runsSetCmd(),
	}
}

func runsSetCmd() *cobra.Command {
	return &cobra.Command{
		Use: "set RUN [KEY=VALUE]...", Short: "Change hyperparameters of a running run from its next step on", Args: cobra.MinimumNArgs(1),
		Long: `set changes hyperparameters of a running run from its next step on; nothing is compiled
again. Without a KEY it lists what the run lets one change. The changes stand in
metrics.jsonl, and a run that is resumed makes them again at the same steps.`,
		Example: `  ft runs set RUN
  ft runs set RUN learning_rate=5e-5 weight_decay=0.1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return listKnobs(cmd, args[0])
			}
			var commands []ckpt.Command
			for _, arg := range args[1:] {
				key, text, ok := strings.Cut(arg, "=")
				v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
				if !ok || err != nil {
					return usageErrorf("runs set: %q: write it as key=number, for example learning_rate=5e-5", arg)
				}
				key = strings.TrimSpace(key)
				commands = append(commands, ckpt.Command{Do: ckpt.DoSet, Key: key[strings.LastIndexByte(key, '.')+1:], Value: v})
			}
			for _, c := range commands {
				if err := control(cmd, args[0], c); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func listKnobs(cmd *cobra.Command, arg string) error {
	path, err := findRun(cmd, arg)
	if err != nil {
		return err
	}
	live, err := ckpt.ReadLive(path)
	if err != nil {
		return err
	}
	if wantJSON(cmd) {
		return printJSON(cmd, live.Knobs)
	}
	rows := [][]string{{"key", "now", "allowed", "meaning"}}
	for _, k := range live.Knobs {
		rows = append(rows, []string{k.Key, ftlib.Short(k.Value), ftlib.Short(k.Min) + " to " + ftlib.Short(k.Max), k.Help})
	}
	return table(cmd.OutOrStdout(), rows)
}

// control asks a running run for something and prints what came of it.
func control(cmd *cobra.Command, arg string, c ckpt.Command) error {
	path, err := findRun(cmd, arg)
	if err != nil {
		return err
	}
	e, err := ask(cmd, path, c)
	if err != nil {
		return err
	}
	if wantJSON(cmd) {
		return printJSON(cmd, e)
	}
	text := e.Message
	if e.Path != "" && c.Do == ckpt.DoSave {
		text += ": " + e.Path
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s after step %d: %s\n", path, e.Step, text)
	return nil
}

// ask asks a running run for something; Ctrl-C ends the waiting for its answer.
func ask(cmd *cobra.Command, path string, c ckpt.Command) (ftlib.Event, error) {
	c.By = ckpt.Me() + " (ft runs)"
	return ckpt.Ask(cmd.Context(), path, c)
}
