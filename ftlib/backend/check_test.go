package backend

import (
	"math"
	"testing"
)

// TestCheckLoss computes the known number of [Try] again: in float64, with loops
// and with gradients derived by hand.
func TestCheckLoss(t *testing.T) {
	if got := checkReference(checkSteps); math.Abs(got-checkLoss) > 1e-6 {
		t.Errorf("loss after %d steps %.9f, the constant says %.9f", checkSteps, got, checkLoss)
	}
}

// With all weights at zero every token is equally likely: the loss is ln V. This
// checks the reference itself.
func TestCheckReferenceAtZero(t *testing.T) {
	m := newCheckModel(0)
	if got := m.step(0); math.Abs(got-math.Log(checkVocab)) > 1e-12 {
		t.Errorf("loss %v, want ln %d", got, checkVocab)
	}
}

// The hand-made gradients agree with finite differences.
func TestCheckReferenceGradients(t *testing.T) {
	const h = 1e-5
	for k := range 3 {
		for _, i := range []int{0, 333} {
			plus, minus, at := newCheckModel(1), newCheckModel(1), newCheckModel(1)
			before := at.weights()[k][i]
			plus.weights()[k][i] += h
			minus.weights()[k][i] -= h
			numeric := (plus.step(0) - minus.step(0)) / (2 * h)
			at.step(1)
			exact := before - at.weights()[k][i]
			if math.Abs(numeric-exact) > 1e-6*max(1, math.Abs(exact)) {
				t.Errorf("tensor %d, weight %d: gradient %v, finite difference %v", k, i, exact, numeric)
			}
		}
	}
}

func TestTry(t *testing.T) {
	kinds(t, func(t *testing.T, name string) {
		b, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Try(b)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Right {
			t.Errorf("loss %v, want %v", c.Loss, c.Want)
		}
		if c.TokensPerSecond <= 0 || c.FirstStep <= 0 {
			t.Errorf("no times: %+v", c)
		}
	})
}

// checkModel is the model of [Try] in plain Go.
type checkModel struct{ e, w1, w2 []float64 }

func newCheckModel(scale float64) *checkModel {
	make := func(k, n int, s float64) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = scale * float64(float32(checkWeights(k, i, s)))
		}
		return w
	}
	return &checkModel{
		e:  make(0, checkVocab*checkWidth, 1),
		w1: make(1, checkWidth*checkHidden, 0.1),
		w2: make(2, checkHidden*checkVocab, 0.1),
	}
}

func (m *checkModel) weights() [3][]float64 { return [3][]float64{m.e, m.w1, m.w2} }

func checkReference(steps int) (loss float64) {
	m := newCheckModel(1)
	for range steps + 1 {
		loss = m.step(checkRate)
	}
	return loss
}

// step returns the loss and then moves the weights by rate times the gradient.
func (m *checkModel) step(rate float64) (loss float64) {
	ge, g1, g2 := make([]float64, len(m.e)), make([]float64, len(m.w1)), make([]float64, len(m.w2))
	h, dh, p := make([]float64, checkHidden), make([]float64, checkHidden), make([]float64, checkVocab)
	for n := range checkTokens {
		id, next := checkIDs(n)
		x := m.e[id*checkWidth : (id+1)*checkWidth]
		clear(h)
		for d, xd := range x {
			for j, w := range m.w1[d*checkHidden : (d+1)*checkHidden] {
				h[j] += xd * w
			}
		}
		clear(p)
		for j := range h {
			h[j] = max(h[j], 0)
			for v, w := range m.w2[j*checkVocab : (j+1)*checkVocab] {
				p[v] += h[j] * w
			}
		}
		top, sum := math.Inf(-1), 0.0
		for _, l := range p {
			top = max(top, l)
		}
		for _, l := range p {
			sum += math.Exp(l - top)
		}
		loss += (math.Log(sum) + top - p[next]) / checkTokens
		for v, l := range p { // dloss/dlogits = (softmax - onehot) / N
			p[v] = math.Exp(l-top) / sum / checkTokens
		}
		p[next] -= 1.0 / checkTokens
		clear(dh)
		for j := range h {
			if h[j] == 0 {
				continue
			}
			for v, dl := range p {
				g2[j*checkVocab+v] += h[j] * dl
				dh[j] += m.w2[j*checkVocab+v] * dl
			}
		}
		for d, xd := range x {
			for j, dj := range dh {
				g1[d*checkHidden+j] += xd * dj
				ge[id*checkWidth+d] += m.w1[d*checkHidden+j] * dj
			}
		}
	}
	for k, g := range [][]float64{ge, g1, g2} {
		w := m.weights()[k]
		for i := range w {
			w[i] -= rate * g[i]
		}
	}
	return loss
}
