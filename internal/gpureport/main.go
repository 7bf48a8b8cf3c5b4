package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ftlab/ftlib/backend"
	"ftlab/internal/testkit"
)

func main() {
	backend.HugePages()
	o := options{}
	flag.StringVar(&o.backend, "backend", backend.CUDA, "what computes: xla:cuda, xla:cpu or go")
	flag.BoolVar(&o.quick, "quick", false, "a few minutes: some golden tests, small models")
	flag.StringVar(&o.out, "out", "gpu_report.md", "the page")
	worker := flag.String("worker", "", "run as a worker: case JSON, methods DIR (internal)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *worker == "case":
		err = caseWorker(flag.Arg(0))
	case *worker == "methods":
		err = methodsWorker(ctx, o, flag.Arg(0))
	default:
		err = report(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpu_report:", err)
		os.Exit(1)
	}
}

type options struct {
	backend, out string
	quick        bool
}

// report runs the parts and writes the page. A part that fails says so on the page; the others go on.
func report(ctx context.Context, o options) error {
	out, err := filepath.Abs(o.out)
	if err != nil {
		return err
	}
	if err := os.Chdir(testkit.Root()); err != nil {
		return err
	}
	if _, err := backend.Open(o.backend); err != nil {
		return err
	}
	if err := os.Setenv(backend.Env, o.backend); err != nil {
		return err
	}
	page := heading(o)
	began := time.Now()
	failed := false
	for _, part := range []struct {
		title string
		run   func(context.Context, options) (string, error)
	}{{"Golden tests", golden}, {"A training step of each method", methods}, {"Memory and throughput", memory}} {
		fmt.Fprintf(os.Stderr, "%s ...\n", part.title)
		text, err := part.run(ctx, o)
		if err != nil {
			failed = true
			text += fmt.Sprintf("\n**Failed:** %v\n", err)
		}
		page += "\n## " + part.title + "\n\n" + text
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	page += fmt.Sprintf("\nTaken in %.0f s on %s.\n", time.Since(began).Seconds(), time.Now().Format(time.DateOnly))
	if err := os.WriteFile(out, []byte(page), 0o644); err != nil {
		return err
	}
	fmt.Println(out)
	if failed {
		return fmt.Errorf("parts failed: see %s", out)
	}
	return nil
}

func heading(o options) string {
	m := backend.ThisMachine()
	var b strings.Builder
	fmt.Fprintf(&b, "# FTLab on %s\n\n", o.backend)
	if o.quick {
		b.WriteString("Made with --quick: a part of the golden tests, small models.\n\n")
	}
	fmt.Fprintf(&b, "- processor: %s, %d cores, %.0f GiB of memory (%s %s)\n", strings.Join(strings.Fields(m.CPU), " "), m.Cores, float64(m.Memory)/(1<<30), m.OS, m.Arch)
	for _, g := range m.GPUs {
		fmt.Fprintf(&b, "- GPU: %s, %.0f GiB, driver %s\n", g.Name, float64(g.Memory)/(1<<30), g.Driver)
	}
	if len(m.GPUs) == 0 {
		b.WriteString("- GPU: none\n")
	}
	fmt.Fprintf(&b, "- Go: %s\n", runtime.Version())
	if rev, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		fmt.Fprintf(&b, "- commit: %s\n", strings.TrimSpace(string(rev)))
	}
	return b.String()
}

// golden runs the tests against recorded results of the peers.
func golden(ctx context.Context, o options) (string, error) {
	packages := []string{"./ftlib/llm", "./ftlib/loss", "./ftlib/optim", "./ftlib/quant", "./ftlib/tune"}
	if o.quick {
		packages = packages[:1]
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1", "-timeout=60m", "-run", "^TestGolden"}, packages...)...)
	data, runErr := cmd.Output()
	type key struct{ pkg, test string }
	last := map[key]string{}
	said := map[key][]string{}
	var order []key
	for line := range strings.Lines(string(data)) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal([]byte(line), &e) != nil || e.Test == "" {
			continue
		}
		k := key{strings.TrimPrefix(e.Package, "ftlab/"), e.Test}
		switch e.Action {
		case "run":
			order = append(order, k)
		case "output":
			if text := strings.TrimSpace(e.Output); !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") {
				said[k] = append(said[k], text)
			}
		case "pass", "fail", "skip":
			last[k] = e.Action
		}
	}
	var b strings.Builder
	count := map[string]int{}
	b.WriteString("Against results recorded from PEFT, TRL, transformers and bitsandbytes, with the tolerances of the tests.\n\n")
	var wrong []string
	for _, k := range order {
		if hasChild(order, func(o key) bool { return o.pkg == k.pkg && strings.HasPrefix(o.test, k.test+"/") }) {
			continue
		}
		count[last[k]]++
		if last[k] != "pass" && last[k] != "skip" {
			wrong = append(wrong, fmt.Sprintf("- %s %s: %s", k.pkg, k.test, strings.Join(said[k], "; ")))
		}
	}
	fmt.Fprintf(&b, "%d passed, %d failed, %d skipped, in %s.\n", count["pass"], len(wrong), count["skip"], strings.Join(packages, ", "))
	if len(wrong) > 0 {
		b.WriteString("\n" + strings.Join(wrong, "\n") + "\n")
		return b.String(), fmt.Errorf("%d golden cases", len(wrong))
	}
	if count["pass"] == 0 {
		return b.String(), fmt.Errorf("no golden test ran: %v", runErr)
	}
	return b.String(), runErr
}

func hasChild[K any](all []K, is func(K) bool) bool {
	for _, k := range all {
		if is(k) {
			return true
		}
	}
	return false
}
