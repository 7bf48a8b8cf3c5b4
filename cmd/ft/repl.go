//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"ftlab/kernel/spec"
)

func init() { commands = append(commands, replCmd) }

func replCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "repl [-- ARGUMENTS OF jupyter console]",
		Short: "Go in a terminal, cell by cell, on the kernel of the notebooks",
		Long: `repl is jupyter console on FTLab's kernel: type Go, see its value; Ctrl-C interrupts a
cell, the arrows bring back earlier ones, Ctrl-D ends it. Values kept in the device server
and models that are resident are those of the notebooks.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := findRoot()
			if err != nil {
				return err
			}
			lab := filepath.Join(root, ".lab")
			program := filepath.Join(lab, "venv", "bin", "jupyter-console")
			if _, err := os.Stat(program); err != nil {
				return fmt.Errorf("repl: %s is missing; run scripts/lab --setup", program)
			}
			// Jupyter's own files stay in the checkout, as scripts/lab keeps them.
			for name, value := range map[string]string{
				"JUPYTER_CONFIG_DIR": "jupyter/config", "JUPYTER_DATA_DIR": "jupyter/data", "JUPYTER_RUNTIME_DIR": "jupyter/runtime", "IPYTHONDIR": "jupyter/ipython",
			} {
				if os.Getenv(name) == "" {
					if err := os.Setenv(name, filepath.Join(lab, value)); err != nil {
						return err
					}
				}
			}
			if err := os.Setenv("JUPYTER_PREFER_ENV_PATH", "1"); err != nil {
				return err
			}
			argv := append([]string{program, "--kernel", spec.Name}, args...)
			return fmt.Errorf("repl: %s: %w", program, syscall.Exec(program, argv, os.Environ()))
		},
	}
}
