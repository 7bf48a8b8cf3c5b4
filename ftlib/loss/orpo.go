package loss

import (
	"errors"
	"math"
)

// ORPO is odds ratio preference optimization (Hong et al. 2024): no reference. With a
// the mean log-probability of a completion's tokens,
//
//	o = (a_c - a_r) - (log(1-e^a_c) - log(1-e^a_r))        L = NLL(chosen) - β log σ(o)
//
// NLL is the mean over the tokens of all chosen sequences, prompt included, as TRL has it
// (ChosenMask; nil: the completion alone, as the paper's formula reads). A unit is a
// pair. It agrees with TRL 1.16's ORPOTrainer (golden case losses/orpo_cpo_simpo).
type ORPO struct {
	Beta float64 // λ of the paper; 0: 0.1
}

// CPO is contrastive preference optimization (Xu et al. 2024), SimPO (Meng et al. 2024)
// and AlphaPO (Gupta et al. 2025): no reference. With x = log π(y_c) - log π(y_r), the mean
// over tokens instead of the sum for ipo and simpo, and with Alpha the difference of
// (1-p^-α)/α instead of log p:
//
//	sigmoid   -(1-ε) log σ(βx) - ε log σ(-βx)
//	simpo     the same of x - γ/β
//	hinge     max(0, 1-βx)
//	ipo       (x - 1/(2β))²
//
// plus CPOAlpha times the mean NLL over the tokens of the chosen completions. A unit is a
// pair. It agrees with TRL 1.16's CPOTrainer (golden case losses/orpo_cpo_simpo).
type CPO struct {
	LossType       string  // "": sigmoid
	Beta           float64 // 0: 0.1
	LabelSmoothing float64
	CPOAlpha       *float64 // nil: 1
	SimPOGamma     *float64 // nil: 0.5
	Alpha          float64  // of AlphaPO; 0: log-probabilities as they are
}

// CPOTypes are the loss types of [CPO].
var CPOTypes = []string{"sigmoid", "hinge", "ipo", "simpo"}

// Loss is the loss of pairs; p.Ref is not used. nll chooses the tokens of the chosen
// sequences [P][T] that the likelihood term counts; nil: the completions'.
func (o ORPO) Loss(p Pairs, nll Tokens) (Result, error) {
	if err := unreferenced(p, nll); err != nil {
		return Result{}, err
	}
	if o.Beta == 0 {
		o.Beta = 0.1
	}
	n := len(p.LogP) / 2
	r := Result{Units: float64(n), Slope: zeros(p.LogP), Metrics: map[string]float64{}}
	a, lengths := meanLogps(p)
	right := 0
	for i := range n {
		c, j := i, i+n
		odds := (a[c] - a[j]) - (log1mExp(a[c]) - log1mExp(a[j]))
		r.Sum -= o.Beta * logSigmoid(odds)
		slope := -o.Beta * sigmoid(-odds)
		spread(r.Slope[c], p.Mask[c], slope/-math.Expm1(a[c])/lengths[c]) // d o / d a = 1/(1-e^a)
		spread(r.Slope[j], p.Mask[j], -slope/-math.Expm1(a[j])/lengths[j])
		r.Metrics["log_odds_ratio"] += logSigmoid(odds) / float64(n)
		r.Metrics["log_odds_chosen"] += odds / float64(n)
		if a[c] > a[j] {
			right++
		}
	}
	r.addNLL(p, nll, 1)
	pairMetrics(&r, a, o.Beta, right)
	return r, nil
}

// Loss is the loss of pairs; p.Ref is not used.
func (o CPO) Loss(p Pairs) (Result, error) {
	if o.LossType == "" {
		o.LossType = "sigmoid"
	}
	if o.Beta == 0 {
		o.Beta = 0.1
	}
	if err := errors.Join(oneOf("cpo loss_type", o.LossType, CPOTypes), unreferenced(p, nil)); err != nil {
		return Result{}, err
	}
	n := len(p.LogP) / 2
	r := Result{Units: float64(n), Slope: zeros(p.LogP), Metrics: map[string]float64{}}
	a, lengths := meanLogps(p)
	logp := make([]float64, 2*n) // what the loss looks at
	divide := make([]float64, 2*n)
	for i := range logp {
		if divide[i] = 1; o.LossType == "ipo" || o.LossType == "simpo" {
			divide[i] = lengths[i]
		}
		logp[i] = a[i] * lengths[i] / divide[i]
	}
	reward, dReward := make([]float64, 2*n), make([]float64, 2*n)
	for i, l := range logp {
		reward[i], dReward[i] = l, 1
		if o.Alpha != 0 {
			e := math.Exp(-o.Alpha * l)
			reward[i], dReward[i] = (1-e)/o.Alpha, e
		}
	}
	right := 0
	for i := range n {
		c, j := i, i+n
		x, eps := o.Beta*(reward[c]-reward[j]), o.LabelSmoothing
		var loss, slope float64 // slope: d loss / d x
		switch o.LossType {
		case "simpo", "sigmoid":
			if o.LossType == "simpo" {
				x -= orElse(o.SimPOGamma, 0.5)
			}
			loss, slope = -(1-eps)*logSigmoid(x)-eps*logSigmoid(-x), -(1-eps)*sigmoid(-x)+eps*sigmoid(x)
		case "hinge":
			if loss = max(0, 1-x); x < 1 {
				slope = -1
			}
		case "ipo":
			e := (reward[c] - reward[j]) - 1/(2*o.Beta)
			loss, slope = e*e, 2*e/o.Beta
		}
		r.Sum += loss
		spread(r.Slope[c], p.Mask[c], slope*o.Beta*dReward[c]/divide[c])
		spread(r.Slope[j], p.Mask[j], -slope*o.Beta*dReward[j]/divide[j])
		if reward[c] > reward[j] {
			right++
		}
	}
	r.addNLL(p, nil, orElse(o.CPOAlpha, 1))
	pairMetrics(&r, reward, o.Beta, right)
	r.Metrics["logps/chosen"], r.Metrics["logps/rejected"] = mean(logp[:n]), mean(logp[n:])
	return r, nil
}

func unreferenced(p Pairs, nll Tokens) error {
	if len(p.LogP) == 0 || len(p.LogP)%2 != 0 {
		return errors.New("loss: an odd number of rows, or none, are no pairs")
	}
	err := sameShape("the mask", p.LogP, p.Mask)
	if err == nil && nll != nil {
		err = sameShape("the mask of the likelihood", p.LogP[:len(p.LogP)/2], nll)
	}
	return err
}

// meanLogps are the means over tokens of completions, and their lengths.
func meanLogps(p Pairs) (a, lengths []float64) {
	for i := range p.LogP {
		n := max(1, total(p.Mask[i]))
		a, lengths = append(a, masked(p.LogP[i], p.Mask[i])/n), append(lengths, n)
	}
	return a, lengths
}

// spread adds a slope to all tokens of a mask.
func spread(slope, mask []float64, by float64) {
	for t, m := range mask {
		slope[t] += by * m
	}
}

// addNLL adds weight times the mean negative log-likelihood over tokens, for each pair.
func (r *Result) addNLL(p Pairs, mask Tokens, weight float64) {
	n := len(p.LogP) / 2
	if mask == nil {
		mask = p.Mask[:n]
	}
	sum, tokens := 0.0, 0.0
	for i := range n {
		sum, tokens = sum-masked(p.LogP[i], mask[i]), tokens+total(mask[i])
	}
	tokens = max(1, tokens)
	r.Metrics["nll_loss"] = sum / tokens
	r.Sum += weight * r.Units * sum / tokens
	for i := range n {
		spread(r.Slope[i], mask[i], -weight*r.Units/tokens)
	}
}

// pairMetrics adds what the field logs of implicit rewards; the first half are chosen.
func pairMetrics(r *Result, reward []float64, beta float64, right int) {
	n := len(reward) / 2
	r.Metrics["rewards/chosen"], r.Metrics["rewards/rejected"] = beta*mean(reward[:n]), beta*mean(reward[n:])
	r.Metrics["rewards/margins"] = r.Metrics["rewards/chosen"] - r.Metrics["rewards/rejected"]
	r.Metrics["rewards/accuracies"] = share(right, n)
	if _, there := r.Metrics["logps/chosen"]; !there {
		r.Metrics["logps/chosen"], r.Metrics["logps/rejected"] = mean(reward[:n]), mean(reward[n:])
	}
}

// log1mExp is log(1-e^x) for x < 0 without cancellation (Mächler 2012).
func log1mExp(x float64) float64 {
	if x < -math.Ln2 {
		return math.Log1p(-math.Exp(x))
	}
	return math.Log(-math.Expm1(x))
}

func orElse(p *float64, zero float64) float64 {
	if p == nil {
		return zero
	}
	return *p
}
