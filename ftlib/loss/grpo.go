package loss

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// GRPOTypes are the loss types of [GRPO].
var GRPOTypes = []string{"grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"}

// GRPO is group relative policy optimization (Shao et al. 2024) and what came after it. For
// token t of completion i with advantage A, w = π/π_old of the token, or of the whole
// sequence's mean (importance_sampling_level "sequence": GSPO, Zheng et al. 2025), the loss of
// a token is, with w' = min(w, δ) when Delta is set,
//
//	grpo, bnpo, dr_grpo, dapo, luspo   -min(w'A, clip(w, 1-ε_low, 1+ε_high) A)
//	cispo    -stop(min(w, ε_high)) A log π          ε_high is the cap itself; its paper has 5, TRL's default 0.2 stops nearly all
//	sapo     -(4/τ) σ(τ(w-1)) A                     τ is SapoPos where A > 0, else SapoNeg
//	vespo    -stop(φ) A log π                       φ = e^λ W^k e^(-λW), W = π/π_old of the sequence
//	         + β (e^(ref-log π) - (ref-log π) - 1)  the k3 estimate of KL, times w with BiasCorrectionKL
//
// and it is summed over
//
//	grpo, sapo            the mean over a sequence's tokens; a unit is a sequence
//	dr_grpo               tokens / MaxCompletionLength;      a unit is a sequence (Liu et al. 2025: no bias for length)
//	luspo                 tokens;                            a unit is a sequence
//	bnpo, dapo, cispo, vespo   tokens;                       a unit is a token
//
// With a fresh rollout w is 1, and with group-centred advantages the value of the loss is
// about 0, while its slope is not: -A at each token. The value is no measure of progress;
// the reward is.
//
// It agrees with TRL 1.16's GRPOTrainer (golden case losses/grpo). bnpo counts the tokens of
// a whole accumulated step, not of each micro-batch.
type GRPO struct {
	LossType            string   // "": dapo
	Beta                float64  // of KL; 0: no reference
	EpsilonLow          float64  // 0: 0.2
	EpsilonHigh         float64  // 0: EpsilonLow
	Delta               *float64 // upper bound of w for negative advantages (INTELLECT-2); nil: none
	Level               string   // importance_sampling_level "token", "sequence"; "": token
	MaxCompletionLength int      // for dr_grpo
	EntropyCoef         float64  // bonus for entropy; 0: none
	TopEntropyQuantile  float64  // train on this share of the tokens, those of highest entropy (Wang et al. 2025); 0: 1, all
	BiasCorrectionKL    bool
	OffPolicyThreshold  *float64 // leave out sequences with A < 0 and mean log(π_old/π) above it (DeepSeek-V3.2); nil: none

	SapoPos, SapoNeg                                     float64 // τ; 0: 1 and 1.05
	VespoKPos, VespoLambdaPos, VespoKNeg, VespoLambdaNeg float64 // 0: 2, 3, 3, 2
}

// Rollouts are completions of a policy under itself, as it was and as it is.
type Rollouts struct {
	LogP            Tokens    // [N][T] under the policy that is trained
	Old             Tokens    // under the policy that wrote them; nil: LogP, without gradient
	Ref             Tokens    // under the reference; only for Beta
	Mask            Tokens    // 1 for tokens of the completion
	Entropy         Tokens    // of the distributions; nil: not known
	Advantages      []float64 // [N]
	TokenAdvantages Tokens    // instead of Advantages: one of each token (process supervision)
}

func (g GRPO) defaults() GRPO {
	set := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	if g.LossType == "" {
		g.LossType = "dapo"
	}
	if g.Level == "" {
		g.Level = "token"
	}
	set(&g.EpsilonLow, 0.2)
	set(&g.EpsilonHigh, g.EpsilonLow)
	set(&g.TopEntropyQuantile, 1)
	set(&g.SapoPos, 1)
	set(&g.SapoNeg, 1.05)
	set(&g.VespoKPos, 2)
	set(&g.VespoLambdaPos, 3)
	set(&g.VespoKNeg, 3)
	set(&g.VespoLambdaNeg, 2)
	return g
}

// Validate says what of the settings cannot be.
func (g GRPO) Validate() error {
	g = g.defaults()
	errs := []error{oneOf("grpo loss_type", g.LossType, GRPOTypes), oneOf("importance_sampling_level", g.Level, []string{"token", "sequence"})}
	if g.LossType == "dr_grpo" && g.MaxCompletionLength <= 0 {
		errs = append(errs, errors.New("loss: dr_grpo divides by max_completion_length, which is not set"))
	}
	if g.EpsilonLow < 0 || g.EpsilonLow >= 1 || g.EpsilonHigh < 0 || g.Beta < 0 {
		errs = append(errs, fmt.Errorf("loss: beta %v and epsilon_high %v must not be negative, epsilon %v must be between 0 and 1", g.Beta, g.EpsilonHigh, g.EpsilonLow))
	}
	if g.TopEntropyQuantile < 0 || g.TopEntropyQuantile > 1 {
		errs = append(errs, fmt.Errorf("loss: top_entropy_quantile %v is no share", g.TopEntropyQuantile))
	}
	return errors.Join(errs...)
}

func (g GRPO) check(r Rollouts) error {
	errs := []error{g.Validate(), sameShape("the mask", r.LogP, r.Mask)}
	for _, o := range []struct {
		what   string
		t      Tokens
		needed bool
	}{
		{"the old policy", r.Old, false}, {"the reference", r.Ref, g.Beta != 0}, {"the advantages", r.TokenAdvantages, false},
		{"the entropy", r.Entropy, g.EntropyCoef != 0 || g.TopEntropyQuantile < 1},
	} {
		if o.t != nil || o.needed {
			errs = append(errs, sameShape(o.what, r.LogP, o.t))
		}
	}
	if r.TokenAdvantages == nil && len(r.Advantages) != len(r.LogP) {
		errs = append(errs, fmt.Errorf("loss: %d advantages of %d completions", len(r.Advantages), len(r.LogP)))
	}
	return errors.Join(errs...)
}

// clips counts what the clipping stops.
type clips struct {
	low, high, values float64 // values that are looked at: tokens, or sequences
	lowest, highest   float64 // share of a sequence
}

// Loss is the loss of completions.
func (g GRPO) Loss(r Rollouts) (Result, error) {
	g = g.defaults()
	if err := g.check(r); err != nil {
		return Result{}, err
	}
	out := Result{Slope: zeros(r.LogP), Metrics: map[string]float64{}}
	chosen := g.chosen(r)
	c := clips{lowest: math.Inf(1)}
	kls, phis, tokens := 0.0, 0.0, 0.0
	for i := range r.LogP {
		row := g.row(r, i)
		n := total(r.Mask[i])
		tokens += n
		kl, phi := row.run(chosen, out.Slope[i], &out.Sum, &c)
		kls, phis = kls+kl, phis+phi
		if g.tokenUnits() {
			out.Units += n
		} else {
			out.Units++
		}
	}
	if g.EntropyCoef != 0 {
		out.bonus(g.EntropyCoef, r, chosen)
	}
	all := max(1, tokens)
	if g.Beta != 0 {
		out.Metrics["kl"] = kls / all
	}
	if r.Entropy != nil {
		for i := range r.Entropy {
			out.Metrics["entropy"] += masked(r.Entropy[i], r.Mask[i]) / all
		}
	}
	switch g.LossType {
	case "cispo":
		out.Metrics["cispo_clip_ratio"] = c.high / max(1, c.values)
	case "vespo":
		out.Metrics["vespo/phi_seq_mean"] = phis / float64(len(r.LogP))
	case "sapo":
	default:
		v := max(1, c.values)
		out.Metrics["clip_ratio/low_mean"], out.Metrics["clip_ratio/high_mean"] = c.low/v, c.high/v
		out.Metrics["clip_ratio/region_mean"] = (c.low + c.high) / v
		out.Metrics["clip_ratio/low_min"], out.Metrics["clip_ratio/high_max"] = c.lowest, c.highest
	}
	return out, nil
}

func (g GRPO) tokenUnits() bool {
	return slices.Contains([]string{"bnpo", "dapo", "cispo", "vespo"}, g.LossType)
}

// chosen are the tokens of highest entropy; nil: all.
func (g GRPO) chosen(r Rollouts) func(i, t int) bool {
	if g.TopEntropyQuantile >= 1 {
		return func(int, int) bool { return true }
	}
	var all []float64
	for i := range r.Entropy {
		for t, m := range r.Mask[i] {
			if m != 0 {
				all = append(all, r.Entropy[i][t])
			}
		}
	}
	if len(all) == 0 {
		return func(int, int) bool { return false }
	}
	slices.Sort(all)
	at := (1 - g.TopEntropyQuantile) * float64(len(all)-1)
	low := int(at)
	threshold := all[low]
	if low+1 < len(all) {
		threshold += (at - float64(low)) * (all[low+1] - all[low])
	}
	return func(i, t int) bool { return r.Entropy[i][t] >= threshold }
}

// bonus subtracts coef times the mean entropy, for each unit.
func (r *Result) bonus(coef float64, o Rollouts, chosen func(i, t int) bool) {
	n, sum := 0.0, 0.0
	for i := range o.Mask {
		for t, m := range o.Mask[i] {
			if m != 0 && chosen(i, t) {
				n, sum = n+m, sum+m*o.Entropy[i][t]
			}
		}
	}
	n = max(1, n)
	r.Sum -= coef * r.Units * sum / n
	r.Entropy = zeros(o.Mask)
	for i := range o.Mask {
		for t, m := range o.Mask[i] {
			if m != 0 && chosen(i, t) {
				r.Entropy[i][t] = -coef * r.Units * m / n
			}
		}
	}
}

// rolloutRow is one completion on its way through the loss.
type rolloutRow struct {
	g                     GRPO
	i                     int
	logp, old, ref, mask  []float64
	n                     float64
	advantage             func(t int) float64
	sequence, keep, share float64 // log ratio of the sequence; 0: left out; weight of a token in the sum
}

func (g GRPO) row(r Rollouts, i int) rolloutRow {
	row := rolloutRow{g: g, i: i, logp: r.LogP[i], old: r.LogP[i], mask: r.Mask[i], n: max(1, total(r.Mask[i])), keep: 1}
	if r.Old != nil {
		row.old = r.Old[i]
	}
	if g.Beta != 0 {
		row.ref = r.Ref[i]
	}
	row.advantage = func(int) float64 { return r.Advantages[i] }
	if r.TokenAdvantages != nil {
		row.advantage = func(t int) float64 { return r.TokenAdvantages[i][t] }
	}
	row.sequence = (masked(row.logp, row.mask) - masked(row.old, row.mask)) / row.n
	if g.OffPolicyThreshold != nil && -row.sequence > *g.OffPolicyThreshold {
		row.keep = 0 // of tokens with a negative advantage
	}
	switch g.LossType {
	case "grpo", "sapo":
		row.share = 1 / row.n
	case "dr_grpo":
		row.share = 1 / float64(g.MaxCompletionLength)
	default:
		row.share = 1
	}
	return row
}

// run adds the loss of the completion to sum and its slopes; it returns the sum of the KL
// estimates, and φ.
func (w rolloutRow) run(chosen func(i, t int) bool, slope []float64, sum *float64, c *clips) (kls, phi float64) {
	g := w.g
	phi = w.phi()
	low, high, perSequence := 0.0, 0.0, 0.0
	for t, m := range w.mask {
		if m == 0 {
			continue
		}
		a, logRatio := w.advantage(t), w.logp[t]-w.old[t]
		sequence := g.Level == "sequence"
		if sequence {
			logRatio = w.sequence
		}
		ratio := math.Exp(logRatio)
		coef := m * w.share
		var value, byRatio, byLogp float64 // slopes by log w and by log π
		switch g.LossType {
		case "cispo":
			k := min(ratio, g.EpsilonHigh)
			value, byLogp = -k*a*w.logp[t], -k*a
			if ratio > g.EpsilonHigh && a > 0 {
				high += m
			}
		case "vespo":
			value, byLogp = -phi*a*w.logp[t], -phi*a
		case "sapo":
			tau := g.SapoNeg
			if a > 0 {
				tau = g.SapoPos
			}
			s := sigmoid(tau * (ratio - 1))
			value, byRatio = -4/tau*s*a, -4*s*(1-s)*ratio*a
		default:
			var clipped int
			value, byRatio, clipped = g.clipped(ratio, a)
			switch clipped {
			case -1:
				low += m
			case 1:
				high += m
			}
		}
		if a < 0 && w.keep == 0 || !chosen(w.i, t) {
			value, byRatio, byLogp = 0, 0, 0
		}
		if w.ref != nil {
			d := w.ref[t] - w.logp[t]
			kl, dkl := math.Exp(d)-d-1, 1-math.Exp(d) // by log π
			if g.BiasCorrectionKL {
				kl, dkl = kl*ratio, dkl*ratio
				byRatio += g.Beta * kl
			}
			kls += m * kl
			value += g.Beta * kl
			byLogp += g.Beta * dkl
		}
		*sum += coef * value
		slope[t] += coef * byLogp
		if sequence {
			perSequence += coef * byRatio
		} else {
			slope[t] += coef * byRatio
		}
	}
	if perSequence != 0 {
		spread(slope, w.mask, perSequence/w.n)
	}
	if g.Level == "sequence" { // one value a sequence
		c.low, c.high, c.values = c.low+low/w.n, c.high+high/w.n, c.values+1
	} else {
		c.low, c.high, c.values = c.low+low, c.high+high, c.values+w.n
	}
	c.lowest, c.highest = min(c.lowest, low/w.n), max(c.highest, high/w.n)
	return kls, phi
}

// clipped is the clipped surrogate of a token: its value, its slope by log w, and on
// which side it is clipped.
func (g GRPO) clipped(ratio, a float64) (value, slope float64, side int) {
	first, dFirst := ratio, ratio
	if g.Delta != nil && ratio > *g.Delta {
		first, dFirst = *g.Delta, 0
	}
	second, dSecond := ratio, ratio
	if lo, hi := 1-g.EpsilonLow, 1+g.EpsilonHigh; ratio < lo {
		second, dSecond = lo, 0
	} else if ratio > hi {
		second, dSecond = hi, 0
	}
	switch {
	case first*a < second*a:
		value, slope = -first*a, -dFirst*a
	case first*a > second*a:
		value, slope = -second*a, -dSecond*a
	default: // equal: inside of all bounds, or the advantage is 0
		value, slope = -first*a, -(dFirst+dSecond)/2*a
	}
	switch {
	case first < 1-g.EpsilonLow && a < 0:
		side = -1
	case first > 1+g.EpsilonHigh && a > 0:
		side = 1
	}
	return value, slope, side
}

// phi is VESPO's weight of the sequence.
func (w rolloutRow) phi() float64 {
	if w.g.LossType != "vespo" {
		return 0
	}
	logW := 0.0
	for t, m := range w.mask {
		if m != 0 {
			logW += m * min(20, max(-20, w.logp[t]-w.old[t]))
		}
	}
	logW = min(20, max(math.Log(1e-8), logW))
	k, lambda := w.g.VespoKNeg, w.g.VespoLambdaNeg
	if w.advantage(0) >= 0 {
		k, lambda = w.g.VespoKPos, w.g.VespoLambdaPos
	}
	lambda = max(lambda, 1e-4)
	return math.Exp(lambda + k*logW - lambda*math.Exp(logW))
}
