package llm

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/optim"
	"ftlab/internal/testkit"
)

// TestGoldenSFT repeats TRL's SFTTrainer: optimizer steps of several micro-batches.
func TestGoldenSFT(t *testing.T) {
	for name, loss := range map[string]TokenLoss{"nll": NLL, "dft": DFT} {
		t.Run(name, func(t *testing.T) {
			g := openGolden(t, "e2e/sft_"+name+".safetensors")
			var c struct {
				Log []struct {
					GradNorm float64 `json:"grad_norm"`
					Loss     float64 `json:"loss"`
					LR       float64 `json:"learning_rate"`
				} `json:"log"`
			}
			testkit.GoldenJSON(t, "e2e/sft_"+name+".json", &c)
			m := loadGoldenOn(t, goBackend(t), "models/llama")
			each := g.count("micro", ".input_ids") / len(c.Log)
			a := adapterFrom(g, m, "init.", alphaOf(t, g, m, loss, each, c.Log[0].GradNorm))
			e, err := NewEngine(m, EngineOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			opt, err := optim.NewAdamW(m.Backend)
			if err != nil {
				t.Fatal(err)
			}
			defer opt.Close()
			micro := 0
			for i, want := range c.Log {
				sum, total := 0.0, float64(g.floats(fmt.Sprintf("micro%d.num_items_in_batch", micro))[0])
				for range each {
					got, err := e.Accumulate(g.batch(fmt.Sprintf("micro%d.", micro)), loss, float32(1/total), 0)
					if err != nil {
						t.Fatal(err)
					}
					sum += got.Loss
					micro++
				}
				if math.Abs(sum/total-want.Loss) > 1e-5 {
					t.Errorf("step %d: loss %v, want %v", i+1, sum/total, want.Loss)
				}
				squares, err := e.GradSquares()
				if err != nil {
					t.Fatal(err)
				}
				if r := relative(math.Sqrt(squares), want.GradNorm); r > 1e-4 {
					t.Errorf("step %d: gradient norm %v, want %v", i+1, math.Sqrt(squares), want.GradNorm)
				}
				// The case's trainer: AdamW, constant rate, weight decay 0.01, clip 0.3 (found: it alone gives the final weights).
				h := optim.Hyper{LR: want.LR, WeightDecay: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, MaxGradNorm: 0.3, Step: i + 1}
				for _, names := range e.Groups() {
					if err := opt.Step(e, names, h, math.Sqrt(squares), func(n string) bool { return !NoDecay(n) }); err != nil {
						t.Fatal(err)
					}
				}
				e.ClearGrads()
			}
			checkFinal(g, a, "final.")
		})
	}
}

// count is how many tensors begin and end so.
func (g goldenFile) count(prefix, suffix string) int {
	n := 0
	for _, name := range g.Names() {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			n++
		}
	}
	return n
}

// alphaOf finds the case's lora_alpha, which it does not write down: the first gradient,
// of B alone since B is zero, is in proportion to it. What it is right for is seen in the
// steps that follow. It is 16 unless the norm asks for another whole number.
func alphaOf(t *testing.T, g goldenFile, m *Model, loss TokenLoss, micros int, norm float64) float64 {
	t.Helper()
	const usual = 16
	a := adapterFrom(g, m, "init.", usual)
	defer func() {
		m.SetAdapter(nil)
		a.Close()
	}()
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	total := float64(g.floats("micro0.num_items_in_batch")[0])
	for i := range micros {
		if _, err := e.Accumulate(g.batch(fmt.Sprintf("micro%d.", i)), loss, float32(1/total), 0); err != nil {
			t.Fatal(err)
		}
	}
	squares, err := e.GradSquares()
	if err != nil {
		t.Fatal(err)
	}
	if alpha := usual * norm / math.Sqrt(squares); math.Abs(alpha-math.Round(alpha)) < 1e-3 {
		return math.Round(alpha)
	}
	return usual
}

// adapterFrom makes an adapter of the tensors of a case.
func adapterFrom(g goldenFile, m *Model, prefix string, alpha float64) *Adapter {
	g.t.Helper()
	targets, r := map[string]bool{}, 0
	for _, name := range g.Names() {
		if param, ok := strings.CutPrefix(name, prefix); ok && strings.HasSuffix(param, ".lora_A.weight") {
			targets[strings.TrimSuffix(internalName(param), ".lora_A")] = true
			x, err := g.Tensor(name)
			if err != nil {
				g.t.Fatal(err)
			}
			r = x.Shape[0]
		}
	}
	a, err := m.NewAdapter(ftlib.LoRA{R: r, Alpha: alpha, Targets: sortedKeys(targets)}, 1)
	if err != nil {
		g.t.Fatal(err)
	}
	for name := range a.params {
		old := a.params[name]
		if err := a.put(m, name, g.floats(prefix+peftName(name)), old.Shape().Dimensions...); err != nil {
			g.t.Fatal(err)
		}
		free(old)
	}
	return a
}
