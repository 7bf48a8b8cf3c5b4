package reward

import (
	"context"
	"fmt"
	"math"
	"strings"

	"ftlab/ftlib/sandbox"
	"ftlab/ftlib/verify"
)

// Accuracy is 1 for a completion that comes to the reference answer, else 0; None where
// the sample has no reference. TRL: accuracy_reward, whose matcher is math-verify; see
// package verify for what counts as equal. Golden case accuracy.
func Accuracy(kind verify.Kind) Func {
	return func(_ context.Context, s Sample) (float64, error) {
		if strings.TrimSpace(s.Answer) == "" {
			return None(), nil
		}
		return oneIf(verify.Check(kind, s.Answer, s.Completion).Correct), nil
	}
}

// ReasoningAccuracy is [Accuracy] of what stands behind the reasoning: behind the last
// of the first delimiter that occurs (default: </think>). A completion without any is
// 0: it did not finish. TRL: reasoning_accuracy_reward; golden case reasoning.
func ReasoningAccuracy(kind verify.Kind, delimiters ...string) Func {
	if len(delimiters) == 0 {
		delimiters = []string{"</think>"}
	}
	right := Accuracy(kind)
	return func(ctx context.Context, s Sample) (float64, error) {
		for _, d := range delimiters {
			if i := strings.LastIndex(s.Completion, d); i >= 0 {
				s.Completion = s.Completion[i+len(d):]
				return right(ctx, s)
			}
		}
		return 0, nil
	}
}

// CosineOptions are the bounds of [Cosine]. Where all four are zero they are TRL's:
// -1, -0.5, 0.5, 1.
type CosineOptions struct {
	MaxLen     int     `json:"max_len"`           // tokens at which the schedule ends
	MinWrong   float64 `json:"min_value_wrong"`   // of a wrong completion of no length
	MaxWrong   float64 `json:"max_value_wrong"`   // of a wrong one of MaxLen
	MinCorrect float64 `json:"min_value_correct"` // of a right one of MaxLen
	MaxCorrect float64 `json:"max_value_correct"` // of a right one of no length
}

// Cosine scales correctness by length, so that right answers are short and wrong ones
// tried longer:
//
//	m + (M-m) (1 + cos(pi min(|y|/MaxLen, 1))) / 2
//
// with m, M = MinCorrect, MaxCorrect for right completions and MaxWrong, MinWrong for
// wrong ones. correct says which is which: [Accuracy]; what it leaves out is left out.
// Demystifying Long Chain-of-Thought Reasoning, appendix C.1,
// https://arxiv.org/abs/2502.03373. TRL: get_cosine_scaled_reward; golden case cosine.
func Cosine(correct Func, o CosineOptions) (Func, error) {
	if o.MaxLen < 1 {
		return nil, fmt.Errorf("reward: cosine: a schedule of %d tokens: set max_len", o.MaxLen)
	}
	if o.MinWrong == 0 && o.MaxWrong == 0 && o.MinCorrect == 0 && o.MaxCorrect == 0 {
		o.MinWrong, o.MaxWrong, o.MinCorrect, o.MaxCorrect = -1, -0.5, 0.5, 1
	}
	return func(ctx context.Context, s Sample) (float64, error) {
		right, err := correct(ctx, s)
		if err != nil || math.IsNaN(right) {
			return right, err
		}
		lo, hi := o.MaxWrong, o.MinWrong
		if right != 0 {
			lo, hi = o.MinCorrect, o.MaxCorrect
		}
		progress := min(float64(len(s.IDs))/float64(o.MaxLen), 1)
		return lo + 0.5*(hi-lo)*(1+math.Cos(progress*math.Pi)), nil
	}, nil
}

// CodeOptions are how [Code] runs solutions. The zero value works.
type CodeOptions struct {
	Language sandbox.Language // zero: Python
	Column   string           // of the row that holds the tests; zero: the reference answer
	Limits   sandbox.Limits
	Unsafe   bool // run without a sandbox where none can be had
}

// Code is 1 for a completion whose program passes the tests, else 0; None where the
// sample has no tests. The program is the last fenced block of the completion, or all
// of it; the tests are code, as in sandbox.Tests.Check. Where no sandbox can be had it
// fails, with the reason.
func Code(o CodeOptions) Func {
	return func(ctx context.Context, s Sample) (float64, error) {
		tests := s.Answer
		if o.Column != "" {
			tests = s.Columns[o.Column]
		}
		if strings.TrimSpace(tests) == "" {
			return None(), nil
		}
		v, err := sandbox.Judge(ctx, sandbox.Code(o.Language, s.Completion),
			sandbox.Tests{Language: o.Language, Check: tests}, sandbox.Options{Limits: o.Limits, Unsafe: o.Unsafe})
		return oneIf(v.Passed), err
	}
}
