package loss

import (
	"errors"
	"fmt"
)

// KTO is Kahneman-Tversky optimization (Ethayarajh et al. 2024) of single completions
// with a thumb up or down. With ρ = log π(y) - log π_ref(y) and z = max(0, mean over the batch of
// log π - log π_ref of mismatched completions), which takes no gradient:
//
//	kto                 desirable: w_d (1 - σ(β(ρ-z)))      undesirable: w_u (1 - σ(β(z-ρ)))
//	apo_zero_unpaired   desirable: w_d (1 - σ(βρ))          undesirable: w_u σ(βρ)
//
// A unit is a completion. It agrees with TRL 1.16's KTOTrainer (golden case losses/kto).
type KTO struct {
	LossType          string  // "": kto
	Beta              float64 // 0: 0.1
	DesirableWeight   float64 // w_d; 0: 1
	UndesirableWeight float64 // w_u; 0: 1
}

// KTOTypes are the loss types of [KTO].
var KTOTypes = []string{"kto", "apo_zero_unpaired"}

// Unpaired are completions that were each judged alone.
type Unpaired struct {
	LogP, Ref Tokens // [N][T]
	Mask      Tokens // 1 for tokens of the completion
	Good      []bool // [N]

	// KL and KLRef are log-probabilities of the batch's completions behind prompts of
	// other rows, [N] sums over tokens; only for kto.
	KL, KLRef []float64
}

// Loss is the loss of completions.
func (k KTO) Loss(u Unpaired) (Result, error) {
	if k.LossType == "" {
		k.LossType = "kto"
	}
	if k.Beta == 0 {
		k.Beta = 0.1
	}
	if k.DesirableWeight == 0 {
		k.DesirableWeight = 1
	}
	if k.UndesirableWeight == 0 {
		k.UndesirableWeight = 1
	}
	err := errors.Join(oneOf("kto loss_type", k.LossType, KTOTypes), sameShape("the reference", u.LogP, u.Ref), sameShape("the mask", u.LogP, u.Mask))
	if err == nil && len(u.Good) != len(u.LogP) {
		err = fmt.Errorf("loss: %d judgements of %d completions", len(u.Good), len(u.LogP))
	}
	if err == nil && k.LossType == "kto" && (len(u.KL) == 0 || len(u.KL) != len(u.KLRef)) {
		err = fmt.Errorf("loss: kto needs the log-probabilities of mismatched completions under policy and reference, not %d and %d", len(u.KL), len(u.KLRef))
	}
	if err != nil {
		return Result{}, err
	}
	z := 0.0
	if k.LossType == "kto" {
		for i := range u.KL {
			z += (u.KL[i] - u.KLRef[i]) / float64(len(u.KL))
		}
		z = max(0, z)
	}
	r := Result{Units: float64(len(u.LogP)), Slope: zeros(u.LogP), Metrics: map[string]float64{"kl": z}}
	var rewards, logps [2][]float64 // of bad, of good
	for i := range u.LogP {
		rho := masked(u.LogP[i], u.Mask[i]) - masked(u.Ref[i], u.Mask[i])
		weight, sign, side := k.UndesirableWeight, -1.0, 0
		if u.Good[i] {
			weight, sign, side = k.DesirableWeight, 1, 1
		}
		rewards[side] = append(rewards[side], k.Beta*rho)
		logps[side] = append(logps[side], masked(u.LogP[i], u.Mask[i]))
		s := sigmoid(sign * k.Beta * (rho - z)) // 1 - σ(-x) = σ(x): both types are one
		r.Sum += weight * (1 - s)
		slope := -weight * sign * k.Beta * s * (1 - s)
		for t, m := range u.Mask[i] {
			r.Slope[i][t] = slope * m
		}
	}
	for side, name := range []string{"rejected", "chosen"} {
		if len(rewards[side]) > 0 {
			r.Metrics["rewards/"+name], r.Metrics["logps/"+name] = mean(rewards[side]), mean(logps[side])
		}
	}
	if len(rewards[0]) > 0 && len(rewards[1]) > 0 {
		r.Metrics["rewards/margins"] = r.Metrics["rewards/chosen"] - r.Metrics["rewards/rejected"]
	}
	return r, nil
}
