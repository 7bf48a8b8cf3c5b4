package tune

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// ppoGolden is a recorded rollout of TRL's PPOTrainer with the models that it was made of.
type ppoGolden struct {
	*testing.T
	f         *safetensors.File
	query     int // tokens of a padded prompt
	n, length int // rows, tokens of a padded answer
	ids       []float64
	last      []float64 // of each answer, its last token
}

func (g *ppoGolden) numbers(name string) []float64 {
	g.Helper()
	x, err := g.f.Tensor(name)
	if err != nil {
		g.Fatal(err)
	}
	var out []float64
	switch x.DType {
	case "U8":
		for _, v := range x.Data {
			out = append(out, float64(v))
		}
	case "I64":
		for at := 0; at < len(x.Data); at += 8 {
			out = append(out, float64(int64(binary.LittleEndian.Uint64(x.Data[at:]))))
		}
	case "F64":
		for at := 0; at < len(x.Data); at += 8 {
			out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(x.Data[at:])))
		}
	default:
		v, err := x.Float32s()
		if err != nil {
			g.Fatal(err)
		}
		for _, v := range v {
			out = append(out, float64(v))
		}
	}
	return out
}

// batch lays rows out as TRL does: prompts padded on the left, answers on the right, positions
// counted from the first token.
func (g *ppoGolden) batch(rows []int) *corpus.Batch {
	t := g.query + g.length
	b := &corpus.Batch{B: len(rows), T: t, Mask: make([]float32, len(rows)*t)}
	for i, r := range rows {
		pos := int32(0)
		for k, id := range g.ids[r*t : (r+1)*t] {
			seg := int32(0)
			if id != 0 {
				seg = 1
			}
			b.IDs, b.Seg, b.Pos = append(b.IDs, int32(id)), append(b.Seg, seg), append(b.Pos, pos)
			pos += seg
			if k >= g.query && k-g.query <= int(g.last[r]) {
				b.Mask[i*t+k] = 1
			}
		}
	}
	return b
}

// spread puts values of real tokens where they stand in a row of an answer; what is behind is
// filled.
func (g *ppoGolden) spread(values []float64, rows []int, more int, filled float64) loss.Tokens {
	var out loss.Tokens
	for _, r := range rows {
		row := make([]float64, g.length)
		n := min(int(g.last[r])+1+more, g.length)
		copy(row, values[:n])
		for k := n; k < g.length; k++ {
			row[k] = filled
		}
		out, values = append(out, row), values[n:]
	}
	return out
}

// logps are the policy's, pass kept for the way back.
func (g *ppoGolden) logps(e *llm.Engine, rows []int, train bool) (*llm.Pass, loss.Tokens) {
	g.Helper()
	b := g.batch(rows)
	p, err := e.Forward(b, llm.ForwardOptions{Train: train, Temperature: 0.7 + 1e-7})
	if err != nil {
		g.Fatal(err)
	}
	s, err := p.Stats()
	if err != nil {
		g.Fatal(err)
	}
	var all []float64
	for i := range rows {
		all = append(all, answerOf(s.LogP, b, i)...)
	}
	return p, g.spread(all, rows, 0, 1)
}

// valueAt are the positions that see what was written before each token, and, as TRL trains it,
// before the one behind the end.
func (g *ppoGolden) valueAt(rows []int) (at []int32) {
	for i, r := range rows {
		for k := range min(int(g.last[r])+2, g.length) {
			at = append(at, int32(i*(g.query+g.length)+g.query-1+k))
		}
	}
	return at
}

func (g *ppoGolden) scores(e *llm.Engine, rows []int, at []int32, train bool) (*llm.Pass, []float64) {
	g.Helper()
	p, err := e.Forward(g.batch(rows), llm.ForwardOptions{Train: train})
	if err != nil {
		g.Fatal(err)
	}
	v, err := p.Scores(at)
	if err != nil {
		g.Fatal(err)
	}
	var out []float64
	for _, x := range v {
		out = append(out, float64(x))
	}
	return p, out
}

// near compares what both know.
func (g *ppoGolden) near(what string, got loss.Tokens, want []float64, more int, tolerance float64) {
	g.Helper()
	for i, row := range got {
		for k := range min(int(g.last[i])+1+more, g.length) {
			if d := math.Abs(row[k] - want[i*g.length+k]); !(d <= tolerance) {
				g.Errorf("%s of token %d of row %d: %v, want %v", what, k, i, row[k], want[i*g.length+k])
			}
		}
	}
}

// TestGoldenPPOUpdate repeats one rollout of TRL 1.12's PPOTrainer from the four models: what
// they say of the recorded answers, rewards, advantages, every minibatch, and the weights of
// policy and value after all updates.
func TestGoldenPPOUpdate(t *testing.T) {
	for _, name := range []string{"k1_plain", "k3_whiten_penalty", "ga4_ordinary", "ga4_last_batch"} {
		t.Run(name, func(t *testing.T) { goldenPPOUpdate(t, name) })
	}
}

func goldenPPOUpdate(t *testing.T, name string) {
	var c struct {
		Config struct {
			LR          float64  `json:"learning_rate"`
			KLCoef      float64  `json:"kl_coef"`
			KLEstimator string   `json:"kl_estimator"`
			Gamma       float64  `json:"gamma"`
			Lambda      float64  `json:"lam"`
			ClipRange   float64  `json:"cliprange"`
			ClipValue   float64  `json:"cliprange_value"`
			VFCoef      float64  `json:"vf_coef"`
			Penalty     *float64 `json:"missing_eos_penalty"`
			Whiten      bool     `json:"whiten_rewards"`
			Accumulate  int      `json:"gradient_accumulation_steps"`
		} `json:"config"`
	}
	testkit.GoldenJSON(t, "ppo/"+name+".json", &c)
	f, err := safetensors.Open(testkit.Golden(t, "ppo/"+name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := &ppoGolden{T: t, f: f}
	queries, err := f.Tensor("queries")
	if err != nil {
		t.Fatal(err)
	}
	responses, err := f.Tensor("responses")
	if err != nil {
		t.Fatal(err)
	}
	g.n, g.query, g.length = queries.Shape[0], queries.Shape[1], responses.Shape[1]
	g.ids, g.last = g.numbers("query_responses"), g.numbers("sequence_lengths")
	b, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]trainer{}
	for _, role := range []string{"policy", "ref", "reward", "value"} {
		m, err := llm.Load(b, filepath.Dir(testkit.Golden(t, "models/ppo_"+role+"/config.json")), llm.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		e, err := llm.NewEngine(m, llm.EngineOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		if models[role], err = newTrainer(e, 1, ftlib.Optim{}); err != nil {
			t.Fatal(err)
		}
	}
	policy, value := models["policy"], models["value"]
	var all []int
	for i := range g.n {
		all = append(all, i)
	}
	x := loss.Experience{}
	for _, i := range all {
		x.Length, x.Ended = append(x.Length, int(g.last[i])+1), append(x.Ended, g.numbers("contain_eos_token")[i] != 0)
	}
	var p *llm.Pass
	p, x.LogP = g.logps(policy.Engine, all, false)
	p.Close()
	p, x.Ref = g.logps(models["ref"].Engine, all, false)
	p.Close()
	p, v := g.scores(value.Engine, all, g.valueAt(all), false)
	p.Close()
	x.Values = g.spread(v, all, 1, 0)
	var ends []int32
	for _, i := range all {
		ends = append(ends, int32(i*(g.query+g.length)+g.query+int(g.last[i])))
	}
	p, x.Scores = g.scores(models["reward"].Engine, all, ends, false)
	p.Close()
	g.near("log-probability", x.LogP, g.numbers("raw_logprobs"), 0, 1e-4)
	g.near("reference", x.Ref, g.numbers("raw_ref_logprobs"), 0, 1e-4)
	g.near("value", x.Values, g.numbers("raw_values"), 0, 1e-4)
	for i, want := range g.numbers("raw_scores") {
		if math.Abs(x.Scores[i]-want) > 1e-4 {
			t.Errorf("score of row %d: %v, want %v", i, x.Scores[i], want)
		}
	}
	o := c.Config
	ppo := loss.PPO{KLCoef: o.KLCoef, KLEstimator: o.KLEstimator, Gamma: o.Gamma, Lambda: o.Lambda, ClipRange: o.ClipRange,
		ClipRangeValue: o.ClipValue, VFCoef: o.VFCoef, WhitenRewards: o.Whiten, MissingEOSPenalty: o.Penalty, TRL: true}
	targets, err := ppo.Prepare(x)
	if err != nil {
		t.Fatal(err)
	}
	g.near("advantage", targets.Advantages, g.numbers("advantages"), 0, 1e-3)
	g.near("return", targets.Returns, g.numbers("returns"), 0, 1e-3)

	step := 0
	for k := 0; f.Has(fmt.Sprintf("mb%d.inds", k)); k++ {
		at := func(name string) string { return fmt.Sprintf("mb%d.%s", k, name) }
		var rows []int
		for _, i := range g.numbers(at("inds")) {
			rows = append(rows, int(i))
		}
		pp, logp := g.logps(policy.Engine, rows, true)
		places := g.valueAt(rows)
		vp, v := g.scores(value.Engine, rows, places, true)
		r, err := ppo.Loss(targets, rows, logp, g.spread(v, rows, 1, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := g.numbers(at("loss"))[0]; math.Abs(r.Mean()-want) > 1e-3*max(1, math.Abs(want)) {
			t.Errorf("%s: %v, want %v", at("loss"), r.Mean(), want)
		}
		scale := 1 / r.Units / float64(o.Accumulate)
		slopes := make([]float32, len(rows)*(g.query+g.length))
		var own []float32
		for i, row := range rows {
			for n := range g.length {
				if n <= int(g.last[row]) {
					slopes[i*(g.query+g.length)+g.query+n] = float32(r.Slope[i][n] * scale)
				}
				if n <= int(g.last[row])+1 {
					own = append(own, float32(r.Value[i][n]*scale))
				}
			}
		}
		for _, err := range []error{pp.Pull(llm.Slopes{LogP: slopes}), vp.Pull(llm.Slopes{Scores: own})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		pp.Close()
		vp.Close()
		if name != "ga4_last_batch" && (k+1)%o.Accumulate != 0 {
			continue
		}
		step++
		h := Hyper{LR: o.LR, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Step: step}
		for _, m := range []*trainer{&policy, &value} {
			if err := m.update(h, 1); err != nil { // nothing is clipped
				t.Fatal(err)
			}
		}
	}
	for role, names := range map[string][]string{"policy": {"lm_head.weight", "model.layers.0.self_attn.q_proj.weight"},
		"value": {"score.weight", "model.layers.0.self_attn.q_proj.weight"}} {
		for _, name := range names {
			got, err := models[role].model.Weight(name)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i, want := range g.numbers("final." + role + "." + name) {
				worst = max(worst, math.Abs(float64(got[i])-want))
			}
			t.Logf("%s of the %s after %d updates: at most %.1e away", name, role, step, worst)
			if worst > 5e-4 {
				t.Errorf("%s of the %s is %g away", name, role, worst)
			}
		}
	}
}
