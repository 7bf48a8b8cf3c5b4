package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/plan"
	"ftlab/ftlib/tune"
)

// cases are training steps with random weights; the small ones are all of --quick.
func cases(o options) []plan.Case {
	all := []plan.Case{
		{Name: "13M LoRA", Shape: "13M", Batch: 4, Length: 128, Weights: "float32", R: 8, Steps: 4},
		{Name: "13M full", Shape: "13M", Batch: 4, Length: 128, Weights: "float32", Steps: 4},
		{Name: "13M QLoRA", Shape: "13M", Batch: 4, Length: 128, Weights: "nf4", Double: true, R: 8, Recompute: true, Steps: 4},
	}
	if o.quick {
		return all
	}
	all = append(all,
		plan.Case{Name: "110M LoRA", Shape: "110M", Batch: 4, Length: 256, Weights: "float32", R: 16, Steps: 4},
		plan.Case{Name: "1.1B LoRA", Shape: "TinyLlama-1.1B", Batch: 1, Length: 512, Weights: "bfloat16", R: 16, Recompute: true, Steps: 4},
		plan.Case{Name: "1.1B QLoRA", Shape: "TinyLlama-1.1B", Batch: 1, Length: 512, Weights: "nf4", Double: true, Compute: "bfloat16", R: 16, Recompute: true, Steps: 4},
		plan.Case{Name: "7B QLoRA", Shape: "Llama-2-7b", Batch: 1, Length: 512, Weights: "nf4", Double: true, Compute: "bfloat16", R: 16, Recompute: true, Steps: 3})
	if o.backend == backend.CUDA {
		all = append(all,
			plan.Case{Name: "1.1B QLoRA, 8 rows", Shape: "TinyLlama-1.1B", Batch: 8, Length: 512, Weights: "nf4", Double: true, Compute: "bfloat16", R: 16, Recompute: true, Steps: 4},
			plan.Case{Name: "7B LoRA", Shape: "Llama-2-7b", Batch: 1, Length: 512, Weights: "bfloat16", R: 16, Recompute: true, Steps: 3})
	}
	return all
}

// memory measures each case in a process of its own.
func memory(ctx context.Context, o options) (string, error) {
	var b strings.Builder
	b.WriteString("A training step with random weights, each case in a process of its own. Resident is the process's peak on the processor")
	if o.backend == backend.CUDA {
		b.WriteString(", device what nvidia-smi says that the process holds at most (asked 5 times a second; XLA is told not to take memory beforehand)")
	}
	b.WriteString(". The ledger's estimate is made before.\n\n| case | rows x tokens | ledger, MiB | resident, MiB | device, MiB | compile, s | step, ms | tokens/s | largest program, MiB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n")
	failed := 0
	for _, c := range cases(o) {
		line, err := memoryLine(ctx, o, c)
		if err != nil {
			failed++
			line = fmt.Sprintf("| %s | %d x %d | | | | | | | **%v** |", c.Name, c.Batch, c.Length, err)
		}
		b.WriteString(line + "\n")
	}
	if failed > 0 {
		return b.String(), fmt.Errorf("%d cases", failed)
	}
	return b.String(), nil
}

func memoryLine(ctx context.Context, o options, c plan.Case) (string, error) {
	s, err := c.Setup()
	if err != nil {
		return "", err
	}
	s.GPU = o.backend == backend.CUDA
	arg, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-worker", "case", string(arg))
	cmd.Env = append(os.Environ(), "XLA_PYTHON_CLIENT_PREALLOCATE=false", "TF_FORCE_GPU_ALLOW_GROWTH=true")
	var said, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &stderr
	if err := cmd.Start(); err != nil {
		return "", err
	}
	watch, stop := context.WithCancel(ctx)
	held := make(chan int, 1)
	go func() { held <- deviceMemory(watch, cmd.Process.Pid, s.GPU) }()
	err = cmd.Wait()
	stop()
	device := <-held
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	var t tune.Timing
	if err := json.Unmarshal([]byte(said.String()), &t); err != nil {
		return "", err
	}
	resident := 0.0
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		resident = float64(u.Maxrss) / 1024 // KiB on Linux
	}
	on, largest := "", 0.0
	if device > 0 {
		on = strconv.Itoa(device)
	}
	if len(t.Programs) > 0 {
		largest = float64(t.Programs[0].Temporary) / (1 << 20)
	}
	return fmt.Sprintf("| %s | %d x %d | %.0f | %.0f | %s | %.1f | %.0f | %.0f | %.0f |", c.Name, c.Batch, c.Length,
		float64(plan.Memory(s).Bytes())/(1<<20), resident, on, t.Compile, 1000*t.Step, float64(c.Batch*c.Length)/t.Step, largest), nil
}

// deviceMemory is the most that a process holds of the card, in MiB, until ctx ends; 0 without one.
func deviceMemory(ctx context.Context, pid int, gpu bool) (most int) {
	for gpu && ctx.Err() == nil {
		out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits").Output()
		if err != nil {
			return most
		}
		for line := range strings.Lines(string(out)) {
			id, used, _ := strings.Cut(strings.TrimSpace(line), ", ")
			if n, err := strconv.Atoi(used); err == nil && id == strconv.Itoa(pid) {
				most = max(most, n)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return most
}

// caseWorker trains a case and prints its timing.
func caseWorker(arg string) error {
	debug.SetGCPercent(50)
	var c plan.Case
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return err
	}
	b, err := backend.Open("")
	if err != nil {
		return err
	}
	t, err := tune.Measure(b, c)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}
