package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/tune"
)

func init() { commands = append(commands, trainCmd) }

func trainCmd() *cobra.Command {
	var set []string
	var resume, keys, detach bool
	cmd := &cobra.Command{
		Use:   "train RUN.yaml [--set KEY=VALUE]...",
		Short: "Fine-tune a model as a YAML file says",
		Long: `train runs a specification, a YAML or JSON file. The shortest one:

  model: {path: models/tiny}
  data:  {train: reviews.parquet}
  lora:  {}

Everything else has a default; --keys lists all keys with what they mean. The run is
kept in a directory of its own below runs/: specification, metrics and checkpoints.

Ctrl-C ends the step, saves and says how to go on; a second Ctrl-C quits at once. What
was interrupted, or killed, goes on exactly where it was with --resume, or with
ft runs resume RUN. Rows that would train something silently wrong are refused (exit
code 3); data.insist=true leaves them out instead.

With --detach the run goes on in the background, in a process of its own that outlives
this one; ft runs list shows it, and pause, stop, set and others are below ft runs.`,
		Example: `  ft train run.yaml
  ft train run.yaml --set optim.learning_rate=1e-4 --set lora.r=8
  ft train run.yaml --resume
  ft train run.yaml --detach`,
		Args: func(cmd *cobra.Command, args []string) error {
			if keys {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if keys {
				return printKeys(cmd)
			}
			run, err := readSpec(args[0], set)
			if err != nil {
				return err
			}
			if detach {
				if resume {
					return usageErrorf("train: --detach and --resume: write ft runs resume RUN --detach")
				}
				return started(cmd)(tune.Start(run))
			}
			return report(cmd, func(o tune.Options) (tune.Result, error) {
				o.Resume = resume
				return tune.Run(cmd.Context(), run, o)
			})
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "change a setting, key=value; may be repeated")
	cmd.Flags().BoolVar(&resume, "resume", false, "go on with the run that this file began, if there is one")
	cmd.Flags().BoolVar(&detach, "detach", false, "train in the background and return at once")
	cmd.Flags().Bool("insist", false, "with --resume: go on although the data or the model changed")
	cmd.Flags().BoolVar(&keys, "keys", false, "list the keys of a specification and what they mean")
	return cmd
}

// started prints where a run in the background is.
func started(cmd *cobra.Command) func(*tune.Background, error) error {
	return func(b *tune.Background, err error) error {
		if err != nil {
			return err
		}
		if wantJSON(cmd) {
			return printJSON(cmd, map[string]string{"run": b.Dir, "log": ckpt.Log(b.Dir)})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s goes on in the background\n  ft runs show %[1]s       how it goes\n  ft runs stop %[1]s       save and end it\n", b.Dir)
		return nil
	}
}

// readSpec reads a specification with changes from the command line.
func readSpec(path string, set []string) (ftlib.Run, error) {
	run, err := ftlib.ReadFile(path)
	if err != nil {
		return run, withCode(exitUsage, err)
	}
	for _, s := range set {
		if err := run.Set(s); err != nil {
			return run, withCode(exitUsage, fmt.Errorf("--set %w", err))
		}
	}
	if err := run.Validate(); err != nil {
		return run, withCode(exitUsage, fmt.Errorf("%s:\n%w", path, err))
	}
	return run, nil
}

// report trains with a progress display on standard error and prints the result.
func report(cmd *cobra.Command, train func(tune.Options) (tune.Result, error)) error {
	insist, _ := cmd.Flags().GetBool("insist")
	res, err := train(tune.Options{Sink: progress(cmd.ErrOrStderr()), Insist: insist})
	if res.Status != "" {
		if wantJSON(cmd) {
			if e := printJSON(cmd, res); e != nil {
				return e
			}
		} else {
			fmt.Fprint(cmd.OutOrStdout(), res.Summary())
		}
	}
	var row *corpus.RowError
	switch {
	case errors.Is(err, tune.ErrRefused):
		return withCode(exitRefused, err)
	case errors.As(err, &row): // a data file that does not read
		return withCode(exitUsage, err)
	case err == nil && res.Status == ckpt.Interrupted:
		return withCode(exitInterrupted, errors.New(res.Message))
	}
	return err
}

func progress(w io.Writer) *tune.Progress {
	p := &tune.Progress{W: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.Terminal = true
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.Columns = columns
		}
	}
	return p
}

// keyDoc is what `ft train --keys --json` prints for each key.
type keyDoc struct {
	Key     string `json:"key"`
	Meaning string `json:"meaning"`
}

func printKeys(cmd *cobra.Command) error {
	var docs []keyDoc
	for _, key := range ftlib.Keys() {
		if !strings.HasPrefix(key, "parent.") { // written by ft runs branch
			docs = append(docs, keyDoc{key, ftlib.KeyDoc(key)})
		}
	}
	if wantJSON(cmd) {
		return printJSON(cmd, docs)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, d := range docs {
		fmt.Fprintf(t, "%s\t%s\n", d.Key, d.Meaning)
	}
	return t.Flush()
}
