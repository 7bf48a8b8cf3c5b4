package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// whole runs a program until it prints a line with mark, and returns the seconds
// from its start to that line and its peak resident size when it has ended, GiB.
func whole(mark, program string, args ...string) (seconds, peak float64, err error) {
	cmd := exec.Command(program, args...)
	cmd.Env = plainEnv()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	cmd.Stderr = cmd.Stdout
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	var tail []string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if seconds == 0 && strings.Contains(lines.Text(), mark) {
			seconds = time.Since(start).Seconds()
		}
		tail = append(tail, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		return 0, 0, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, strings.Join(tail[max(0, len(tail)-5):], "\n"))
	}
	if seconds == 0 {
		return 0, 0, fmt.Errorf("%s never printed %q", program, mark)
	}
	return seconds, peakOf(cmd), nil
}

// fineTunes runs the same short fine-tuning of the small model with ft and with TRL's
// SFTTrainer in turn, whole processes each.
func fineTunes(o options, rounds int) (ours, peer, ourPeak, peerPeak []float64, err error) {
	dir, err := os.MkdirTemp("", "ftlab-bench-")
	if err != nil {
		return nil, nil, nil, nil, err
	}
	defer os.RemoveAll(dir)
	for i := range rounds {
		out := filepath.Join(dir, fmt.Sprint(i))
		spec := filepath.Join(dir, "run.yaml")
		yaml := fmt.Sprintf("output_dir: %s\nmodel: {path: %s}\ndata: {train: %s, max_length: 128, validation_split: -1, insist: true}\nlora: {r: 16}\noptim: {learning_rate: 1e-3}\nbatch: {per_device_train_batch_size: 4, max_steps: 5}\nsave: {save_steps: -1}\n", out, o.model, o.data)
		if err := os.WriteFile(spec, []byte(yaml), 0o644); err != nil {
			return nil, nil, nil, nil, err
		}
		s, p, err := whole("step 1/5", o.ft, "train", spec)
		if err != nil {
			return nil, nil, nil, nil, err
		}
		ours, ourPeak = append(ours, s), append(ourPeak, p)
		s, p, err = whole("first step done", o.python, o.peer, "sft", o.model, o.data, out+"-peer")
		if err != nil {
			return nil, nil, nil, nil, err
		}
		peer, peerPeak = append(peer, s), append(peerPeak, p)
	}
	return ours, peer, ourPeak, peerPeak, nil
}

// few is the number of rounds of whole processes: they take seconds each.
func few(o options) int { return min(o.rounds, 5) }

func firstStepBench(o options) (result, error) {
	ours, peer, _, _, err := fineTunes(o, few(o))
	if err != nil {
		return result{}, err
	}
	a, b := median(ours), median(peer)
	return result{Name: "first_step", Ratio: a / b, Better: "lower", Ours: a, Peer: b, Unit: "s", MS: a * 1e3, Rounds: few(o)}, nil
}

func peakBench(o options) (result, error) {
	_, _, ours, peer, err := fineTunes(o, min(few(o), 3))
	if err != nil {
		return result{}, err
	}
	a, b := median(ours), median(peer)
	return result{Name: "peak", Ratio: a / b, Better: "lower", Ours: a, Peer: b, Unit: "GiB", PeakGiB: a, Rounds: min(few(o), 3)}, nil
}
