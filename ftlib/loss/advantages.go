package loss

import (
	"errors"
	"fmt"
	"math"
)

// tiny keeps a division by a standard deviation finite, as TRL has it.
const tiny = 1e-4

// Advantages says how rewards of groups of completions to one prompt become advantages.
//
//	sum_then_normalize   R = Σ_k w_k r_k;  A = (R - mean of the group) / (std + 1e-4)
//	normalize_then_sum   every r_k by mean and std of its group, then the weighted sum by those of the batch (GDPO, Liu et al. 2026)
//
// The std is that of the group, of the batch, or none at all (Dr. GRPO: dividing by it
// favours prompts that are nearly always right or wrong). A completion that no reward
// function scored (all NaN) has advantage 0 and counts in no mean.
//
// It agrees with TRL 1.16 (golden case losses/rl_advantages).
type Advantages struct {
	Weights     []float64 // of the reward functions; nil: 1 each
	Group       int       // completions of one prompt, next to each other
	Scale       string    // scale_rewards "group", "batch", "none"; "": group
	Aggregation string    // multi_objective_aggregation; "": sum_then_normalize
}

// Scores are rewards with their advantages.
type Scores struct {
	Rewards    []float64 // [N] weighted sums; NaN where nothing scored
	Advantages []float64 // [N]
	Metrics    map[string]float64
}

// Of takes rewards [N][K], NaN where a function gave none.
func (a Advantages) Of(rewards [][]float64) (Scores, error) {
	if a.Scale == "" {
		a.Scale = "group"
	}
	if a.Aggregation == "" {
		a.Aggregation = "sum_then_normalize"
	}
	s := Scores{Metrics: map[string]float64{}}
	err := errors.Join(oneOf("scale_rewards", a.Scale, []string{"group", "batch", "none"}),
		oneOf("multi_objective_aggregation", a.Aggregation, []string{"sum_then_normalize", "normalize_then_sum"}))
	if a.Group < 1 || len(rewards)%max(1, a.Group) != 0 {
		err = errors.Join(err, fmt.Errorf("loss: %d completions are no groups of %d", len(rewards), a.Group))
	}
	if err != nil {
		return s, err
	}
	if s.Rewards, err = Weighted(rewards, a.Weights); err != nil {
		return s, err
	}
	zero := 0
	if a.Aggregation == "normalize_then_sum" {
		normed := make([][]float64, len(rewards))
		for i := range rewards {
			normed[i] = make([]float64, len(rewards[i]))
		}
		for from := 0; from < len(rewards); from += a.Group {
			for k := range rewards[from] {
				m, d := nanStats(column(rewards[from:from+a.Group], k))
				for i := from; i < from+a.Group; i++ {
					normed[i][k] = (rewards[i][k] - m) / (d + tiny)
				}
			}
		}
		// What no function scored stays NaN; a function whose group has one score gives NaN too, which the sum skips.
		sums, err := Weighted(normed, a.Weights)
		if err != nil {
			return s, err
		}
		for i := range sums {
			switch {
			case math.IsNaN(s.Rewards[i]):
				sums[i] = math.NaN()
			case math.IsNaN(sums[i]):
				sums[i] = 0
			}
		}
		m, d := nanStats(sums)
		for _, v := range sums {
			s.Advantages = append(s.Advantages, (v-m)/(d+tiny))
		}
		if closeToZero(d) {
			zero = len(rewards)
		}
	} else {
		_, whole := nanStats(s.Rewards)
		for from := 0; from < len(rewards); from += a.Group {
			m, d := nanStats(s.Rewards[from : from+a.Group])
			if a.Group == 1 {
				d = 0
			}
			if a.Scale == "batch" {
				d = whole
			}
			if closeToZero(d) {
				zero += a.Group
			}
			for _, v := range s.Rewards[from : from+a.Group] {
				v -= m
				if a.Scale != "none" {
					v /= d + tiny
				}
				s.Advantages = append(s.Advantages, v)
			}
		}
	}
	nanToZero(s.Advantages)
	s.Metrics["frac_reward_zero_std"] = share(zero, len(rewards))
	s.Metrics["reward"], s.Metrics["reward_std"] = nanStats(s.Rewards)
	return s, nil
}

// LeaveOneOut are RLOO's advantages: the reward less KL, against the mean of the
// siblings' (Ahmadian et al. 2024):
//
//	R = clip(Σ_k w_k r_k) - β Σ_t (log π_old - log π_ref)        A = R - mean of the other R of the group
type LeaveOneOut struct {
	Weights   []float64
	Group     int
	Beta      float64     // of KL; 0: none
	Clip      *[2]float64 // reward_clip_range; nil: none
	Normalize bool        // normalize_advantages: over the batch
}

// Of takes rewards [N][K] and the KL of each completion, [N] sums over tokens (nil: none).
func (a LeaveOneOut) Of(rewards [][]float64, kl []float64) (Scores, error) {
	s := Scores{Metrics: map[string]float64{}}
	if a.Group < 2 || len(rewards)%a.Group != 0 {
		return s, fmt.Errorf("loss: %d completions are no groups of %d; a baseline needs two at least", len(rewards), a.Group)
	}
	if a.Beta != 0 && len(kl) != len(rewards) {
		return s, fmt.Errorf("loss: KL of %d completions of %d", len(kl), len(rewards))
	}
	var err error
	if s.Rewards, err = Weighted(rewards, a.Weights); err != nil {
		return s, err
	}
	s.Metrics["reward"], s.Metrics["reward_std"] = nanStats(s.Rewards)
	r := append([]float64{}, s.Rewards...)
	zero := 0
	for i := range r {
		if a.Clip != nil {
			r[i] = min(a.Clip[1], max(a.Clip[0], r[i]))
		}
		if a.Beta != 0 {
			r[i] -= a.Beta * kl[i]
		}
	}
	for from := 0; from < len(r); from += a.Group {
		group := r[from : from+a.Group]
		sum, n := 0.0, 0.0
		for _, v := range group {
			if !math.IsNaN(v) {
				sum, n = sum+v, n+1
			}
		}
		for _, v := range group {
			s.Advantages = append(s.Advantages, v-(sum-v)/(n-1)) // NaN where a sibling is missing
		}
		if _, d := nanStats(group); closeToZero(d) {
			zero += a.Group
		}
	}
	if a.Normalize {
		m, d := nanStats(s.Advantages)
		for i, v := range s.Advantages {
			s.Advantages[i] = (v - m) / (d + tiny)
		}
	}
	nanToZero(s.Advantages)
	s.Metrics["frac_reward_zero_std"] = share(zero, len(rewards))
	return s, nil
}

// StepAdvantages are GRPO's under process supervision (Shao et al. 2024, 4.1.3): the rewards
// of all steps of a group are normalised together, and a token has the sum of those
// of the steps that end at it or behind it. rewards[i] are those of completion i, which
// ends[i] (token indices, ascending) belong to; the result is [N][T] for tokens[i] tokens.
func StepAdvantages(rewards [][]float64, ends [][]int, tokens []int, group int, scale bool) (Tokens, error) {
	if group < 1 || len(rewards)%group != 0 || len(ends) != len(rewards) || len(tokens) != len(rewards) {
		return nil, fmt.Errorf("loss: steps of %d completions with %d lists of ends and %d lengths are no groups of %d", len(rewards), len(ends), len(tokens), group)
	}
	out := make(Tokens, len(rewards))
	for from := 0; from < len(rewards); from += group {
		var all []float64
		for _, r := range rewards[from : from+group] {
			all = append(all, r...)
		}
		m, d := nanStats(all)
		for i := from; i < from+group; i++ {
			if len(ends[i]) != len(rewards[i]) {
				return nil, fmt.Errorf("loss: completion %d has %d step rewards and %d ends", i, len(rewards[i]), len(ends[i]))
			}
			out[i] = make([]float64, tokens[i])
			for k, end := range ends[i] {
				v := rewards[i][k] - m
				if scale {
					v /= d + tiny
				}
				if math.IsNaN(v) {
					continue
				}
				for t := 0; t <= end && t < tokens[i]; t++ {
					out[i][t] += v
				}
			}
		}
	}
	return out, nil
}

// Weighted is Σ_k w_k r_k of each row, without what is NaN; NaN where all is.
func Weighted(rewards [][]float64, weights []float64) ([]float64, error) {
	out := make([]float64, len(rewards))
	for i, row := range rewards {
		if weights != nil && len(weights) != len(row) {
			return nil, fmt.Errorf("loss: %d reward_weights for %d reward functions", len(weights), len(row))
		}
		scored := false
		for k, v := range row {
			if math.IsNaN(v) {
				continue
			}
			if scored = true; weights != nil {
				v *= weights[k]
			}
			out[i] += v
		}
		if !scored {
			out[i] = math.NaN()
		}
	}
	return out, nil
}

func column(rows [][]float64, k int) []float64 {
	out := make([]float64, len(rows))
	for i := range rows {
		out[i] = rows[i][k]
	}
	return out
}

// nanStats are mean and unbiased standard deviation of what is not NaN; the deviation
// of a single value is NaN.
func nanStats(values []float64) (m, std float64) {
	n := 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			m, n = m+v, n+1
		}
	}
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	m /= n
	for _, v := range values {
		if !math.IsNaN(v) {
			std += (v - m) * (v - m)
		}
	}
	if n == 1 {
		return m, math.NaN()
	}
	return m, math.Sqrt(std / (n - 1))
}

func nanToZero(values []float64) {
	for i, v := range values {
		if math.IsNaN(v) {
			values[i] = 0
		}
	}
}

func closeToZero(v float64) bool { return math.Abs(v) <= 1e-8 }
