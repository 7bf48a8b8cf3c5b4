package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var methodBenches = []bench{
	{"dpo", func(o options) (result, error) { return methodBench("dpo", o) }},
	{"grpo", func(o options) (result, error) { return methodBench("grpo", o) }},
	{"ppo", func(o options) (result, error) { return methodBench("ppo", o) }},
}

// methodRun is one method on our side: what run.yaml says, the samples of a step of the peer's, and how
// many of our optimizer steps these take.
type methodRun struct {
	yaml    string
	samples int
	steps   int
	unit    string
}

var methodRuns = map[string]methodRun{
	"dpo": {"method: dpo\ndata: {train: %[1]s, max_length: 256, validation_split: -1, insist: true}\nbatch: {per_device_train_batch_size: 8, max_steps: %[2]d}\n",
		1, 1, "steps/s"},
	"grpo": {"method: {grpo: {max_completion_length: 64, num_generations: 8, rewards: [{use: length, max_len: 64}]}}\n" +
		"data: {train: %[1]s, validation_split: -1, insist: true}\nbatch: {per_device_train_batch_size: 16, max_steps: %[2]d}\n", 16, 1, "samples/s"},
	"ppo": {"method: {ppo: {max_completion_length: 64, temperature: 0.7, rollout_batch_size: 16, num_ppo_epochs: 4, rewards: [{use: model, path: %[3]s}]}}\n" +
		"data: {train: %[1]s, validation_split: -1, insist: true}\nbatch: {per_device_train_batch_size: 16, max_steps: %[2]d}\n", 16, 4, "samples/s"},
}

// methodBench runs a method with ft and with TRL in turn, whole processes each, and compares
// the seconds of a step, or of what makes as many samples, once everything is compiled.
func methodBench(name string, o options) (result, error) {
	dir, err := os.MkdirTemp("", "ftlab-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	rows := filepath.Join(dir, "rows.jsonl")
	if err := preferenceRows(rows); err != nil {
		return result{}, err
	}
	scorer := filepath.Join(dir, "peer-scorer")
	if name == "ppo" {
		if out, err := exec.Command(o.python, o.peer, "scorer", o.model, scorer).CombinedOutput(); err != nil {
			return result{}, fmt.Errorf("scorer: %w\n%s", err, out)
		}
		if err := copyTokenizer(o.model, scorer); err != nil {
			return result{}, err
		}
	}
	m := methodRuns[name]
	const steps = 16 // of the peer
	var ours, peer []float64
	for i := range few(o) {
		a, err := ourSteps(name, m, steps, rows, scorer, filepath.Join(dir, fmt.Sprint("ours-", i)), o)
		if err != nil {
			return result{}, err
		}
		b, err := peerSteps(name, steps, rows, filepath.Join(dir, "peer"), o)
		if err != nil {
			return result{}, err
		}
		ours, peer = append(ours, a...), append(peer, b...)
	}
	a, b := median(ours), median(peer)
	return result{Name: name, Ratio: b / a, Better: "higher", Ours: float64(m.samples) / a, Peer: float64(m.samples) / b, Unit: m.unit, MS: a * 1e3, Rounds: few(o)}, nil
}

// ourSteps are the seconds of steps of ft train, as its metrics tell.
func ourSteps(name string, m methodRun, steps int, rows, scorer, out string, o options) ([]float64, error) {
	spec := out + ".yaml"
	yaml := fmt.Sprintf("name: run\noutput_dir: %s\nmodel: {path: %s}\nlora: {r: 16}\noptim: {learning_rate: 1e-4}\nsave: {save_steps: -1}\n", out, o.model)
	format := m.yaml
	if !strings.Contains(format, "%[3]s") {
		format += "%[3]s"
		scorer = ""
	}
	yaml += fmt.Sprintf(format, rows, (steps+2)*m.steps, scorer)
	if err := os.WriteFile(spec, []byte(yaml), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(o.ft, "train", spec)
	cmd.Env = plainEnv()
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ft train of %s: %w\n%s", name, err, text)
	}
	f, err := os.Open(filepath.Join(out, "run", "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var times []time.Time
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e struct {
			Time time.Time `json:"time"`
			Type string    `json:"type"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		if e.Type == "step" {
			times = append(times, e.Time)
		}
	}
	var all []float64
	for i := 3 * m.steps; i < len(times); i += m.steps { // the first ones compile
		all = append(all, times[i].Sub(times[i-m.steps]).Seconds())
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %d steps are too few", name, len(times))
	}
	return all, nil
}

// peerSteps are the seconds of the peer's steps.
func peerSteps(name string, steps int, rows, out string, o options) ([]float64, error) {
	cmd := exec.Command(o.python, o.peer, name, o.model, rows, out, fmt.Sprint(steps))
	cmd.Env = plainEnv()
	if name == "ppo" {
		cmd.Env = append(cmd.Env, "PYTHONPATH="+os.Getenv("FTLAB_TRL_PPO"))
	}
	text, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		return nil, fmt.Errorf("the peer's %s: %w\n%s", name, err, strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
	var all []float64
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "step "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err == nil {
				all = append(all, v)
			}
		}
	}
	if len(all) < 3 {
		return nil, fmt.Errorf("the peer's %s printed %d steps", name, len(all))
	}
	return all[1:], nil
}

// preferenceRows writes pairs of about 200 tokens for a small tokenizer.
func preferenceRows(path string) error {
	words := strings.Fields("the little dog and a big red ball went to play in the park with mom dad he she was very happy sad one day they saw tree bird cat house garden sun")
	rng := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		var out []string
		for range n {
			out = append(out, words[rng.IntN(len(words))])
		}
		return " " + strings.Join(out, " ") + "."
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	for i := range 400 {
		row := map[string]string{"prompt": fmt.Sprintf("Once upon a time, day %d,", i), "chosen": text(70 + rng.IntN(30)), "rejected": text(70 + rng.IntN(30))}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return f.Close()
}

// copyTokenizer makes a model directory complete.
func copyTokenizer(from, to string) error {
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
