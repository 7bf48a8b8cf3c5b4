package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
server itself if there is none and ft is on the PATH.

Every minute, and when it ends, the server saves what is kept, if that has changed. The
next server restores it, also after one that was killed.`,
	}
	cmd.AddCommand(deviceStartCmd(), deviceRunCmd(), deviceStatusCmd(), deviceStopCmd(), deviceRestartCmd(),
		deviceTokenCmd(), deviceConnectCmd(), deviceLoadCmd(), deviceDropCmd(), deviceCheckpointCmd(), deviceRestoreCmd())
	return cmd
}

// deviceFlags are the server's settings, for start, restart and run.
type deviceFlags struct {
	backend string
	memory  float64
	idle    time.Duration
	state   string
	every   time.Duration
	fresh   bool
	listen  string
}

func (f *deviceFlags) set() *pflag.FlagSet {
	set := pflag.NewFlagSet("device", pflag.ContinueOnError)
	set.StringVar(&f.backend, "backend", "", "backend that computes: xla:cuda, xla:cpu, go (default: the best)")
	set.Float64Var(&f.memory, "memory", 0, "limit of all tensors together, in GB; -1: none (default: four fifths of the machine's)")
	set.DurationVar(&f.idle, "idle", time.Hour, "end after so long without programs and kept tensors; 0: never")
	set.StringVar(&f.state, "state", "", "folder for what is saved; none: nothing is (default: one beside the socket)")
	set.DurationVar(&f.every, "every", time.Minute, "how often to save what is kept, if it has changed")
	set.BoolVar(&f.fresh, "fresh", false, "start with nothing kept; what was saved is moved aside")
	set.StringVar(&f.listen, "listen", "", "HOST:PORT to open for programs on other machines that have a token (see ft device token)")
	return set
}

// args are the flags that were given, so that a server can be started like another.
func deviceArgs(set *pflag.FlagSet) (args []string) {
	set.Visit(func(f *pflag.Flag) {
		if f.Name != "fresh" && f.Name != "json" {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// like gives the flags that were not given the values that an earlier server had.
func (f *deviceFlags) like(set *pflag.FlagSet, args []string) error {
	var old deviceFlags
	was := old.set()
	if err := was.Parse(args); err != nil {
		return fmt.Errorf("the flags of the server before this one: %w", err)
	}
	var err error
	was.Visit(func(o *pflag.Flag) {
		if !set.Changed(o.Name) {
			err = errors.Join(err, set.Set(o.Name, o.Value.String()))
		}
	})
	return err
}

// stateDir is the folder for what is saved; "" for none.
func (f *deviceFlags) stateDir() (string, error) {
	switch f.state {
	case "none":
		return "", nil
	case "":
		return session.StateDir("")
	}
	return filepath.Abs(f.state)
}

// command is what starts a server with these flags.
func (f *deviceFlags) command(set *pflag.FlagSet) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{self, "device", "run"}, deviceArgs(set)...)
	if f.fresh {
		args = append(args, "--fresh")
	}
	return args, nil
}

func deviceStartCmd() *cobra.Command {
	var f deviceFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the server, unless it runs already",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			command, err := f.command(cmd.Flags())
			if err != nil {
				return err
			}
			b, err := session.Start("", command...)
			if err != nil {
				return err
			}
			return printDevice(cmd, b)
		},
	}
	cmd.Flags().AddFlagSet(f.set())
	return cmd
}

func deviceRestartCmd() *cobra.Command {
	var f deviceFlags
	cmd := &cobra.Command{
		Use:   "restart",
		Short: "Save what is kept, end the server and start it again with what was kept",
		Long: `Save what is kept, end the server and start it again with what was kept. It gives back
all memory, and compiled programs are compiled anew. Flags that are not given stay as
they are. Programs that compute in the server lose what they did not keep.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := f.stateDir()
			if err != nil {
				return err
			}
			if r, ok := device.ReadRecord(state); ok {
				if err := f.like(cmd.Flags(), r.Args); err != nil {
					return err
				}
			}
			command, err := f.command(cmd.Flags())
			if err != nil {
				return err
			}
			b, err := session.Restart("", command...)
			if err != nil {
				return err
			}
			return printDevice(cmd, b)
		},
	}
	cmd.Flags().AddFlagSet(f.set())
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
			err := runDevice(cmd, &f, func() { fmt.Fprint(ready, session.Ready); ready.Close() })
			if err != nil {
				fmt.Fprint(ready, err)
			}
			return err
		},
	}
	cmd.Flags().AddFlagSet(f.set())
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

func runDevice(cmd *cobra.Command, f *deviceFlags, ready func()) error {
	addr, err := session.DefaultAddr()
	if err != nil {
		return err
	}
	l, err := device.Listen(addr)
	if err != nil {
		return err
	}
	defer l.Close()
	state, err := f.stateDir()
	if err != nil {
		return err
	}
	if r, ok := device.ReadRecord(state); ok { // it died: go on as it was
		if err := f.like(cmd.Flags(), r.Args); err != nil {
			return err
		}
	}
	args := deviceArgs(cmd.Flags())
	if name := os.Getenv(backend.Env); f.backend == "" && (name == "session" || strings.HasPrefix(name, "session:")) {
		f.backend = "auto" // the variable is meant for programs that use this server
	}
	b, err := backend.Open(f.backend)
	if err != nil {
		return err
	}
	// A cell that is interrupted must not take the server with it.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	s := device.New(b, device.Options{LimitBytes: int64(f.memory * 1e9), Idle: f.idle, State: state, Every: f.every})
	if state != "" {
		text, err := s.Recover(args, f.fresh)
		if err != nil {
			return err
		}
		if text != "" {
			fmt.Fprintln(cmd.OutOrStdout(), text)
		}
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	defer signal.Stop(terminated)
	go func() {
		if _, ok := <-terminated; ok {
			s.Close()
		}
	}()
	defer close(terminated)
	var all net.Listener = l
	if f.listen != "" {
		a, err := device.OpenAuthority("")
		if err != nil {
			return err
		}
		var port net.Addr
		if all, port, err = device.ListenAlso(l, f.listen, a); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "open for programs with a token at %s; ft device token HOST:PORT makes one\n", port)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s at %s; ft device stop ends it\n", b.Description(), addr)
	ready()
	return s.Serve(all)
}

func deviceStopCmd() *cobra.Command {
	var discard bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Save what is kept and end the server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr, err := session.DefaultAddr()
			if err != nil {
				return err
			}
			b, err := session.Connect(addr)
			if errors.Is(err, session.ErrNoServer) {
				if wantJSON(cmd) {
					return printJSON(cmd, stopReport{})
				}
				fmt.Fprintln(cmd.OutOrStdout(), "no device server")
				return nil
			}
			if errors.Is(err, session.ErrVersion) {
				pid, err := session.End(addr)
				if err != nil {
					return err
				}
				if wantJSON(cmd) {
					return printJSON(cmd, stopReport{Stopped: true, Saved: true})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "the device server of another version, process %d, has ended\n", pid)
				return nil
			}
			if err != nil {
				return err
			}
			stats, err := b.Stats()
			if err != nil {
				return err
			}
			r := stopReport{Stopped: true, Saved: !discard && stats.State != "", Kept: stats.Kept}
			end := b.Stop
			if discard {
				end = b.Abandon
			}
			if err := end(); err != nil {
				return err
			}
			if wantJSON(cmd) {
				return printJSON(cmd, r)
			}
			what := "what it kept and had not saved is lost"
			if r.Saved {
				what = fmt.Sprintf("the %d tensors that it keeps are there again after ft device start", r.Kept)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the device server at %s ends; %s\n", addr, what)
			return nil
		},
	}
	cmd.Flags().BoolVar(&discard, "discard", false, "end it even if what is kept cannot be saved; its last checkpoint stays")
	return cmd
}

type stopReport struct {
	Stopped bool `json:"stopped"`
	Saved   bool `json:"saved"`
	Kept    int  `json:"kept"`
}
