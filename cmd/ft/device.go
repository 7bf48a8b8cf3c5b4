package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ftlab/ftlib/backend"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

func init() { commands = append(commands, deviceCmd) }

func deviceCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "device",
		Short: "The device server: tensors that outlive a program",
		Long: `device runs a server that owns the backend. Programs whose backend is "session" compute
in it; what they keep there under a name is there for the next program, and a program
that was compiled once is not compiled again.

  ft device start
  FTLAB_BACKEND=session: ft train RUN.yaml
  ft device status

Only programs of the same user on the same machine reach it, through a unix socket
(FTLAB_DEVICE names another one). A program with the backend "session" starts the
server itself if there is none and ft is on the PATH.`,
	}
	cmd.AddCommand(deviceStartCmd(), deviceRunCmd(), deviceStatusCmd(), deviceStopCmd())
	return cmd
}

// deviceFlags are the server's settings, for start and run.
type deviceFlags struct {
	backend string
	memory  float64
	idle    time.Duration
}

func (f *deviceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.backend, "backend", "", "backend that computes: xla:cuda, xla:cpu, go (default: the best)")
	cmd.Flags().Float64Var(&f.memory, "memory", 0, "limit of all tensors together, in GB (default: none)")
	cmd.Flags().DurationVar(&f.idle, "idle", time.Hour, "end after so long without programs and kept tensors; 0: never")
}

func (f *deviceFlags) args() []string {
	return []string{"device", "run", "--backend", f.backend, "--memory", fmt.Sprint(f.memory), "--idle", f.idle.String()}
}

func deviceStartCmd() *cobra.Command {
	var f deviceFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the server, unless it runs already",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			b, err := session.Start("", append([]string{self}, f.args()...)...)
			if err != nil {
				return err
			}
			return printDevice(cmd, b)
		},
	}
	f.add(cmd)
	return cmd
}

func deviceRunCmd() *cobra.Command {
	var f deviceFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Be the server, in the foreground",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ready := readyPipe()
			defer ready.Close()
			err := runDevice(cmd, f, func() { fmt.Fprint(ready, session.Ready); ready.Close() })
			if err != nil {
				fmt.Fprint(ready, err)
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// readyPipe is where a program that started this one waits; see [session.Start].
func readyPipe() io.WriteCloser {
	if os.Getenv(session.EnvReady) == "" {
		return nopCloser{io.Discard}
	}
	os.Unsetenv(session.EnvReady)
	return os.NewFile(3, "ready")
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func runDevice(cmd *cobra.Command, f deviceFlags, ready func()) error {
	addr, err := session.DefaultAddr()
	if err != nil {
		return err
	}
	l, err := device.Listen(addr)
	if err != nil {
		return err
	}
	defer l.Close()
	if name := os.Getenv(backend.Env); f.backend == "" && (name == "session" || strings.HasPrefix(name, "session:")) {
		f.backend = "auto" // the variable is meant for programs that use this server
	}
	b, err := backend.Open(f.backend)
	if err != nil {
		return err
	}
	// A cell that is interrupted must not take the server with it.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	s := device.New(b, device.Options{LimitBytes: int64(f.memory * 1e9), Idle: f.idle})
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	defer signal.Stop(terminated)
	go func() {
		if _, ok := <-terminated; ok {
			s.Close()
		}
	}()
	defer close(terminated)
	fmt.Fprintf(cmd.OutOrStdout(), "%s at %s; ft device stop ends it\n", b.Description(), addr)
	ready()
	return s.Serve(l)
}

// deviceReport is what `ft device status --json` prints.
type deviceReport struct {
	Running bool `json:"running"`
	*session.Stats
	Names []keptReport `json:"names,omitempty"`
}

type keptReport struct {
	Name  string `json:"name"`
	Shape string `json:"shape"`
	Bytes int64  `json:"bytes"`
}

func deviceStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What the server holds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := session.Connect("")
			if errors.Is(err, session.ErrNoServer) {
				if wantJSON(cmd) {
					return printJSON(cmd, deviceReport{})
				}
				fmt.Fprintln(cmd.OutOrStdout(), "no device server; ft device start starts one")
				return nil
			}
			if err != nil {
				return err
			}
			return printDevice(cmd, b)
		},
	}
}

func printDevice(cmd *cobra.Command, b *session.Backend) error {
	stats, err := b.Stats()
	if err != nil {
		return err
	}
	kept, err := b.List()
	if err != nil {
		return err
	}
	stats.Clients-- // this command
	r := deviceReport{Running: true, Stats: &stats}
	for _, k := range kept {
		r.Names = append(r.Names, keptReport{k.Name, k.Shape.String(), k.Shape.ByteSize()})
	}
	if wantJSON(cmd) {
		return printJSON(cmd, r)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "backend\t%s\nprocess\t%d\nprograms\t%d\n", stats.Backend, stats.PID, stats.Clients)
	fmt.Fprintf(w, "tensors\t%d, %.1f MB\n", stats.Buffers, float64(stats.Bytes)/1e6)
	if stats.LimitBytes > 0 {
		fmt.Fprintf(w, "limit\t%.1f MB\n", float64(stats.LimitBytes)/1e6)
	}
	fmt.Fprintf(w, "compiled\t%d (found %d times, missed %d)\nexecutions\t%d\n", stats.Executables, stats.Hits, stats.Misses, stats.Executions)
	fmt.Fprintf(w, "kept\t%d, %.1f MB\n", stats.Kept, float64(stats.KeptBytes)/1e6)
	for _, k := range r.Names {
		fmt.Fprintf(w, "  %s\t%s\t%.1f MB\n", k.Name, k.Shape, float64(k.Bytes)/1e6)
	}
	return w.Flush()
}

func deviceStopCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "End the server; what is kept in it is lost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr, err := session.DefaultAddr()
			if err != nil {
				return err
			}
			b, err := session.Connect(addr)
			if errors.Is(err, session.ErrNoServer) {
				fmt.Fprintln(cmd.OutOrStdout(), "no device server")
				return nil
			}
			if err != nil {
				return err
			}
			if err := b.Stop(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the device server at %s ends\n", addr)
			return nil
		},
	}
}
