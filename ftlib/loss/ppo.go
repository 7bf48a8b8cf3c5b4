package loss

import (
	"errors"
	"fmt"
	"math"
)

// PPO is proximal policy optimization (Schulman et al. 2017) as RLHF uses it (Ziegler et
// al. 2019): reward of a token is -β KL, and at the last one the score of the response as well;
// advantages by GAE (Schulman et al. 2015); then, with w = π/π_old,
//
//	L = mean max(-A w, -A clip(w, 1-c, 1+c)) + vf_coef ½ mean max((V-R)², (clip(V, V_old ± c_v) - R)²)
//
// minus EntropyCoef times the mean entropy. Advantages are whitened over the rollout,
// returns are taken before that.
//
// TRL reproduces TRL 1.12 where it does otherwise, which the golden cases (testdata/ppo) pin
// down: the score stands on the position behind the last token where there is one, and the
// value there counts; its plain metrics (approxkl, ratio) average padding in.
type PPO struct {
	KLCoef            float64  // β; 0: 0.05; negative: none
	KLEstimator       string   // "k1": log π - log π_ref; "k3": e^d - 1 - d of d = log π_ref - log π; "": k1
	Gamma             float64  // 0: 1
	Lambda            float64  // of GAE; 0: 0.95
	ClipRange         float64  // c; 0: 0.2
	ClipRangeValue    float64  // c_v; 0: 0.2
	VFCoef            float64  // 0: 0.1
	EntropyCoef       float64  // 0: none
	WhitenRewards     bool     // scale rewards to a standard deviation of 1 around their mean
	MissingEOSPenalty *float64 // taken from the score of a response without an end; nil: none
	TRL               bool
}

// Experience is a rollout before the update: rows are responses, all of one length T, of
// which the first Length tokens are real.
type Experience struct {
	LogP, Ref, Values Tokens    // [N][T]; what stands behind Length does not matter
	Length            []int     // tokens of each response, its end token included
	Scores            []float64 // [N] of whole responses
	Ended             []bool    // [N] the response has an end token; nil: all have
	StepRewards       Tokens    // [N][T] rewards of tokens (process supervision); nil: none
}

// Targets are what the update learns from.
type Targets struct {
	Mask, ValueMask     Tokens // tokens that the policy's and the value's loss look at
	LogP                Tokens // under the policy that wrote them; 1 behind the end with TRL
	Values              Tokens // 0 behind the end
	KL, Rewards         Tokens
	Advantages, Returns Tokens
	Scores              []float64          // after the penalty
	Metrics             map[string]float64 // objective/...
}

func (p PPO) defaults() PPO {
	set := func(v *float64, zero float64) {
		if *v == 0 {
			*v = zero
		}
	}
	set(&p.KLCoef, 0.05)
	p.KLCoef = max(0, p.KLCoef)
	set(&p.Gamma, 1)
	set(&p.Lambda, 0.95)
	set(&p.ClipRange, 0.2)
	set(&p.ClipRangeValue, 0.2)
	set(&p.VFCoef, 0.1)
	if p.KLEstimator == "" {
		p.KLEstimator = "k1"
	}
	return p
}

// Validate says what of the settings cannot be.
func (p PPO) Validate() error {
	p = p.defaults()
	err := oneOf("kl_estimator", p.KLEstimator, []string{"k1", "k3"})
	if p.Gamma < 0 || p.Gamma > 1 || p.Lambda < 0 || p.Lambda > 1 {
		err = errors.Join(err, fmt.Errorf("loss: gamma %v and lam %v must be between 0 and 1", p.Gamma, p.Lambda))
	}
	if p.ClipRange < 0 || p.ClipRangeValue < 0 || p.VFCoef < 0 {
		err = errors.Join(err, fmt.Errorf("loss: cliprange %v, cliprange_value %v and vf_coef %v must not be negative", p.ClipRange, p.ClipRangeValue, p.VFCoef))
	}
	return err
}

// invalid is the log-probability that TRL gives to padding.
const invalid = 1.0

// Prepare turns a rollout into targets.
func (p PPO) Prepare(e Experience) (Targets, error) {
	p = p.defaults()
	n := len(e.LogP)
	err := errors.Join(p.Validate(), sameShape("the reference", e.LogP, e.Ref), sameShape("the values", e.LogP, e.Values))
	if e.StepRewards != nil {
		err = errors.Join(err, sameShape("the step rewards", e.LogP, e.StepRewards))
	}
	if n == 0 || len(e.Length) != n || len(e.Scores) != n || e.Ended != nil && len(e.Ended) != n {
		err = errors.Join(err, fmt.Errorf("loss: %d responses with %d lengths and %d scores", n, len(e.Length), len(e.Scores)))
	}
	if err != nil {
		return Targets{}, err
	}
	t := Targets{Mask: zeros(e.LogP), ValueMask: zeros(e.LogP), LogP: zeros(e.LogP), Values: zeros(e.LogP), KL: zeros(e.LogP), Rewards: zeros(e.LogP),
		Scores: append([]float64{}, e.Scores...), Metrics: map[string]float64{}}
	entropy, kls := 0.0, 0.0
	for i := range n {
		width, length := len(e.LogP[i]), e.Length[i]
		if length < 1 && !p.TRL || length > width {
			return t, fmt.Errorf("loss: response %d has %d tokens of %d", i, length, width)
		}
		if p.MissingEOSPenalty != nil && e.Ended != nil && !e.Ended[i] {
			t.Scores[i] -= *p.MissingEOSPenalty
		}
		valued := length // positions whose value counts
		if p.TRL && length < width {
			valued++
		}
		for k := range width {
			if k < valued {
				t.ValueMask[i][k], t.Values[i][k] = 1, e.Values[i][k]
			}
			if k >= length {
				if p.TRL {
					t.LogP[i][k] = invalid
				}
				continue
			}
			t.Mask[i][k], t.LogP[i][k] = 1, e.LogP[i][k]
			d := e.Ref[i][k] - e.LogP[i][k]
			t.KL[i][k] = -d
			if p.KLEstimator == "k3" {
				t.KL[i][k] = math.Expm1(d) - d
			}
			t.Rewards[i][k] = -p.KLCoef * t.KL[i][k]
			if e.StepRewards != nil {
				t.Rewards[i][k] += e.StepRewards[i][k]
			}
			entropy -= e.LogP[i][k] / float64(n)
			kls += t.KL[i][k] / float64(n)
		}
		t.Rewards[i][max(0, valued-1)] += t.Scores[i]
	}
	t.Metrics["objective/kl"], t.Metrics["objective/entropy"] = kls, entropy
	t.Metrics["objective/non_score_reward"] = -p.KLCoef * kls
	t.Metrics["objective/scores"] = mean(t.Scores)
	t.Metrics["objective/rlhf_reward"] = t.Metrics["objective/non_score_reward"] + t.Metrics["objective/scores"]
	if p.WhitenRewards {
		whiten(t.Rewards, t.ValueMask, false)
	}
	t.Advantages, t.Returns = GAE(t.Rewards, t.Values, p.Gamma, p.Lambda)
	whiten(t.Advantages, t.Mask, true)
	return t, nil
}

// GAE is generalized advantage estimation (Schulman et al. 2015) over rewards and values
// [N][T]: δ_t = r_t + γ V_{t+1} - V_t, A_t = δ_t + γλ A_{t+1}; returns are A + V.
func GAE(rewards, values Tokens, gamma, lambda float64) (advantages, returns Tokens) {
	advantages, returns = zeros(rewards), zeros(rewards)
	for i, r := range rewards {
		next, last := 0.0, 0.0
		for k := len(r) - 1; k >= 0; k-- {
			last = r[k] + gamma*next - values[i][k] + gamma*lambda*last
			next = values[i][k]
			advantages[i][k], returns[i][k] = last, last+next
		}
	}
	return advantages, returns
}

// whiten makes the standard deviation over the mask (unbiased) 1, and the mean 0 when
// center is set, else it stays; what is not in the mask becomes 0.
func whiten(t, mask Tokens, center bool) {
	sum, n := 0.0, 0.0
	for i := range t {
		sum, n = sum+masked(t[i], mask[i]), n+total(mask[i])
	}
	m, v := sum/max(1, n), 0.0
	for i := range t {
		for k, w := range mask[i] {
			if w != 0 {
				v += (t[i][k] - m) * (t[i][k] - m)
			}
		}
	}
	// One token has no variance: it is left as it is.
	scale := 1.0
	if n > 1 {
		scale = 1 / math.Sqrt(v/(n-1)+1e-8)
	}
	for i := range t {
		for k, w := range mask[i] {
			switch {
			case w == 0:
				t[i][k] = 0
			case center:
				t[i][k] = (t[i][k] - m) * scale
			default:
				t[i][k] = (t[i][k]-m)*scale + m
			}
		}
	}
}

// PPOResult is the loss of a minibatch. A unit is a token of a response.
type PPOResult struct {
	Result
	Value         Tokens  // d Sum / d value prediction
	PolicyLoss    float64 // mean
	ValueLoss     float64 // mean
	PolicyEntropy float64 // mean, where it is known
}

// Loss is the loss of the rows of a minibatch: rows are the indices in t of the rows of
// logp and values, which are those of the policy and the value as they are now.
func (p PPO) Loss(t Targets, rows []int, logp, values, entropy Tokens) (PPOResult, error) {
	p = p.defaults()
	if len(logp) != len(rows) || len(values) != len(rows) {
		return PPOResult{}, fmt.Errorf("loss: %d rows with %d of log-probabilities and %d of values", len(rows), len(logp), len(values))
	}
	r := PPOResult{Result: Result{Slope: zeros(logp), Metrics: map[string]float64{}}, Value: zeros(values)}
	clipped, valueClipped, approx, ratios, valued := 0.0, 0.0, 0.0, 0.0, 0.0
	for _, i := range rows {
		r.Units, valued = r.Units+total(t.Mask[i]), valued+total(t.ValueMask[i])
	}
	tokens := max(1, r.Units)
	valued = max(1, valued)
	g := GRPO{EpsilonLow: p.ClipRange, EpsilonHigh: p.ClipRange}
	for k, i := range rows {
		if len(logp[k]) != len(t.Mask[i]) || len(values[k]) != len(t.Mask[i]) {
			return PPOResult{}, fmt.Errorf("loss: row %d has %d log-probabilities and %d values of %d tokens", k, len(logp[k]), len(values[k]), len(t.Mask[i]))
		}
		for at, m := range t.Mask[i] {
			if m != 0 {
				d := logp[k][at] - t.LogP[i][at]
				w, a := math.Exp(d), t.Advantages[i][at]
				value, slope, _ := g.clipped(w, a)
				r.PolicyLoss += value / tokens
				r.Slope[k][at] = slope * r.Units / tokens
				if -a*min(1+p.ClipRange, max(1-p.ClipRange, w)) > -a*w {
					clipped += m
				}
				approx, ratios = approx+d*d/2, ratios+w
			}
			if t.ValueMask[i][at] == 0 {
				continue
			}
			v, old, ret := values[k][at], t.Values[i][at], t.Returns[i][at]
			bounded := min(old+p.ClipRangeValue, max(old-p.ClipRangeValue, v))
			first, second := (v-ret)*(v-ret), (bounded-ret)*(bounded-ret)
			slope := v - ret
			if second > first {
				if valueClipped++; bounded != v {
					slope = 0
				}
			}
			r.ValueLoss += max(first, second) / 2 / valued
			r.Value[k][at] = p.VFCoef * slope * r.Units / valued
		}
	}
	r.Sum = r.Units * (r.PolicyLoss + p.VFCoef*r.ValueLoss)
	if entropy != nil {
		r.Entropy = zeros(logp)
		for k, i := range rows {
			r.PolicyEntropy += masked(entropy[k], t.Mask[i]) / tokens
			spread(r.Entropy[k], t.Mask[i], -p.EntropyCoef*r.Units/tokens)
		}
		if r.Metrics["policy/entropy"] = r.PolicyEntropy; p.EntropyCoef == 0 {
			r.Entropy = nil
		}
		r.Sum -= r.Units * p.EntropyCoef * r.PolicyEntropy
	}
	r.Metrics["loss/policy"], r.Metrics["loss/value"] = r.PolicyLoss, r.ValueLoss
	r.Metrics["policy/approxkl"], r.Metrics["val/ratio"] = approx/tokens, ratios/tokens
	r.Metrics["policy/clipfrac"], r.Metrics["val/clipfrac"] = clipped/tokens, valueClipped/valued
	return r, nil
}

// AdaptiveKL steers the coefficient of KL towards a target (Ziegler et al. 2019, 2.2):
// β ← β (1 + clip(KL/target - 1, ±0.2) · n / horizon).
type AdaptiveKL struct {
	Target  float64 // nats a response
	Horizon float64 // episodes; 0: 10000
}

// Next is the coefficient after n episodes that had this mean KL.
func (a AdaptiveKL) Next(coef, kl float64, n int) float64 {
	if a.Horizon == 0 {
		a.Horizon = 10000
	}
	return coef * (1 + min(0.2, max(-0.2, kl/a.Target-1))*float64(n)/a.Horizon)
}
