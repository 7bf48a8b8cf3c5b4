package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ftlab/ftlib/recipe"
)

func init() { commands = append(commands, importCmd) }

func importCmd() *cobra.Command {
	var method, out string
	cmd := &cobra.Command{
		Use:   "import FILE.yaml",
		Short: "Make a run file of a configuration of TRL, Axolotl or LLaMA-Factory",
		Long: `import reads a training configuration of another tool and writes a run file. On standard
error it says what became of every line: kept, changed (and how), unused (without influence
on what is trained), lost (the run would train something else), and which defaults of the
tool differ from ours and were written in.

A TRL file does not say which of trl's trainers it is for: --method does, else its keys.`,
		Example: `  ft import llama3_lora_dpo.yaml -o run.yaml
  ft import sft_config.yaml --method sft | ft train /dev/stdin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return withCode(exitUsage, err)
			}
			name := filepath.Base(args[0])
			run, report, err := recipe.Import(data, name, method)
			if err != nil {
				return withCode(exitUsage, err)
			}
			text, err := run.Encode()
			if err != nil {
				return err
			}
			text = append(fmt.Appendf(nil, "# From %s of %s; ft import says what became of each setting.\n", name, report.Tool), text...)
			if wantJSON(cmd) {
				return printJSON(cmd, map[string]any{"run": run, "report": report})
			}
			printReport(cmd.ErrOrStderr(), report)
			if err := run.Validate(); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "\nbefore it trains:\n%v\n", err)
			}
			if out == "" {
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			if err := writeNew(out, text); err != nil {
				return fmt.Errorf("import: %w; nothing is overwritten", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&method, "method", "", "the trainer that a TRL file is for: sft, reward, dpo, kto, orpo, cpo, prm, ppo, grpo, rloo")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the run file here; standard output")
	return cmd
}

// printReport prints what became of a file, the losses last, where they are seen.
func printReport(w io.Writer, r recipe.Report) {
	fmt.Fprintf(w, "a configuration of %s\n", r.Tool)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range []recipe.Verdict{recipe.Kept, recipe.Default, recipe.Changed, recipe.Unused, recipe.Lost} {
		for _, e := range r.Entries {
			if e.Verdict != v {
				continue
			}
			where := "-"
			if e.Line > 0 {
				where = fmt.Sprint(e.Line)
			}
			to := e.To
			if e.Note != "" {
				if to != "" {
					to += "  "
				}
				to += "(" + e.Note + ")"
			}
			value := e.Value
			if len(value) > 40 {
				value = value[:40] + "..."
			}
			fmt.Fprintf(t, "%s\t%s\t%s: %s\t%s\n", v, where, e.Key, strings.ReplaceAll(value, "\n", " "), to)
		}
	}
	t.Flush()
	if n := len(r.Lost()); n > 0 {
		fmt.Fprintf(w, "%d of %d settings are lost: the run trains something else than the file says\n", n, len(r.Entries))
	}
}
