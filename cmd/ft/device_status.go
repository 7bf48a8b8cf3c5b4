package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// deviceReport is what `ft device status --json` prints.
type deviceReport struct {
	Running bool `json:"running"`
	*session.Stats
	Names  []keptReport `json:"names,omitempty"`
	Notice string       `json:"notice,omitempty"`
}

type keptReport struct {
	Name  string `json:"name"`
	Shape string `json:"shape"`
	Bytes int64  `json:"bytes"`
}

func keptReports(kept []session.Kept) (names []keptReport) {
	for _, k := range kept {
		names = append(names, keptReport{k.Name, k.Shape.String(), k.Shape.ByteSize()})
	}
	return names
}

func deviceStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What the server holds, and for whom",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := session.Connect("")
			if errors.Is(err, session.ErrNoServer) && (errors.Is(err, fs.ErrPermission) || session.Remote(os.Getenv(session.EnvAddr))) {
				return err // there may well be one: the reason matters
			}
			if errors.Is(err, session.ErrNoServer) {
				if wantJSON(cmd) {
					return printJSON(cmd, deviceReport{})
				}
				fmt.Fprintln(cmd.OutOrStdout(), "no device server; ft device start starts one")
				if state, err := session.StateDir(""); err == nil {
					if r, ok := device.ReadRecord(state); ok {
						fmt.Fprintf(cmd.OutOrStdout(), "the last one (process %d) died; it was last seen alive at %s; the next one has what it had saved\n", r.PID, r.Seen.Format(time.DateTime))
					}
				}
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
	stats.Clients-- // this command, the last to connect
	stats.Sessions = stats.Sessions[:len(stats.Sessions)-1]
	r := deviceReport{Running: true, Stats: &stats, Names: keptReports(kept), Notice: b.Notice()}
	if wantJSON(cmd) {
		return printJSON(cmd, r)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	r.table(w)
	return w.Flush()
}

func (r deviceReport) table(w io.Writer) {
	if r.Notice != "" {
		fmt.Fprintf(w, "%s\n\n", r.Notice)
	}
	line := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	line("backend", "%s", r.Backend)
	line("process", "%d, up %s", r.PID, time.Since(time.Unix(0, r.Started)).Round(time.Second))
	limit := "no limit"
	if r.LimitBytes > 0 {
		limit = "limit " + megabytes(r.LimitBytes)
	}
	line("tensors", "%d, %s; at most %s so far; %s", r.Buffers, megabytes(r.Bytes), megabytes(r.PeakBytes), limit)
	if r.Resident > 0 {
		line("memory", "%s in the process, %s left on the machine", megabytes(r.Resident), megabytes(r.Available))
	}
	line("compiled", "%d, %s (found %d times, missed %d, dropped %d)", r.Executables, megabytes(r.ExecutableBytes), r.Hits, r.Misses, r.Evicted)
	line("executions", "%d, %.1f s", r.Executions, r.Seconds)
	switch {
	case r.CheckpointError != "":
		line("saved", "NOT: %s", r.CheckpointError)
	case r.State == "":
		line("saved", "never: the server has no folder for it")
	case r.Checkpoint.Time == 0:
		line("saved", "nothing yet; into %s", r.State)
	default:
		line("saved", "%s, %d tensors, %s, in %s", time.Unix(0, r.Checkpoint.Time).Format(time.DateTime), r.Checkpoint.Tensors, megabytes(r.Checkpoint.Bytes), r.State)
	}
	fmt.Fprintf(w, "programs\t%d\n", r.Clients)
	for _, c := range r.Sessions {
		where := "elsewhere"
		if c.PID != 0 {
			where = fmt.Sprint(c.PID)
		}
		fmt.Fprintf(w, "  %s %s\t%d tensors, %s; %d executions, %.1f s", where, c.Program, c.Buffers, megabytes(c.Bytes), c.Executions, c.Seconds)
		if c.Waiting > 0 {
			fmt.Fprintf(w, "; %d under way", c.Waiting)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "kept\t%d, %s\n", r.Kept, megabytes(r.KeptBytes))
	keptTable(w, r.Names)
}

// keptTable lists names, or their groups when there are many.
func keptTable(w io.Writer, names []keptReport) {
	const most = 40
	if len(names) <= most {
		for _, k := range names {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", k.Name, k.Shape, megabytes(k.Bytes))
		}
		return
	}
	type group struct {
		names int
		bytes int64
	}
	groups, order := map[string]*group{}, []string{}
	for _, k := range names {
		parts := strings.Split(k.Name, "/")
		key := strings.Join(parts[:max(1, min(2, len(parts)-1))], "/")
		if groups[key] == nil {
			groups[key] = &group{}
			order = append(order, key)
		}
		groups[key].names++
		groups[key].bytes += k.Bytes
	}
	slices.SortStableFunc(order, func(a, b string) int { return int(groups[b].bytes - groups[a].bytes) })
	for _, key := range order[:min(len(order), most)] {
		fmt.Fprintf(w, "  %s\t%d tensors\t%s\n", key, groups[key].names, megabytes(groups[key].bytes))
	}
	if more := len(order) - most; more > 0 {
		fmt.Fprintf(w, "  and %d more; --json lists all\n", more)
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
