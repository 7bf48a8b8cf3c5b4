package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ftlab/ftlib/backend"
	"ftlab/kernel/spec"
)

// whereFlags say which of Jupyter's folders is meant.
type whereFlags struct {
	user, system bool
	prefix       string
}

func (f *whereFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.user, "user", false, "for this user, in every Jupyter")
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "for the Python environment in this folder")
	cmd.Flags().BoolVar(&f.system, "system", false, "for every user of this machine, below /usr/local")
	cmd.MarkFlagsMutuallyExclusive("user", "prefix", "system")
}

// where is the folder; without a flag, that of the checkout's own environment.
func (f *whereFlags) where() (spec.Where, error) {
	switch {
	case f.user:
		return spec.User()
	case f.system:
		return spec.System(), nil
	case f.prefix != "":
		prefix, err := filepath.Abs(f.prefix)
		return spec.Prefix(prefix), err
	}
	root, err := findRoot()
	return spec.Prefix(filepath.Join(root, ".lab", "venv")), err
}

func kernelInstallCmd() *cobra.Command {
	var f whereFlags
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Make Jupyter know the kernel",
		Long: `install writes the kernelspec: the small folder by which Jupyter, JupyterHub and
VS Code find and start the kernel. Without a flag it goes into .lab/venv of the checkout.
It holds absolute paths and nothing of the user who installs it, so that --system serves
every user who may read the checkout.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := findRoot()
			if err != nil {
				return err
			}
			where, err := f.where()
			if err != nil {
				return err
			}
			k := spec.Kernel{Root: root, Where: where, Malloc: backend.Malloc}
			if goCmd, err := exec.LookPath("go"); err == nil {
				k.GoBin = filepath.Dir(goCmd)
			}
			dir, err := spec.Install(k)
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, map[string]string{"kernel": spec.Name, "path": dir})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "kernel %q (%s) installed in %s\n", spec.Name, spec.DisplayName, dir)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func kernelListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Where the kernel is installed, and whether it can start",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var environments []string
			if root, err := findRoot(); err == nil {
				environments = append(environments, filepath.Join(root, ".lab", "venv"))
			}
			found, err := spec.List(spec.Places(environments...))
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, found)
			}
			if len(found) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "not installed; ft kernel install installs it")
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, in := range found {
				state := "ok"
				if in.Broken != "" {
					state = in.Broken
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", spec.Name, in.Kind, in.Dir, state)
			}
			return w.Flush()
		},
	}
}

func kernelRemoveCmd() *cobra.Command {
	var f whereFlags
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Make Jupyter forget the kernel",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where, err := f.where()
			if err != nil {
				return err
			}
			dir, err := spec.Remove(where)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", dir)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
