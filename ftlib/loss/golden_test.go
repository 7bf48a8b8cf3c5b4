package loss

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// golden is a file of recorded tensors.
type golden struct {
	t *testing.T
	f *safetensors.File
}

func openGolden(t *testing.T, name string) golden {
	t.Helper()
	f, err := safetensors.Open(testkit.Golden(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return golden{t, f}
}

// values are a tensor of any type as float64, with its shape.
func (g golden) values(name string) ([]float64, []int) {
	g.t.Helper()
	x, err := g.f.Tensor(name)
	if err != nil {
		g.t.Fatal(err)
	}
	out := make([]float64, x.Elements())
	for i := range out {
		switch x.DType {
		case safetensors.F64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(x.Data[8*i:]))
		case safetensors.F32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:])))
		case safetensors.I64:
			out[i] = float64(int64(binary.LittleEndian.Uint64(x.Data[8*i:])))
		case safetensors.U8, safetensors.Bool:
			out[i] = float64(x.Data[i])
		default:
			g.t.Fatalf("%s: type %s", name, x.DType)
		}
	}
	return out, x.Shape
}

func (g golden) flat(name string) []float64 {
	g.t.Helper()
	v, _ := g.values(name)
	return v
}

// rows are a tensor [N, T].
func (g golden) rows(name string) Tokens {
	g.t.Helper()
	v, shape := g.values(name)
	out := make(Tokens, shape[0])
	n := len(v) / shape[0]
	for i := range out {
		out[i] = v[i*n : (i+1)*n]
	}
	return out
}

// shifted are the columns from the second on: masks of tokens as targets.
func shifted(t Tokens) Tokens {
	out := make(Tokens, len(t))
	for i := range t {
		out[i] = t[i][1:]
	}
	return out
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s: %.12g, want %.12g (off by %.2g)", what, got, want, got-want)
	}
}

func nearRows(t *testing.T, what string, got, want Tokens, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range want {
		for k := range want[i] {
			near(t, fmt.Sprintf("%s[%d][%d]", what, i, k), got[i][k], want[i][k], tolerance)
		}
	}
}

func nearMetrics(t *testing.T, got, want map[string]float64, names ...string) {
	t.Helper()
	seen := 0
	for name, w := range want {
		for _, n := range names {
			if strings.HasPrefix(name, n) {
				near(t, name, got[name], w, 2e-7) // TRL takes these means in float32
				seen++
			}
		}
	}
	if seen == 0 {
		t.Errorf("none of the metrics %v is recorded", names)
	}
}

// scaled is every value times by.
func scaled(t Tokens, by float64) Tokens {
	out := zeros(t)
	for i := range t {
		for k, v := range t[i] {
			out[i][k] = v * by
		}
	}
	return out
}

func TestGoldenDPO(t *testing.T) {
	g := openGolden(t, "losses/dpo.safetensors")
	var cases map[string]struct {
		Beta           float64            `json:"beta"`
		LabelSmoothing float64            `json:"label_smoothing"`
		LossTypes      []string           `json:"loss_types"`
		Weights        []float64          `json:"weights"`
		Divergence     string             `json:"f_divergence_type"`
		Alpha          *float64           `json:"f_alpha_divergence_coef"`
		LDAlpha        *float64           `json:"ld_alpha"`
		Weighting      bool               `json:"use_weighting"`
		Loss           float64            `json:"loss"`
		Metrics        map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, "losses/dpo.json", &cases)
	unshifted := g.rows("completion_mask")
	p := Pairs{LogP: g.rows("policy_per_token_logps"), Ref: g.rows("ref_per_token_logps"), Mask: shifted(unshifted), LogSumSq: g.rows("log_sum_sq_probs")}
	for _, m := range unshifted {
		p.Lengths = append(p.Lengths, total(m))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := DPO{LossType: c.LossTypes, LossWeights: c.Weights, Beta: c.Beta, LabelSmoothing: c.LabelSmoothing, Divergence: c.Divergence,
				LDAlpha: c.LDAlpha, Weighting: c.Weighting}
			if c.Alpha != nil {
				d.Alpha = *c.Alpha
			}
			r, err := d.Loss(p)
			if err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-10
			if d.Divergence == "alpha_divergence" || strings.Contains(name, "exo") {
				tolerance = 1e-6 // float32 inside of TRL: the exponential, log label_smoothing
			}
			near(t, "loss", r.Mean(), c.Loss, tolerance)
			nearRows(t, "slope", scaled(r.Slope, 1/r.Units), g.rows("grad."+name), tolerance)
			nearMetrics(t, r.Metrics, c.Metrics, "rewards/", "logps/")
		})
	}
}

func TestGoldenKTO(t *testing.T) {
	g := openGolden(t, "losses/kto.safetensors")
	var cases map[string]struct {
		Loss    float64            `json:"loss"`
		Metrics map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, "losses/kto.json", &cases)
	u := Unpaired{LogP: g.rows("policy_per_token_logps"), Ref: g.rows("ref_per_token_logps"), Mask: shifted(g.rows("completion_mask"))}
	for _, v := range g.flat("label") {
		u.Good = append(u.Good, v != 0)
	}
	klMask := shifted(g.rows("KL_completion_mask"))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var k KTO
			// kto.b0.1.w1.0_1.0.kl_positive
			rest, kl, _ := strings.Cut(name, ".kl_")
			at := strings.Index(rest, ".b")
			k.LossType = rest[:at]
			if _, err := fmt.Sscanf(strings.ReplaceAll(rest[at:], "_", " "), ".b%f.w%f %f", &k.Beta, &k.DesirableWeight, &k.UndesirableWeight); err != nil {
				beta, weights, _ := strings.Cut(rest[at+2:], ".w")
				if _, err := fmt.Sscanf(beta+" "+strings.ReplaceAll(weights, "_", " "), "%f %f %f", &k.Beta, &k.DesirableWeight, &k.UndesirableWeight); err != nil {
					t.Fatal(err)
				}
			}
			u := u
			for i, row := range g.rows("policy_KL.kl_" + kl) {
				u.KL = append(u.KL, masked(row, klMask[i]))
				u.KLRef = append(u.KLRef, masked(g.rows("ref_KL.kl_" + kl)[i], klMask[i]))
			}
			r, err := k.Loss(u)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "loss", r.Mean(), c.Loss, 1e-10)
			nearRows(t, "slope", scaled(r.Slope, 1/r.Units), g.rows("grad."+name), 1e-10)
			nearMetrics(t, r.Metrics, c.Metrics, "rewards/", "logps/")
		})
	}
}

func TestGoldenReward(t *testing.T) {
	g := openGolden(t, "losses/reward.safetensors")
	var cases map[string]struct {
		Loss    float64            `json:"loss"`
		Metrics map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, "losses/reward.json", &cases)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var margin []float64
			var with int
			var center string
			if _, err := fmt.Sscanf(name, "margin%d.center%s", &with, &center); err != nil {
				t.Fatal(err)
			}
			if with == 1 {
				margin = g.flat("margin")
			}
			var l Reward
			if center != "None" {
				if _, err := fmt.Sscan(center, &l.CenterRewards); err != nil {
					t.Fatal(err)
				}
			}
			r, err := l.Loss(g.flat("rewards"), margin)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "loss", r.Sum/r.Units, c.Loss, 1e-10)
			nearRows(t, "slope", scaled(Tokens{r.Slope}, 1/r.Units), Tokens{g.flat("grad." + name)}, 1e-10)
			nearMetrics(t, r.Metrics, c.Metrics, "")
		})
	}
}

func TestGoldenGRPO(t *testing.T) {
	g := openGolden(t, "losses/grpo.safetensors")
	var cases map[string]struct {
		Beta       float64            `json:"beta"`
		Delta      *float64           `json:"delta"`
		Entropy    float64            `json:"entropy_coef"`
		High       float64            `json:"epsilon_high"`
		Low        float64            `json:"epsilon_low"`
		Accumulate float64            `json:"gradient_accumulation_steps"`
		Level      string             `json:"importance_sampling_level"`
		Loss       float64            `json:"loss"`
		LossType   string             `json:"loss_type"`
		Max        int                `json:"max_completion_length"`
		Items      float64            `json:"num_items_in_batch"`
		PerGen     float64            `json:"steps_per_generation"`
		Top        float64            `json:"top_entropy_quantile"`
		BiasKL     bool               `json:"use_bias_correction_kl"`
		UsesOld    bool               `json:"uses_old"`
		Metrics    map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, "losses/grpo.json", &cases)
	base := Rollouts{LogP: g.rows("per_token_logps"), Ref: g.rows("ref_per_token_logps"), Mask: g.rows("completion_mask"),
		Entropy: g.rows("entropies"), Advantages: g.flat("advantages")}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := base
			if c.UsesOld {
				r.Old = g.rows("old_per_token_logps")
			}
			l := GRPO{LossType: c.LossType, Beta: c.Beta, Delta: c.Delta, EpsilonHigh: c.High, EpsilonLow: c.Low, Level: c.Level,
				MaxCompletionLength: c.Max, TopEntropyQuantile: c.Top, BiasCorrectionKL: c.BiasKL, SapoNeg: float64(float32(1.05))} // TRL keeps it in float32
			got, err := l.Loss(r)
			if err != nil {
				t.Fatal(err)
			}
			// What TRL divides by, of which a step of ours divides by the units of all its batches.
			norm := got.Units * c.Accumulate
			if l.tokenUnits() && c.LossType != "bnpo" {
				norm = c.Items * c.Accumulate / c.PerGen
			}
			loss, slope := got.Sum/norm, scaled(got.Slope, 1/norm)
			if c.Entropy != 0 {
				l.EntropyCoef = c.Entropy
				with, err := l.Loss(r)
				if err != nil {
					t.Fatal(err)
				}
				loss += (with.Sum - got.Sum) / with.Units / c.Accumulate
				if with.Entropy == nil {
					t.Error("no slope by entropy")
				}
			}
			near(t, "loss", loss, c.Loss, 1e-10)
			if g.f.Has("grad." + name) { // those with another divisor have no slopes of their own
				nearRows(t, "slope", slope, g.rows("grad."+name), 1e-10)
			}
			near(t, "entropy", got.Metrics["entropy"], c.Metrics["entropy"], 2e-7)
			names := []string{"cispo", "vespo", "kl"}
			for _, m := range []string{"low_mean", "high_mean", "region_mean", "low_min", "high_max"} {
				names = append(names, "clip_ratio/"+m)
			}
			if c.LossType != "sapo" || c.Beta != 0 { // sapo has none of its own
				nearMetrics(t, got.Metrics, c.Metrics, names...)
			}
		})
	}
}

func TestGoldenRLOO(t *testing.T) {
	g := openGolden(t, "losses/rloo.safetensors")
	var cases map[string]struct {
		Loss    float64            `json:"loss"`
		Metrics map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, "losses/rloo.json", &cases)
	r := Rollouts{LogP: g.rows("per_token_logps"), Mask: g.rows("completion_mask"), Advantages: g.flat("advantages")}
	old := g.flat("old_logps") // sums: put on the first token
	r.Old = zeros(r.LogP)
	for i := range r.Old {
		first := -1
		for k, m := range r.Mask[i] {
			if m != 0 && first < 0 {
				first = k
			}
		}
		r.Old[i][first] = old[i]
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var l RLOO
			if _, err := fmt.Sscanf(name, "eps%f", &l.EpsilonLow); err != nil {
				t.Fatal(err)
			}
			got, err := l.Loss(r)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "loss", got.Mean(), c.Loss, 1e-10)
			nearRows(t, "slope", scaled(got.Slope, 1/got.Units), g.rows("grad."+name), 1e-10)
			nearMetrics(t, got.Metrics, c.Metrics, "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean")
		})
	}
}

func TestGoldenAdvantages(t *testing.T) {
	g := openGolden(t, "losses/rl_advantages.safetensors")
	var cases map[string]map[string]float64
	testkit.GoldenJSON(t, "losses/rl_advantages.json", &cases)
	rewards, weights, mask := g.rows("rewards_per_func"), g.flat("weights"), g.rows("completion_mask")
	old, ref := g.rows("old_per_token_logps"), g.rows("ref_per_token_logps")
	var kl []float64
	for i := range mask {
		kl = append(kl, masked(old[i], mask[i])-masked(ref[i], mask[i]))
	}
	group := groupSize(t, g, rewards, weights)
	for name, metrics := range cases {
		t.Run(name, func(t *testing.T) {
			var s Scores
			var err error
			if scale, ok := strings.CutPrefix(name, "grpo."); ok {
				a := Advantages{Weights: weights, Group: group, Scale: scale}
				if scale == "gdpo" {
					a.Scale, a.Aggregation = "", "normalize_then_sum"
				}
				s, err = a.Of(rewards)
			} else {
				a := LeaveOneOut{Weights: weights, Group: group}
				var normalize int
				var clip string
				if _, err := fmt.Sscanf(strings.Replace(name, ".norm", " ", 1), "rloo.b%f %d.clip%s", &a.Beta, &normalize, &clip); err != nil && clip == "" && !strings.HasSuffix(name, "clip") {
					t.Fatal(err)
				}
				a.Normalize = normalize == 1
				if clip != "" {
					var c float64
					if _, err := fmt.Sscan(clip, &c); err != nil {
						t.Fatal(err)
					}
					a.Clip = &[2]float64{-c, c}
				}
				s, err = a.Of(rewards, kl)
			}
			if err != nil {
				t.Fatal(err)
			}
			nearRows(t, "advantages", Tokens{s.Advantages}, Tokens{g.flat(name)}, 2e-7)
			near(t, "reward", s.Metrics["reward"], metrics["reward"], 2e-7)
			nearMetrics(t, s.Metrics, metrics, "reward_std", "frac_reward_zero_std")
		})
	}
}

// groupSize finds the size of the groups, which the file does not say: the one for which
// advantages without scaling sum to zero.
func groupSize(t *testing.T, g golden, rewards Tokens, weights []float64) int {
	t.Helper()
	want := g.flat("grpo.none")
	for n := 2; n <= len(rewards); n++ {
		if len(rewards)%n != 0 {
			continue
		}
		s, err := Advantages{Weights: weights, Group: n, Scale: "none"}.Of(rewards)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i := range want {
			worst = max(worst, math.Abs(s.Advantages[i]-want[i]))
		}
		if worst < 1e-6 {
			return n
		}
	}
	t.Fatal("no size of groups gives the recorded advantages")
	return 0
}
