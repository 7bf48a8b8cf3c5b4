package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ftlab/ftlib/backend"
)

func init() { commands = append(commands, doctorCmd) }

// diagnosis is what `ft doctor --json` prints.
type diagnosis struct {
	Machine  backend.Machine `json:"machine"`
	Version  buildInfo       `json:"version"`
	Backends []tried         `json:"backends"` // best first
	Searched []string        `json:"plugin_folders"`
	Uses     string          `json:"uses"` // what commands use when no backend is named
	Why      string          `json:"why"`
	OK       bool            `json:"ok"`
	Problems []string        `json:"problems,omitempty"` // each with its fix
}

// tried is a backend and how training on it went.
type tried struct {
	backend.Candidate
	Check *backend.Check `json:"check,omitempty"`
	Error string         `json:"error,omitempty"`
}

func doctorCmd() *cobra.Command {
	var only string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can do, and what to repair",
		Long: `doctor prints the machine, the backends it has and which one will be used, trains a
small model on each usable backend for about a second, and compares the loss with the
known number. Exit code 4 when something is broken; the fix is printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if only != "" {
				return tryHere(cmd, only)
			}
			d := diagnose(cmd.Context())
			if wantJSON(cmd) {
				if err := printJSON(cmd, d); err != nil {
					return err
				}
			} else {
				printDiagnosis(cmd, d)
			}
			if !d.OK {
				return withCode(exitBackend, errors.New("doctor: "+strings.Join(d.Problems, "; ")))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&only, "try", "", "train on this backend only and print the result as JSON")
	_ = cmd.Flags().MarkHidden("try")
	return cmd
}

// tryHere trains on one backend in this process.
func tryHere(cmd *cobra.Command, name string) error {
	b, err := backend.Open(name)
	if err != nil {
		return err
	}
	c, err := backend.Try(b)
	if err != nil {
		return withCode(exitBackend, err)
	}
	return printJSON(cmd, c)
}

// diagnose looks at everything. Each backend is tried in a process of its own: a
// broken plugin or driver takes its process down with it.
func diagnose(ctx context.Context) diagnosis {
	report := backend.Survey()
	d := diagnosis{
		Machine: backend.ThisMachine(), Version: version(), Searched: report.Searched,
		Uses: report.Chosen, Why: report.Why,
	}
	for _, c := range report.Candidates {
		t := tried{Candidate: c}
		if c.Usable {
			check, err := tryApart(ctx, c.Name)
			switch {
			case err != nil:
				t.Error = err.Error()
				d.Problems = append(d.Problems, fmt.Sprintf("%s does not work (%v): %s", c.Name, err, fixFor(c)))
			case !check.Right:
				t.Check = &check
				d.Problems = append(d.Problems, fmt.Sprintf("%s computes a wrong loss (%.6f, right is %.6f): %s", c.Name, check.Loss, check.Want, fixFor(c)))
			default:
				t.Check = &check
			}
		}
		d.Backends = append(d.Backends, t)
	}
	if cuda := report.Candidate(backend.CUDA); report.GPU != "" && !cuda.Usable {
		d.Problems = append(d.Problems, "there is a GPU but "+cuda.Why+": "+cuda.Fix)
	}
	if !slices.ContainsFunc(d.Backends, func(t tried) bool { return t.Name == d.Uses && t.Check != nil && t.Check.Right }) {
		if !slices.ContainsFunc(d.Backends, func(t tried) bool { return t.Name == d.Uses }) { // chosen by a variable, not a kind of ours
			if _, err := tryApart(ctx, d.Uses); err != nil {
				d.Problems = append(d.Problems, fmt.Sprintf("%s does not work (%v): unset %s and GOMLX_BACKEND, or name another", d.Uses, err, backend.Env))
			}
		} else if c := report.Candidate(d.Uses); !c.Usable {
			d.Problems = append(d.Problems, fmt.Sprintf("%s (%s): %s", d.Uses, d.Why, c.Why))
		}
	}
	d.OK = len(d.Problems) == 0
	return d
}

// fixFor says how to repair a backend that is there but does not work.
func fixFor(c backend.Candidate) string {
	switch c.Name {
	case backend.CUDA:
		return "check that nvidia-smi works and that the driver is new enough for the plugin; to get the plugin again, remove " + c.Plugin + " and run scripts/lab --setup; FTLAB_BACKEND=xla:cpu does without the GPU"
	case backend.CPU:
		return "to get the plugin again, remove " + c.Plugin + " and run scripts/lab --setup; FTLAB_BACKEND=go does without it"
	}
	return "build ft again with scripts/lab --setup"
}

// tryApart trains on one backend in another process.
func tryApart(ctx context.Context, name string) (c backend.Check, err error) {
	exe, err := os.Executable()
	if err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	child := exec.CommandContext(ctx, exe, "doctor", "--try", name)
	child.Stdout, child.Stderr = &stdout, &stderr
	if err := child.Run(); err != nil {
		if ctx.Err() != nil {
			return c, errors.New("no answer within two minutes")
		}
		return c, fmt.Errorf("%s (%w)", firstLine(stderr.String()), err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &c); err != nil {
		return c, fmt.Errorf("unreadable answer %q: %w", firstLine(stdout.String()), err)
	}
	return c, nil
}

// firstLine is the line of s in which ft says what went wrong, else its first line.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if message, ok := strings.CutPrefix(line, "ft: "); ok {
			return strings.TrimSpace(message)
		}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func printDiagnosis(cmd *cobra.Command, d diagnosis) {
	out := cmd.OutOrStdout()
	line := func(label, format string, args ...any) {
		fmt.Fprintf(out, "%-12s %s\n", label, fmt.Sprintf(format, args...))
	}
	m := d.Machine
	line("machine", "%s/%s, %s", m.OS, m.Arch, orElse(m.CPU, "unknown processor"))
	line("cores", "%d %s", m.Cores, strings.Join(m.SIMD, " "))
	if m.Memory > 0 {
		line("memory", "%.1f GiB, %.1f GiB free", gib(m.Memory), gib(m.Available))
	}
	for _, g := range m.GPUs {
		line("gpu", "%s, %.0f GiB, driver %s", g.Name, gib(g.Memory), g.Driver)
	}
	if len(m.GPUs) == 0 {
		line("gpu", "none found")
	}
	if m.HugePages != "" {
		line("huge pages", "%s (the kernel says %s)", map[bool]string{true: "on", false: "off"}[m.HugeOn], m.HugePages)
	}
	simd := ""
	if d.Version.SIMD {
		simd = ", simd"
	}
	line("built with", "%s%s, gomlx %s, go-xla %s", d.Version.Go, simd, d.Version.module("gomlx"), d.Version.module("go-xla"))
	fmt.Fprintln(out)
	for _, t := range d.Backends {
		switch {
		case t.Error != "":
			line(t.Name, "BROKEN: %s", t.Error)
		case t.Check == nil:
			line(t.Name, "no: %s%s", t.Why, fix(t.Fix))
		case !t.Check.Right:
			line(t.Name, "WRONG: loss %.6f, right is %.6f", t.Check.Loss, t.Check.Want)
		default:
			line(t.Name, "ok: loss %.6f is right, first step %.2f s, then %.1f ms (%.0f tokens/s on the test model)",
				t.Check.Loss, t.Check.FirstStep, 1000*t.Check.Step, t.Check.TokensPerSecond)
		}
		if t.Plugin != "" {
			line("", "%s%s, %s", orElse(t.Version, "plugin"), api(t.Check), t.Plugin)
		}
	}
	fmt.Fprintln(out)
	line("uses", "%s (%s)", d.Uses, strings.TrimPrefix(d.Why, d.Uses+": "))
}

// api is the version of the PJRT interface, which the backend's description has.
func api(c *backend.Check) string {
	if c == nil {
		return ""
	}
	if v := regexp.MustCompile(`\bv\d+\.\d+`).FindString(c.Backend); v != "" {
		return " (PJRT " + v + ")"
	}
	return ""
}

func (v buildInfo) module(name string) string {
	return orElse(v.Modules["github.com/gomlx/"+name], "-")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func fix(s string) string {
	if s == "" {
		return ""
	}
	return "; to get it: " + s
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }
