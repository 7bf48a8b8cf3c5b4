package loss

import (
	"errors"
	"fmt"
	"math"
)

// DPOTypes are the loss types of [DPO].
var DPOTypes = []string{"sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard",
	"aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"}

// Divergences are the f-divergences of [DPO].
var Divergences = []string{"reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"}

// DPO is direct preference optimization (Rafailov et al. 2023) and its relatives. With
// ρ = log π(y) - log π_ref(y) of the chosen (c) and the rejected (r) completion, the score
// s(ρ) of the divergence, Δ = s_c - s_r, n the tokens of a completion, ε = LabelSmoothing:
//
//	sigmoid       -log σ(βΔ)                                            Rafailov et al. 2023
//	hinge         max(0, 1-βΔ)                                          Liu et al. 2023 (RSO)
//	ipo           (s_c/n_c - s_r/n_r - 1/(2β))²                         Azar et al. 2023
//	exo_pair      σ(βΔ)(log σ(βΔ) - log(1-ε)) + σ(-βΔ)(log σ(-βΔ) - log ε)  Ji et al. 2024; ε > 0
//	nca_pair      -log σ(βρ_c) - ½ log σ(-βρ_c) - ½ log σ(-βρ_r)        Chen et al. 2024
//	robust        (-(1-ε) log σ(βΔ) + ε log σ(-βΔ)) / (1-2ε)            Chowdhury et al. 2024
//	bco_pair      -log σ(βρ_c) - log σ(-βρ_r)                           Jung et al. 2024, without its running mean
//	sppo_hard     (ρ_c - 1/(2β))² + (ρ_r + 1/(2β))²                     Wu et al. 2024
//	aot           of d = sort(ℓ_c-ℓ_r) - sort(ℓ_c-ℓ_r of the reference): -(1-ε) log σ(βd) - ε log σ(-βd)   Melnyk et al. 2024
//	aot_unpaired  the same of d = sort(ρ_c) - sort(ρ_r)
//	apo_zero      1 - σ(βρ_c) + σ(βρ_r)                                 D'Oosterlinck et al. 2024
//	apo_down      σ(βρ_c) + 1 - σ(β(ρ_c-ρ_r))
//	discopop      x = βΔ, m = σ(x/τ): (1-m)(-log σ(x)) + m e^-x         Lu et al. 2024
//	sft           mean -log π over the tokens of all chosen completions
//	sigmoid_norm  -log σ(β(s_c/n_c - s_r/n_r))                          Lambert et al. 2024 (Tülu 3)
//
// A unit is a pair. LossType and LossWeights mix several (MPO). Only robust, exo_pair and
// aot look at LabelSmoothing. The scores of the divergences are reverse_kl ρ, forward_kl
// 1-e^-ρ, js_divergence log 2 + log σ(ρ), alpha_divergence (e^((α-1)ρ)-1)/(α-1).
//
// It agrees with TRL 1.16's DPOTrainer (golden case losses/dpo).
type DPO struct {
	LossType       []string  // nil: sigmoid
	LossWeights    []float64 // nil: 1 each
	Beta           float64   // 0: 0.1
	LabelSmoothing float64   // ε: how often a pair is the wrong way round
	Divergence     string    // "": reverse_kl
	Alpha          float64   // of alpha_divergence; 0: 0.5
	LDAlpha        *float64  // length desensitisation (LD-DPO, Liu et al. 2024): weight of tokens behind the shorter completion's length; nil: 1
	Weighting      bool      // WPO (Zhou et al. 2024): pairs weigh as much as the policy would write them
	DiscopopTau    float64   // τ; 0: 0.05
}

// Pairs are the completions of preference pairs under the policy and the reference: the
// first half of the rows are chosen ones, the second half their rejected ones.
type Pairs struct {
	LogP, Ref Tokens    // [2P][T] of each token, nats
	Mask      Tokens    // 1 for tokens of the completion
	Lengths   []float64 // tokens of each completion; nil: the sums of Mask
	LogSumSq  Tokens    // log Σ_v p_v² at each token; only for Weighting
}

// dpoBatch holds what all loss types look at.
type dpoBatch struct {
	d        DPO
	n        int       // pairs
	logp     []float64 // [2P] of the completions
	ref      []float64
	rho      []float64
	s, ds    []float64 // score and its derivative by rho
	lengths  []float64
	grad     []float64 // [2P] d Σ loss / d logp, of one loss type before weights
	each     []float64 // [P] losses
	weighted []float64 // [P] WPO weights; nil: 1
}

// Loss is the loss of pairs. The slope is 0 outside of the mask.
func (d DPO) Loss(p Pairs) (Result, error) {
	if err := d.fill(p); err != nil {
		return Result{}, err
	}
	d = d.defaults()
	n := len(p.LogP) / 2
	b := dpoBatch{d: d, n: n, lengths: p.Lengths, grad: make([]float64, 2*n), each: make([]float64, n)}
	if b.lengths == nil {
		for _, m := range p.Mask {
			b.lengths = append(b.lengths, total(m))
		}
	}
	share := d.shares(p, n)
	for i := range p.LogP {
		b.logp = append(b.logp, masked(p.LogP[i], share[i]))
		b.ref = append(b.ref, masked(p.Ref[i], share[i]))
		b.rho = append(b.rho, b.logp[i]-b.ref[i])
		s, ds := d.score(b.rho[i])
		b.s, b.ds = append(b.s, s), append(b.ds, ds)
	}
	if d.Weighting {
		for i := range n {
			w := 0.0
			for _, k := range []int{i, i + n} {
				w += (masked(p.LogP[k], p.Mask[k]) - masked(p.LogSumSq[k], p.Mask[k])) / max(1, total(p.Mask[k]))
			}
			b.weighted = append(b.weighted, math.Exp(w))
		}
	}
	r := Result{Units: float64(n), Slope: zeros(p.LogP)}
	for k, name := range d.LossType {
		weight := d.LossWeights[k]
		clear(b.grad)
		if name == "sft" {
			b.sft(p, weight, &r)
			continue
		}
		b.run(name)
		for i := range n {
			w := weight
			if b.weighted != nil {
				w *= b.weighted[i]
			}
			r.Sum += w * b.each[i]
			b.grad[i] *= w
			b.grad[i+n] *= w
		}
		for i, g := range b.grad {
			for t, m := range share[i] {
				if m != 0 {
					r.Slope[i][t] += g * m
				}
			}
		}
	}
	r.Metrics = b.metrics()
	return r, nil
}

func (d DPO) defaults() DPO {
	if len(d.LossType) == 0 {
		d.LossType = []string{"sigmoid"}
	}
	if d.LossWeights == nil {
		for range d.LossType {
			d.LossWeights = append(d.LossWeights, 1)
		}
	}
	if d.Beta == 0 {
		d.Beta = 0.1
	}
	if d.Alpha == 0 {
		d.Alpha = 0.5
	}
	if d.DiscopopTau == 0 {
		d.DiscopopTau = 0.05
	}
	return d
}

// Validate says what of the settings cannot be.
func (d DPO) Validate() error {
	var errs []error
	if d.LossWeights != nil && len(d.LossWeights) != len(d.LossType) {
		errs = append(errs, fmt.Errorf("loss: %d loss_weights for %d loss types", len(d.LossWeights), len(d.LossType)))
	}
	for _, name := range d.LossType {
		errs = append(errs, oneOf("dpo loss_type", name, DPOTypes))
		switch {
		case name == "exo_pair" && d.LabelSmoothing <= 0:
			errs = append(errs, errors.New("loss: exo_pair takes the logarithm of label_smoothing: give it a small one, 1e-3"))
		case name == "robust" && d.LabelSmoothing >= 0.5:
			errs = append(errs, errors.New("loss: robust divides by 1 - 2 label_smoothing: it must be below 0.5"))
		case (name == "aot" || name == "aot_unpaired") && d.Weighting:
			errs = append(errs, fmt.Errorf("loss: %s sorts over the batch: use_weighting has no pair to weigh", name))
		}
	}
	if d.Divergence != "" {
		errs = append(errs, oneOf("f_divergence_type", d.Divergence, Divergences))
	}
	if d.Beta < 0 || d.LabelSmoothing < 0 || d.LabelSmoothing > 1 {
		errs = append(errs, fmt.Errorf("loss: beta %v and label_smoothing %v: beta must be above 0, label_smoothing between 0 and 1", d.Beta, d.LabelSmoothing))
	}
	return errors.Join(errs...)
}

// fill checks the settings and the shapes.
func (d DPO) fill(p Pairs) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if len(p.LogP) == 0 || len(p.LogP)%2 != 0 {
		return fmt.Errorf("loss: %d rows are no pairs", len(p.LogP))
	}
	errs := []error{sameShape("the reference", p.LogP, p.Ref), sameShape("the mask", p.LogP, p.Mask)}
	if d.Weighting {
		errs = append(errs, sameShape("log Σ p²", p.LogP, p.LogSumSq))
	}
	return errors.Join(errs...)
}

// shares are the weights with which tokens enter the log-probability of a completion.
func (d DPO) shares(p Pairs, n int) Tokens {
	if d.LDAlpha == nil {
		return p.Mask
	}
	out := zeros(p.Mask)
	for i := range n {
		common := min(total(p.Mask[i]), total(p.Mask[i+n]))
		for _, k := range []int{i, i + n} {
			seen := 0.0
			for t, m := range p.Mask[k] {
				if m == 0 {
					continue
				}
				if out[k][t] = m; seen >= common {
					out[k][t] *= *d.LDAlpha
				}
				seen += m
			}
		}
	}
	return out
}

// score is s(ρ) and its derivative.
func (d DPO) score(rho float64) (s, ds float64) {
	switch d.Divergence {
	case "forward_kl":
		e := math.Exp(-rho)
		return 1 - e, e
	case "js_divergence":
		return math.Ln2 + logSigmoid(rho), sigmoid(-rho)
	case "alpha_divergence":
		if a := d.Alpha - 1; math.Abs(a) >= 1e-6 {
			if a*rho > 80 { // as TRL: e^80 is representable in float32
				return (math.Exp(80) - 1) / a, 0
			}
			e := math.Exp(a * rho)
			return (e - 1) / a, e
		}
	}
	return rho, 1
}

// run computes the losses of one type, and their sum's derivatives.
func (b *dpoBatch) run(name string) {
	if name == "aot" || name == "aot_unpaired" {
		b.sorted(name)
		return
	}
	n, beta, eps := b.n, b.d.Beta, b.d.LabelSmoothing
	for i := range n {
		c, r := i, i+n
		// by score (ds), or by ρ alone
		sc, sr, dc, dr := b.s[c], b.s[r], b.ds[c], b.ds[r]
		x := beta * (sc - sr)
		lengthC, lengthR := max(1, b.lengths[c]), max(1, b.lengths[r])
		rc, rr := b.rho[c], b.rho[r]
		pair := func(loss, slope float64) { // slope: d loss / d x
			b.each[i] = loss
			b.grad[c], b.grad[r] = slope*beta*dc, -slope*beta*dr
		}
		switch name {
		case "sigmoid":
			pair(-logSigmoid(x), -sigmoid(-x))
		case "hinge":
			slope := 0.0
			if x < 1 {
				slope = -1
			}
			pair(max(0, 1-x), slope)
		case "ipo", "sigmoid_norm":
			delta := sc/lengthC - sr/lengthR
			var slope float64
			if name == "ipo" {
				e := delta - 1/(2*beta)
				b.each[i], slope = e*e, 2*e
			} else {
				b.each[i], slope = -logSigmoid(beta*delta), -beta*sigmoid(-beta*delta)
			}
			b.grad[c], b.grad[r] = slope*dc/lengthC, -slope*dr/lengthR
		case "exo_pair":
			w, l := sigmoid(x), sigmoid(-x)
			a, z := logSigmoid(x)-math.Log1p(-eps), logSigmoid(-x)-math.Log(eps)
			pair(w*a+l*z, w*l*(a-z)) // the derivatives of the logarithms cancel
		case "robust":
			k := 1 / (1 - 2*eps)
			pair(k*(-(1-eps)*logSigmoid(x)+eps*logSigmoid(-x)), k*(-(1-eps)*sigmoid(-x)-eps*sigmoid(x)))
		case "discopop":
			m, e := sigmoid(x/b.d.DiscopopTau), math.Exp(-x)
			dm := m * (1 - m) / b.d.DiscopopTau
			pair(-logSigmoid(x)*(1-m)+e*m, -sigmoid(-x)*(1-m)+logSigmoid(x)*dm-e*m+e*dm)
		case "nca_pair":
			b.each[i] = -logSigmoid(beta*rc) - logSigmoid(-beta*rc)/2 - logSigmoid(-beta*rr)/2
			b.grad[c], b.grad[r] = beta*(-sigmoid(-beta*rc)+sigmoid(beta*rc)/2), beta*sigmoid(beta*rr)/2
		case "bco_pair":
			b.each[i] = -logSigmoid(beta*rc) - logSigmoid(-beta*rr)
			b.grad[c], b.grad[r] = -beta*sigmoid(-beta*rc), beta*sigmoid(beta*rr)
		case "sppo_hard":
			w, l := rc-0.5/beta, rr+0.5/beta
			b.each[i] = w*w + l*l
			b.grad[c], b.grad[r] = 2*w, 2*l
		case "apo_zero":
			pc, pr := sigmoid(beta*rc), sigmoid(beta*rr)
			b.each[i] = 1 - pc + pr
			b.grad[c], b.grad[r] = -beta*pc*(1-pc), beta*pr*(1-pr)
		case "apo_down":
			pc, pd := sigmoid(beta*rc), sigmoid(beta*(rc-rr))
			b.each[i] = pc + 1 - pd
			b.grad[c], b.grad[r] = beta*(pc*(1-pc)-pd*(1-pd)), beta*pd*(1-pd)
		}
	}
}

// sorted is the transport between two samples: both are sorted, then compared.
func (b *dpoBatch) sorted(name string) {
	n, beta, eps := b.n, b.d.Beta, b.d.LabelSmoothing
	left, right := make([]float64, n), make([]float64, n)
	for i := range n {
		if name == "aot" {
			left[i], right[i] = b.logp[i]-b.logp[i+n], b.ref[i]-b.ref[i+n]
		} else {
			left[i], right[i] = b.rho[i], b.rho[i+n]
		}
	}
	l, r := order(left), order(right)
	for k := range n {
		x := beta * (left[l[k]] - right[r[k]])
		b.each[k] = -(1-eps)*logSigmoid(x) - eps*logSigmoid(-x)
		slope := beta * (-(1-eps)*sigmoid(-x) + eps*sigmoid(x))
		b.grad[l[k]] += slope
		if name == "aot" {
			b.grad[l[k]+n] -= slope
		} else {
			b.grad[r[k]+n] -= slope
		}
	}
}

// sft adds the mean cross-entropy of the chosen tokens, for each pair as TRL does.
func (b *dpoBatch) sft(p Pairs, weight float64, r *Result) {
	sum, tokens := 0.0, 0.0
	for i := range b.n {
		sum -= masked(p.LogP[i], p.Mask[i])
		tokens += total(p.Mask[i])
	}
	weights := float64(b.n)
	if b.weighted != nil {
		weights = total(b.weighted)
	}
	tokens = max(1, tokens)
	r.Sum += weight * weights * sum / tokens
	for i := range b.n {
		for t, m := range p.Mask[i] {
			r.Slope[i][t] -= weight * weights * m / tokens
		}
	}
}

func (b *dpoBatch) metrics() map[string]float64 {
	n := b.n
	m := map[string]float64{}
	right := 0
	for i := range n {
		m["rewards/chosen"] += b.d.Beta * b.rho[i] / float64(n)
		m["rewards/rejected"] += b.d.Beta * b.rho[i+n] / float64(n)
		m["logps/chosen"] += b.logp[i] / float64(n)
		m["logps/rejected"] += b.logp[i+n] / float64(n)
		if b.rho[i] > b.rho[i+n] {
			right++
		}
	}
	m["rewards/margins"] = m["rewards/chosen"] - m["rewards/rejected"]
	m["rewards/accuracies"] = share(right, n)
	return m
}
