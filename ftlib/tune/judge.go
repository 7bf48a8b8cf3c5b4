package tune

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/verify"
)

// Sample is an answer of the model that is to be judged.
type Sample struct {
	Record corpus.Record // the row that it answers; Record.Text is the prompt as it was asked
	Text   string        // the answer, without special tokens
	IDs    []int32       // its tokens, the end token included
	Prompt []int32       // tokens of the prompt
	Ended  bool          // it ended by itself
	Limit  int           // tokens it could have had
}

// RewardFunc judges one answer. NaN says that it has nothing to say about it. It is called by
// several goroutines; an error, or a panic, is a NaN for this answer alone, and is told.
type RewardFunc func(ctx context.Context, s Sample) (float64, error)

// judge is a reward with its name and weight.
type judge struct {
	name   string
	weight float64
	all    func(ctx context.Context, samples []Sample) ([]float64, error)
}

// each makes a judge of a function that looks at one answer at a time.
func each(f RewardFunc, warn func(error)) func(context.Context, []Sample) ([]float64, error) {
	return func(ctx context.Context, samples []Sample) ([]float64, error) {
		out := make([]float64, len(samples))
		var wait sync.WaitGroup
		slots := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
		for i := range samples {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						out[i] = math.NaN()
						warn(fmt.Errorf("panic: %v", p))
					}
					<-slots
				}()
				v, err := f(ctx, samples[i])
				if err != nil {
					v = math.NaN()
					warn(err)
				}
				out[i] = v
			})
		}
		wait.Wait()
		return out, ctx.Err()
	}
}

// judges are the rewards of a rollout. own are functions given in Go, by name; models
// makes the judges that are models.
func judges(r ftlib.Rollout, own map[string]RewardFunc, model func(ftlib.RewardFunc) (judge, error), warn func(string, error)) ([]judge, error) {
	specs := r.Rewards
	if len(specs) == 0 {
		specs = []ftlib.RewardFunc{{Kind: "numeric"}}
	}
	var out []judge
	seen := map[string]int{}
	for _, s := range specs {
		j := judge{name: s.Kind, weight: 1}
		if s.Weight != nil {
			j.weight = *s.Weight
		}
		if f := own[s.Kind]; f != nil {
			j.all = each(f, func(err error) { warn(s.Kind, err) })
		} else if s.Kind == "model" || s.Kind == "prm" {
			m, err := model(s)
			if err != nil {
				return nil, err
			}
			j.all = m.all
		} else {
			f, err := builtinReward(s, r.MaxLength)
			if err != nil {
				return nil, err
			}
			j.all = each(f, func(err error) { warn(s.Kind, err) })
		}
		if seen[j.name]++; seen[j.name] > 1 {
			j.name = fmt.Sprintf("%s_%d", j.name, seen[j.name])
		}
		out = append(out, j)
	}
	return out, nil
}

// builtinReward is a reward by its kind.
func builtinReward(s ftlib.RewardFunc, limit int) (RewardFunc, error) {
	is := func(ok bool) (float64, error) {
		if ok {
			return 1, nil
		}
		return 0, nil
	}
	switch s.Kind {
	case "numeric", "gsm8k", "math":
		kind, err := verify.ParseKind(s.Kind)
		if err != nil {
			return nil, err
		}
		return func(_ context.Context, x Sample) (float64, error) {
			if x.Record.Answer == "" {
				return math.NaN(), nil
			}
			return is(verify.Check(kind, x.Record.Answer, x.Text).Correct)
		}, nil
	case "exact":
		return func(_ context.Context, x Sample) (float64, error) {
			want := x.Record.Answer
			if want == "" {
				want = x.Record.Completion.Plain()
			}
			return is(strings.TrimSpace(x.Text) == strings.TrimSpace(want))
		}, nil
	case "contains":
		if s.Pattern == "" {
			return nil, fmt.Errorf("tune: a reward of kind contains has no pattern: the text that an answer must contain")
		}
		return func(_ context.Context, x Sample) (float64, error) { return is(strings.Contains(x.Text, s.Pattern)) }, nil
	case "format":
		re, err := regexp.Compile("^(?s:" + s.Pattern + ")$")
		if err != nil || s.Pattern == "" {
			return nil, fmt.Errorf("tune: a reward of kind format needs a pattern, a regular expression for the whole answer: %q: %v", s.Pattern, err)
		}
		return func(_ context.Context, x Sample) (float64, error) { return is(re.MatchString(x.Text)) }, nil
	case "length":
		most := s.Max
		if most == 0 {
			most = float64(limit)
		}
		return func(_ context.Context, x Sample) (float64, error) { return -float64(len(x.IDs)) / most, nil }, nil
	}
	return nil, fmt.Errorf("tune: a reward of kind %q is unknown; it is numeric, gsm8k, math, exact, contains, format, length, cosine, repetition, overlong, code, model, prm, or the name of a function in Options.Rewards", s.Kind)
}
