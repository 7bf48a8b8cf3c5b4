package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/safetensors"
)

// finalWeights are the trained weights of a checkpoint.
func finalWeights(t *testing.T, checkpoint string) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(checkpoint, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]float32{}
	for _, name := range f.Names() {
		if strings.Contains(name, "optim.") {
			continue
		}
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = x.Float32s(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Two micro-batches of four are one of eight: losses are means over the pairs, answers, steps
// or tokens of the whole optimizer step. KTO is left out: its KL estimate is one of the
// micro-batch, as it is in TRL.
func TestAccumulationEqualsOneBatch(t *testing.T) {
	model := tinyModel(t)
	for _, c := range methodCases {
		if c.name == "kto" || c.name == "star" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			data := jsonl(t, c.rows(40)...)
			var ends []map[string][]float32
			for _, size := range []int{8, 4} {
				spec := methodSpec(t, model, data, c.set)
				if spec.LoRA != nil {
					spec.LoRA.Dropout = 0
				}
				spec.Batch.Size, spec.Batch.Accumulate, spec.Batch.MaxSteps, spec.Batch.NoShuffle = size, 8/size, 2, true
				spec.Eval.Every = -1
				// Adam divides by the size of a gradient: where that is rounding, so is the step.
				spec.Optim.Epsilon, spec.Optim.LearningRate = 1e-2, 0.05
				if p := spec.Method.PPO; p != nil {
					p.MiniBatches = 1
				}
				res, err := Run(context.Background(), spec, c.with)
				if err != nil {
					t.Fatal(err)
				}
				ends = append(ends, finalWeights(t, res.Checkpoint))
			}
			worst := 0.0
			for name, a := range ends[0] {
				for i, v := range a {
					worst = max(worst, math.Abs(float64(v-ends[1][name][i])))
				}
			}
			if worst > 2e-5 {
				t.Errorf("weights differ by %g", worst)
			}
		})
	}
}

// Before the first step policy and reference are one: the loss of DPO is ln 2, with an
// adapter and with all weights.
func TestDPOBeginsAtLn2(t *testing.T) {
	model, data := tinyModel(t), jsonl(t, preferenceRows(40)...)
	for name, set := range map[string]func(*ftlib.Run){
		"adapter":     func(r *ftlib.Run) { r.LoRA = &ftlib.LoRA{R: 2} },
		"all weights": func(*ftlib.Run) {},
		"recomputed":  func(r *ftlib.Run) { r.LoRA = &ftlib.LoRA{R: 2}; r.Method.DPO.Recompute = true },
	} {
		t.Run(name, func(t *testing.T) {
			spec := methodSpec(t, model, data, func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{}; set(r) })
			res, err := Run(context.Background(), spec, Options{})
			if err != nil || math.Abs(res.FirstLoss-math.Ln2) > 1e-6 {
				t.Errorf("%v, %v", res.FirstLoss, err)
			}
			if res.Loss >= res.FirstLoss {
				t.Errorf("the loss went from %v to %v", res.FirstLoss, res.Loss)
			}
		})
	}
	spec := methodSpec(t, model, data, func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{Recompute: true} })
	if _, err := Run(context.Background(), spec, Options{}); err == nil || !strings.Contains(err.Error(), "use lora") {
		t.Errorf("a reference that is gone: %v", err)
	}
}

// The reference of an adapter, the base with the adapter off, says what a reference that was
// asked once before all weights train says; also after steps of the policy.
func TestReferenceIsTheModelBefore(t *testing.T) {
	model, data := tinyModel(t), jsonl(t, preferenceRows(40)...)
	var all [][][]float64
	for _, lora := range []bool{true, false} {
		spec := methodSpec(t, model, data, func(r *ftlib.Run) {
			r.Method.DPO = &ftlib.DPO{Recompute: lora}
			if lora {
				r.LoRA = &ftlib.LoRA{R: 2}
			}
		}).Resolve()
		p, err := openParts(spec, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		g := p.Stepper.(*grouped)
		b, _, err := p.Data.Train.Next()
		if err != nil {
			t.Fatal(err)
		}
		for step := range 3 { // the policy moves, its reference stays
			if _, err := g.Accumulate(b, 1); err != nil {
				t.Fatal(err)
			}
			if _, err := g.Apply(Hyper{LR: 0.05, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Step: step + 1}); err != nil {
				t.Fatal(err)
			}
		}
		ref, err := g.method.(*dpoMethod).ref.logps(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ref)
	}
	for i, row := range all[0] {
		for k, v := range row {
			if math.Abs(v-all[1][i][k]) > 1e-5 {
				t.Fatalf("token %d of row %d: %v and %v", k, i, v, all[1][i][k])
			}
		}
	}
}

// Hyperparameters of the methods that are set while a run goes on hold from the next step (or
// rollout) on, and are set again by whoever resumes it.
func TestKnobsOfMethodsSurviveResume(t *testing.T) {
	model := tinyModel(t)
	knobs := map[string][]string{"dpo": {"beta"}, "kto": {"beta"}, "orpo": {"beta"}, "cpo": {"beta"}, "ppo": {"kl_coef", "temperature"},
		"grpo": {"epsilon", "beta", "temperature"}, "rloo": {"beta"}}
	for _, c := range methodCases {
		for _, key := range knobs[c.name] {
			t.Run(c.name+" "+key, func(t *testing.T) {
				spec := methodSpec(t, model, jsonl(t, c.rows(60)...), c.set)
				if spec.LoRA.Dropout = 0; spec.Method.GRPO != nil {
					spec.Method.GRPO.Epsilon = 1e-3
				}
				if spec.Method.PPO != nil { // nothing else moves the coefficient
					spec.Method.PPO.KLTarget = 0
				}
				if m := spec.Method.RLOO; m != nil {
					m.Prompts = 4 // a rollout at every second step
				}
				train := func(name string, set bool, stop int) Result {
					run := spec
					run.Name = name
					ctx, cancel := context.WithCancel(context.Background())
					o := c.with
					o.Sink = ftlib.SinkFunc(func(e ftlib.Event) error {
						if e.Type == ftlib.EventStep && e.Step == 1 && set {
							value := 3.0
							if key == "epsilon" {
								value = 0.9
							}
							if _, err := ckpt.Send(run.Dir(), ckpt.Command{Do: ckpt.DoSet, Key: key, Value: value, By: "ada"}); err != nil {
								t.Error(err)
							}
						}
						if e.Type == ftlib.EventStep && e.Step == stop {
							cancel()
						}
						return nil
					})
					res, err := Run(ctx, run, o)
					if err != nil {
						t.Fatal(err)
					}
					return res
				}
				plain, whole := train("plain", false, 0), train("whole", true, 0)
				if reflect.DeepEqual(finalWeights(t, plain.Checkpoint), finalWeights(t, whole.Checkpoint)) {
					t.Fatal("the change changes nothing")
				}
				part := train("part", true, 3)
				if part.Status != ckpt.Interrupted {
					t.Fatalf("%+v", part)
				}
				if rest, err := Resume(context.Background(), part.Dir, c.with); err != nil || rest.Status != ckpt.Finished {
					t.Fatalf("%+v, %v", rest, err)
				}
				if !reflect.DeepEqual(finalWeights(t, whole.Checkpoint), finalWeights(t, filepath.Join(part.Dir, filepath.Base(whole.Checkpoint)))) {
					t.Error("the run that was resumed is another one")
				}
			})
		}
	}
}

// A run that is interrupted while a rollout is judged saves what it had and goes on exactly.
func TestInterruptedRolloutGoesOn(t *testing.T) {
	model := tinyModel(t)
	for _, c := range methodCases {
		if c.with.Rewards == nil || strings.Contains(c.name, "all") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			spec := methodSpec(t, model, jsonl(t, c.rows(60)...), c.set)
			spec.Eval.Every = -1
			var calls atomic.Int64
			counted := func(cancel func()) Options {
				o := Options{Rewards: map[string]reward.Func{}}
				for name, f := range c.with.Rewards {
					o.Rewards[name] = func(ctx context.Context, s reward.Sample) (float64, error) {
						if n := calls.Add(1); cancel != nil && n == 40 { // in a later rollout, or late in the first round
							cancel()
						}
						return f(ctx, s)
					}
				}
				return o
			}
			whole, err := Run(context.Background(), spec, c.with)
			if err != nil {
				t.Fatal(err)
			}
			spec.Name = "part"
			switch c.name { // the first rollout has 8 or 16 answers; it is in the second
			case "ppo", "grpo":
				calls.Store(40 - 12)
			case "rloo":
				calls.Store(40 - 20)
			}
			ctx, cancel := context.WithCancel(context.Background())
			part, err := Run(ctx, spec, counted(cancel))
			if err != nil || part.Status != ckpt.Interrupted {
				t.Fatalf("%+v, %v", part, err)
			}
			rest, err := Resume(context.Background(), part.Dir, c.with)
			if err != nil || rest.Status != ckpt.Finished {
				t.Fatalf("%+v, %v", rest, err)
			}
			if c.name != "star" && part.Step == 0 {
				t.Error("it was interrupted in its first rollout")
			}
			sameEnd(t, whole.Dir, part.Dir)
		})
	}
}

// A reward that fails, panics or is no number for one answer leaves that answer out, is told,
// and ends no run.
func TestRewardThatFailsEndsNoRun(t *testing.T) {
	spec := methodSpec(t, tinyModel(t), jsonl(t, problemRows(60)...), func(r *ftlib.Run) {
		r.Method.GRPO = &ftlib.GRPO{Generations: 4, Prompts: 4, Rollout: ftlib.Rollout{MaxLength: 6}}
		r.LoRA = &ftlib.LoRA{R: 2}
	})
	res, err := Run(context.Background(), spec, Options{Rewards: map[string]reward.Func{"odd": func(ctx context.Context, s reward.Sample) (float64, error) {
		switch s.IDs[0] % 8 {
		case 0:
			return 0, errors.New("no verdict")
		case 1:
			panic("out of range")
		case 2:
			return math.Inf(1), nil
		case 3:
			return reward.None(), nil
		}
		return letterReward(ctx, s)
	}}})
	if err != nil || res.Status != ckpt.Finished {
		t.Fatalf("%+v, %v", res, err)
	}
	told := strings.Join(res.Warnings, "\n")
	for _, want := range []string{"no verdict", "out of range"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q was not told:\n%s", want, told)
		}
	}
	if strings.Contains(told, "NaN") {
		t.Errorf("an answer without a verdict is no failure:\n%s", told)
	}
	data, err := os.ReadFile(filepath.Join(res.Dir, completionsFile))
	if err != nil || !strings.Contains(string(data), `"odd":null`) {
		t.Errorf("the answers: %v", err)
	}
}

// The answers of a run are rows that open like any data.
func TestCompletionsAreData(t *testing.T) {
	c := methodCases[slices.IndexFunc(methodCases, func(m struct {
		name string
		rows func(int) []any
		set  func(*ftlib.Run)
		with Options
	}) bool {
		return m.name == "grpo"
	})]
	res, err := Run(context.Background(), methodSpec(t, tinyModel(t), jsonl(t, c.rows(60)...), c.set), c.with)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for row, err := range corpus.Open(filepath.Join(res.Dir, completionsFile), corpus.OpenOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; row.Values["prompt"] == "" || row.Values["completion"] == nil || row.Values["advantage"] == nil {
			t.Errorf("%+v", row.Values)
		}
	}
	if rows != 2*8 { // rollouts of 2 prompts with 4 answers, each for 4 of 6 steps
		t.Errorf("%d rows", rows)
	}
}

func TestMethodsRefuseWhatTheyCannotTrain(t *testing.T) {
	model := tinyModel(t)
	long := []any{}
	for i := range 40 {
		long = append(long, map[string]any{"problem": fmt.Sprintf("Is %02d odd?", i), "final_answer": "yes",
			"steps": []any{map[string]any{"step": "so it is", "reward": 1}, map[string]any{"step": strings.Repeat("and so on ", 8), "reward": 0}}})
	}
	for name, c := range map[string]struct {
		rows []any
		set  func(*ftlib.Run)
		want []string
	}{
		"packed pairs": {preferenceRows(40), func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{}; r.Data.Packing = true; r.LoRA = &ftlib.LoRA{R: 2} },
			[]string{"data.packing"}},
		"no pairs": {problemRows(40), func(r *ftlib.Run) { r.Method.DPO = &ftlib.DPO{}; r.LoRA = &ftlib.LoRA{R: 2} }, []string{"preferences", "chosen, rejected"}},
		"no steps": {preferenceRows(40), func(r *ftlib.Run) { r.Method.PRM = &ftlib.PRM{} }, []string{"label for each step"}},
		"labels cut off": {long, func(r *ftlib.Run) { r.Method.PRM = &ftlib.PRM{}; r.Data.MaxLength = 40 },
			[]string{"refused", "longer than the maximum length"}},
		"no answers": {preferenceRows(40), func(r *ftlib.Run) {
			r.Method.STaR = &ftlib.STaR{Rollout: ftlib.Rollout{MaxLength: 6}}
			r.LoRA = &ftlib.LoRA{R: 2}
		}, []string{"has no answer"}},
		"odd groups": {problemRows(40), func(r *ftlib.Run) { r.Method.GRPO = &ftlib.GRPO{Generations: 3}; r.LoRA = &ftlib.LoRA{R: 2} },
			[]string{"no whole groups of 3", "num_generations"}},
		"unknown reward": {problemRows(40), func(r *ftlib.Run) {
			r.Method.GRPO = &ftlib.GRPO{Generations: 4, Rollout: ftlib.Rollout{Rewards: []ftlib.RewardFunc{{Use: "charm"}}}}
			r.LoRA = &ftlib.LoRA{R: 2}
		}, []string{"charm", "Options.Rewards"}},
		"a policy as a judge": {problemRows(40), func(r *ftlib.Run) {
			r.Method.GRPO = &ftlib.GRPO{Generations: 4, Rollout: ftlib.Rollout{Rewards: []ftlib.RewardFunc{{Use: "model", Path: model}}}}
			r.LoRA = &ftlib.LoRA{R: 2}
		}, []string{"0 scores", "method: reward"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(context.Background(), methodSpec(t, model, jsonl(t, c.rows...), c.set), Options{})
			if err == nil {
				t.Fatal("it was trained")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// Rankings train a reward model as lists and as all their pairs; preferences train KTO as one
// good and one bad answer each.
func TestRankingsAndUnpairedAnswers(t *testing.T) {
	model := tinyModel(t)
	var rankings []any
	for i := range 40 {
		rankings = append(rankings, map[string]any{"prompt": fmt.Sprintf("Say %02d\n", i), "responses": []any{
			map[string]any{"text": "bad!", "rank": 3}, map[string]any{"text": "good", "rank": 1}, map[string]any{"text": "so so", "rank": 2}}})
	}
	for _, listwise := range []bool{true, false} {
		spec := methodSpec(t, model, jsonl(t, rankings...), func(r *ftlib.Run) {
			r.Method.Reward = &ftlib.Reward{Listwise: listwise}
			r.Batch.MaxSteps = 25
		})
		res, err := Run(context.Background(), spec, Options{})
		if err != nil || res.Metrics["accuracy"] < 0.99 || res.Eval["eval_accuracy"] < 0.99 {
			t.Errorf("listwise %v: %+v, %v", listwise, res, err)
		}
	}
	spec := methodSpec(t, model, jsonl(t, preferenceRows(40)...), func(r *ftlib.Run) { r.Method.KTO = &ftlib.KTO{}; r.LoRA = &ftlib.LoRA{R: 2} })
	d, err := openData(spec.Resolve(), model)
	if err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, g := range d.Groups {
		if g.Good {
			good++
		}
		if len(g.Seqs) != 2 {
			t.Fatalf("an answer without another prompt's: %d sequences", len(g.Seqs))
		}
	}
	if good*2 != len(d.Groups) || len(d.Groups) < 40 {
		t.Errorf("%d of %d answers are good", good, len(d.Groups))
	}
}

// A checkpoint of PPO has the value beside the policy, as a model or adapter that loads.
func TestPPOCheckpointsHoldTheValue(t *testing.T) {
	model := tinyModel(t)
	for _, c := range methodCases {
		if !strings.HasPrefix(c.name, "ppo") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			spec := methodSpec(t, model, jsonl(t, c.rows(60)...), c.set)
			spec.Batch.MaxSteps = 2
			res, err := Run(context.Background(), spec, c.with)
			if err != nil {
				t.Fatal(err)
			}
			value := filepath.Join(res.Checkpoint, "value")
			var m *llm.Model
			base, _, err := modelOf(spec.Resolve(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer base.Close()
			if spec.LoRA != nil {
				m = base
				_, err = m.LoadAdapter(value)
			} else if m, err = llm.Load(base.Backend, value, llm.LoadOptions{}); err == nil {
				defer m.Close()
			}
			if err != nil || m.Labels() != 1 {
				t.Fatalf("the value: %v", err)
			}
			want := finalWeights(t, res.Checkpoint)
			for name, v := range want {
				plain, ok := strings.CutPrefix(name, valuePrefix)
				if !ok || spec.LoRA != nil {
					continue
				}
				if got, err := m.Weight(plain); err != nil || !reflect.DeepEqual(got, v) {
					t.Errorf("%s: %v", plain, err)
				}
			}
		})
	}
}
