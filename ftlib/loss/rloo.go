package loss

import (
	"errors"
	"fmt"
	"math"
)

// RLOO is REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024), with the ratio W
// of whole sequences:
//
//	-min(W A, clip(W, 1-ε_low, 1+ε_high) A)        W = exp(Σ log π - Σ log π_old)
//
// A unit is a sequence. It agrees with TRL 1.16's RLOOTrainer (golden case losses/rloo); for its
// advantages, which hold the KL term, see [LeaveOneOut].
type RLOO struct {
	EpsilonLow  float64 // 0: 0.2
	EpsilonHigh float64 // 0: EpsilonLow
}

// Loss is the loss of completions; r.Ref is not used.
func (l RLOO) Loss(r Rollouts) (Result, error) {
	if l.EpsilonLow == 0 {
		l.EpsilonLow = 0.2
	}
	if l.EpsilonHigh == 0 {
		l.EpsilonHigh = l.EpsilonLow
	}
	err := sameShape("the mask", r.LogP, r.Mask)
	if r.Old != nil {
		err = errors.Join(err, sameShape("the old policy", r.LogP, r.Old))
	}
	if len(r.Advantages) != len(r.LogP) {
		err = errors.Join(err, fmt.Errorf("loss: %d advantages of %d completions", len(r.Advantages), len(r.LogP)))
	}
	if err != nil {
		return Result{}, err
	}
	out := Result{Units: float64(len(r.LogP)), Slope: zeros(r.LogP), Metrics: map[string]float64{}}
	g := GRPO{EpsilonLow: l.EpsilonLow, EpsilonHigh: l.EpsilonHigh}
	low, high, tokens := 0, 0, 0.0
	for i := range r.LogP {
		old := r.LogP[i]
		if r.Old != nil {
			old = r.Old[i]
		}
		w := math.Exp(masked(r.LogP[i], r.Mask[i]) - masked(old, r.Mask[i]))
		value, slope, side := g.clipped(w, r.Advantages[i])
		out.Sum += value
		spread(out.Slope[i], r.Mask[i], slope)
		switch side {
		case -1:
			low++
		case 1:
			high++
		}
		if r.Entropy != nil {
			out.Metrics["entropy"] += masked(r.Entropy[i], r.Mask[i])
			tokens += total(r.Mask[i])
		}
	}
	if r.Entropy != nil {
		out.Metrics["entropy"] /= max(1, tokens)
	}
	n := len(r.LogP)
	out.Metrics["clip_ratio/low_mean"], out.Metrics["clip_ratio/high_mean"] = share(low, n), share(high, n)
	out.Metrics["clip_ratio/region_mean"] = share(low+high, n)
	return out, nil
}
