package reward_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"ftlab/ftlib/reward"
	"ftlab/ftlib/verify"
)

// trl is what scripts/golden/rewards.py recorded of trl.rewards.
type trl struct {
	Accuracy, Reasoning struct {
		Completions, Answers []string
		Rewards              []*float64
	}
	Cosine []struct {
		Options struct {
			MaxLen     int     `json:"max_len"`
			MinWrong   float64 `json:"min_value_wrong"`
			MaxWrong   float64 `json:"max_value_wrong"`
			MinCorrect float64 `json:"min_value_correct"`
			MaxCorrect float64 `json:"max_value_correct"`
		}
		Completions, Answers []string
		IDs                  [][]int32
		Rewards              []*float64
	}
	Repetition []struct {
		N          int
		MaxPenalty float64 `json:"max_penalty"`
		IDs        [][]int32
		Rewards    []*float64
	}
	Overlong []struct {
		MaxLen  int `json:"max_len"`
		Cache   int
		IDs     [][]int32
		Rewards []*float64
	}
	Think struct {
		Completions []string
		Rewards     []*float64
	} `json:"think_format"`
}

// agree compares a function with what TRL gave, to 1e-12; nil is None.
func agree(t *testing.T, name string, f reward.Func, err error, samples []reward.Sample, want []*float64) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != len(want) || len(want) == 0 {
		t.Fatalf("%s: %d samples, %d rewards", name, len(samples), len(want))
	}
	for i, s := range samples {
		got, err := f(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		if w := want[i]; w == nil != math.IsNaN(got) || w != nil && math.Abs(got-*w) > 1e-12 {
			t.Errorf("%s, sample %d: %v; TRL says %v; %+v", name, i, got, deref(w), s)
		}
	}
}

func deref(f *float64) any {
	if f == nil {
		return "None"
	}
	return *f
}

func TestGoldenTRL(t *testing.T) {
	data, err := os.ReadFile("testdata/trl_rewards.json")
	if err != nil {
		t.Fatal(err)
	}
	var g trl
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	samples := func(completions, answers []string, ids [][]int32) (out []reward.Sample) {
		for i := range max(len(completions), len(ids)) {
			var s reward.Sample
			if completions != nil {
				s.Completion = completions[i]
			}
			if answers != nil {
				s.Answer = answers[i]
			}
			if ids != nil {
				s.IDs = ids[i]
			}
			out = append(out, s)
		}
		return out
	}
	agree(t, "accuracy", reward.Accuracy(verify.Math), nil, samples(g.Accuracy.Completions, g.Accuracy.Answers, nil), g.Accuracy.Rewards)
	agree(t, "reasoning", reward.ReasoningAccuracy(verify.Math), nil, samples(g.Reasoning.Completions, g.Reasoning.Answers, nil), g.Reasoning.Rewards)
	agree(t, "think_format", reward.ThinkFormat, nil, samples(g.Think.Completions, nil, nil), g.Think.Rewards)
	for _, c := range g.Cosine {
		f, err := reward.Cosine(reward.Accuracy(verify.Math), reward.CosineOptions(c.Options))
		agree(t, "cosine", f, err, samples(c.Completions, c.Answers, c.IDs), c.Rewards)
	}
	for _, c := range g.Repetition {
		f, err := reward.Repetition(c.N, c.MaxPenalty)
		agree(t, "repetition", f, err, samples(nil, nil, c.IDs), c.Rewards)
	}
	for _, c := range g.Overlong {
		f, err := reward.SoftOverlong(c.MaxLen, c.Cache)
		agree(t, "overlong", f, err, samples(nil, nil, c.IDs), c.Rewards)
	}
}
