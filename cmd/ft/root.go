package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"ftlab/ftlib/backend"
	"ftlab/kernel/session"
)

// commands lists every command of ft, one file each; help shows them by group.
var commands = []func() *cobra.Command{
	versionCmd,
}

// groups orders the commands in ft --help.
var groups = []struct{ id, title, names string }{
	{"data", "Data:", "data tokenize render"},
	{"train", "Training:", "plan train sweep runs import"},
	{"use", "Using a model:", "generate chat eval score verify serve merge quantize adapters export"},
	{"machine", "This machine:", "doctor device lab repl script kernel version"},
}

// Exit codes, the same for every command.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2   // a flag, an argument or an input file is wrong
	exitRefused     = 3   // the data would train something silently wrong
	exitBackend     = 4   // no backend, or one that does not start or computes wrong numbers
	exitInterrupted = 130 // Ctrl-C
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode makes ft end with the code given, if err is not nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// usageErrorf is an error about what the user typed.
func usageErrorf(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// exitCode says how ft ends after err.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, session.ErrNoServer): // and so its socket does not exist
		return exitFailure
	case errors.Is(err, backend.ErrUnavailable):
		return exitBackend
	case errors.Is(err, fs.ErrNotExist), strings.HasPrefix(err.Error(), "required flag(s)"), strings.HasPrefix(err.Error(), "if any flags in the group"):
		return exitUsage
	}
	return exitFailure
}

// run executes ft with these arguments and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCmd()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	code := exitCode(err)
	if err != nil {
		fmt.Fprintf(stderr, "ft: %v\n", err)
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "See %s --help\n", cmd.CommandPath())
	}
	return code
}

func rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "ft",
		Short: "A fine-tuning laboratory",
		Long: `ft fine-tunes language models, on two cores or on a GPU, and talks to the result.

  ft doctor                 what this machine can do
  ft data show FILE         what is in a data file and how it is understood
  ft train RUN.yaml         fine-tune
  ft chat --model DIR       talk to the result
  ft lab                    notebooks

Exit codes: 0 success, 1 failure, 2 bad usage or input, 3 data refused,
4 backend missing or broken, 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().Bool("json", false, "print JSON instead of tables")
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
	}
	for _, command := range commands {
		cmd := command()
		for _, g := range groups {
			if strings.Contains(" "+g.names+" ", " "+cmd.Name()+" ") {
				cmd.GroupID = g.id
			}
		}
		root.AddCommand(cmd)
	}
	strict(root)
	return root
}

// strict makes every mistake on the command line an error with exitUsage. Cobra by
// itself shows help, and success, for an unknown command below a group.
func strict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withCode(exitUsage, err) })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return withCode(exitUsage, check(cmd, args)) }
	}
	if !cmd.Runnable() {
		cmd.DisableFlagsInUseLine = true
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usageErrorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
		}
	}
	cmd.SuggestionsMinimumDistance = 2
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
}

// wantJSON says whether --json was given.
func wantJSON(cmd *cobra.Command) bool {
	on, _ := cmd.Flags().GetBool("json")
	return on
}

// printJSON writes v, indented, to the command's output.
func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
