package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

func deviceTokenCmd() *cobra.Command {
	var name string
	var days int
	cmd := &cobra.Command{
		Use:   "token HOST:PORT",
		Short: "Let a program on another machine use this server",
		Long: `token prints one line. It lets whoever has it compute on this user's device server, so
treat it as a password. HOST:PORT is how the other machine reaches this one.

  here:   ft device start --listen :7411
          ft device token gpu.example:7411 --name laptop
  there:  ft device connect TOKEN
          FTLAB_DEVICE=tls://gpu.example:7411 FTLAB_BACKEND=session: ft train RUN.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := device.OpenAuthority("")
			if err != nil {
				return err
			}
			token, _, err := a.Issue(name, args[0], time.Duration(days)*24*time.Hour)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "client", "who it is for")
	cmd.Flags().IntVar(&days, "days", 90, "how long it counts")
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "Tokens that were given out",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := device.OpenAuthority("")
			if err != nil {
				return err
			}
			list, err := a.Tokens()
			if err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, list)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, t := range list {
				state := "until " + t.Expires.Format(time.DateOnly)
				if t.Revoked {
					state = "revoked"
				}
				fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\n", t.ID, t.Name, t.Addr, state)
			}
			return w.Flush()
		},
	}, &cobra.Command{
		Use:   "revoke ID",
		Short: "End a token, and the connections that use it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := device.OpenAuthority("")
			if err != nil {
				return err
			}
			t, err := a.Revoke(args[0])
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "token %.12s (%s) does not count any more\n", t.ID, t.Name)
			}
			return err
		},
	})
	return cmd
}

func deviceConnectCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "connect TOKEN",
		Short: "Store a token of a server on another machine, and try it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := device.ParseToken(args[0])
			if err != nil {
				return err
			}
			if err := t.Store(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "stored; use it with\n  export %s=%s\n", session.EnvAddr, t.URL())
			b, err := session.Connect(t.URL())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "it answers:", b.Description())
			return nil
		},
	}
}
