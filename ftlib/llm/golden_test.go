package llm

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// goldenFile is a safetensors file of a golden case.
type goldenFile struct {
	t *testing.T
	*safetensors.File
}

func openGolden(t *testing.T, name string) goldenFile {
	t.Helper()
	f, err := safetensors.Open(testkit.Golden(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return goldenFile{t, f}
}

func (g goldenFile) floats(name string) []float32 {
	g.t.Helper()
	x, err := g.Tensor(name)
	if err != nil {
		g.t.Fatal(err)
	}
	v, err := x.Float32s()
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

func (g goldenFile) ints(name string) (values []int64, shape []int) {
	g.t.Helper()
	x, err := g.Tensor(name)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(x.Data); i += 8 {
		values = append(values, int64(binary.LittleEndian.Uint64(x.Data[i:])))
	}
	return values, x.Shape
}

// batch makes a batch from HF's input_ids, attention_mask and labels. Positions count
// from the left edge, as transformers does when it is given none.
func (g goldenFile) batch(prefix string) *corpus.Batch {
	g.t.Helper()
	ids, shape := g.ints(prefix + "input_ids")
	mask, _ := g.ints(prefix + "attention_mask")
	labels, _ := g.ints(prefix + "labels")
	b := &corpus.Batch{B: shape[0], T: shape[1]}
	for i := range ids {
		b.IDs = append(b.IDs, int32(ids[i]))
		b.Pos = append(b.Pos, int32(i%b.T))
		b.Seg = append(b.Seg, int32(mask[i]))
		w := float32(0)
		if labels[i] >= 0 && i%b.T > 0 && mask[i] == 1 && mask[i-1] == 1 {
			w = 1
		}
		b.Mask = append(b.Mask, w)
	}
	return b
}

func worst(a, b []float32) (diff, top float64) {
	for i := range a {
		diff = max(diff, math.Abs(float64(a[i])-float64(b[i])))
		top = max(top, math.Abs(float64(b[i])))
	}
	return diff, top
}

func (g goldenFile) checkLogits(e *Engine, batch *corpus.Batch) {
	g.t.Helper()
	got, err := e.Logits(batch)
	if err != nil {
		g.t.Fatal(err)
	}
	want := g.floats("logits")
	v := len(want) / (batch.B * batch.T)
	for i, s := range batch.Seg {
		if s == 0 {
			continue
		}
		if d, _ := worst(got[i*v:(i+1)*v], want[i*v:(i+1)*v]); d > 2e-4 || math.IsNaN(d) {
			g.t.Fatalf("logits at %d differ by %g", i, d)
		}
	}
}

// checkGrads compares every grad.<name> of the case with the engine's.
func (g goldenFile) checkGrads(e *Engine) {
	g.t.Helper()
	n := 0
	for _, name := range g.Names() {
		param, ok := strings.CutPrefix(name, "grad.")
		if !ok {
			continue
		}
		n++
		grad := e.Grad(internalName(param))
		if grad == nil {
			g.t.Errorf("%s: no gradient", param)
			continue
		}
		got, err := floats(grad)
		if err != nil {
			g.t.Fatal(err)
		}
		if d, top := worst(got, g.floats(name)); d > 1e-4*top || math.IsNaN(d) {
			g.t.Errorf("%s: gradient differs by %g of %g", param, d, top)
		}
	}
	if n == 0 {
		g.t.Error("no gradients in the case")
	}
}

func relative(got, want float64) float64 { return math.Abs(got-want) / math.Abs(want) }

func loadGolden(t *testing.T, name string) *Model {
	t.Helper()
	m, err := Load(testkit.Backend(t), filepath.Dir(testkit.Golden(t, name+"/config.json")), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func TestGoldenModels(t *testing.T) {
	for _, family := range []string{"llama", "mistral", "qwen2", "phi"} {
		for _, recompute := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/recompute=%v", family, recompute), func(t *testing.T) {
				g := openGolden(t, "models/"+family+"_io.safetensors")
				var io struct {
					Loss float64 `json:"loss"`
				}
				testkit.GoldenJSON(t, "models/"+family+"_io.json", &io)
				m := loadGolden(t, "models/"+family)
				e, err := NewEngine(m, EngineOptions{Recompute: recompute})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				batch := g.batch("")
				g.checkLogits(e, batch)
				tokens := batch.Trained()
				got, err := e.Accumulate(batch, NLL, float32(1/tokens), 0)
				if err != nil {
					t.Fatal(err)
				}
				if r := relative(got.Loss/tokens, io.Loss); r > 1e-5 {
					t.Errorf("loss %v, want %v", got.Loss/tokens, io.Loss)
				}
				g.checkGrads(e)
			})
		}
	}
}

func TestGoldenLoRA(t *testing.T) {
	for _, name := range []string{"qv", "all_linear_rslora", "dora"} {
		for _, recompute := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/recompute=%v", name, recompute), func(t *testing.T) {
				g := openGolden(t, "lora/"+name+"_io.safetensors")
				m := loadGolden(t, "models/llama")
				if _, err := m.LoadAdapter(filepath.Dir(testkit.Golden(t, "lora/"+name+"/adapter_config.json"))); err != nil {
					t.Fatal(err)
				}
				e, err := NewEngine(m, EngineOptions{Recompute: recompute})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				batch := g.batch("")
				g.checkLogits(e, batch)
				tokens := batch.Trained()
				got, err := e.Accumulate(batch, NLL, float32(1/tokens), 0)
				if err != nil {
					t.Fatal(err)
				}
				if want := float64(g.floats("loss")[0]); relative(got.Loss/tokens, want) > 1e-5 {
					t.Errorf("loss %v, want %v", got.Loss/tokens, want)
				}
				g.checkGrads(e)
			})
		}
	}
}
