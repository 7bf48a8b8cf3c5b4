//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ftlab/ftlib/tune"
	"ftlab/kernel/jupyter"
	"ftlab/kernel/widget"
)

func init() { commands = append(commands, kernelCmd) }

func kernelCmd() *cobra.Command {
	var cfg jupyter.Config
	cmd := &cobra.Command{
		Use:   "kernel -f CONNECTION_FILE [-- GONB FLAGS...]",
		Short: "The Jupyter kernel: install it; Jupyter runs it",
		Long: `Run the Jupyter kernel: it stands between Jupyter and gonb, which compiles and runs
the cells. Jupyter starts it with the connection file that it has written.

What follows -- is gonb and its flags (default: gonb, from the PATH).

  ft kernel install          make Jupyter know it; list and remove
  ft lab                     JupyterLab with it`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(cfg.ConnectionFile); err != nil {
				return fmt.Errorf("kernel: the connection file: %w; Jupyter writes it and names it", err)
			}
			cfg.Command = args
			if len(args) == 0 {
				cfg.Command = []string{"gonb"}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			// What cells start in the background is trained by this program.
			if err := os.Setenv(tune.Program, self); err != nil {
				return err
			}
			// Else every cell would ask the network about every import.
			for _, e := range [][2]string{{jupyter.ProxyEnv, os.Getenv("GOPROXY")}, {"GOPROXY", "off"}} {
				if err := os.Setenv(e[0], e[1]); err != nil {
					return err
				}
			}
			cfg.Reaper = []string{self, "kernel", "reap", "--"}
			if cache, err := os.UserCacheDir(); err == nil {
				cfg.HistoryFile, cfg.Cache = filepath.Join(cache, "ftlab", "history.jsonl"), filepath.Join(cache, "ftlab")
			}
			cfg.Version, cfg.Log = version().Version, cmd.ErrOrStderr()
			hub, end, err := startWidgets(cfg.Log)
			if err != nil {
				return err
			}
			defer end()
			cfg.Comms = hub
			cfg.Root, _ = findRoot() // else cells import no module of this checkout
			if cfg.Root != "" {
				cfg.Imports = []string{"ftlab/ftlib/corpus", "ftlab/ftlib/llm", "ftlab/ftlib/tune", "ftlab/kernel/notebook"}
			}
			cfg.Magics = labMagics(self)
			if server, err := startDeviceServer(self); err != nil {
				fmt.Fprintln(cfg.Log, err) // cells compute in their own process
			} else {
				cfg.Prepare = server.prepare
			}
			k, err := jupyter.New(cfg)
			if err != nil {
				return err
			}
			// Ctrl-C interrupts the cell, not the kernel, which listens to signals itself.
			return k.Run(context.WithoutCancel(cmd.Context()))
		},
	}
	cmd.Flags().StringVarP(&cfg.ConnectionFile, "connection-file", "f", "", "file that Jupyter has written")
	if err := cmd.MarkFlagRequired("connection-file"); err != nil {
		panic(err) // the flag's name is a few lines above
	}
	cmd.AddCommand(kernelInstallCmd(), kernelListCmd(), kernelRemoveCmd(), &cobra.Command{
		Use:    "reap DIR COMMAND...",
		Short:  "Run a command until standard input ends, and leave no process behind",
		Hidden: true,
		Args:   cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kernel := os.Getppid()
			err := jupyter.Reaper(cmd.InOrStdin(), args[0], args[1:])
			// A kernel that was killed leaves the folder of its socket. That it is dead
			// shows a moment after its end of a pipe has closed.
			socket := os.Getenv(widget.SocketEnv)
			for range 20 {
				if os.Getppid() != kernel && socket != "" {
					os.RemoveAll(filepath.Dir(socket))
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			return err
		},
	})
	return cmd
}
