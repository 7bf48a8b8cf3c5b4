package llm

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/optim"
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

func loadGoldenOn(t *testing.T, b compute.Backend, name string) *Model {
	t.Helper()
	m, err := Load(b, filepath.Dir(testkit.Golden(t, name+"/config.json")), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// variant is a way to compute the same: a backend and a memory policy.
type variant struct {
	name    string
	backend compute.Backend
	keep    Keep
}

// variants are the test backend (XLA where there is a plugin) and the pure Go backend
// with both policies.
func variants(t *testing.T) []variant {
	return []variant{{"default", testkit.Backend(t), KeepAll}, {"go", goBackend(t), KeepAll}, {"go/recompute", goBackend(t), KeepInputs}}
}

// checkPass compares logits, mean loss and gradients of the case's batch.
func (g goldenFile) checkPass(e *Engine, loss float64) {
	g.t.Helper()
	batch := g.batch("")
	g.checkLogits(e, batch)
	tokens := batch.Trained()
	got, err := e.Accumulate(batch, NLL, float32(1/tokens), 0)
	if err != nil {
		g.t.Fatal(err)
	}
	if relative(got.Loss/tokens, loss) > 1e-5 {
		g.t.Errorf("loss %v, want %v", got.Loss/tokens, loss)
	}
	g.checkGrads(e)
}

func TestGoldenModels(t *testing.T) {
	for _, family := range []string{"llama", "mistral", "qwen2", "phi"} {
		for _, v := range variants(t) {
			t.Run(family+"/"+v.name, func(t *testing.T) {
				g := openGolden(t, "models/"+family+"_io.safetensors")
				var io struct {
					Loss float64 `json:"loss"`
				}
				testkit.GoldenJSON(t, "models/"+family+"_io.json", &io)
				m := loadGoldenOn(t, v.backend, "models/"+family)
				e, err := NewEngine(m, EngineOptions{Keep: v.keep})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				g.checkPass(e, io.Loss)
			})
		}
	}
}

func TestGoldenLoRA(t *testing.T) {
	for _, name := range []string{"qv", "all_linear_rslora", "dora"} {
		for _, v := range variants(t) {
			t.Run(name+"/"+v.name, func(t *testing.T) {
				g := openGolden(t, "lora/"+name+"_io.safetensors")
				m := loadGoldenOn(t, v.backend, "models/llama")
				if _, err := m.LoadAdapter(filepath.Dir(testkit.Golden(t, "lora/"+name+"/adapter_config.json"))); err != nil {
					t.Fatal(err)
				}
				e, err := NewEngine(m, EngineOptions{Keep: v.keep})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				g.checkPass(e, float64(g.floats("loss")[0]))
				for _, name := range g.Names() {
					weight, ok := strings.CutPrefix(name, "merged.")
					if !ok {
						continue
					}
					w, err := m.current(weight)
					if err != nil {
						t.Fatal(err)
					}
					got, err := floats(w)
					if err != nil {
						t.Fatal(err)
					}
					if d, _ := worst(got, g.floats(name)); d > 1e-5 || math.IsNaN(d) {
						t.Errorf("merged %s differs by %g", weight, d)
					}
				}
			})
		}
	}
}

type loraCase struct {
	GA1, GA2 []struct {
		Loss     float64 `json:"loss"`
		GradNorm float64 `json:"grad_norm_before_clip"`
	}
	Optimizer struct {
		Betas       [2]float64 `json:"betas"`
		Clip        float64    `json:"clip_global_norm"`
		Eps         float64    `json:"eps"`
		LR          float64    `json:"lr"`
		WeightDecay float64    `json:"weight_decay"`
	} `json:"optimizer"`
}

// goBackend is the pure Go backend. Trajectories are compared on it: its products
// accumulate in lanes, as torch's do, while XLA adds the tiny products of these cases
// one after another. Its gradients are as close to PEFT's (the tests above run on both),
// but where one is zero but for rounding, Adam's first step, g/(|g|+eps), turns the
// rounding into a step of full size.
func goBackend(t *testing.T) compute.Backend {
	t.Helper()
	b, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenLoRATrajectory repeats PEFT's five optimizer steps with clipping, whole and
// with every batch cut in two micro-batches.
func TestGoldenLoRATrajectory(t *testing.T) {
	for _, name := range []string{"qv", "all_linear_rslora", "dora"} {
		for _, parts := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/ga%d", name, parts), func(t *testing.T) {
				g := openGolden(t, "lora/"+name+"_io.safetensors")
				var c loraCase
				testkit.GoldenJSON(t, "lora/"+name+"_io.json", &c)
				steps := c.GA1
				if parts == 2 {
					steps = c.GA2
				}
				m := loadGoldenOn(t, goBackend(t), "models/llama")
				a, err := m.LoadAdapter(filepath.Dir(testkit.Golden(t, "lora/"+name+"/adapter_config.json")))
				if err != nil {
					t.Fatal(err)
				}
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
				o := c.Optimizer
				for i, want := range steps {
					whole := g.batch(fmt.Sprintf("train.%d.", i))
					sum := 0.0
					for _, b := range cut(whole, parts) {
						got, err := e.Accumulate(b, NLL, float32(1/whole.Trained()), 0)
						if err != nil {
							t.Fatal(err)
						}
						sum += got.Loss
					}
					if r := relative(sum/whole.Trained(), want.Loss); r > 2e-5 {
						t.Errorf("step %d: loss %v, want %v", i+1, sum/whole.Trained(), want.Loss)
					}
					squares, err := e.GradSquares()
					if err != nil {
						t.Fatal(err)
					}
					if r := relative(math.Sqrt(squares), want.GradNorm); r > 1e-4 {
						t.Errorf("step %d: gradient norm %v, want %v", i+1, math.Sqrt(squares), want.GradNorm)
					}
					h := optim.Hyper{LR: o.LR, WeightDecay: o.WeightDecay, Beta1: o.Betas[0], Beta2: o.Betas[1], Epsilon: o.Eps, MaxGradNorm: o.Clip, Step: i + 1}
					for _, names := range e.Groups() {
						if err := opt.Step(e, names, h, math.Sqrt(squares), func(string) bool { return true }); err != nil {
							t.Fatal(err)
						}
					}
					e.ClearGrads()
				}
				checkFinal(g, a, fmt.Sprintf("final.ga%d.", parts))
			})
		}
	}
}

// cut splits a batch by rows.
func cut(b *corpus.Batch, parts int) []*corpus.Batch {
	size := (b.B + parts - 1) / parts
	var out []*corpus.Batch
	for i := 0; i < b.B; i += size {
		rows := min(size, b.B-i)
		from, to := i*b.T, (i+rows)*b.T
		out = append(out, &corpus.Batch{B: rows, T: b.T, IDs: b.IDs[from:to], Mask: b.Mask[from:to], Pos: b.Pos[from:to], Seg: b.Seg[from:to]})
	}
	return out
}

// checkFinal compares trained adapter weights: all but one in a thousand within 5e-5,
// every one within 5e-4 (Adam divides by tiny moments, so single values may stray).
func checkFinal(g goldenFile, a *Adapter, prefix string) {
	g.t.Helper()
	var diffs []float64
	for _, name := range g.Names() {
		param, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		got, err := floats(a.params[internalName(param)])
		if err != nil {
			g.t.Fatal(err)
		}
		for i, w := range g.floats(name) {
			diffs = append(diffs, math.Abs(float64(got[i])-float64(w)))
		}
	}
	if len(diffs) == 0 {
		g.t.Fatalf("no tensors named %s*", prefix)
	}
	sort.Float64s(diffs)
	if p, top := diffs[len(diffs)*999/1000], diffs[len(diffs)-1]; p > 5e-5 || top > 5e-4 {
		g.t.Errorf("final weights differ: 99.9 %% within %g, all within %g", p, top)
	}
}
