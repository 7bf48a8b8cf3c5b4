package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/reward"
)

// Rows of one length, of each kind: every other length is a compilation.

func preferenceRows(n int) (rows []any) {
	for i := range n {
		a, b := fmt.Sprintf("%02d.", (i+1)%100), fmt.Sprintf("%02d!", (i*7+3)%100)
		rows = append(rows, map[string]string{"prompt": fmt.Sprintf("What is %02d plus 1?\n", i%100), "chosen": a, "rejected": b})
	}
	return rows
}

func stepRows(n int) (rows []any) {
	for i := range n {
		step := func(text string, right int) any { return map[string]any{"step": text, "reward": right} }
		rows = append(rows, map[string]any{"problem": fmt.Sprintf("Is %02d odd?", i%100), "final_answer": "yes",
			"steps": []any{step(fmt.Sprintf("so %02d", i%100), 1), step("it is", i%2)}})
	}
	return rows
}

func problemRows(n int) (rows []any) {
	for i := range n {
		rows = append(rows, map[string]string{"question": fmt.Sprintf("What is %02d plus 1?", i%100), "rationale": "so", "answer": fmt.Sprint(i % 10)})
	}
	return rows
}

// letterReward is a reward that a random model reaches sometimes: the share of an answer that
// is in the first half of the alphabet of tokens.
func letterReward(_ context.Context, s reward.Sample) (float64, error) {
	n := 0.0
	for _, id := range s.IDs {
		if id < 40 {
			n++
		}
	}
	return n / float64(len(s.IDs)), nil
}

// often is right for about half of all answers.
func often(_ context.Context, s reward.Sample) (float64, error) {
	if s.IDs[0]%2 == 0 {
		return 1, nil
	}
	return 0, nil
}

var given1 = Options{Rewards: map[string]reward.Func{"letters": letterReward}}

// methodCases are short runs of every method on a tiny model with the Go backend.
var methodCases = []struct {
	name string
	rows func(int) []any
	set  func(*ftlib.Run)
	with Options
}{
	{"reward", preferenceRows, func(r *ftlib.Run) {
		r.Method.Reward = &ftlib.Reward{CenterRewards: 0.01}
		r.LoRA = &ftlib.LoRA{R: 2, Dropout: 0.1}
	}, Options{}},
	{"dpo", preferenceRows, func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{}; r.LoRA = &ftlib.LoRA{R: 2, Dropout: 0.1} }, Options{}},
	{"dpo of all weights", preferenceRows, func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{LossType: []string{"sigmoid", "sft"}} }, Options{}},
	{"kto", preferenceRows, func(r *ftlib.Run) { r.Method.KTO = &ftlib.KTO{}; r.LoRA = &ftlib.LoRA{R: 2} }, Options{}},
	{"orpo", preferenceRows, func(r *ftlib.Run) { r.Method.ORPO = &ftlib.ORPO{}; r.LoRA = &ftlib.LoRA{R: 2} }, Options{}},
	{"cpo", preferenceRows, func(r *ftlib.Run) { r.Method.CPO = &ftlib.CPO{LossType: "simpo"}; r.LoRA = &ftlib.LoRA{R: 2} }, Options{}},
	{"prm", stepRows, func(r *ftlib.Run) { r.Method.PRM = &ftlib.PRM{} }, Options{}},
	{"ppo", problemRows, func(r *ftlib.Run) {
		r.Method.PPO = &ftlib.PPO{Prompts: 8, Epochs: 2, MiniBatches: 2, KLTarget: 0.01, KLHorizon: 20, Rollout: ftlib.Rollout{MaxLength: 6}}
		r.LoRA = &ftlib.LoRA{R: 2}
	}, given1},
	{"ppo of all weights", problemRows, func(r *ftlib.Run) {
		r.Method.PPO = &ftlib.PPO{Prompts: 8, Epochs: 2, MiniBatches: 2, WhitenRewards: true, Rollout: ftlib.Rollout{MaxLength: 6, TopK: 30}}
	}, given1},
	{"grpo", problemRows, func(r *ftlib.Run) {
		r.Method.GRPO = &ftlib.GRPO{Generations: 4, Prompts: 2, Iterations: 2, Beta: 0.04, Rollout: ftlib.Rollout{MaxLength: 6}}
		r.LoRA = &ftlib.LoRA{R: 2}
	}, given1},
	{"rloo", problemRows, func(r *ftlib.Run) {
		r.Method.RLOO = &ftlib.RLOO{Generations: 2, Prompts: 8, Rollout: ftlib.Rollout{MaxLength: 6}}
		r.LoRA = &ftlib.LoRA{R: 2}
	}, given1},
	{"star", problemRows, func(r *ftlib.Run) {
		r.Method.STaR = &ftlib.STaR{Rounds: 3, StartSteps: 2, Problems: 20, Samples: 2, Rollout: ftlib.Rollout{MaxLength: 6}}
		r.LoRA = &ftlib.LoRA{R: 2}
	}, Options{Rewards: map[string]reward.Func{"often": often}}},
}

func methodSpec(t *testing.T, model, data string, set func(*ftlib.Run)) ftlib.Run {
	t.Helper()
	r := ftlib.Run{Name: "whole", Out: filepath.Join(t.TempDir(), "runs"), Model: ftlib.Model{Path: model, Backend: "go"}, Data: ftlib.Data{Train: data}}
	r.Optim.LearningRate, r.Optim.WeightDecay = 0.02, 0.01
	r.Batch.Size, r.Batch.Accumulate, r.Batch.MaxSteps = 4, 1, 6
	r.Eval.Every, r.Eval.Rows, r.Save.Every, r.Save.Keep = 3, 4, 6, -1
	set(&r)
	return r
}

// stopAfter interrupts a run behind a step.
func stopAfter(t *testing.T, run ftlib.Run, o Options, step int) Result {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
		if e.Type == ftlib.EventStep && e.Step == step {
			cancel()
		}
		return nil
	})
	res, err := Run(ctx, run, o)
	if err != nil || res.Status != ckpt.Interrupted || res.Step != step {
		t.Fatalf("stopped at %d: %+v, %v", step, res, err)
	}
	return res
}

// sameEnd compares all weights, moments, positions, events and answers of two runs.
func sameEnd(t *testing.T, dir, other string) {
	t.Helper()
	x, err := ckpt.Find(dir, "latest")
	if err != nil {
		t.Fatal(err)
	}
	y, err := ckpt.Find(other, "latest")
	if err != nil {
		t.Fatal(err)
	}
	compareState(t, x.Path, y.Path)
	if x.Step != y.Step || string(x.Loop) != string(y.Loop) {
		t.Errorf("steps %d and %d; the states of the loop:\n%s\n%s", x.Step, y.Step, x.Loop, y.Loop)
	}
	a, _ := ckpt.Events(dir)
	b, _ := ckpt.Events(other)
	p, q := trained(a), trained(b)
	if len(p) == 0 || len(p) != len(q) {
		t.Fatalf("%d and %d events", len(p), len(q))
	}
	for i := range p {
		if !reflect.DeepEqual(p[i], q[i]) {
			t.Errorf("event %d:\n%+v\n%+v", i, p[i], q[i])
		}
	}
	for _, name := range []string{completionsFile, filepath.Join("rounds", "round-2.parquet")} {
		u, err := os.ReadFile(filepath.Join(dir, name))
		v, err2 := os.ReadFile(filepath.Join(other, name))
		if os.IsNotExist(err) && os.IsNotExist(err2) {
			continue
		}
		if string(u) != string(v) {
			t.Errorf("%s differs: %d and %d bytes, %v, %v", name, len(u), len(v), err, err2)
		}
	}
}

// Every method, interrupted behind any step, inside a rollout or a round as well, and
// resumed, is the run that was never interrupted, bit for bit. The same seed gives the same
// run; another seed another.
func TestMethodsResumeBitForBit(t *testing.T) {
	model := tinyModel(t)
	for _, c := range methodCases {
		t.Run(c.name, func(t *testing.T) {
			data := jsonl(t, c.rows(60)...)
			spec := methodSpec(t, model, data, c.set)
			whole, err := Run(context.Background(), spec, c.with)
			if err != nil || whole.Status != ckpt.Finished {
				t.Fatalf("%+v, %v", whole, err)
			}
			for _, stop := range []int{1, 3, 4} {
				if stop >= whole.Step {
					t.Fatalf("the run has %d steps", whole.Step)
				}
				part := spec
				part.Name = fmt.Sprint("part-", stop)
				if stop == 4 && testing.Short() {
					continue
				}
				res := stopAfter(t, part, c.with, stop)
				if rest, err := Resume(context.Background(), res.Dir, c.with); err != nil || rest.Status != ckpt.Finished {
					t.Fatalf("%+v, %v", rest, err)
				}
				sameEnd(t, whole.Dir, res.Dir)
			}
			spec.Name, spec.Seed = "other", 7
			other, err := Run(context.Background(), spec, c.with)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := os.ReadFile(filepath.Join(whole.Checkpoint, stateFile))
			b, _ := os.ReadFile(filepath.Join(other.Checkpoint, stateFile))
			if string(a) == string(b) {
				t.Error("another seed gives the same weights: the comparison sees nothing")
			}
		})
	}
}
