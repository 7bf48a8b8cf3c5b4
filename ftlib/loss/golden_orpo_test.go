package loss

import (
	"math"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// TestGoldenORPO covers ORPO, CPO and SimPO, which are recorded from logits.
func TestGoldenORPO(t *testing.T) {
	g := openGolden(t, "losses/orpo_cpo_simpo.safetensors")
	var cases map[string]struct {
		Alpha          float64            `json:"alpha"`
		Beta           float64            `json:"beta"`
		CPOAlpha       *float64           `json:"cpo_alpha"`
		LabelSmoothing float64            `json:"label_smoothing"`
		LossType       string             `json:"loss_type"`
		Gamma          *float64           `json:"simpo_gamma"`
		Loss           float64            `json:"loss"`
		Metrics        map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, "losses/orpo_cpo_simpo.json", &cases)
	logits, shape := g.values("logits")
	ids, labels, attention := g.rows("input_ids"), g.rows("labels"), g.rows("attention_mask")
	b, l, v := shape[0], shape[1], shape[2]
	p := Pairs{LogP: make(Tokens, b), Mask: make(Tokens, b)}
	var whole Tokens                   // real tokens as targets
	probabilities := make(Tokens, b*l) // of each next token
	for i := range b {
		var real []float64
		for k := range l - 1 {
			row := logits[(i*l+k)*v : (i*l+k+1)*v]
			top := math.Inf(-1)
			for _, x := range row {
				top = max(top, x)
			}
			sum, probs := 0.0, make([]float64, v)
			for j, x := range row {
				probs[j] = math.Exp(x - top)
				sum += probs[j]
			}
			for j := range probs {
				probs[j] /= sum
			}
			probabilities[i*l+k] = probs
			next := int(ids[i][k+1])
			p.LogP[i] = append(p.LogP[i], row[next]-top-math.Log(sum))
			mask := 0.0
			if labels[i][k+1] != -100 {
				mask = 1
			}
			p.Mask[i] = append(p.Mask[i], mask)
			real = append(real, attention[i][k+1])
		}
		whole = append(whole, real)
	}
	withGradient := 0
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var r Result
			var err error
			if strings.HasPrefix(name, "orpo") {
				r, err = ORPO{Beta: c.Beta}.Loss(p, whole[:b/2])
			} else {
				r, err = CPO{LossType: c.LossType, Beta: c.Beta, LabelSmoothing: c.LabelSmoothing, CPOAlpha: c.CPOAlpha, SimPOGamma: c.Gamma, Alpha: c.Alpha}.Loss(p)
			}
			if err != nil {
				t.Fatal(err)
			}
			near(t, "loss", r.Mean(), c.Loss, 1e-6)
			nearMetrics(t, r.Metrics, c.Metrics, "rewards/", "logps/")
			if c.CPOAlpha == nil || *c.CPOAlpha != 0 { // where it has no weight TRL logs 0
				nearMetrics(t, r.Metrics, c.Metrics, "nll_loss")
			}
			if !g.f.Has("dlogits." + name) {
				return
			}
			withGradient++
			want := g.flat("dlogits." + name)
			for i := range b {
				for k := range l - 1 {
					for j, prob := range probabilities[i*l+k] {
						d := -prob
						if j == int(ids[i][k+1]) {
							d++
						}
						near(t, "dlogits", r.Slope[i][k]/r.Units*d, want[(i*l+k)*v+j], 1e-6)
					}
				}
			}
		})
	}
	if withGradient == 0 {
		t.Error("no gradient is recorded")
	}
}
