package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/sweep"
)

// A directory of a sweep is shown without training: the table, the best run's file, charts.
func TestSweepOfADirectory(t *testing.T) {
	s, err := sweep.Decode([]byte("run: {model: {path: m}, data: {train: rows.jsonl}, lora: {}}\nover: {optim.learning_rate: [0.1, 0.2, 0.3]}\nname: rates\noutput_dir: "+t.TempDir()), "s.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	for name, last := range map[string]float64{"001": 1.5, "002": 0.5} { // the third was never begun
		fakeRun(t, s.Dir(), name, 1, last)
	}
	var list []trialJSON
	if _, out, _ := ft(t, "sweep", s.Dir(), "--json"); json.Unmarshal([]byte(out), &list) != nil || len(list) != 3 || list[0].Trial != "002" || *list[0].Value != 0.6 || list[2].Value != nil {
		t.Errorf("%+v", list)
	}
	_, out, _ := ft(t, "sweep", s.Dir())
	if rows := strings.Split(out, "\n"); !strings.HasPrefix(rows[1], "002    0.2 ") || !strings.Contains(rows[1], "0.6000") || !strings.HasPrefix(rows[3], "003    0.3 ") {
		t.Errorf("%s", out)
	}
	run, err := ftlib.ReadFile(filepath.Join(s.Dir(), "best.yaml"))
	if err != nil || run.Optim.LearningRate != 0.2 || run.Name != "" {
		t.Errorf("%+v, %v", run, err)
	}
	if page, err := os.ReadFile(filepath.Join(s.Dir(), "sweep.html")); err != nil || !strings.Contains(string(page), "eval_loss over learning_rate") {
		t.Errorf("the page: %v", err)
	}
}

func TestSweepList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(path, []byte("run: {model: {path: m}, data: {train: rows.jsonl}, batch: {max_steps: 90}}\nover: {seed: [1, 2]}\nsearch: halving\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ft(t, "sweep", path, "--list"); code != 0 || out != "001  seed=1\n002  seed=2\ncompared after 10 30 90 steps; one in 3 goes on\n" {
		t.Errorf("%d: %q", code, out)
	}
}

func TestBadSweeps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.yaml")
	if err := os.WriteFile(path, []byte("run: {model: {path: m}, data: {train: rows.jsonl}}\nover: {lora.alpha: [1]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{path, "lora.lora_alpha"}, {dir, "is no sweep"}, {filepath.Join(dir, "none.yaml"), "no such file"}} {
		if code, _, stderr := ft(t, "sweep", c[0]); code != exitUsage || !strings.Contains(stderr, c[1]) {
			t.Errorf("%s: %d %s", c[0], code, stderr)
		}
	}
}
