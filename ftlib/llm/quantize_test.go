package llm

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"ftlab/ftlib"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// quantConfig is a small model whose widths are no multiples of a block, where the blocks
// run on from row to row, with wide and narrow layers.
func quantConfig(t *testing.T) Config {
	t.Helper()
	c, err := ParseConfig([]byte(`{"model_type": "llama", "vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
		"num_key_value_heads": 2, "intermediate_size": 80, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var quantKinds = map[string]quant.Config{
	"nf4":        {},
	"nf4_double": {Double: true},
	"nf4_32":     {Block: 32, Double: true},
	"fp4":        {Type: quant.FP4, Block: 128, Double: true},
	"int8":       {Type: quant.Int8},
}

// quantisedPair saves a random model and loads it quantised.
func quantisedPair(t *testing.T, c quant.Config, o LoadOptions) (dir string, m *Model) {
	t.Helper()
	b := testkit.Backend(t)
	full, err := New(b, quantConfig(t), 5, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	dir = t.TempDir()
	if err := full.Save(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	o.Quantize = &QuantOptions{Config: c}
	if m, err = Load(b, dir, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return dir, m
}

// TestDequantisedExact: what a program computes with is what bitsandbytes' bytes stand
// for, bit for bit.
func TestDequantisedExact(t *testing.T) {
	for name, c := range quantKinds {
		t.Run(name, func(t *testing.T) {
			_, m := quantisedPair(t, c, LoadOptions{})
			for _, module := range m.Config.Linears() {
				name := module + ".weight"
				full := layerName(1, name)
				want, err := m.Weight(full)
				if err != nil {
					t.Fatal(err)
				}
				spec := m.packs[full]
				p, err := newProgram(m.Backend, "whole", func(in []*graph.Node) []*graph.Node {
					n := &nodes{in}
					return []*graph.Node{matrixOf(n.named(spec.parts(name)), map[string]packedSpec{name: spec}, name, new(lastProduct)).whole()}
				})
				if err != nil {
					t.Fatal(err)
				}
				in := group()
				for _, part := range spec.parts(full) {
					in = append(in, m.params[part])
				}
				out, err := p.call(in)
				if err != nil {
					t.Fatal(err)
				}
				have, err := floats(out[0])
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(have, want) {
					t.Fatalf("%s: values differ", module)
				}
			}
		})
	}
}

// gradients of one batch by name, with the loss.
func lossAndGradients(t *testing.T, m *Model, o EngineOptions) (float64, map[string][]float32) {
	t.Helper()
	e, err := NewEngine(m, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	batch := randomBatch(rand.New(rand.NewPCG(3, 3)), 2, 16, m.Config.Vocab)
	r, err := e.Accumulate(batch, NLL, 1.0/30, 11)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for _, name := range e.Trainable() {
		if all[name], err = floats(e.Grad(name)); err != nil {
			t.Fatal(err)
		}
	}
	return r.Loss, all
}

// TestQLoRAGradients: those of LoRA on the dequantised weights, with activations kept and
// computed again, for LoRA and DoRA.
func TestQLoRAGradients(t *testing.T) {
	for name, c := range quantKinds {
		for _, dora := range []bool{false, true} {
			if name != "nf4_double" && (dora || name != "fp4") {
				continue // products differ by type alone, which TestDequantisedExact has
			}
			t.Run(name, func(t *testing.T) {
				_, m := quantisedPair(t, c, LoadOptions{})
				a, err := m.NewAdapter(ftlib.LoRA{R: 4, DoRA: dora, Dropout: 0.1}, 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, module := range a.Modules() { // B = 0 has no gradient for A
					out, _ := m.moduleDims(module)
					values := make([]float32, out*4)
					for i := range values {
						values[i] = float32(math.Sin(float64(i))) * 0.05
					}
					free(a.params[module+".lora_B"])
					if err := a.put(m, module+".lora_B", values, out, 4); err != nil {
						t.Fatal(err)
					}
				}
				full, err := m.Dequantized()
				if err != nil {
					t.Fatal(err)
				}
				defer full.Close()
				wantLoss, want := lossAndGradients(t, full, EngineOptions{})
				for _, keep := range []Keep{KeepAll, KeepHalves, KeepInputs} {
					loss, have := lossAndGradients(t, m, EngineOptions{Keep: keep})
					if math.Abs(loss/wantLoss-1) > 1e-6 {
						t.Errorf("loss %v, want %v", loss, wantLoss)
					}
					if len(have) != len(want) {
						t.Fatalf("%d gradients, want %d", len(have), len(want))
					}
					for name, g := range have {
						if d := l2Error(g, want[name]); d > 2e-5 {
							t.Errorf("gradient of %s is off by %.2g (keep %q)", name, d, keep)
						}
					}
				}
			})
		}
	}
}

// relative is ‖a-b‖/‖b‖.
func l2Error(a, b []float32) float64 {
	var d, n float64
	for i := range a {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / max(n, 1e-30))
}

// TestQuantisedFiles: a quantised model that is saved loads as it was, byte for byte, and
// writes the same text; so does one that is taken apart and put together.
func TestQuantisedFiles(t *testing.T) {
	for name, c := range quantKinds {
		if name == "nf4_32" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			_, m := quantisedPair(t, c, LoadOptions{})
			dir := t.TempDir()
			if err := m.Save(dir, safetensors.F32); err != nil {
				t.Fatal(err)
			}
			again, err := Load(m.Backend, dir, LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			about, parts, err := m.Parts()
			if err != nil {
				t.Fatal(err)
			}
			lent, err := FromParts(m.Backend, about, parts, true)
			if err != nil {
				t.Fatal(err)
			}
			defer lent.Close()
			full, err := m.Dequantized()
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			want := write(t, full)
			for what, x := range map[string]*Model{"loaded": again, "from parts": lent, "quantised": m} {
				if x.Quantized() == nil || *x.Quantized() != *m.Quantized() {
					t.Errorf("%s: %+v, want %+v", what, x.Quantized(), m.Quantized())
				}
				if !slices.Equal(x.Names(), full.Names()) {
					t.Errorf("%s: other weights", what)
				}
				for _, name := range x.Names() {
					a, errA := x.Weight(name)
					b, errB := full.Weight(name)
					if errA != nil || errB != nil || !slices.Equal(a, b) {
						t.Fatalf("%s: %s differs (%v, %v)", what, name, errA, errB)
					}
				}
				if have := write(t, x); !slices.Equal(have, want) {
					t.Errorf("%s writes %v, in full %v", what, have, want)
				}
			}
		})
	}
}

func write(t *testing.T, m *Model) []int32 {
	t.Helper()
	g, err := NewGenerator(m, GeneratorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	out, err := g.Generate(context.Background(), [][]int32{{1, 7, 9}, {4}}, Sampling{MaxNew: 8, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	return append(slices.Clone(out[0].IDs), out[1].IDs...)
}

func TestQuantisedRefusals(t *testing.T) {
	dir, m := quantisedPair(t, quant.Config{Double: true}, LoadOptions{})
	if _, err := m.NewAdapter(ftlib.LoRA{R: 2}, 1); err != nil {
		t.Fatal(err)
	}
	expect := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
	}
	_, err := m.Merge()
	expect(err, "quantised")
	expect(m.SaveMerged(t.TempDir(), safetensors.F32), "quantised")
	_, err = NewEngine(m, EngineOptions{Train: func(string) bool { return true }})
	expect(err, "cannot be trained")
	_, err = Load(m.Backend, dir, LoadOptions{Quantize: &QuantOptions{Config: quant.Config{Type: "nf5"}}})
	expect(err, "nf5")
	_, err = Load(m.Backend, dir, LoadOptions{Quantize: &QuantOptions{Compute: dtypes.Float16}})
	expect(err, "float32 and bfloat16")
	saved := t.TempDir()
	if err := m.Save(saved, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	_, err = Load(m.Backend, saved, LoadOptions{Quantize: &QuantOptions{Config: quant.Config{Type: quant.FP4}}})
	expect(err, "original weights")
	full, err := m.Dequantized()
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := full.SaveMerged(t.TempDir(), safetensors.F32); err != nil {
		t.Error(err)
	}
}

// TestComputeBFloat16: products in bfloat16 are near those in float32.
func TestComputeBFloat16(t *testing.T) {
	dir, m := quantisedPair(t, quant.Config{Double: true}, LoadOptions{})
	half, err := Load(m.Backend, dir, LoadOptions{Quantize: &QuantOptions{Config: quant.Config{Double: true}, Compute: dtypes.BFloat16}})
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	for _, x := range []*Model{m, half} {
		if _, err := x.NewAdapter(ftlib.LoRA{R: 4}, 1); err != nil {
			t.Fatal(err)
		}
	}
	wantLoss, want := lossAndGradients(t, m, EngineOptions{})
	loss, have := lossAndGradients(t, half, EngineOptions{Keep: KeepInputs})
	if loss == wantLoss || math.Abs(loss/wantLoss-1) > 1e-2 {
		t.Errorf("loss %v in bfloat16, %v in float32", loss, wantLoss)
	}
	for name := range want {
		if strings.HasSuffix(name, "lora_B") && l2Error(have[name], want[name]) > 0.1 {
			t.Errorf("gradient of %s is off by %.2g", name, l2Error(have[name], want[name]))
		}
	}
}
