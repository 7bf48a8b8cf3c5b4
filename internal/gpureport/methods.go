package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tune"
)

// methodNames are the run files of docs/examples/methods, those first that others begin with.
var methodNames = []string{"sft", "reward", "solver", "dpo", "kto", "orpo", "simpo", "ppo", "grpo", "rloo", "prm", "star"}

// methodRow is what a worker says of one method.
type methodRow struct {
	Name   string  `json:"name"`
	Steps  int     `json:"steps"`
	Loss   float64 `json:"loss"`
	First  float64 `json:"first_s"` // from the start of the run to its first step: loading and compiling
	Second float64 `json:"second_s"`
	Error  string  `json:"error,omitempty"`
}

// methods runs two steps of every method, in a process of their own: a backend that crashes
// takes only them along.
func methods(ctx context.Context, o options) (string, error) {
	dir, err := os.MkdirTemp("", "ftlab-gpu-report-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	args := []string{"-worker", "methods", "-backend", o.backend}
	if o.quick {
		args = append(args, "-quick")
	}
	cmd := exec.CommandContext(ctx, os.Args[0], append(args, dir)...)
	cmd.Stderr = os.Stderr
	data, runErr := cmd.Output()
	var b strings.Builder
	b.WriteString("The run files of docs/examples/methods on models/ft-tiny, cut to two steps. The first step contains loading, compiling and, with methods that sample, a rollout.\n\n")
	b.WriteString("| method | steps | loss | first step, s | second, s | |\n|---|---:|---:|---:|---:|---|\n")
	failed := 0
	for line := range bytes.Lines(data) {
		var r methodRow
		if json.Unmarshal(line, &r) != nil {
			continue
		}
		if r.Error != "" {
			failed++
		}
		fmt.Fprintf(&b, "| %s | %d | %.4f | %.2f | %.3f | %s |\n", r.Name, r.Steps, r.Loss, r.First, r.Second, r.Error)
	}
	if runErr == nil && failed > 0 {
		runErr = fmt.Errorf("%d methods", failed)
	}
	return b.String(), runErr
}

// methodsWorker trains them, and prints a line of JSON for each.
func methodsWorker(ctx context.Context, o options, dir string) error {
	enc := json.NewEncoder(os.Stdout)
	for _, name := range methodNames {
		run, err := ftlib.ReadFile(filepath.Join("docs", "examples", "methods", name+".yaml"))
		if err != nil {
			return err
		}
		r := methodRow{Name: name}
		if err := step(ctx, o, dir, run, &r); err != nil {
			r.Error = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func step(ctx context.Context, o options, dir string, run ftlib.Run, r *methodRow) error {
	run.Out, run.Model.Backend = dir, o.backend
	run.Model.Path = moved(dir, run.Model.Path)
	if p := run.Method.PPO; p != nil {
		for i := range p.Rewards {
			p.Rewards[i].Path = moved(dir, p.Rewards[i].Path)
		}
	}
	run.Batch.MaxSteps, run.Eval.Every, run.Save.Every = 2, -1, -1
	run.Data.Split = -1
	if s := run.Method.STaR; s != nil {
		s.Rounds = 1
		run.Data.Limit = 8
	}
	res, err := tune.Run(ctx, run, tune.Options{})
	if err != nil {
		return err
	}
	r.Steps, r.Loss = res.Step, res.Loss
	events, err := ckpt.Events(res.Dir)
	if err != nil {
		return err
	}
	var steps []ftlib.Event
	for _, e := range events {
		if e.Type == ftlib.EventStep {
			steps = append(steps, e)
		}
	}
	if len(steps) > 0 {
		r.First = steps[0].Time.Sub(events[0].Time).Seconds()
	}
	if len(steps) > 1 {
		r.Second = steps[1].Time.Sub(steps[0].Time).Seconds()
	}
	return nil
}

var checkpoint = regexp.MustCompile(`/step-[0-9]+$`)

// moved is where what a run file names lies when all runs are cut to two steps.
func moved(dir, path string) string {
	if rest, ok := strings.CutPrefix(path, "runs/"); ok {
		return filepath.Join(dir, checkpoint.ReplaceAllString(rest, "/step-2"))
	}
	return path
}
