package llm

import (
	"math"
	"math/rand/v2"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
)

// sameGrads compares all gradients of two engines.
func sameGrads(t *testing.T, a, b *Engine, tolerance float64) {
	t.Helper()
	for _, name := range a.Trainable() {
		x, y := a.Grad(name), b.Grad(name)
		if x == nil || y == nil {
			t.Fatalf("%s has no gradient in one of them", name)
		}
		xs, err := floats(x)
		if err != nil {
			t.Fatal(err)
		}
		ys, err := floats(y)
		if err != nil {
			t.Fatal(err)
		}
		if d, top := worst(xs, ys); d > tolerance*top+1e-9 || math.IsNaN(d) {
			t.Errorf("%s: gradients differ by %g of %g", name, d, top)
		}
	}
	sa, err := a.GradSquares()
	if err != nil {
		t.Fatal(err)
	}
	sb, err := b.GradSquares()
	if err != nil {
		t.Fatal(err)
	}
	if relative(sa, sb) > 1e-4 {
		t.Errorf("squares %g and %g", sa, sb)
	}
}

func forward(t *testing.T, e *Engine, b *corpus.Batch, o ForwardOptions) *Pass {
	t.Helper()
	p, err := e.Forward(b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func statsOf(t *testing.T, p *Pass) TokenStats {
	t.Helper()
	s, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A slope of -mask by the log-probabilities is the cross-entropy.
func TestPullIsAccumulate(t *testing.T) {
	for _, family := range []string{"llama", "qwen2", "phi"} {
		for _, lora := range []bool{true, false} {
			rng := rand.New(rand.NewPCG(1, 2))
			m := tiny(t, family)
			if lora {
				if _, err := m.NewAdapter(ftlib.LoRA{R: 2}, 3); err != nil {
					t.Fatal(err)
				}
			}
			stir(t, m, rng)
			batch := randomBatch(rng, 3, 11, 61)
			want, got := newEngine(t, m), newEngine(t, m)
			for range 2 { // the second time adds
				if _, err := want.Accumulate(batch, NLL, 0.5, 0); err != nil {
					t.Fatal(err)
				}
				p := forward(t, got, batch, ForwardOptions{Train: true})
				statsOf(t, p)
				slopes := make([]float32, len(batch.Mask))
				for i, w := range batch.Mask {
					slopes[i] = -0.5 * w
				}
				if err := p.Pull(Slopes{LogP: slopes}); err != nil {
					t.Fatal(err)
				}
			}
			sameGrads(t, got, want, 1e-5)
		}
	}
}

func newEngine(t *testing.T, m *Model) *Engine {
	t.Helper()
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// What the heads say is what the logits say, at any temperature.
func TestStatsOfLogits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	m := tiny(t, "llama")
	stir(t, m, rng)
	e := newEngine(t, m)
	batch := randomBatch(rng, 3, 11, 61)
	logits, err := e.Logits(batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, temperature := range []float64{1, 0.7} {
		s := statsOf(t, forward(t, e, batch, ForwardOptions{Temperature: temperature}))
		for i, w := range batch.Mask {
			if w == 0 {
				if s.LogP[i] != 0 {
					t.Errorf("token %d is no target and has a log-probability", i)
				}
				continue
			}
			row := logits[(i-1)*61 : i*61]
			sum, meanLogit, best := 0.0, 0.0, 0
			for v, x := range row {
				sum += math.Exp(float64(x) / temperature)
				meanLogit += float64(x) / 61
				if x > row[best] {
					best = v
				}
			}
			entropy, squares := 0.0, 0.0
			for _, x := range row {
				p := math.Exp(float64(x)/temperature) / sum
				entropy -= p * math.Log(p)
				squares += p * p
			}
			top := 0.0
			if best == int(batch.IDs[i]) {
				top = 1
			}
			for what, pair := range map[string][2]float64{
				"logp":       {float64(s.LogP[i]), float64(row[batch.IDs[i]])/temperature - math.Log(sum)},
				"entropy":    {float64(s.Entropy[i]), entropy},
				"log Σ p²":   {float64(s.LogSumSq[i]), math.Log(squares)},
				"mean logit": {float64(s.MeanLogit[i]), meanLogit},
				"top":        {float64(s.Top[i]), top},
			} {
				if math.Abs(pair[0]-pair[1]) > 2e-5 {
					t.Errorf("token %d: %s %g, want %g", i, what, pair[0], pair[1])
				}
			}
		}
	}
}

// Gradients through log-probabilities, entropies and scores together are those that
// differences of the weights give.
func TestPullByDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	m := tiny(t, "phi") // its head and norm have biases
	if _, err := m.NewAdapter(ftlib.LoRA{R: 2}, 3); err != nil {
		t.Fatal(err)
	}
	if err := m.NewScoreHead(2, true, 4); err != nil {
		t.Fatal(err)
	}
	stir(t, m, rng)
	e, err := NewEngine(m, EngineOptions{Train: func(name string) bool { return name == "model.final_layernorm.weight" || name == headBiasName }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	batch := randomBatch(rng, 3, 11, 61)
	rows := []int32{4, 15, 26}
	random := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(rng.NormFloat64())
		}
		return out
	}
	s := Slopes{LogP: random(33), Entropy: random(33), Scores: random(6)}
	value := func() float64 {
		p, err := e.Forward(batch, ForwardOptions{Temperature: 0.8})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		st := statsOf(t, p)
		scores, err := p.Scores(rows)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := range st.LogP {
			sum += float64(st.LogP[i])*float64(s.LogP[i]) + float64(st.Entropy[i])*float64(s.Entropy[i])
		}
		for i, v := range scores {
			sum += float64(v) * float64(s.Scores[i])
		}
		return sum
	}
	p := forward(t, e, batch, ForwardOptions{Train: true, Temperature: 0.8})
	statsOf(t, p)
	if _, err := p.Scores(rows); err != nil {
		t.Fatal(err)
	}
	if err := p.Pull(s); err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, name := range e.Trainable() {
		grad, err := floats(e.Grad(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range grad {
			total += float64(v) * float64(v)
		}
		old, err := floats(e.Value(name))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			at := rng.IntN(len(old))
			const h = 3e-3
			move := func(by float32) float64 {
				v := append([]float32{}, old...)
				v[at] += by
				x, err := newFloats(m.Backend, v, e.Value(name).Shape().Dimensions...)
				if err != nil {
					t.Fatal(err)
				}
				if err := e.SetValue(name, x); err != nil {
					t.Fatal(err)
				}
				return value()
			}
			want := (move(h) - move(-h)) / (2 * h)
			move(0)
			if math.Abs(float64(grad[at])-want) > 2e-2*max(0.5, math.Abs(want)) {
				t.Errorf("%s[%d]: gradient %g, differences give %g", name, at, grad[at], want)
			}
		}
	}
	squares, err := e.GradSquares()
	if err != nil {
		t.Fatal(err)
	}
	if relative(squares, total) > 1e-4 {
		t.Errorf("sum of squares %g, the gradients' is %g", squares, total)
	}
}

// A score head is saved with its adapter, and with the model when merged.
func TestScoreHeadIsSaved(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	m := tiny(t, "llama")
	a, err := m.NewAdapter(ftlib.LoRA{R: 2}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.NewScoreHead(1, false, 4); err != nil {
		t.Fatal(err)
	}
	stir(t, m, rng)
	batch := randomBatch(rng, 2, 9, 61)
	scores := func(m *Model) []float32 {
		t.Helper()
		s, err := forward(t, newEngine(t, m), batch, ForwardOptions{}).Scores([]int32{3, 12})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := scores(m)
	base, adapter, merged := t.TempDir(), t.TempDir(), t.TempDir()
	if err := a.Save(adapter, base); err != nil {
		t.Fatal(err)
	}
	if err := m.SaveMerged(merged, "F32"); err != nil {
		t.Fatal(err)
	}
	m.SetAdapter(nil)
	if m.Labels() != 0 {
		t.Error("the base has a score head")
	}
	if _, err := m.LoadAdapter(adapter); err != nil {
		t.Fatal(err)
	}
	if d, _ := worst(scores(m), want); d > 1e-6 {
		t.Errorf("loaded scores differ by %g", d)
	}
	other, err := Load(m.Backend, merged, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if d, _ := worst(scores(other), want); d > 1e-4 {
		t.Errorf("merged scores differ by %g", d)
	}
}
