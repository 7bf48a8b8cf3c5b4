package main

import (
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ftlab/kernel/session"
)

// keptList is what load and drop print with --json.
type keptList struct {
	Names []keptReport `json:"names"`
	Bytes int64        `json:"bytes"`
}

func printKept(cmd *cobra.Command, done string, kept []session.Kept) error {
	l := keptList{Names: keptReports(kept)}
	for _, k := range l.Names {
		l.Bytes += k.Bytes
	}
	if wantJSON(cmd) {
		if l.Names == nil {
			l.Names = []keptReport{}
		}
		return printJSON(cmd, l)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s %d tensors, %s\n", done, len(kept), megabytes(l.Bytes))
	keptTable(w, l.Names)
	return w.Flush()
}

func deviceLoadCmd() *cobra.Command {
	var o session.LoadOptions
	var as string
	cmd := &cobra.Command{
		Use:   "load FILE|DIR --as NAME",
		Short: "Read a safetensors file, or a model's folder, into kept tensors",
		Long: `Read a safetensors file, or a model's folder with one or several, into kept tensors. The
server reads them itself. All names appear at once: NAME/ and the tensor's own.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := session.Connect("")
			if err != nil {
				return err
			}
			kept, err := b.LoadFile(args[0], as, o)
			if err != nil {
				return err
			}
			return printKept(cmd, "loaded", kept)
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "name that the tensors are kept below")
	cmd.Flags().StringVar(&o.DType, "dtype", "", "turn floating-point tensors into float32, bfloat16 or float16 (default: as stored)")
	cmd.Flags().StringSliceVar(&o.Only, "only", nil, "tensors, by name or pattern (default: all)")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "drop what else is kept below the name")
	if err := cmd.MarkFlagRequired("as"); err != nil {
		panic(err) // the flag's name is a few lines above
	}
	return cmd
}

func deviceDropCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "drop NAME...",
		Short: "Forget kept tensors: a name and all names below it",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := session.Connect("")
			if err != nil {
				return err
			}
			var all []session.Kept
			for _, name := range args {
				if name == "" {
					return usageErrorf("a name is empty")
				}
				kept, err := b.Drop(name)
				if err != nil {
					return err
				}
				if len(kept) == 0 {
					return usageErrorf("nothing is kept as %q; ft device status lists what is", name)
				}
				all = append(all, kept...)
			}
			return printKept(cmd, "dropped", all)
		},
	}
}

func deviceCheckpointCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "checkpoint [DIR]",
		Short: "Save what is kept now, in the server's folder or in another one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return savedCmd(cmd, args, "saved", (*session.Backend).Checkpoint)
		},
	}
}

func deviceRestoreCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "restore [DIR]",
		Short: "Keep again what was saved, in the server's folder or in another one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return savedCmd(cmd, args, "restored", (*session.Backend).Restore)
		},
	}
}

func savedCmd(cmd *cobra.Command, args []string, done string, do func(b *session.Backend, dir string) (session.Saved, error)) error {
	b, err := session.Connect("")
	if err != nil {
		return err
	}
	dir := ""
	if len(args) > 0 {
		if dir, err = filepath.Abs(args[0]); err != nil {
			return err
		}
	}
	s, err := do(b, dir)
	if err != nil {
		return err
	}
	if wantJSON(cmd) {
		return printJSON(cmd, s)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s %d tensors, %s, as they were at %s, in %s\n", done, s.Tensors, megabytes(s.Bytes), time.Unix(0, s.Time).Format(time.DateTime), s.Dir)
	return nil
}
