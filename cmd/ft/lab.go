package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func init() { commands = append(commands, labCmd) }

func labCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab [-- ARGUMENTS OF scripts/lab]",
		Short: "Open the notebooks in JupyterLab",
		Long: `lab runs scripts/lab of the checkout that ft was built from, or that the current
folder is in: it repairs what is missing of the set-up and opens JupyterLab. on this kernel.

  ft lab                             open JupyterLab
  ft lab -- --run NOTEBOOK.ipynb     execute a notebook without a browser and save it`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := findRoot()
			if err != nil {
				return err
			}
			c := exec.CommandContext(cmd.Context(), filepath.Join(root, "scripts", "lab"), args...)
			c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
			c.Stdin, c.Stdout, c.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
			err = c.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return withCode(max(exit.ExitCode(), 1), fmt.Errorf("lab: scripts/lab: %w", err))
			}
			return err
		},
	}
	return cmd
}

// findRoot returns the checkout that ft was built in (it lies in its .lab/bin), else
// the one that the current folder is in.
func findRoot() (string, error) {
	var starts []string
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, dir := range starts {
		for ; ; dir = filepath.Dir(dir) {
			data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && strings.HasPrefix(string(data), "module ftlab\n") {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", usageErrorf("lab: no FTLab checkout here; run this inside one")
}
