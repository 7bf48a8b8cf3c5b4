package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunsPage(t *testing.T) {
	dir := t.TempDir()
	fakeRun(t, dir, "low", 1e-4, 1.5)
	fakeRun(t, dir, "high", 1e-3, 0.5)
	path := filepath.Join(dir, "runs.html")
	if code, _, stderr := ft(t, "runs", "compare", "low", "high", "--dir", dir, "--html", path); code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<h1>low, high</h1>", ">optim.learning_rate<", ">0.0001<", ">0.5000<", "ftlabChart.draw"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

func TestRunsTensorBoard(t *testing.T) {
	dir := t.TempDir()
	fakeRun(t, dir, "a", 1e-4, 1.5)
	logdir := filepath.Join(dir, "tb")
	if code, stdout, stderr := ft(t, "runs", "tensorboard", "a", "--dir", dir, "--logdir", logdir); code != 0 || strings.TrimSpace(stdout) != filepath.Join(logdir, "a") {
		t.Fatalf("%d %s %s", code, stdout, stderr)
	}
	files, _ := filepath.Glob(filepath.Join(logdir, "a", "events.out.tfevents.*"))
	if len(files) != 1 {
		t.Fatalf("%q", files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil || strings.Count(string(data), "train/loss") != 4 || strings.Count(string(data), "eval/loss") != 2 {
		t.Errorf("%d steps, %d evaluations, %v", strings.Count(string(data), "train/loss"), strings.Count(string(data), "eval/loss"), err)
	}
}
