package llm

import (
	"fmt"
	"math"
	"testing"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/loss"
	"ftlab/ftlib/optim"
	"ftlab/internal/testkit"
)

// padded makes a batch of ids and attention mask, with a mask of targets.
func (g goldenFile) padded(prefix, targets string) *corpus.Batch {
	g.t.Helper()
	ids, shape := g.ints(prefix + "input_ids")
	mask, _ := g.ints(prefix + "attention_mask")
	b := &corpus.Batch{B: shape[0], T: shape[1], Mask: make([]float32, len(ids))}
	for i := range ids {
		id := int32(ids[i])
		if mask[i] == 0 {
			id = 0
		}
		b.IDs, b.Pos, b.Seg = append(b.IDs, id), append(b.Pos, int32(i%b.T)), append(b.Seg, int32(mask[i]))
	}
	if targets != "" {
		at, _ := g.ints(prefix + targets)
		for i, v := range at {
			b.Mask[i] = float32(v)
		}
	}
	return b
}

// byRow are values [B, T] row by row.
func byRow(values []float32, t int) loss.Tokens {
	var out loss.Tokens
	for from := 0; from < len(values); from += t {
		row := make([]float64, t)
		for i := range row {
			row[i] = float64(values[from+i])
		}
		out = append(out, row)
	}
	return out
}

// flat32 is the opposite, times by.
func flat32(rows loss.Tokens, by float64) []float32 {
	var out []float32
	for _, row := range rows {
		for _, v := range row {
			out = append(out, float32(v*by))
		}
	}
	return out
}

// TestGoldenRewardModel repeats LlamaForSequenceClassification under TRL's loss.
func TestGoldenRewardModel(t *testing.T) {
	for _, v := range variants(t) {
		t.Run(v.name, func(t *testing.T) {
			g := openGolden(t, "losses/reward_model.safetensors")
			var c struct {
				Center float64 `json:"center"`
				Loss   float64 `json:"loss"`
			}
			testkit.GoldenJSON(t, "losses/reward_model.json", &c)
			m := loadGoldenOn(t, v.backend, "models/reward_llama")
			e, err := NewEngine(m, EngineOptions{Keep: v.keep})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			batch := g.padded("", "")
			var rows []int32
			for i := range batch.B {
				last := 0
				for k := range batch.T {
					if batch.Seg[i*batch.T+k] != 0 {
						last = k
					}
				}
				rows = append(rows, int32(i*batch.T+last))
			}
			p := forward(t, e, batch, ForwardOptions{Train: true})
			scores, err := p.Scores(rows)
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(scores, g.floats("rewards")); d > 1e-4 {
				t.Errorf("rewards differ by %g", d)
			}
			r, err := loss.Reward{CenterRewards: c.Center}.Loss(byRow(scores, len(scores))[0], byRow(g.floats("margin"), len(scores)/2)[0])
			if err != nil {
				t.Fatal(err)
			}
			if relative(r.Sum/r.Units, c.Loss) > 1e-5 {
				t.Errorf("loss %v, want %v", r.Sum/r.Units, c.Loss)
			}
			if err := p.Pull(Slopes{Scores: flat32(loss.Tokens{r.Slope}, 1/r.Units)}); err != nil {
				t.Fatal(err)
			}
			g.checkGrads(e)
		})
	}
}

// optimize takes one step and returns the norm before clipping.
func optimize(t *testing.T, e *Engine, opt *optim.Optimizer, h optim.Hyper) float64 {
	t.Helper()
	squares, err := e.GradSquares()
	if err != nil {
		t.Fatal(err)
	}
	norm := math.Sqrt(squares)
	for _, names := range e.Groups() {
		if err := opt.Step(e, names, h, norm, func(n string) bool { return !NoDecay(n) }); err != nil {
			t.Fatal(err)
		}
	}
	e.ClearGrads()
	return norm
}

func newAdamW(t *testing.T, m *Model) *optim.Optimizer {
	t.Helper()
	opt, err := optim.NewAdamW(m.Backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opt.Close)
	return opt
}

// TestGoldenPRMTraining repeats TRL's PRMTrainer.
func TestGoldenPRMTraining(t *testing.T) {
	g := openGolden(t, "losses/prm_train.safetensors")
	var c struct {
		Log []struct {
			GradNorm float64 `json:"grad_norm"`
			LR       float64 `json:"learning_rate"`
			Loss     float64 `json:"loss"`
		} `json:"log"`
	}
	testkit.GoldenJSON(t, "losses/prm_train.json", &c)
	m := loadGoldenOn(t, goBackend(t), "models/prm_llama")
	e := newEngine(t, m)
	opt := newAdamW(t, m)
	for i, want := range c.Log {
		prefix := fmt.Sprintf("step%d.", i)
		batch := g.padded(prefix, "")
		labels, _ := g.ints(prefix + "labels")
		var rows []int32
		var right []float64
		for k, l := range labels {
			if l >= 0 {
				rows, right = append(rows, int32(k)), append(right, float64(l))
			}
		}
		p := forward(t, e, batch, ForwardOptions{Train: true})
		scores, err := p.Scores(rows)
		if err != nil {
			t.Fatal(err)
		}
		recorded := g.floats(prefix + "logits")
		var logits [][2]float64
		for k, row := range rows {
			logits = append(logits, [2]float64{float64(scores[2*k]), float64(scores[2*k+1])})
			if d, _ := worst(scores[2*k:2*k+2], recorded[2*row:2*row+2]); d > 2e-4 {
				t.Errorf("step %d: logits at %d differ by %g", i+1, row, d)
			}
		}
		sum, slope, _, err := loss.Steps(logits, right)
		if err != nil {
			t.Fatal(err)
		}
		n := float64(len(rows))
		if relative(sum/n, want.Loss) > 1e-5 {
			t.Errorf("step %d: loss %v, want %v", i+1, sum/n, want.Loss)
		}
		var flat []float32
		for _, s := range slope {
			flat = append(flat, float32(s[0]/n), float32(s[1]/n))
		}
		if err := p.Pull(Slopes{Scores: flat}); err != nil {
			t.Fatal(err)
		}
		// The case's trainer: AdamW, weight decay 0.01 (found: it alone gives the second loss), clip 1.
		norm := optimize(t, e, opt, optim.Hyper{LR: want.LR, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 1, Step: i + 1})
		if relative(norm, want.GradNorm) > 1e-4 {
			t.Errorf("step %d: gradient norm %v, want %v", i+1, norm, want.GradNorm)
		}
	}
	for _, name := range []string{"model.layers.0.self_attn.q_proj.weight", "score.weight", "score.bias"} {
		got, err := m.Weight(name)
		if err != nil {
			t.Fatal(err)
		}
		if d, _ := worst(got, g.floats("final."+name)); d > 5e-4 {
			t.Errorf("final %s differs by %g", name, d)
		}
	}
}

// TestGoldenDPORuns repeats TRL's DPOTrainer: three steps of LoRA against the base.
func TestGoldenDPORuns(t *testing.T) {
	for _, kind := range []string{"sigmoid", "ipo"} {
		t.Run(kind, func(t *testing.T) {
			g := openGolden(t, "e2e/dpo_"+kind+".safetensors")
			var c struct {
				Beta float64              `json:"beta"`
				Log  []map[string]float64 `json:"log"`
			}
			testkit.GoldenJSON(t, "e2e/dpo_"+kind+".json", &c)
			m := loadGoldenOn(t, goBackend(t), "models/llama")
			reference := newEngine(t, m)
			a := adapterFrom(g, m, "init.", 16)
			policy := newEngine(t, m)
			opt := newAdamW(t, m)
			d := loss.DPO{LossType: []string{kind}, Beta: c.Beta}
			for i, want := range c.Log {
				batch := g.padded(fmt.Sprintf("step%d.", i), "completion_mask")
				ref := statsOf(t, forward(t, reference, batch, ForwardOptions{}))
				p := forward(t, policy, batch, ForwardOptions{Train: true})
				s := statsOf(t, p)
				r, err := d.Loss(loss.Pairs{LogP: byRow(s.LogP, batch.T), Ref: byRow(ref.LogP, batch.T), Mask: byRow(batch.Mask, batch.T)})
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(r.Mean()-want["loss"]) > 1e-5*max(1, want["loss"]) {
					t.Errorf("step %d: loss %v, want %v", i+1, r.Mean(), want["loss"])
				}
				for name, v := range r.Metrics {
					if math.Abs(v-want[name]) > 1e-4 {
						t.Errorf("step %d: %s %v, want %v", i+1, name, v, want[name])
					}
				}
				if err := p.Pull(Slopes{LogP: flat32(r.Slope, 1/r.Units)}); err != nil {
					t.Fatal(err)
				}
				// The case's trainer: AdamW, weight decay 0.01, clip 0.5 (manifest.json).
				norm := optimize(t, policy, opt, optim.Hyper{LR: want["learning_rate"], WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 0.5, Step: i + 1})
				if relative(norm, want["grad_norm"]) > 1e-4 {
					t.Errorf("step %d: gradient norm %v, want %v", i+1, norm, want["grad_norm"])
				}
			}
			checkFinal(g, a, "final.")
		})
	}
}
