package llm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib"
	"ftlab/ftlib/quant"
	"ftlab/internal/testkit"
)

// streamConfig has three layers, so that one is here, one on its way and one neither.
func streamConfig(t *testing.T) Config {
	t.Helper()
	c, err := ParseConfig([]byte(`{"model_type": "qwen2", "vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
		"num_key_value_heads": 2, "intermediate_size": 80, "max_position_embeddings": 64}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everything that a model says about two batches, with a step between them.
func everything(t *testing.T, m *Model, o EngineOptions) map[string][]float32 {
	t.Helper()
	e, err := NewEngine(m, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	all := map[string][]float32{}
	for i := range uint64(2) {
		batch := randomBatch(rand.New(rand.NewPCG(3, i)), 2, 16, m.Config.Vocab)
		sums, err := e.Accumulate(batch, NLL, 1.0/30, i)
		if err != nil {
			t.Fatal(err)
		}
		read, err := e.Evaluate(batch, NLL)
		if err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprint("loss ", i)] = []float32{float32(sums.Loss), float32(read.Loss), float32(read.Entropy)}
	}
	for _, name := range e.Trainable() {
		if all[name], err = floats(e.Grad(name)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// streamedAs checks that a model that is streamed from dir says what want says, bit for bit.
func streamedAs(t *testing.T, want *Model, dir string, o LoadOptions, e EngineOptions) {
	t.Helper()
	m, err := Load(want.Backend, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Bytes()+m.StreamedBytes() != want.Bytes() || m.StreamedBytes() == 0 {
		t.Errorf("%d bytes and %d streamed, want %d", m.Bytes(), m.StreamedBytes(), want.Bytes())
	}
	if !slices.Equal(m.Names(), want.Names()) {
		t.Error("other names")
	}
	for _, name := range m.Names() {
		have, err := m.Weight(name)
		should, _ := want.Weight(name)
		if err != nil || !slices.Equal(have, should) {
			t.Fatalf("%s differs (%v)", name, err)
		}
	}
	spec := ftlib.LoRA{R: 4, Dropout: 0.1}
	withAdapter(t, want, spec)
	withAdapter(t, m, spec)
	should, have := everything(t, want, e), everything(t, m, e)
	if len(have) != len(should) {
		t.Fatalf("%d results, want %d", len(have), len(should))
	}
	for key := range should {
		if !slices.Equal(have[key], should[key]) {
			t.Errorf("%s differs", key)
		}
	}
}

// TestStreamed: losses and gradients of streamed weights are those of the same weights on the
// backend bit for bit, from files that are quantised, from files that are not, and in full;
// with activations kept and computed again.
func TestStreamed(t *testing.T) {
	original := t.TempDir()
	if err := WriteRandom(original, streamConfig(t), 5, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	nf4 := &QuantOptions{Config: quant.Config{Double: true}}
	for _, c := range []struct {
		name   string
		b      compute.Backend
		as     *QuantOptions
		stored bool // as files that are quantised
		how    Stream
		engine EngineOptions
	}{
		{"nf4 files", testkit.Backend(t), nf4, true, StreamFile, EngineOptions{Keep: KeepInputs}},
		{"nf4 on the way", quick(t), nf4, false, StreamFile, EngineOptions{}},
		{"nf4 host", quick(t), nf4, true, StreamHost, EngineOptions{Keep: KeepInputs}},
		{"fp4 single", quick(t), &QuantOptions{Config: quant.Config{Type: quant.FP4}}, true, StreamFile, EngineOptions{}},
		{"int8 files", quick(t), &QuantOptions{Config: quant.Config{Type: quant.Int8}}, true, StreamFile, EngineOptions{}},
		{"original files", quick(t), nil, false, StreamFile, EngineOptions{}},
		{"original host", quick(t), nil, false, StreamHost, EngineOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := Load(c.b, original, LoadOptions{Quantize: c.as})
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			dir, o := original, LoadOptions{Quantize: c.as, Stream: c.how}
			if c.stored {
				dir, o.Quantize = t.TempDir(), nil
				if err := want.Save(dir, "F32"); err != nil {
					t.Fatal(err)
				}
			}
			streamedAs(t, want, dir, o, c.engine)
		})
	}
}

// TestWriteRandom: the file holds what New makes.
func TestWriteRandom(t *testing.T) {
	b, c, dir := quick(t), streamConfig(t), t.TempDir()
	o := LoadOptions{Quantize: &QuantOptions{Config: quant.Config{Double: true}}}
	if err := WriteRandom(dir, c, 9, o); err != nil {
		t.Fatal(err)
	}
	m, err := Load(b, dir, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want, err := New(b, c, 9, o)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	for _, name := range want.Names() {
		a, errA := m.Weight(name)
		b, errB := want.Weight(name)
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s differs (%v, %v)", name, errA, errB)
		}
	}
}

func TestStreamedRefusals(t *testing.T) {
	b, c, dir := quick(t), streamConfig(t), t.TempDir()
	if err := WriteRandom(dir, c, 5, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	expect := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
	}
	_, err := Load(b, dir, LoadOptions{Stream: "tape"})
	expect(err, `"file" and "host"`)
	m, err := Load(b, dir, LoadOptions{Stream: StreamFile})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, err = NewEngine(m, EngineOptions{})
	expect(err, "cannot be trained")
	_, err = NewGenerator(m, GeneratorOptions{})
	expect(err, "streamed")
	expect(m.Save(t.TempDir(), "F32"), "streamed")
	_, err = m.Merge()
	expect(err, "streamed")
	_, _, err = m.Parts()
	expect(err, "streamed")

	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(data), `"intermediate_size": 80`, `"intermediate_size": 64`, 1)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Load(b, dir, LoadOptions{Stream: StreamFile})
	expect(err, "mlp.down_proj.weight is [48 80], the configuration wants [48 64]")
}
