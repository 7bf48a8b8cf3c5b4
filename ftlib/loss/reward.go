package loss

import (
	"fmt"
	"math"
)

// Reward is the Bradley-Terry loss of a reward model (Ouyang et al. 2022; margin: Touvron
// et al. 2023; centering: Eisenstein et al. 2023), of scores r of the chosen and the
// rejected completion:
//
//	-log σ(r_c - r_r - margin) + λ (r_c + r_r)²
//
// A unit is a pair. It agrees with TRL 1.16's RewardTrainer (golden case losses/reward).
type Reward struct {
	CenterRewards float64 // λ, center_rewards_coefficient; 0: none. TRL's recommendation: 0.01
}

// Scored is a loss of scores of sequences instead of tokens.
type Scored struct {
	Sum, Units float64
	Slope      []float64 // d Sum / d score
	Metrics    map[string]float64
}

// Loss takes scores, chosen ones first, then the rejected ones of the same pairs, and the
// margin of each pair (nil: none).
func (l Reward) Loss(scores, margin []float64) (Scored, error) {
	n := len(scores) / 2
	if n == 0 || len(scores)%2 != 0 {
		return Scored{}, fmt.Errorf("loss: %d scores are no pairs", len(scores))
	}
	if margin != nil && len(margin) != n {
		return Scored{}, fmt.Errorf("loss: %d margins of %d pairs", len(margin), n)
	}
	s := Scored{Units: float64(n), Slope: make([]float64, 2*n), Metrics: map[string]float64{"mean_reward": mean(scores)}}
	right, lowest, highest := 0, math.Inf(1), math.Inf(-1)
	for i := range n {
		c, r := scores[i], scores[i+n]
		x := c - r
		if x > 0 {
			right++
		}
		s.Metrics["margin"] += x / float64(n)
		if margin != nil {
			x -= margin[i]
		}
		s.Sum += -logSigmoid(x) + l.CenterRewards*(c+r)*(c+r)
		slope, center := -sigmoid(-x), 2*l.CenterRewards*(c+r)
		s.Slope[i], s.Slope[i+n] = slope+center, -slope+center
		lowest, highest = min(lowest, c, r), max(highest, c, r)
	}
	s.Metrics["accuracy"], s.Metrics["min_reward"], s.Metrics["max_reward"] = share(right, n), lowest, highest
	return s, nil
}

// Listwise is the Plackett-Luce loss of a whole ranking (Plackett 1975; in InstructGPT's
// place of pairs): the probability that drawing by e^score without putting back gives the
// ranking,
//
//	L = -Σ_i (r_i - log Σ_{j >= i} e^r_j)        i from the best to the last but one
//
// A unit is a list. Two items are a Bradley-Terry pair.
type Listwise struct {
	CenterRewards float64 // λ of λ·(Σ r)²; 0: none
}

// Loss takes the scores of each list from the best to the worst.
func (l Listwise) Loss(lists [][]float64) (Scored, error) {
	s := Scored{Metrics: map[string]float64{}}
	pairs, right := 0, 0
	for k, scores := range lists {
		if len(scores) < 2 {
			return Scored{}, fmt.Errorf("loss: list %d ranks %d completions: nothing to compare", k, len(scores))
		}
		slope := make([]float64, len(scores))
		for i := range len(scores) - 1 {
			top := math.Inf(-1)
			for _, v := range scores[i:] {
				top = max(top, v)
			}
			sum := 0.0
			for _, v := range scores[i:] {
				sum += math.Exp(v - top)
			}
			s.Sum += top + math.Log(sum) - scores[i]
			slope[i]--
			for j := i; j < len(scores); j++ {
				slope[j] += math.Exp(scores[j]-top) / sum
			}
			for _, v := range scores[i+1:] {
				if pairs++; scores[i] > v {
					right++
				}
			}
		}
		all := total(scores)
		s.Sum += l.CenterRewards * all * all
		for i := range slope {
			slope[i] += 2 * l.CenterRewards * all
		}
		s.Slope = append(s.Slope, slope...)
		s.Metrics["mean_reward"] += mean(scores) / float64(len(lists))
	}
	s.Units, s.Metrics["accuracy"] = float64(len(lists)), share(right, pairs)
	return s, nil
}

// Steps is the loss of a process reward model (Lightman et al. 2023; TRL's
// PRMTrainer): cross-entropy of two logits, wrong and right, at the last token of each
// step. labels are 1 for right, 0 for wrong, or a probability between (Monte-Carlo
// estimates, Wang et al. 2024). A unit is a labelled step; slopes are by logit.
func Steps(logits [][2]float64, labels []float64) (sum float64, slope [][2]float64, metrics map[string]float64, err error) {
	if len(logits) != len(labels) {
		return 0, nil, nil, fmt.Errorf("loss: %d labels of %d steps", len(labels), len(logits))
	}
	right := 0
	for i, l := range logits {
		if !(labels[i] >= 0 && labels[i] <= 1) {
			return 0, nil, nil, fmt.Errorf("loss: the label of step %d is %v; it is a probability", i, labels[i])
		}
		x := l[1] - l[0]
		sum -= labels[i]*logSigmoid(x) + (1-labels[i])*logSigmoid(-x)
		d := sigmoid(x) - labels[i]
		slope = append(slope, [2]float64{-d, d})
		if (x > 0) == (labels[i] > 0.5) {
			right++
		}
	}
	return sum, slope, map[string]float64{"accuracy": share(right, len(labels))}, nil
}
