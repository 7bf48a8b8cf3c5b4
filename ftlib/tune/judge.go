package tune

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ftlab/ftlib"
	"ftlab/ftlib/reward"
)

// judges are what answers are rewarded by, in the order of the specification.
type judges struct {
	all  []judge
	set  reward.Set // those that are functions
	tell func(string, error)
}

// judge is a reward with its name and weight.
type judge struct {
	name   string
	weight float64
	steps  bool                                                           // it rewards steps: its value is none
	at     int                                                            // in set
	model  func(ctx context.Context, answers []Answer) ([]float64, error) // instead: a reward model
}

// newJudges makes the rewards of a specification. own are functions in Go by name; model
// makes those that are models.
func newJudges(specs []ftlib.RewardFunc, own map[string]reward.Func, model func(ftlib.RewardFunc) (judge, error), tell func(string, error)) (*judges, error) {
	if len(specs) == 0 {
		specs = []ftlib.RewardFunc{{Use: "accuracy", Kind: "numeric"}}
		for name := range own {
			specs = append(specs, ftlib.RewardFunc{Use: name})
		}
		if len(own) > 0 { // given functions are what is meant
			specs = specs[1:]
			slices.SortFunc(specs, func(a, b ftlib.RewardFunc) int { return compare(a.Use, b.Use) })
		}
	}
	js := &judges{tell: tell}
	seen := map[string]int{}
	for i, s := range specs {
		fail := func(err error) error { return fmt.Errorf("tune: rewards[%d]: %w", i, err) }
		j := judge{at: -1}
		var c reward.Component
		var err error
		switch f := own[s.Use]; {
		case f != nil:
			c = reward.Component{Name: s.Use, Func: f}
		case s.Use == "model" || s.Use == "prm":
			if j, err = model(s); err != nil {
				return nil, fail(err)
			}
			j.at, c.Name = -1, s.Use
		default:
			c, err = reward.Spec{Use: s.Use, Kind: s.Kind, Pattern: s.Pattern, MaxLen: s.MaxLen, Cache: s.Cache, NgramSize: s.NgramSize,
				MaxPenalty: s.MaxPenalty, Language: s.Language, Column: s.Column, Unsafe: s.Unsafe, Seconds: s.Seconds}.Component()
			if err != nil {
				return nil, fail(fmt.Errorf("%w; or model, prm, or the name of a function in Options.Rewards", err))
			}
		}
		if j.name = c.Name; s.Name != "" {
			j.name = s.Name
		}
		if seen[j.name]++; seen[j.name] > 1 {
			j.name = fmt.Sprintf("%s_%d", j.name, seen[j.name])
		}
		if j.weight = s.Weight; s.Weight == 0 {
			j.weight = 1
		}
		if s.Watch {
			j.weight = 0
		}
		if j.model == nil {
			c.Name, j.at = j.name, len(js.set)
			js.set = append(js.set, c)
		}
		js.all = append(js.all, j)
	}
	return js, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (js *judges) weights() []float64 {
	var w []float64
	for _, j := range js.all {
		w = append(w, j.weight)
	}
	return w
}

// of are the rewards of answers, [N][judges], NaN where a judge has nothing to say.
func (js *judges) of(ctx context.Context, answers []Answer, samples []reward.Sample) ([][]float64, error) {
	out := make([][]float64, len(answers))
	for i := range out {
		out[i] = make([]float64, len(js.all))
	}
	var scores reward.Scores
	var err error
	if len(js.set) > 0 {
		if scores, err = js.set.Score(ctx, samples, reward.Options{}); err != nil {
			return nil, fmt.Errorf("tune: %w", err)
		}
		for _, f := range scores.Failures {
			js.tell(f.Component, f.Err)
		}
	}
	for k, j := range js.all {
		var values []float64
		if j.model == nil {
			values = scores.Parts[j.at]
		} else if values, err = j.model(ctx, answers); err != nil {
			return nil, fmt.Errorf("tune: the reward %s: %w", j.name, err)
		}
		for i, v := range values {
			if math.IsInf(v, 0) {
				v = math.NaN()
				js.tell(j.name, fmt.Errorf("it is infinite"))
			}
			out[i][k] = v
		}
	}
	return out, nil
}
