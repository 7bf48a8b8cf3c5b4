package reward_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ftlab/ftlib/reward"
	"ftlab/ftlib/sandbox"
	"ftlab/ftlib/verify"
)

func constant(v float64) reward.Func {
	return func(context.Context, reward.Sample) (float64, error) { return v, nil }
}

// One function of every bad sort: the others' rewards stand, the sample's part is left
// out, and every failure is told.
func TestFailuresAreOfOneSample(t *testing.T) {
	broken := errors.New("broken")
	set := reward.Set{
		{Name: "one", Func: constant(1)},
		{Name: "half", Weight: 0.5, Func: func(_ context.Context, s reward.Sample) (float64, error) {
			switch s.Prompt {
			case "panics":
				panic("no idea")
			case "fails":
				return 7, broken
			case "none":
				return reward.None(), nil
			case "infinite":
				return math.Inf(1), nil
			}
			return 4, nil
		}},
		{Name: "slow", Timeout: 20 * time.Millisecond, Func: func(ctx context.Context, s reward.Sample) (float64, error) {
			if s.Prompt == "sleeps" {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 10, nil
		}},
		{Name: "watched", Watch: true, Func: constant(100)},
	}
	var samples []reward.Sample
	for _, p := range []string{"well", "panics", "fails", "none", "infinite", "sleeps"} {
		samples = append(samples, reward.Sample{Prompt: p})
	}
	var last atomic.Int64
	s, err := set.Score(context.Background(), samples, reward.Options{Workers: 3, Progress: func(done, total int) {
		if total != 24 || int64(done) != last.Add(1) {
			t.Errorf("progress %d of %d", done, total)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{13, 11, 11, 11, 11, 3} {
		if s.Total[i] != want {
			t.Errorf("%s: %v, want %v", samples[i].Prompt, s.Total[i], want)
		}
	}
	if len(s.Failures) != 4 || last.Load() != 24 || len(s.Warnings) != 0 {
		t.Fatalf("%v, %v, progress %d", s.Failures, s.Warnings, last.Load())
	}
	for i, want := range []string{"half, sample 1: panic: no idea", "half, sample 2: broken", "half, sample 4: the reward is +Inf", "slow, sample 5: no reward within 20ms"} {
		if !strings.Contains(s.Failures[i].Error(), want) {
			t.Errorf("%v, want %s", s.Failures[i], want)
		}
	}
	if !strings.Contains(s.Failures[0].Error(), "reward_test.go") || !errors.Is(s.Failures[1], broken) {
		t.Errorf("%v does not say where; %v", s.Failures[0], s.Failures[1])
	}
	if m := s.Mean(1); m != 4 || s.Mean(-1) != 10 {
		t.Errorf("means %v, %v", m, s.Mean(-1))
	}
}

// A function that never comes back does not hold the run up.
func TestDeafFunction(t *testing.T) {
	free := make(chan struct{})
	defer close(free)
	set := reward.Set{{Name: "deaf", Timeout: time.Millisecond, Func: func(context.Context, reward.Sample) (float64, error) { <-free; return 1, nil }}}
	s, err := set.Score(context.Background(), make([]reward.Sample, 2), reward.Options{})
	if err != nil || !math.IsNaN(s.Total[0]) || !errors.Is(s.Failures[1], context.DeadlineExceeded) {
		t.Errorf("%v %+v", err, s)
	}
	if len(s.Warnings) != 2 || !strings.Contains(s.Warnings[0], "deaf failed for all 2 samples") || !strings.Contains(s.Warnings[1], "2 of 2 samples have no reward") {
		t.Errorf("%q", s.Warnings)
	}
}

func TestSetErrors(t *testing.T) {
	for want, set := range map[string]reward.Set{
		"no reward function": {}, "has no name": {{Func: constant(1)}}, "has no function": {{Name: "a"}},
		"two functions": {{Name: "a", Func: constant(1)}, {Name: "a", Func: constant(1)}}, "weight NaN": {{Name: "a", Weight: math.NaN(), Func: constant(1)}},
	} {
		if _, err := set.Score(context.Background(), nil, reward.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := (reward.Set{{Name: "a", Func: constant(1)}}).Score(ctx, make([]reward.Sample, 1), reward.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSpecs(t *testing.T) {
	s := reward.Sample{Completion: "<think>x</think> \\boxed{4}", Answer: "4", IDs: []int32{1, 1, 1, 1, 1}}
	for _, c := range []struct {
		spec reward.Spec
		want float64
	}{
		{reward.Spec{Use: "accuracy"}, 1}, {reward.Spec{Use: "accuracy", Kind: "gsm8k"}, 1}, {reward.Spec{Use: "reasoning_accuracy"}, 1},
		{reward.Spec{Use: "think_format"}, 1}, {reward.Spec{Use: "format", Pattern: `\\boxed\{\d+\}`}, 1}, {reward.Spec{Use: "repetition"}, -2.0 / 3},
		{reward.Spec{Use: "soft_overlong", MaxLen: 6, Cache: 2}, -0.5}, {reward.Spec{Use: "length", MaxLen: 4}, 0.75}, {reward.Spec{Use: "cosine", MaxLen: 10}, 0.75},
	} {
		k, err := c.spec.Component()
		if err != nil {
			t.Errorf("%+v: %v", c.spec, err)
			continue
		}
		if got, err := k.Func(context.Background(), s); err != nil || math.Abs(got-c.want) > 1e-12 || k.Name != c.spec.Use {
			t.Errorf("%+v: %v %v", c.spec, got, err)
		}
	}
	for want, spec := range map[string]reward.Spec{
		"unknown function": {Use: "vibes"}, "has no ngram_size": {Use: "accuracy", NgramSize: 2}, "unknown kind": {Use: "accuracy", Kind: "x"},
		"needs a pattern": {Use: "format"}, "error parsing regexp": {Use: "format", Pattern: "("}, "at most 0": {Use: "repetition", MaxPenalty: 1},
		"set max_len": {Use: "cosine"}, "0 <= cache": {Use: "soft_overlong", MaxLen: 1, Cache: 2}, "a target": {Use: "length"}, "unknown language": {Use: "code", Language: "perl"},
	} {
		if _, err := spec.Component(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

func TestCode(t *testing.T) {
	f := reward.Code(reward.CodeOptions{})
	if v, err := f(context.Background(), reward.Sample{Completion: "x"}); err != nil || !math.IsNaN(v) {
		t.Errorf("without tests: %v %v", v, err)
	}
	if err := sandbox.Available(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	for completion, want := range map[string]float64{"```python\ndef f(x): return x*2\n```": 1, "def f(x): return x": 0, "import os; os._exit(0)": 0, "": 0} {
		if v, err := f(context.Background(), reward.Sample{Completion: completion, Answer: "assert f(3) == 6"}); err != nil || v != want {
			t.Errorf("%q: %v %v", completion, v, err)
		}
	}
}

func TestNoReference(t *testing.T) {
	cosine, err := reward.Cosine(reward.Accuracy(verify.Math), reward.CosineOptions{MaxLen: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []reward.Func{reward.Accuracy(verify.GSM8K), cosine} {
		if v, err := f(context.Background(), reward.Sample{Completion: "5"}); err != nil || !math.IsNaN(v) {
			t.Errorf("%v %v", v, err)
		}
	}
}
