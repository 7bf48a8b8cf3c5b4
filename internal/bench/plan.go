package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/plan"
	"ftlab/ftlib/tune"
)

// planResult is a line of scripts/bench plan.
type planResult struct {
	Name         string  `json:"name"`
	PeakMiB      float64 `json:"peak_mib"`
	EstimateMiB  float64 `json:"estimate_mib"`
	MemoryOff    float64 `json:"memory_off"` // estimate over measurement, less 1
	StepMS       float64 `json:"step_ms"`
	EstimateMS   float64 `json:"estimate_ms"`
	TimeOff      float64 `json:"time_off"`
	CompilerMiB  float64 `json:"compiler_mib"` // the compiler's own figure for the largest program
	WorkingMiB   float64 `json:"working_mib"`  // the ledger's
	CompileS     float64 `json:"compile_s"`
	CalibratedAt float64 `json:"gflops"`
}

// planBench runs the recorded cases, each in a process of its own, between two calibrations: the
// machine may be busier at one end than at the other.
func planBench(only []string, record string, say func(planResult)) ([]planResult, error) {
	r := plan.Recorded()
	var out []planResult
	before, err := calibrated()
	if err != nil {
		return nil, err
	}
	timings, peaks := map[string]tune.Timing{}, map[string]float64{}
	chosen := func(c plan.Case) bool { return len(only) == 0 || slices.Contains(only, c.Name) }
	for _, c := range r.Cases {
		if !chosen(c) {
			continue
		}
		arg, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		var t tune.Timing
		if peaks[c.Name], err = planWorker(&t, string(arg)); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		timings[c.Name] = t
	}
	after, err := calibrated()
	if err != nil {
		return nil, err
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		if !chosen(*c) {
			continue
		}
		s, err := c.Setup()
		if err != nil {
			return nil, err
		}
		t, peak := timings[c.Name], peaks[c.Name]*1024
		ms := 500 * (plan.StepTime(s, plan.Device{Rates: &before}) + plan.StepTime(s, plan.Device{Rates: &after}))
		l := plan.Memory(s)
		p := planResult{Name: c.Name, PeakMiB: peak, EstimateMiB: float64(l.Bytes()) / (1 << 20), StepMS: 1000 * t.Step, EstimateMS: ms,
			CompileS: t.Compile, WorkingMiB: float64(l.Working()) / (1 << 20), CalibratedAt: math.Sqrt(before.F32 * after.F32)}
		p.MemoryOff, p.TimeOff = p.EstimateMiB/peak-1, ms/p.StepMS-1
		if len(t.Programs) > 0 {
			p.CompilerMiB = float64(t.Programs[0].Temporary) / (1 << 20)
		}
		c.Measured = plan.Measured{PeakMiB: math.Round(peak), StepMS: math.Round(p.StepMS), GFLOPS: math.Round(p.CalibratedAt), Compiler: math.Round(p.CompilerMiB), Estimated: math.Round(ms)}
		out = append(out, p)
		say(p)
	}
	if record == "" {
		return out, nil
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	return out, os.WriteFile(record, append(data, '\n'), 0o644)
}

func calibrated() (r plan.Rates, err error) {
	_, err = planWorker(&r, "calibrate")
	return r, err
}

// planWorker runs a worker and returns its peak resident size in GiB.
func planWorker(into any, arg string) (float64, error) {
	cmd := exec.Command(os.Args[0], "-worker", "plan", arg)
	cmd.Env, cmd.Stderr = plainEnv(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return peakOf(cmd), json.Unmarshal(out, into)
}

// planStep is the worker: a case as JSON, or "calibrate".
func planStep(arg string) error {
	debug.SetGCPercent(50)
	b, err := backend.Open("")
	if err != nil {
		return err
	}
	enc := json.NewEncoder(os.Stdout)
	if arg == "calibrate" {
		r, err := tune.Calibrate(b)
		if err != nil {
			return err
		}
		return enc.Encode(r)
	}
	var c plan.Case
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return err
	}
	t, err := tune.Measure(b, c)
	if err != nil {
		return err
	}
	return enc.Encode(t)
}

func (p planResult) print() {
	fmt.Printf("%-22s memory %6.0f MiB, estimated %6.0f (%+.0f %%)   a step %7.0f ms, estimated %7.0f (%+.0f %%)\n",
		p.Name, p.PeakMiB, p.EstimateMiB, 100*p.MemoryOff, p.StepMS, p.EstimateMS, 100*p.TimeOff)
}
