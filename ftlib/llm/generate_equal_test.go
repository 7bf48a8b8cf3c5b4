package llm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// quick is a backend that compiles nothing, for tests of many small programs. What a
// loop in the graph does differently is tested on [testkit.Backend] too, less widely.
func quick(t *testing.T) compute.Backend {
	t.Helper()
	b, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loudModel is a small random model of a family, loud enough that texts differ. Layers have
// sliding windows of 8 where the family can.
func loudModel(t *testing.T, b compute.Backend, family string) *Model {
	t.Helper()
	more := map[string]string{"llama": `,"num_key_value_heads":2,"head_dim":10`, "mistral": `,"num_key_value_heads":2,"sliding_window":8`,
		"qwen2": `,"tie_word_embeddings":true,"use_sliding_window":true,"sliding_window":8,"max_window_layers":1`, "phi": `,"partial_rotary_factor":0.5`}[family]
	c, err := ParseConfig(fmt.Appendf(nil, `{"model_type":%q,"vocab_size":71,"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,
		"intermediate_size":48,"max_position_embeddings":300,"eos_token_id":3%s}`, family, more))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(b, c, 4, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	scale(t, m, 8)
	return m
}

// scale makes random weights larger, and biases random.
func scale(t *testing.T, m *Model, by float32) {
	t.Helper()
	rng := rand.New(rand.NewPCG(8, 8))
	for _, name := range m.Names() {
		old := m.params[name]
		values, err := floats(old)
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			switch {
			case strings.HasSuffix(name, ".bias"):
				values[i] = float32(rng.NormFloat64() / 2)
			case !isNormOrBias(name):
				values[i] *= by
			}
		}
		if m.params[name], err = newFloats(m.Backend, values, old.Shape().Dimensions...); err != nil {
			t.Fatal(err)
		}
		free(old)
	}
}

// withAdapter puts an adapter with random B on the model.
func withAdapter(t *testing.T, m *Model, spec ftlib.LoRA) *Adapter {
	t.Helper()
	a, err := m.NewAdapter(spec, 6)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	rng := rand.New(rand.NewPCG(6, 6))
	for _, name := range sortedKeys(a.params) {
		old := a.params[name]
		if !strings.HasSuffix(name, ".lora_B") {
			continue
		}
		values := make([]float32, old.Size())
		for i := range values {
			values[i] = float32(rng.NormFloat64() / 4)
		}
		if err := a.put(m, name, values, old.Shape().Dimensions...); err != nil {
			t.Fatal(err)
		}
		free(old)
	}
	return a
}

func somePrompts(lengths ...int) [][]int32 {
	rng := rand.New(rand.NewPCG(2, 9))
	var out [][]int32
	for _, n := range lengths {
		p := make([]int32, n)
		for i := range p {
			p[i] = int32(4 + rng.IntN(60))
		}
		out = append(out, p)
	}
	return out
}

func generate(t *testing.T, g *Generator, prompts [][]int32, o Sampling) []Output {
	t.Helper()
	out, err := g.Generate(context.Background(), prompts, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// full computes log-probabilities of a continuation without a cache.
func full(t *testing.T, m *Model, prompt, ids []int32) []float32 {
	t.Helper()
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(prompt), ids...)
	b := &corpus.Batch{B: 1, T: len(all), IDs: all, Mask: make([]float32, len(all))}
	for i := range all {
		b.Pos, b.Seg = append(b.Pos, int32(i)), append(b.Seg, 1)
	}
	lp, err := e.LogProbs(b)
	if err != nil {
		t.Fatal(err)
	}
	return lp[len(prompt):]
}

func near(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// TestCachedIsFull: the log-probability of every generated token is what a forward pass
// over the whole text gives, for every family, with and without adapters, for all ways
// to hold the weights, alone and in a ragged batch; texts are longer than the sliding
// windows and than the first cache.
func TestCachedIsFull(t *testing.T) {
	for _, family := range []string{"llama", "mistral", "qwen2", "phi"} {
		for _, c := range []struct {
			name string
			spec *ftlib.LoRA
		}{{"base", nil}, {"lora", &ftlib.LoRA{R: 3, Bias: "all"}}, {"dora", &ftlib.LoRA{R: 2, DoRA: true}}} {
			if c.name == "dora" && family != "llama" {
				continue
			}
			t.Run(family+"/"+c.name, func(t *testing.T) {
				m := loudModel(t, quick(t), family)
				modes := []WeightMode{FusedWeights, SharedWeights}
				if family == "mistral" && c.name == "lora" {
					m, modes = loudModel(t, testkit.Backend(t), family), modes[:1]
				}
				if c.spec != nil {
					withAdapter(t, m, *c.spec)
				}
				prompts := somePrompts(1, 121, 12)
				for _, w := range modes {
					g := newTestGenerator(t, m, GeneratorOptions{Weights: w})
					o := Sampling{MaxNew: 20, Temperature: 1, Seed: 3, IgnoreEOS: true}
					batch := generate(t, g, prompts, o)
					for i, p := range prompts {
						if d := near(batch[i].LogProbs, full(t, m, p, batch[i].IDs)); len(batch[i].IDs) != o.MaxNew || d > 2e-4 {
							t.Errorf("weights %d row %d: %d tokens, log-probabilities differ by %g", w, i, len(batch[i].IDs), d)
						}
						if d := near(batch[i].LogProbs, batch[i].Drawn); d > 1e-5 {
							t.Errorf("at temperature 1 tokens are drawn from the model itself; log-probabilities differ by %g", d)
						}
					}
					one := o
					one.Seeds = []uint64{RowSeed(o.Seed, 2)}
					if alone := generate(t, g, prompts[2:], one); !slices.Equal(alone[0].IDs, batch[2].IDs) {
						t.Errorf("weights %d: alone %v, in a batch %v", w, alone[0].IDs, batch[2].IDs)
					}
				}
			})
		}
	}
}

// TestChunksAndGroupsDoNotMatter: nor do they change how a text ends.
func TestChunksAndGroupsDoNotMatter(t *testing.T) {
	t.Run("quick", func(t *testing.T) {
		chunksDoNotMatter(t, quick(t), []GeneratorOptions{{Chunk: 1}, {Chunk: 7}, {MaxRows: 2}, {MaxRows: 1, Chunk: 5}})
	})
	t.Run("chosen", func(t *testing.T) { chunksDoNotMatter(t, testkit.Backend(t), []GeneratorOptions{{Chunk: 7}}) })
}

func chunksDoNotMatter(t *testing.T, b compute.Backend, all []GeneratorOptions) {
	m := loudModel(t, b, "llama")
	prompts := somePrompts(5, 2, 9, 9, 1)
	o := Sampling{MaxNew: 30, Temperature: 1.2, TopP: 0.95, RepetitionPenalty: 1.2, Seed: 11, Stop: []int32{7, 20}}
	g := newTestGenerator(t, m, GeneratorOptions{})
	want := generate(t, g, prompts, o)
	stops := 0
	for _, w := range want {
		last := w.IDs[len(w.IDs)-1]
		if ended := last == 3 || last == 7 || last == 20; ended != (w.Finish == FinishStop) {
			t.Errorf("finish %q with last token %d", w.Finish, last)
		} else if ended {
			stops++
		}
	}
	if stops == 0 || stops == len(want) {
		t.Fatalf("%d of %d texts met an end token: choose another seed", stops, len(want))
	}
	for _, opts := range all {
		if g.o.Chunk = opts.Chunk; opts.MaxRows > 0 {
			g.o.MaxRows = opts.MaxRows
		}
		got := generate(t, g, prompts, o)
		for i := range want {
			if !slices.Equal(got[i].IDs, want[i].IDs) || got[i].Finish != want[i].Finish {
				t.Errorf("%+v row %d: %v %q, want %v %q", opts, i, got[i].IDs, got[i].Finish, want[i].IDs, want[i].Finish)
			}
		}
	}
}

func TestRepetitionPenaltySeesThePrompt(t *testing.T) {
	m := loudModel(t, quick(t), "llama")
	g := newTestGenerator(t, m, GeneratorOptions{})
	prompt := somePrompts(6)[0]
	o := Sampling{MaxNew: 25, RepetitionPenalty: 1e6, IgnoreEOS: true} // no token twice while others are left
	out := generate(t, g, [][]int32{prompt}, o)[0]
	seen := map[int32]bool{}
	for _, id := range append(slices.Clone(prompt), out.IDs...) {
		if seen[id] && slices.Index(prompt, id) != slices.Index(append(slices.Clone(prompt), out.IDs...), id) {
			t.Errorf("token %d comes twice in %v", id, out.IDs)
		}
		seen[id] = true
	}
	for _, id := range out.IDs {
		if slices.Contains(prompt, id) {
			t.Errorf("token %d of the prompt %v comes again in %v", id, prompt, out.IDs)
		}
	}
}

// TestWeightsMayChange: a generator sees an adapter that is switched and one that is
// trained on.
func TestWeightsMayChange(t *testing.T) {
	for _, w := range []WeightMode{AutoWeights, FusedWeights, SharedWeights} {
		m := loudModel(t, quick(t), "qwen2")
		g := newTestGenerator(t, m, GeneratorOptions{Weights: w})
		prompts := somePrompts(8, 4)
		o := Sampling{MaxNew: 12, IgnoreEOS: true}
		check := func(what string) []Output {
			out := generate(t, g, prompts, o)
			for i, p := range prompts {
				if d := near(out[i].LogProbs, full(t, m, p, out[i].IDs)); d > 2e-4 {
					t.Errorf("weights %d, %s: log-probabilities differ by %g", w, what, d)
				}
			}
			return out
		}
		base := check("base")
		a := withAdapter(t, m, ftlib.LoRA{R: 2})
		on := check("adapter on")
		if near(on[0].LogProbs, base[0].LogProbs) < 1e-3 {
			t.Error("the adapter changes nothing")
		}
		e, err := NewEngine(m, EngineOptions{})
		if err != nil {
			t.Fatal(err)
		}
		name := layerName(1, "mlp.up_proj.lora_B")
		values, err := floats(e.Value(name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] *= -3
		}
		x, err := newFloats(m.Backend, values, e.Value(name).Shape().Dimensions...)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetValue(name, x); err != nil {
			t.Fatal(err)
		}
		if moved := check("adapter trained"); near(moved[0].LogProbs, on[0].LogProbs) < 1e-3 {
			t.Error("the trained adapter changes nothing")
		}
		m.SetAdapter(nil)
		if off := check("adapter off"); !slices.Equal(off[0].IDs, base[0].IDs) {
			t.Error("the base is not what it was")
		}
		m.SetAdapter(a)
		check("adapter on again")
	}
}

func TestGenerateEndsAtTheModelsLength(t *testing.T) {
	m := loudModel(t, quick(t), "phi")
	g := newTestGenerator(t, m, GeneratorOptions{})
	out := generate(t, g, somePrompts(290, 3), Sampling{MaxNew: 40, IgnoreEOS: true})
	if len(out[0].IDs) != 10 || out[0].Finish != FinishContext || len(out[1].IDs) != 40 || out[1].Finish != FinishLength {
		t.Errorf("%d %q, %d %q", len(out[0].IDs), out[0].Finish, len(out[1].IDs), out[1].Finish)
	}
}

func TestGenerateRefuses(t *testing.T) {
	m := loudModel(t, quick(t), "llama")
	g := newTestGenerator(t, m, GeneratorOptions{})
	for _, c := range []struct {
		prompts [][]int32
		o       Sampling
		want    string
	}{
		{nil, Sampling{}, "no prompts"},
		{[][]int32{{1}, {}}, Sampling{}, "prompt 1 is empty"},
		{[][]int32{{1, 99}}, Sampling{}, "position 1: token 99"},
		{somePrompts(300), Sampling{}, "has 300 tokens"},
		{[][]int32{{1}}, Sampling{Temperature: -1}, "temperature"},
		{[][]int32{{1}}, Sampling{Temperature: math.NaN()}, "temperature"},
		{[][]int32{{1}}, Sampling{TopP: 1.5}, "top_p"},
		{[][]int32{{1}}, Sampling{TopK: -2}, "top_k"},
		{[][]int32{{1}}, Sampling{MinP: 2}, "min_p"},
		{[][]int32{{1}}, Sampling{MaxNew: -1}, "max_new_tokens"},
		{[][]int32{{1}}, Sampling{Seeds: []uint64{1, 2}}, "2 seeds for 1 prompts"},
		{[][]int32{{1}}, Sampling{StopStrings: []string{"x"}}, "need a tokenizer"},
	} {
		if _, err := g.Generate(context.Background(), c.prompts, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error with %q, have %v", c.want, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Generate(ctx, [][]int32{{1}}, Sampling{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestStreamIsGenerate: pieces joined are the text, stop strings never appear in them, and
// whoever listens can end it.
func TestStreamIsGenerate(t *testing.T) {
	dir := testkit.SharedData(t, "stories260K")
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(testkit.Backend(t), dir, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	g := newTestGenerator(t, m, GeneratorOptions{Tokenizer: tok})
	prompt := tok.Encode("Once upon a time", true)
	plainText := generate(t, g, [][]int32{prompt}, Sampling{MaxNew: 60})[0]
	if plainText.Text != tok.Decode(plainText.IDs, true) {
		t.Errorf("text %q, decoded %q", plainText.Text, tok.Decode(plainText.IDs, true))
	}
	for _, stop := range []string{"", "play", ". She", "never in the text"} {
		o := Sampling{MaxNew: 60}
		want := plainText.Text
		if stop != "" {
			o.StopStrings = []string{stop}
			want, _, _ = strings.Cut(want, stop)
		}
		var text strings.Builder
		var ids []int32
		out, err := g.Stream(context.Background(), prompt, o, func(p Piece) bool {
			text.WriteString(p.Text)
			if p.ID >= 0 {
				ids = append(ids, p.ID)
			}
			return true
		})
		if err != nil || text.String() != want || out.Text != want || !slices.Equal(ids, out.IDs) {
			t.Errorf("stop %q: streamed %q, output %q, want %q (%v)", stop, text.String(), out.Text, want, err)
		}
		if found := len(want) < len(plainText.Text); found != (out.Finish == FinishString) {
			t.Errorf("stop %q: finish %q", stop, out.Finish)
		}
	}
	n := 0
	out, err := g.Stream(context.Background(), prompt, Sampling{}, func(Piece) bool { n++; return n < 5 })
	if err != nil || n != 5 || len(out.IDs) != 5 {
		t.Errorf("a listener who left after 5 tokens got %d, output %d, %v", n, len(out.IDs), err)
	}
}
