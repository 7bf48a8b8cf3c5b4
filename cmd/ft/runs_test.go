package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// fakeRun makes a run of four steps with checkpoints at 2 and 4, as training leaves it.
func fakeRun(t *testing.T, out, name string, lr, last float64) string {
	t.Helper()
	run := ftlib.Run{Name: name, Out: out, Model: ftlib.Model{Path: "models/tiny"}, Data: ftlib.Data{Train: "rows.jsonl"}, LoRA: &ftlib.LoRA{R: 8}}
	run.Optim.LearningRate = lr
	run = run.Resolve()
	d, err := ckpt.Create(run.Dir(), run, ckpt.NewEnv())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	emit := func(e ftlib.Event) {
		at = at.Add(time.Second)
		e.Time, e.Steps = at, 4
		if err := d.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	for step := 1; step <= 4; step++ {
		loss := 2 + (last-2)*float64(step)/4
		emit(ftlib.Event{Type: ftlib.EventStep, Step: step, Loss: &loss, Seen: 100 * step})
		if step%2 == 0 {
			eval := loss + 0.1
			emit(ftlib.Event{Type: ftlib.EventEval, Step: step, Metrics: map[string]float64{"eval_loss": eval, "perplexity": 9}})
			if _, err := d.Save(ckpt.Checkpoint{Step: step, Steps: 4, TrainLoss: &loss, EvalLoss: &eval}, func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte("{}"), 0o644)
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	emit(ftlib.Event{Type: ftlib.EventEnd, Step: 4, Message: ckpt.Finished})
	return run.Dir()
}

func TestRunsListShowCompare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	if code, stdout, _ := ft(t, "runs", "list", "--dir", dir); code != exitOK || !strings.Contains(stdout, "no runs in "+dir) {
		t.Errorf("empty list: %d, %q", code, stdout)
	}
	fakeRun(t, dir, "a", 1e-4, 1)
	fakeRun(t, dir, "b", 2e-4, 0.5)

	code, stdout, stderr := ft(t, "runs", "list", "--dir", dir)
	for _, want := range []string{"a ", "finished", "4/4", "1.1000", "0.6000", "sft lora r=8", "tiny", "rows.jsonl"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("list: %d, no %q in\n%s%s", code, want, stdout, stderr)
		}
	}
	_, stdout, _ = ft(t, "runs", "list", "--dir", dir, "--json")
	var infos []ckpt.Info
	if err := json.Unmarshal([]byte(stdout), &infos); err != nil || len(infos) != 2 || *infos[1].BestLoss != 0.6 || len(infos[0].Checkpoints) != 2 {
		t.Errorf("list --json: %v, %s", err, stdout)
	}

	_, stdout, _ = ft(t, "runs", "show", "a", "--dir", dir)
	for _, want := range []string{"finished, step 4 of 4", "training loss", "█▆▃▁", "lora.r", "step-4", "best, latest"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("show: no %q in\n%s", want, stdout)
		}
	}

	_, stdout, _ = ft(t, "runs", "compare", "a", filepath.Join(dir, "b"), "--dir", dir)
	for _, want := range []string{"optim.learning_rate", "0.0001", "0.0002", "best_eval_loss", "validation loss"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("compare: no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "lora.r") || strings.Contains(stdout, "seed") {
		t.Errorf("compare shows what is equal:\n%s", stdout)
	}
	column := map[int]bool{}
	for _, line := range strings.Split(strings.TrimRight(stdout, "\n"), "\n") {
		for _, value := range []string{"0.0001", "1.1000"} {
			if i := strings.Index(line, value); i >= 0 {
				column[i] = true
			}
		}
	}
	if len(column) != 1 {
		t.Errorf("columns do not stand under each other:\n%s", stdout)
	}
	_, stdout, _ = ft(t, "runs", "compare", "a", "b", "--dir", dir, "--json")
	var c ckpt.Comparison
	if err := json.Unmarshal([]byte(stdout), &c); err != nil || len(c.Settings) != 1 || fmt.Sprint(c.Settings["optim.learning_rate"]) != "[0.0001 0.0002]" ||
		*c.Results["train_loss"][1] != 0.5 {
		t.Errorf("compare --json: %v, %s", err, stdout)
	}

	if code, _, stderr := ft(t, "runs", "show", "none", "--dir", dir); code != exitUsage || !strings.Contains(stderr, `no run "none"`) {
		t.Errorf("a run that is not there: %d, %s", code, stderr)
	}
}

func TestRunsBranchAndRollback(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	path := fakeRun(t, dir, "a", 1e-4, 1)
	code, stdout, stderr := ft(t, "runs", "branch", "a", "--dir", dir, "--step", "2", "--set", "optim.learning_rate=5e-5", "--no-train", "--json")
	var made struct{ Run string }
	if err := json.Unmarshal([]byte(stdout), &made); code != exitOK || err != nil {
		t.Fatalf("%d, %v, %s", code, err, stderr)
	}
	info, err := ckpt.Read(made.Run)
	if err != nil || info.Step != 2 || info.Run.Optim.LearningRate != 5e-5 || info.Run.Parent == nil || info.Run.Parent.Step != 2 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, stdout, _ := ft(t, "runs", "show", made.Run); !strings.Contains(stdout, "branched from "+path+" at step 2") {
		t.Errorf("the parent is not shown:\n%s", stdout)
	}
	if code, _, stderr := ft(t, "runs", "branch", path, "--set", "lora.r=2", "--no-train"); code != exitUsage || !strings.Contains(stderr, "cannot change lora.r") {
		t.Errorf("%d, %s", code, stderr)
	}

	if code, _, stderr := ft(t, "runs", "rollback", path); code != exitUsage {
		t.Errorf("rollback without a step: %d, %s", code, stderr)
	}
	if code, stdout, stderr := ft(t, "runs", "rollback", path, "--step", "2"); code != exitOK || !strings.Contains(stdout, "ends at step 2 now") {
		t.Errorf("%d, %s%s", code, stdout, stderr)
	}
	if info, err := ckpt.Read(path); err != nil || info.Step != 2 || len(info.Checkpoints) != 1 {
		t.Errorf("after the rollback: %+v, %v", info, err)
	}
}

func TestTrainChecksItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("model: {path: m}\ndata: {train: d}\noptim: {learning_rte: 1}\n")
	if code, _, stderr := ft(t, "train", path); code != exitUsage || !strings.Contains(stderr, `run.yaml line 3: unknown key "optim.learning_rte"; did you mean "optim.learning_rate"?`) {
		t.Errorf("%d, %s", code, stderr)
	}
	write("model: {path: m}\n")
	if code, _, stderr := ft(t, "train", path, "--set", "batch.max_steps=-3"); code != exitUsage || !strings.Contains(stderr, "data.train: missing") || !strings.Contains(stderr, "batch.max_steps: -3") {
		t.Errorf("%d, %s", code, stderr)
	}
	if code, _, stderr := ft(t, "train", path, "--set", "lora.rr=3"); code != exitUsage || !strings.Contains(stderr, `did you mean "lora.r"?`) {
		t.Errorf("%d, %s", code, stderr)
	}
	if code, _, _ := ft(t, "train", filepath.Join(t.TempDir(), "none.yaml")); code != exitUsage {
		t.Errorf("a file that is not there: %d", code)
	}
	if code, stdout, _ := ft(t, "train", "--keys"); code != exitOK || !strings.Contains(stdout, "optim.learning_rate") || !strings.Contains(stdout, "2e-4 with LoRA") {
		t.Errorf("--keys: %d, %s", code, stdout)
	}
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		values []float64
		width  int
		want   string
	}{{[]float64{0, 7}, 9, "▁█"}, {[]float64{1, 1, 1}, 9, "▁▁▁"}, {[]float64{0, 2, 4, 6}, 2, "▁█"}, {nil, 5, ""}, {[]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, "▁▂▃▄▅▆▇█"}} {
		if got := sparkline(c.values, c.width); got != c.want {
			t.Errorf("%v: %s, want %s", c.values, got, c.want)
		}
	}
}
