package loss

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

func TestGoldenPPO(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(testkit.Golden(t, "ppo/k1_plain.json")), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) { goldenPPO(t, "ppo/"+name) })
	}
}

func goldenPPO(t *testing.T, name string) {
	var c struct {
		Config struct {
			ClipRange      float64  `json:"cliprange"`
			ClipRangeValue float64  `json:"cliprange_value"`
			Gamma          float64  `json:"gamma"`
			Lambda         float64  `json:"lam"`
			KLCoef         float64  `json:"kl_coef"`
			KLEstimator    string   `json:"kl_estimator"`
			VFCoef         float64  `json:"vf_coef"`
			Penalty        *float64 `json:"missing_eos_penalty"`
			Whiten         bool     `json:"whiten_rewards"`
		} `json:"config"`
		Metrics map[string]float64 `json:"metrics"`
	}
	testkit.GoldenJSON(t, name+".json", &c)
	g := openGolden(t, name+".safetensors")
	o := c.Config
	p := PPO{KLCoef: o.KLCoef, KLEstimator: o.KLEstimator, Gamma: o.Gamma, Lambda: o.Lambda, ClipRange: o.ClipRange,
		ClipRangeValue: o.ClipRangeValue, VFCoef: o.VFCoef, WhitenRewards: o.Whiten, MissingEOSPenalty: o.Penalty, TRL: true}
	e := Experience{LogP: g.rows("raw_logprobs"), Ref: g.rows("raw_ref_logprobs"), Values: g.rows("raw_values"), Scores: g.flat("raw_scores")}
	for i, v := range g.flat("sequence_lengths") {
		e.Length = append(e.Length, int(v)+1)
		e.Ended = append(e.Ended, g.flat("contain_eos_token")[i] != 0)
	}
	got, err := p.Prepare(e)
	if err != nil {
		t.Fatal(err)
	}
	inverted := func(name string) Tokens {
		m := g.rows(name)
		for i := range m {
			for k := range m[i] {
				m[i][k] = 1 - m[i][k]
			}
		}
		return m
	}
	nearRows(t, "mask", got.Mask, inverted("padding_mask"), 0)
	nearRows(t, "value mask", got.ValueMask, inverted("padding_mask_p1"), 0)
	for name, rows := range map[string]Tokens{"logprobs": got.LogP, "values": got.Values, "kl": got.KL, "rewards": got.Rewards,
		"advantages": got.Advantages, "returns": got.Returns} {
		nearRows(t, name, rows, g.rows(name), 1e-6)
	}
	nearRows(t, "scores", Tokens{got.Scores}, Tokens{g.flat("scores")}, 1e-9)
	nearMetrics(t, got.Metrics, c.Metrics, "objective/")
	for k := 0; g.f.Has(fmt.Sprintf("mb%d.inds", k)); k++ {
		at := func(name string) string { return fmt.Sprintf("mb%d.%s", k, name) }
		var rows []int
		for _, v := range g.flat(at("inds")) {
			rows = append(rows, int(v))
		}
		r, err := p.Loss(got, rows, g.rows(at("new_logprobs")), g.rows(at("vpred")), nil)
		if err != nil {
			t.Fatal(err)
		}
		near(t, at("loss"), r.Mean(), g.flat(at("loss"))[0], 1e-6)
		near(t, at("pg_loss"), r.PolicyLoss, g.flat(at("pg_loss"))[0], 1e-6)
		near(t, at("vf_loss"), r.ValueLoss, g.flat(at("vf_loss"))[0], 1e-6)
		nearRows(t, at("d_new_logprobs"), scaled(r.Slope, 1/r.Units), g.rows(at("d_new_logprobs")), 1e-6)
		nearRows(t, at("d_vpred"), scaled(r.Value, 1/r.Units), g.rows(at("d_vpred")), 1e-6)
	}
}
