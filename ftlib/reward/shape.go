package reward

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// ThinkFormat is 1 for a completion that thinks once and then answers:
//
//	^<think>(?!.*<think>)(.*?)</think>.*$
//
// and 0 for any other. TRL: think_format_reward; golden case think_format.
func ThinkFormat(_ context.Context, s Sample) (float64, error) {
	thought, ok := strings.CutPrefix(s.Completion, "<think>")
	return oneIf(ok && !strings.Contains(thought, "<think>") && strings.Contains(thought, "</think>")), nil
}

// Format is 1 where the pattern (Go's syntax, https://pkg.go.dev/regexp/syntax; (?s)
// lets . match new lines) matches somewhere in the completion, else 0.
func Format(pattern string) (Func, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("reward: format: %w", err)
	}
	return func(_ context.Context, s Sample) (float64, error) { return oneIf(re.MatchString(s.Completion)), nil }, nil
}

func oneIf(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

// Repetition punishes repeated n-grams of tokens (n: 3 in TRL; maxPenalty: -1):
//
//	(1 - distinct n-grams / n-grams) maxPenalty
//
// and is 0 below n tokens. Demystifying Long Chain-of-Thought Reasoning, appendix C.2,
// https://arxiv.org/abs/2502.03373. TRL: get_repetition_penalty_reward; golden case
// repetition.
func Repetition(n int, maxPenalty float64) (Func, error) {
	if n < 1 {
		return nil, fmt.Errorf("reward: repetition: n-grams of %d tokens: n is at least 1", n)
	}
	if !(maxPenalty <= 0) {
		return nil, fmt.Errorf("reward: repetition: a penalty of %v: it is at most 0", maxPenalty)
	}
	return func(_ context.Context, s Sample) (float64, error) {
		if len(s.IDs) < n {
			return 0, nil
		}
		total := len(s.IDs) - n + 1
		distinct := make(map[string]struct{}, total)
		key := make([]byte, 0, 4*n)
		for i := range total {
			key = key[:0]
			for _, id := range s.IDs[i : i+n] {
				key = append(key, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
			}
			distinct[string(key)] = struct{}{}
		}
		if len(distinct) == total {
			return 0, nil // and not -0
		}
		return (1 - float64(len(distinct))/float64(total)) * maxPenalty, nil
	}, nil
}

// SoftOverlong punishes completions that come near the longest length L, within the
// last c tokens before it:
//
//	0                  |y| <= L-c
//	((L-c) - |y|) / c  L-c < |y| <= L
//	-1                 L < |y|
//
// DAPO, equation 13, https://arxiv.org/abs/2503.14476. TRL:
// get_soft_overlong_punishment; golden case overlong.
func SoftOverlong(maxLen, cache int) (Func, error) {
	if maxLen < 1 || cache < 0 || cache > maxLen {
		return nil, fmt.Errorf("reward: overlong: %d tokens, the last %d punished: needs 0 <= cache <= length", maxLen, cache)
	}
	return func(_ context.Context, s Sample) (float64, error) {
		n := len(s.IDs)
		switch {
		case n <= maxLen-cache:
			return 0, nil
		case n <= maxLen:
			return float64(maxLen-cache-n) / float64(cache), nil
		}
		return -1, nil
	}, nil
}

// Length is 1 for a completion of the target's number of tokens and falls linearly to
// 0 at none and at twice as many: max(0, 1 - | |y| - target | / target).
func Length(target int) (Func, error) {
	if target < 1 {
		return nil, fmt.Errorf("reward: length: a target of %d tokens", target)
	}
	return func(_ context.Context, s Sample) (float64, error) {
		return max(0, 1-math.Abs(float64(len(s.IDs)-target))/float64(target)), nil
	}, nil
}
