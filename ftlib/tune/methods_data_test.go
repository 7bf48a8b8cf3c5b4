package tune

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/internal/testkit"
)

// brief makes a few steps of a run file of it, on the teaching model alone.
func brief(t *testing.T, run ftlib.Run, out string) ftlib.Run {
	t.Helper()
	root := testkit.Root()
	run.Out, run.Seed = out, 1
	run.Model.Path = filepath.Join(root, "models", "ft-tiny")
	run.Data.Train = filepath.Join(root, run.Data.Train)
	run.Data.Limit = 200
	run.Batch.Size, run.Batch.Accumulate, run.Batch.MaxSteps = 8, 1, 2
	run.Eval.Every, run.Eval.Rows, run.Save = 2, 8, ftlib.Save{}
	if s := run.Method.STaR; s != nil {
		s.Problems, s.StartSteps, s.MaxLength = 32, 1, 24
	}
	if p := run.Method.PPO; p != nil {
		p.Prompts, p.MaxLength = 16, 16
	}
	for _, r := range []*ftlib.Rollout{rolloutOf(&run.Method)} {
		if r != nil {
			r.MaxLength = min(r.MaxLength, 24)
		}
	}
	return run
}

func rolloutOf(m *ftlib.Method) *ftlib.Rollout {
	switch {
	case m.GRPO != nil:
		return &m.GRPO.Rollout
	case m.RLOO != nil:
		return &m.RLOO.Rollout
	}
	return nil
}

// Every run file of docs/examples/methods trains, in its order: those that others begin with
// come first.
func TestMethodExamplesTrain(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Root(), "docs", "examples", "methods", "*.yaml"))
	if err != nil || len(files) < 11 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	if _, err := backend.Open(""); err != nil {
		t.Skipf("SKIPPED: no backend: %v", err)
	}
	out := t.TempDir()
	first := func(f string) int {
		return slices.Index([]string{"reward.yaml"}, filepath.Base(f)) // PPO is judged by it
	}
	slices.SortFunc(files, func(a, b string) int {
		if x, y := first(a), first(b); x != y {
			return y - x
		}
		return strings.Compare(a, b)
	})
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			run, err := ftlib.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := run.Validate(); err != nil {
				t.Fatal(err)
			}
			run = brief(t, run, out)
			if p := run.Method.PPO; p != nil {
				p.Rewards[0].Path = filepath.Join(out, "reward", "step-2")
			}
			res, err := Run(context.Background(), run, Options{})
			if err != nil || res.Status != ckpt.Finished || res.Step == 0 || len(res.Eval) < 2 {
				t.Fatalf("%+v, %v", res, err)
			}
		})
	}
}

// The presets of the guide's tutorials are valid specifications.
func TestPresetsAreValid(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Root(), "docs", "presets", "*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d presets, %v", len(files), err)
	}
	for _, file := range files {
		run, err := ftlib.ReadFile(file)
		if err == nil {
			err = run.Validate()
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		if data, _ := os.ReadFile(file); !strings.Contains(string(data), "ft train docs/presets/"+filepath.Base(file)) {
			t.Errorf("%s does not say how it is run", file)
		}
	}
}

// The Go programs for the methods compile: they are no package, so nothing else looks.
func TestScriptsCompile(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Root(), "scripts", "examples", "*.go"))
	if err != nil || len(files) < 11 {
		t.Fatalf("%d programs, %v", len(files), err)
	}
	for _, file := range files {
		cmd := exec.Command("go", "vet", file)
		cmd.Dir = testkit.Root()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, out)
		}
	}
}

// realRows writes the first n rows of a shared file that fit as a file of their own.
func realRows(t *testing.T, name string, n int, fits func(corpus.Row) bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	err := corpus.WriteRows(path, func(yield func(corpus.Row, error) bool) {
		got := 0
		for row, err := range corpus.Open(testkit.SharedData(t, name), corpus.OpenOptions{}) {
			if err != nil {
				yield(row, err)
				return
			}
			if !fits(row) {
				continue
			}
			if got++; got > n || !yield(row, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Reward model and DPO on real conversations, GRPO, PPO and STaR on real problems, with a model of
// stories: it learns nothing of either; loop, memory and formats must hold.
func TestMethodsOnRealData(t *testing.T) {
	model := testkit.SharedData(t, "stories260K")
	if _, err := backend.Open(""); err != nil {
		t.Skipf("SKIPPED: no backend: %v", err)
	}
	brief := func(r corpus.Row) bool {
		n := 0
		for _, v := range r.Values {
			if s, ok := v.(string); ok {
				n += len(s)
			}
		}
		return n < 500
	}
	pairs := realRows(t, "hh-rlhf/harmless-base_test.jsonl.gz", 60, brief)
	problems := realRows(t, "gsm8k/train.parquet", 60, brief)
	for name, c := range map[string]struct {
		data string
		set  func(*ftlib.Run)
	}{
		"reward": {pairs, func(r *ftlib.Run) { r.Method.Reward = &ftlib.Reward{} }},
		"dpo":    {pairs, func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{} }},
		"grpo": {problems, func(r *ftlib.Run) {
			r.Method.GRPO = &ftlib.GRPO{Generations: 4, Rollout: ftlib.Rollout{MaxLength: 24, Rewards: []ftlib.RewardFunc{
				{Use: "accuracy", Kind: "gsm8k"}, {Use: "length", MaxLen: 12, Weight: 0.1}}}}
		}},
		"ppo": {problems, func(r *ftlib.Run) {
			r.Method.PPO = &ftlib.PPO{Prompts: 8, Rollout: ftlib.Rollout{MaxLength: 24, Rewards: []ftlib.RewardFunc{{Use: "length", MaxLen: 12}}}}
			r.Batch.Accumulate = 2
		}},
		"star": {problems, func(r *ftlib.Run) { // any answer is right: the rows are what is tried
			r.Method.STaR = &ftlib.STaR{Rounds: 2, StartSteps: 1, Problems: 16, Rollout: ftlib.Rollout{MaxLength: 24,
				Rewards: []ftlib.RewardFunc{{Use: "format", Pattern: `\w`}}}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			run := ftlib.Run{Name: name, Out: t.TempDir(), Model: ftlib.Model{Path: model}, LoRA: &ftlib.LoRA{R: 4}}
			run.Data = ftlib.Data{Train: c.data, MaxLength: 256, Insist: true}
			if name == "reward" || name == "dpo" {
				run.Data.Template = "guanaco"
			} else {
				run.Data.Prompt = "Question: {prompt}\nAnswer:"
			}
			run.Batch = ftlib.Batch{Size: 4, MaxSteps: 3}
			run.Eval = ftlib.Eval{Every: 3, Rows: 8}
			c.set(&run)
			res, err := Run(context.Background(), run, Options{})
			if err != nil || res.Status != ckpt.Finished || res.Step < 2 {
				t.Fatalf("%+v, %v", res, err)
			}
		})
	}
}
