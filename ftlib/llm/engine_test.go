package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/internal/testkit"
)

// tiny is a small random model of each family, with grouped queries, partial rotation
// and a window where the family has them.
func tiny(t *testing.T, family string) *Model {
	t.Helper()
	extra := map[string]string{
		"llama":   `"num_key_value_heads":2,"attention_bias":true,"mlp_bias":true`,
		"mistral": `"num_key_value_heads":2,"sliding_window":5`,
		"qwen2":   `"num_key_value_heads":4,"tie_word_embeddings":true`,
		"phi":     `"partial_rotary_factor":0.5,"hidden_act":"gelu_new"`,
	}[family]
	c, err := ParseConfig([]byte(`{"model_type":"` + family + `","vocab_size":61,"hidden_size":32,"num_hidden_layers":3,
		"num_attention_heads":4,"intermediate_size":48,"max_position_embeddings":64,` + extra + `}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(goBackend(t), c, 7, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// randomBatch has ragged rows, and a mask on two thirds of the tokens.
func randomBatch(rng *rand.Rand, b, t, vocab int) *corpus.Batch {
	batch := &corpus.Batch{B: b, T: t}
	for i := range b {
		n := t - i*2
		for j := range t {
			seg, w, id := int32(0), float32(0), int32(0)
			if j < n {
				seg, id = 1, int32(rng.IntN(vocab))
				if j > 0 && rng.IntN(3) > 0 {
					w = 1
				}
			}
			batch.IDs, batch.Pos, batch.Seg, batch.Mask = append(batch.IDs, id), append(batch.Pos, int32(j)), append(batch.Seg, seg), append(batch.Mask, w)
		}
	}
	return batch
}

// stir gives every weight of an adapter, or of the model, a random part, so that no
// gradient is zero for a special reason.
func stir(t *testing.T, m *Model, rng *rand.Rand) {
	t.Helper()
	at := m.params
	if m.adapter != nil {
		at = m.adapter.params
	}
	for _, name := range sortedKeys(at) {
		v, err := floats(at[name])
		if err != nil {
			t.Fatal(err)
		}
		for i := range v {
			v[i] += float32(rng.NormFloat64() * 0.1)
		}
		x, err := newFloats(m.Backend, v, at[name].Shape().Dimensions...)
		if err != nil {
			t.Fatal(err)
		}
		free(at[name])
		at[name] = x
	}
}

// wholeGraph computes the summed loss of a batch and its gradients with the model as
// one graph and GoMLX's automatic differentiation: an independent way to both.
func wholeGraph(t *testing.T, e *Engine, batch *corpus.Batch, key uint64) (loss float64, grads map[string][]float32) {
	t.Helper()
	p, err := e.start(batch, key)
	if err != nil {
		t.Fatal(err)
	}
	defer p.free()
	rows, targets, weights, err := targetRows(batch, false)
	if err != nil {
		t.Fatal(err)
	}
	train := e.Trainable()
	var args []any
	for _, x := range []*tensors.Tensor{p.ids, p.cos, p.sin, p.seg} {
		args = append(args, x)
	}
	args = append(args, tensors.FromFlatDataAndDimensions(rows, len(rows)), tensors.FromFlatDataAndDimensions(targets, len(rows)), tensors.FromFlatDataAndDimensions(weights, len(rows)))
	for _, k := range p.keys {
		args = append(args, k)
	}
	var names []string
	for _, w := range e.m.Config.weights() {
		names = append(names, w.name)
	}
	if e.adapter != nil {
		for _, name := range sortedKeys(e.adapter.params) {
			if strings.Contains(name, ".lora_") {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		args = append(args, e.param(name))
	}
	exec := MustNewExec(e.m.Backend, func(flat []*Node) []*Node {
		in := &nodes{flat}
		ids, cos, sin, seg := in.next(), in.next(), in.next(), in.next()
		rows, targets, weights := in.next(), in.next(), in.next()
		keys := in.take(len(e.plans))
		all := in.named(names)
		x := Gather(all[embedName], ExpandAxes(ids, -1))
		for i, plan := range e.plans {
			var input []*Node
			for _, name := range plan.params {
				input = append(input, all[layerName(i, name)])
			}
			blk := plan.block(&e.m.Config, &nodes{append([]*Node{cos, sin, seg, keys[i]}, input...)}, true)
			x, _ = blk.forward(x)
		}
		c := &e.m.Config
		norm := c.names().finalNorm
		head := all[headName]
		if c.Tied {
			head = all[embedName]
		}
		h := &head_{cfg: c, w: all[norm+".weight"], b: all[norm+".bias"], head: head, bias: all[headBiasName]}
		sum := h.loss(Gather(x, ExpandAxes(rows, -1)), targets, weights)
		var wrt []*Node
		for _, name := range train {
			wrt = append(wrt, all[name])
		}
		return append([]*Node{sum}, Gradient(sum, wrt...)...)
	})
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	if loss, err = scalar(out[0]); err != nil {
		t.Fatal(err)
	}
	grads = map[string][]float32{}
	for i, name := range train {
		if grads[name], err = floats(out[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return loss, grads
}

// head_ is the plainest head: one-hot cross-entropy over all logits.
type head_ struct {
	cfg              *Config
	w, b, head, bias *Node
}

func (h *head_) loss(x, targets, weights *Node) *Node {
	logits := mulT(norm(x, h.w, h.b, h.cfg.LayerNorm, h.cfg.NormEps), h.head)
	if h.bias != nil {
		logits = Add(logits, row(h.bias))
	}
	hot := OneHot(targets, h.cfg.Vocab, dtypes.Float32)
	return Neg(ReduceAllSum(Mul(weights, ReduceSum(Mul(LogSoftmax(logits, -1), hot), -1))))
}

func compareWhole(t *testing.T, m *Model, keep Keep, batch *corpus.Batch) {
	t.Helper()
	e, err := NewEngine(m, EngineOptions{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const key = 0x1234567890abcdef
	want, grads := wholeGraph(t, e, batch, key)
	got, err := e.Accumulate(batch, NLL, 1, key)
	if err != nil {
		t.Fatal(err)
	}
	if relative(got.Loss, want) > 1e-5 {
		t.Errorf("loss %v, one graph %v", got.Loss, want)
	}
	squares := 0.0
	for _, name := range e.Trainable() {
		g, err := floats(e.Grad(name))
		if err != nil {
			t.Fatal(err)
		}
		if d, top := worst(g, grads[name]); d > 2e-4*top+1e-6 || math.IsNaN(d) {
			t.Errorf("%s: gradient differs by %g of %g", name, d, top)
		}
		for _, v := range g {
			squares += float64(v) * float64(v)
		}
	}
	if sum, err := e.GradSquares(); err != nil || relative(sum, squares) > 1e-4 {
		t.Errorf("sum of squares %v (%v), of the gradients %v", sum, err, squares)
	}
}

// The hand-made gradients of the block engine equal automatic differentiation of the
// whole model as one graph, for every weight of every family.
func TestBlockEngineIsWholeGraph(t *testing.T) {
	for _, family := range []string{"llama", "mistral", "qwen2", "phi"} {
		for _, keep := range []Keep{KeepAll, KeepAttention, KeepHalves, KeepInputs} {
			// With all weights trained, nothing but what is kept differs from the adapter's case.
			if keep == KeepAll || keep == KeepInputs {
				t.Run(fmt.Sprintf("%s/full/keep=%s", family, keep), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(1, 2))
					m := tiny(t, family)
					stir(t, m, rng)
					compareWhole(t, m, keep, randomBatch(rng, 3, 12, m.Config.Vocab))
				})
			}
			t.Run(fmt.Sprintf("%s/lora/keep=%s", family, keep), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(3, 4))
				m := tiny(t, family)
				if _, err := m.NewAdapter(ftlib.LoRA{R: 3, Dropout: 0.3, Bias: "all"}, 5); err != nil {
					t.Fatal(err)
				}
				stir(t, m, rng)
				compareWhole(t, m, keep, randomBatch(rng, 3, 12, m.Config.Vocab))
			})
		}
	}
}

func logitsOf(t *testing.T, m *Model, batch *corpus.Batch) []float32 {
	t.Helper()
	e, err := NewEngine(m, EngineOptions{Train: func(string) bool { return false }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.Logits(batch)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFreshAdapterIsBase(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, dora := range []bool{false, true} {
		m := tiny(t, "llama")
		batch := randomBatch(rng, 2, 9, m.Config.Vocab)
		base := logitsOf(t, m, batch)
		if _, err := m.NewAdapter(ftlib.LoRA{DoRA: dora}, 3); err != nil {
			t.Fatal(err)
		}
		if d, _ := worst(logitsOf(t, m, batch), base); d > 1e-5 {
			t.Errorf("dora=%v: an adapter with B = 0 changes logits by %g", dora, d)
		}
	}
}

func TestMergedIsAdapter(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, family := range []string{"llama", "phi"} {
		for _, dora := range []bool{false, true} {
			m := tiny(t, family)
			batch := randomBatch(rng, 2, 9, m.Config.Vocab)
			base := logitsOf(t, m, batch)
			a, err := m.NewAdapter(ftlib.LoRA{R: 4, DoRA: dora, RSLoRA: true, Bias: "lora_only"}, 3)
			if err != nil {
				t.Fatal(err)
			}
			stir(t, m, rng)
			want := logitsOf(t, m, batch)
			if d, _ := worst(want, base); d < 1e-2 {
				t.Fatalf("the adapter changes nothing (%g)", d)
			}
			merged, err := m.Merge()
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, merged, batch), want); d > 1e-4 {
				t.Errorf("%s dora=%v: merged weights differ by %g", family, dora, d)
			}
			merged.Close()
			// The same through files: merged directory, and the adapter beside its base.
			dir := t.TempDir()
			if err := m.SaveMerged(filepath.Join(dir, "merged"), "F32"); err != nil {
				t.Fatal(err)
			}
			if err := a.Save(filepath.Join(dir, "adapter"), "base"); err != nil {
				t.Fatal(err)
			}
			read, err := Load(m.Backend, filepath.Join(dir, "merged"), LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, read, batch), want); d > 1e-4 {
				t.Errorf("%s dora=%v: merged directory differs by %g", family, dora, d)
			}
			read.Close()
			m.SetAdapter(nil)
			if _, err := m.LoadAdapter(filepath.Join(dir, "adapter")); err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, m, batch), want); d != 0 {
				t.Errorf("%s dora=%v: the adapter read back differs by %g", family, dora, d)
			}
			m.SetAdapter(nil)
			if d, _ := worst(logitsOf(t, m, batch), base); d != 0 {
				t.Errorf("%s dora=%v: without its adapter the model differs by %g", family, dora, d)
			}
		}
	}
}

// Rows packed into one sequence train exactly as rows of their own.
func TestPackedIsPadded(t *testing.T) {
	for _, family := range []string{"llama", "mistral", "phi"} {
		rng := rand.New(rand.NewPCG(8, 9))
		m := tiny(t, family)
		stir(t, m, rng)
		padded := randomBatch(rng, 3, 12, m.Config.Vocab)
		packed := &corpus.Batch{B: 1, T: 40}
		for i := range padded.B {
			for j := range padded.T {
				at := i*padded.T + j
				if padded.Seg[at] == 0 {
					continue
				}
				packed.IDs, packed.Pos = append(packed.IDs, padded.IDs[at]), append(packed.Pos, padded.Pos[at])
				packed.Seg, packed.Mask = append(packed.Seg, int32(i+1)), append(packed.Mask, padded.Mask[at])
			}
		}
		for len(packed.IDs) < packed.T {
			packed.IDs, packed.Pos = append(packed.IDs, 0), append(packed.Pos, 0)
			packed.Seg, packed.Mask = append(packed.Seg, 0), append(packed.Mask, 0)
		}
		e, err := NewEngine(m, EngineOptions{})
		if err != nil {
			t.Fatal(err)
		}
		grads := map[string][]float32{}
		var loss float64
		for _, b := range []*corpus.Batch{padded, packed} {
			got, err := e.Accumulate(b, NLL, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range e.Trainable() {
				g, err := floats(e.Grad(name))
				if err != nil {
					t.Fatal(err)
				}
				if b == padded {
					grads[name] = g
				} else if d, top := worst(g, grads[name]); d > 1e-5*top+1e-6 {
					t.Errorf("%s: %s: packed gradient differs by %g of %g", family, name, d, top)
				}
			}
			if b == padded {
				loss = got.Loss
			} else if relative(got.Loss, loss) > 1e-6 {
				t.Errorf("%s: packed loss %v, padded %v", family, got.Loss, loss)
			}
			e.ClearGrads()
		}
	}
}

// Micro-batches add up to the gradient of the whole batch.
func TestAccumulatedIsWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	m := tiny(t, "qwen2")
	stir(t, m, rng)
	whole := randomBatch(rng, 4, 10, m.Config.Vocab)
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	grads := map[string][]float32{}
	for _, parts := range []int{1, 4} {
		for _, b := range cut(whole, parts) {
			if _, err := e.Accumulate(b, NLL, 0.1, 0); err != nil {
				t.Fatal(err)
			}
		}
		squares := 0.0
		for _, name := range e.Trainable() {
			g, err := floats(e.Grad(name))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range g {
				squares += float64(v) * float64(v)
			}
			if parts == 1 {
				grads[name] = g
			} else if d, top := worst(g, grads[name]); d > 1e-5*top+1e-7 {
				t.Errorf("%s: accumulated gradient differs by %g of %g", name, d, top)
			}
		}
		if sum, err := e.GradSquares(); err != nil || relative(sum, squares) > 1e-4 {
			t.Errorf("%d parts: sum of squares %v (%v), of the gradients %v", parts, sum, err, squares)
		}
		e.ClearGrads()
	}
}

func TestBadBatchesAreErrors(t *testing.T) {
	m := tiny(t, "llama")
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]*corpus.Batch{
		"vocabulary":   {B: 1, T: 2, IDs: []int32{0, 61}, Pos: []int32{0, 1}, Seg: []int32{1, 1}, Mask: []float32{0, 1}},
		"positions":    {B: 1, T: 2, IDs: []int32{0, 1}, Seg: []int32{1, 1}, Mask: []float32{0, 1}},
		"mask":         {B: 1, T: 2, IDs: []int32{0, 1}, Pos: []int32{0, 1}, Seg: []int32{1, 1}},
		"trains token": {B: 1, T: 2, IDs: []int32{0, 1}, Pos: []int32{0, 1}, Seg: []int32{1, 1}, Mask: []float32{1, 1}},
	} {
		if _, err := e.Accumulate(b, NLL, 1, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", want, err)
		}
	}
}

func TestStories260KFromBothFiles(t *testing.T) {
	dir := filepath.Dir(testkit.SharedData(t, "stories260K/config.json"))
	var logits [2][]float32
	for i, path := range []string{dir, filepath.Join(dir, "stories260K.bin")} {
		m, err := Load(goBackend(t), path, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(2, 2)) // the same tokens for both
		logits[i] = logitsOf(t, m, randomBatch(rng, 2, 20, m.Config.Vocab))
		m.Close()
	}
	if d, _ := worst(logits[0], logits[1]); d > 1e-5 {
		t.Errorf("the two files give logits that differ by %g", d)
	}
}
