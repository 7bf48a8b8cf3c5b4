package lens

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
	"ftlab/internal/testkit"
)

func model(t *testing.T) *llm.Model {
	t.Helper()
	m, err := llm.Load(testkit.Backend(t), filepath.Dir(testkit.Golden(t, "models/llama/config.json")), llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*max(1, math.Abs(b)) }

// trained is an adapter with an update that is not zero.
func trained(t *testing.T, m *llm.Model, spec ftlib.LoRA) *llm.Adapter {
	t.Helper()
	a, err := m.NewAdapter(spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 6))
	for _, name := range e.Trainable() {
		x := e.Value(name)
		values := make([]float32, x.Size())
		if err := x.ConstFlatData(func(flat any) { copy(values, flat.([]float32)) }); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] += float32(0.1 * rng.NormFloat64())
		}
		y, err := llm.Floats(m.Backend, values, x.Shape().Dimensions...)
		if err == nil {
			err = e.SetValue(name, y)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m.SetAdapter(nil)
	t.Cleanup(a.Close)
	return a
}

func batch() *corpus.Batch {
	b := &corpus.Batch{B: 2, T: 8}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 16 {
		seg, mask := int32(1), float32(1)
		if i%8 == 0 {
			mask = 0
		}
		if i >= 13 { // padding
			seg, mask = 0, 0
		}
		b.IDs, b.Pos, b.Seg, b.Mask = append(b.IDs, int32(rng.IntN(60))), append(b.Pos, int32(i%8)), append(b.Seg, seg), append(b.Mask, mask)
	}
	return b
}

// Errors are those of a plain count over the values; the saving of double quantization
// is the difference of the bytes.
func TestQuantization(t *testing.T) {
	m := model(t)
	r, err := Quantization(m, QuantOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := 7 * m.Config.Layers; len(r.Shapes) != n || len(r.Errors) != n*len(Formats()) {
		t.Fatalf("%d weights, %d errors", len(r.Shapes), len(r.Errors))
	}
	bytes := map[string]int{}
	for i, s := range r.Shapes {
		w, err := m.Weight(s.Weight)
		if err != nil {
			t.Fatal(err)
		}
		var square float64
		for _, v := range w {
			square += float64(v) * float64(v)
		}
		for k, c := range Formats() {
			e := r.Errors[i*len(Formats())+k]
			q, err := quant.Quantize(w, []int{s.Rows, s.Cols}, c)
			if err != nil {
				t.Fatal(err)
			}
			back := make([]float32, len(w))
			if err := q.Dequantize(back); err != nil {
				t.Fatal(err)
			}
			var sum, most float64
			for j := range w {
				d := math.Abs(float64(w[j]) - float64(back[j]))
				sum, most = sum+d*d, max(most, d)
			}
			if !near(e.RMS, math.Sqrt(sum/float64(len(w))), 1e-12) || e.Max != most || !near(e.Relative, math.Sqrt(sum/square), 1e-9) || e.Bytes != q.Bytes() {
				t.Errorf("%s %s: %+v", s.Weight, e.Format, e)
			}
			bytes[e.Format] += e.Bytes
		}
	}
	for _, total := range r.Totals {
		if total.Bytes != bytes[total.Format] || total.Relative <= 0 || total.Worst == "" {
			t.Errorf("%+v", total)
		}
		if plain, ok := strings.CutSuffix(total.Format, "+dq"); ok && total.Saved != bytes[plain]-bytes[total.Format] {
			t.Errorf("%s saves %d bytes, %d - %d", total.Format, total.Saved, bytes[plain], bytes[total.Format])
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if _, err := ErrorFigure(r).Option(); err != nil {
		t.Error(err)
	}
	if _, err := Quantization(m, QuantOptions{Only: func(string) bool { return false }}); err == nil {
		t.Error("no weights were looked at without a word")
	}
}

// One outlier spoils its own block and no other.
func TestOutlierSpoilsItsBlock(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	w := make([]float32, 64*64)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	clean := shapeOf(Place{}, w, 64, 64)
	before, err := quantError(clean, w, quant.Config{Block: 64})
	if err != nil {
		t.Fatal(err)
	}
	w[70] = 40
	s := shapeOf(Place{}, w, 64, 64)
	after, err := quantError(s, w, quant.Config{Block: 64})
	if err != nil {
		t.Fatal(err)
	}
	if after.Outlier < 3 || s.Peak < 15 || s.Outliers == 0 || s.Kurtosis < 2*clean.Kurtosis {
		t.Errorf("an outlier of 40 deviations: %+v, %+v", s, after)
	}
	if math.Abs(clean.Kurtosis-3) > 0.3 || before.Relative > 0.12 {
		t.Errorf("normal weights: %+v, %+v", clean, before)
	}
}

// Drift agrees with softmax written out.
func TestDrift(t *testing.T) {
	b := &corpus.Batch{B: 1, T: 3, IDs: []int32{0, 2, 1}, Seg: []int32{1, 1, 1}}
	p := []float32{1, 2, 3, 0, 0, 1, 9, 9, 9}
	q := []float32{1.5, 2, 2, 0, 1, 0, 9, 9, 9}
	d, err := drift(p, q, 3, b)
	if err != nil {
		t.Fatal(err)
	}
	soft := func(x []float32) (out [3]float64) {
		sum := 0.0
		for _, v := range x {
			sum += math.Exp(float64(v))
		}
		for i, v := range x {
			out[i] = math.Exp(float64(v)) / sum
		}
		return out
	}
	var kl float64
	for at := range 2 {
		x, y := soft(p[3*at:3*at+3]), soft(q[3*at:3*at+3])
		for i := range x {
			kl += x[i] * math.Log(x[i]/y[i]) / 2
		}
	}
	x, y := soft(p[:3]), soft(p[3:6])
	perplexity := math.Exp(-(math.Log(x[2]) + math.Log(y[1])) / 2)
	if d.Tokens != 2 || !near(d.KL, kl, 1e-12) || !near(d.Perplexity, perplexity, 1e-12) || d.Agree != 0 {
		t.Errorf("%+v, want KL %g and perplexity %g", d, kl, perplexity)
	}
}

// A model does not drift from itself; the coarser the format, the further it drifts.
func TestDrifts(t *testing.T) {
	m := model(t)
	b := batch()
	self, err := DriftOf(m, m, b)
	if err != nil {
		t.Fatal(err)
	}
	if self.KL != 0 || self.Agree != 1 || self.Tokens != 11 || self.Perplexity != self.Other {
		t.Errorf("from itself: %+v", self)
	}
	drifts, err := Drifts(m, []quant.Config{{Type: quant.Int8}, {}, {Type: quant.FP4, Block: 4096}}, b)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range drifts {
		if d.KL <= 0 || d.Logits <= 0 || i > 0 && d.KL <= drifts[i-1].KL {
			t.Errorf("%s: KL %g, logits %g", d.Name, d.KL, d.Logits)
		}
	}
	if _, err := DriftFigure(drifts).Option(); err != nil {
		t.Error(err)
	}
}

// reference are the singular values of what an adapter changes, by gonum from the whole matrix.
func reference(t *testing.T, before, after []float32, rows, cols int) []float64 {
	t.Helper()
	x := mat.NewDense(rows, cols, nil)
	for i := range before {
		x.RawMatrix().Data[i] = float64(after[i]) - float64(before[i])
	}
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDNone) {
		t.Fatal("gonum finds no singular values")
	}
	return svd.Values(nil)
}

// Spectra through the factors are those of the whole difference, for every kind of adapter.
func TestSpectra(t *testing.T) {
	for name, spec := range map[string]ftlib.LoRA{"lora": {R: 4}, "pissa": {R: 4, Init: "pissa"}, "dora": {R: 4, DoRA: true}, "embed": {R: 2, Targets: []string{"embed_tokens", "lm_head"}}} {
		t.Run(name, func(t *testing.T) {
			m := model(t)
			a := trained(t, m, spec)
			c := Adapter(m, a)
			spectra, err := c.Spectra(0)
			if err != nil {
				t.Fatal(err)
			}
			if len(spectra) != len(a.Modules()) {
				t.Fatalf("%d spectra of %d modules", len(spectra), len(a.Modules()))
			}
			for _, s := range spectra {
				before, after, err := c.values(s.Weight)
				if err != nil {
					t.Fatal(err)
				}
				want := reference(t, before, after, s.Rows, s.Cols)
				total := norm(want)
				for k, v := range s.S {
					if math.Abs(v-want[k]) > 2e-5*want[0] { // the difference of float32 weights is rounded
						t.Errorf("%s: value %d is %g, want %g", s.Weight, k, v, want[k])
					}
				}
				if !near(s.Norm, total, 1e-4) || !near(s.Keeps(1), want[0]*want[0]/total/total, 1e-4) || s.Keeps(100) < 0.9999 || s.Keeps(0) != 0 {
					t.Errorf("%s: norm %g of %g, keeps %g", s.Weight, s.Norm, total, s.Keeps(1))
				}
				if s.EffectiveRank < 1 || spec.R > 0 && !spec.DoRA && s.EffectiveRank > 2*float64(spec.R)+1e-9 || s.StableRank > s.EffectiveRank*s.EffectiveRank {
					t.Errorf("%s: effective rank %g, stable rank %g", s.Weight, s.EffectiveRank, s.StableRank)
				}
				if s.Rank90 > s.Rank99 || s.Keeps(s.Rank90) < 0.9-1e-9 || s.Keeps(s.Rank90-1) >= 0.9 {
					t.Errorf("%s: ranks %d and %d", s.Weight, s.Rank90, s.Rank99)
				}
			}
			rows := Kept(spectra, nil)
			if rows[0].R != 1 || rows[len(rows)-1].Mean < 0.9999 {
				t.Errorf("%+v", rows)
			}
			for _, f := range []interface {
				Option() (json.RawMessage, error)
			}{SpectrumFigure("x", spectra...), KeptFigure(rows)} {
				if _, err := f.Option(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestEffectiveRank(t *testing.T) {
	if r := EffectiveRank([]float64{2, 2, 2, 0}); !near(r, 3, 1e-12) {
		t.Errorf("three equal values have the rank %g", r)
	}
	if r := EffectiveRank([]float64{0, 0}); r != 0 {
		t.Errorf("nothing has the rank %g", r)
	}
}

// Magnitude and direction by hand, and of a merged model as of its adapter.
func TestTurns(t *testing.T) {
	c := &Change{names: []string{"model.layers.3.mlp.up_proj.weight"}, shape: func(string) (int, int) { return 2, 2 },
		both: func(string) (b, a []float32, err error) { return []float32{3, 4, 1, 0}, []float32{6, 8, 0, 1}, nil }}
	turns, err := c.Turns()
	if err != nil {
		t.Fatal(err)
	}
	got := turns[0]
	if got.Layer != 3 || got.Module != "up_proj" || !near(got.Magnitude, 2.5, 1e-12) || !near(got.Direction, 0.5, 1e-12) || !near(got.Relative, 0.5, 1e-12) {
		t.Errorf("%+v", got)
	}
	m := model(t)
	a := trained(t, m, ftlib.LoRA{R: 4, DoRA: true})
	m.SetAdapter(a)
	merged, err := m.Merge()
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	m.SetAdapter(nil)
	one, err := Adapter(m, a).Turns()
	if err != nil {
		t.Fatal(err)
	}
	change, err := Models(m, merged)
	if err != nil {
		t.Fatal(err)
	}
	two, err := change.Turns()
	if err != nil {
		t.Fatal(err)
	}
	if len(one) != len(two) {
		t.Fatalf("%d weights of the adapter, %d of the models", len(one), len(two))
	}
	by := map[string]Turn{}
	for _, x := range two {
		by[x.Weight] = x
	}
	for _, x := range one {
		if y := by[x.Weight]; !near(x.Magnitude, y.Magnitude, 1e-9) || !near(x.Direction, y.Direction, 1e-9) || x.Direction <= 0 {
			t.Errorf("%+v of the adapter, %+v of the models", x, y)
		}
	}
	if r := Correlation([]Turn{{Magnitude: 1, Direction: 2}, {Magnitude: 2, Direction: 4}, {Magnitude: 3, Direction: 6}}); !near(r, 1, 1e-12) {
		t.Errorf("correlation %g", r)
	}
	if _, err := TurnFigure(map[string][]Turn{"dora": one}).Option(); err != nil {
		t.Error(err)
	}
	if _, err := Models(m, m); err == nil {
		t.Error("a model differs from itself")
	}
}

// The first directions are what gonum finds, and a base without them is quantised better.
func TestPiSSA(t *testing.T) {
	m := model(t)
	parts, err := PiSSA(m, 8, PiSSAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		w, err := m.Weight(p.Weight)
		if err != nil {
			t.Fatal(err)
		}
		rows, cols := matrixShape(m, p.Weight, len(w))
		want := reference(t, make([]float32, len(w)), w, rows, cols)
		total, energy := norm(want), 0.0
		for k, v := range p.S {
			if !near(v, want[k], 1e-10) {
				t.Fatalf("%s: value %d is %g, want %g", p.Weight, k, v, want[k])
			}
			if k < 8 {
				energy += v * v / total / total
			}
		}
		if !near(p.Energy, energy, 1e-10) || !near(p.Residual*p.Residual, 1-energy, 1e-5) {
			t.Errorf("%s: %g of the energy (want %g), residual %g", p.Weight, p.Energy, energy, p.Residual)
		}
		if p.QPiSSA >= p.QLoRA || !near(p.Saves, 1-p.QPiSSA/p.QLoRA, 1e-12) {
			t.Errorf("%s: quantised without its first directions %g, with them %g", p.Weight, p.QPiSSA, p.QLoRA)
		}
	}
}

// With lora_alpha/√r a step moves the output alike at every rank, with lora_alpha/r the less
// the higher it is: as 1/r.
func TestScaling(t *testing.T) {
	rows := Scaling(ScalingOptions{Ranks: []int{16, 64, 256}})
	for _, r := range rows[1:] {
		if x := r.StepRSLoRA / rows[0].StepRSLoRA; x < 0.5 || x > 2 {
			t.Errorf("rsLoRA at rank %d moves %g of what it does at 16", r.R, x)
		}
		if x := r.StepLoRA / rows[0].StepLoRA * float64(r.R) / 16; x < 0.5 || x > 2 {
			t.Errorf("LoRA at rank %d times %d/16 moves %g of what it does at 16", r.R, r.R, x)
		}
	}
	if _, err := ScalingFigure(rows).Option(); err != nil {
		t.Error(err)
	}
}

func ExampleScaling() {
	for _, r := range Scaling(ScalingOptions{Ranks: []int{4, 64}}) {
		fmt.Printf("r=%-3d lora %.2f rslora %.2f\n", r.R, r.LoRA, r.RSLoRA)
	}
	// Output:
	// r=4   lora 4.00 rslora 8.00
	// r=64  lora 0.25 rslora 2.00
}

func ExampleSpectrum_Keeps() {
	s := Spectrum{Norm: 5, S: []float64{4, 3}}
	fmt.Printf("%.2f %.2f\n", s.Keeps(1), s.Keeps(2))
	// Output: 0.64 1.00
}
