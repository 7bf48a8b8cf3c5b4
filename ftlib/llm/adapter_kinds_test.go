package llm

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// adapterKinds are the kinds of adapters by model.
var adapterKinds = map[string]struct {
	model string
	spec  ftlib.LoRA
}{
	"gaussian":           {"llama", ftlib.LoRA{R: 4, Init: "gaussian"}},
	"pissa":              {"llama", ftlib.LoRA{R: 4, Init: "pissa"}},
	"pissa rslora":       {"llama", ftlib.LoRA{R: 4, Init: "pissa", RSLoRA: true, Targets: []string{"q_proj", "down_proj"}}},
	"pissa niter":        {"llama", ftlib.LoRA{R: 2, Init: "pissa_niter_4"}},
	"olora":              {"llama", ftlib.LoRA{R: 4, Init: "olora"}},
	"patterns":           {"llama", ftlib.LoRA{R: 4, RankPattern: map[string]int{"q_proj": 8, `layers\.1\.mlp\.up_proj`: 2}, AlphaPattern: map[string]float64{"down_proj": 32}}},
	"olora patterns":     {"llama", ftlib.LoRA{R: 4, Init: "olora", RankPattern: map[string]int{"q_proj": 6}, AlphaPattern: map[string]float64{"o_proj": 5}}},
	"embed and head":     {"llama", ftlib.LoRA{R: 4, SaveModules: []string{"embed_tokens", "lm_head"}}},
	"tied embed":         {"qwen2", ftlib.LoRA{R: 4, SaveModules: []string{"embed_tokens"}}},
	"tied, own head":     {"qwen2", ftlib.LoRA{R: 4, SaveModules: []string{"lm_head"}}},
	"outside embed":      {"llama", ftlib.LoRA{R: 3, Targets: []string{"q_proj", "embed_tokens"}}},
	"outside head":       {"llama", ftlib.LoRA{R: 3, Targets: []string{"v_proj", "lm_head"}, RSLoRA: true, AlphaPattern: map[string]float64{"lm_head": 5}}},
	"outside both, phi":  {"phi", ftlib.LoRA{R: 3, Targets: []string{"fc1", "embed_tokens", "lm_head"}}},
	"outside tied embed": {"qwen2", ftlib.LoRA{R: 3, Targets: []string{"q_proj", "embed_tokens"}}},
	"outside tied head":  {"qwen2", ftlib.LoRA{R: 3, Targets: []string{"q_proj", "lm_head"}}},
	"outside rows":       {"llama", ftlib.LoRA{R: 3, Targets: []string{"q_proj"}, Tokens: map[string][]int{"embed_tokens": {7, 3, 11}}}},
	"outside rows, head": {"llama", ftlib.LoRA{R: 3, Targets: []string{"q_proj"}, Tokens: map[string][]int{"embed_tokens": {3, 7}, "lm_head": {7, 5}}}},
	"outside tied rows":  {"qwen2", ftlib.LoRA{R: 3, Targets: []string{"q_proj"}, Tokens: map[string][]int{"embed_tokens": {7, 3}}}},

	"phi head bias": {"phi", ftlib.LoRA{R: 4, Targets: []string{"q_proj"}, SaveModules: []string{"lm_head"}}},
}

func loadGolden(t *testing.T, name string) *Model {
	t.Helper()
	m, err := Load(goBackend(t), filepath.Dir(testkit.Golden(t, "models/"+name+"/config.json")), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// Every kind begins as the base, keeps what was trained when it is saved, merged and
// taken apart, and leaves the model's own weights alone.
func TestAdapterKinds(t *testing.T) {
	for name, c := range adapterKinds {
		t.Run(name, func(t *testing.T) {
			m := loadGolden(t, c.model)
			rng := rand.New(rand.NewPCG(3, 5))
			batch := randomBatch(rng, 2, 12, m.Config.Vocab)
			base := logitsOf(t, m, batch)
			a, err := m.NewAdapter(c.spec, 1)
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, m, batch), base); d > 5e-5 {
				t.Errorf("a fresh adapter changes the logits by %g", d)
			}
			stir(t, m, rng)
			want := logitsOf(t, m, batch)
			if d, _ := worst(want, base); d < 1e-2 {
				t.Fatalf("a changed adapter changes the logits by %g only", d)
			}
			dir := t.TempDir()
			if err := a.Save(filepath.Join(dir, "a"), m.Path); err != nil {
				t.Fatal(err)
			}
			if err := m.SaveMerged(filepath.Join(dir, "m"), safetensors.F32); err != nil {
				t.Fatal(err)
			}
			about, parts, err := m.Parts()
			if err != nil {
				t.Fatal(err)
			}
			again, err := FromParts(m.Backend, about, parts, true)
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, again, batch), want); d > 0 {
				t.Errorf("put together from its parts it gives logits %g off", d)
			}
			merged, err := Load(m.Backend, filepath.Join(dir, "m"), LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer merged.Close()
			if d, _ := worst(logitsOf(t, merged, batch), want); d > 1e-4 {
				t.Errorf("merged, the logits are %g off", d)
			}
			m.SetAdapter(nil)
			if d, _ := worst(logitsOf(t, m, batch), base); d > 0 {
				t.Errorf("without the adapter the logits are %g off", d)
			}
			loaded, err := m.LoadAdapter(filepath.Join(dir, "a"))
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, m, batch), want); d > 1e-4 {
				t.Errorf("loaded again, the logits are %g off", d)
			}
			// Decoding reads weights its own way.
			g, err := NewGenerator(m, GeneratorOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			g2, err := NewGenerator(merged, GeneratorOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer g2.Close()
			prompt := [][]int32{{1, 5, 9}}
			x, err := g.Generate(context.Background(), prompt, Sampling{MaxNew: 12, IgnoreEOS: true})
			if err != nil {
				t.Fatal(err)
			}
			y, err := g2.Generate(context.Background(), prompt, Sampling{MaxNew: 12, IgnoreEOS: true})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(x[0].IDs, y[0].IDs) {
				t.Errorf("the adapter writes %v, merged %v", x[0].IDs, y[0].IDs)
			}
			loaded.Close()
			a.Close()
			m.SetAdapter(nil)
		})
	}
}

// Whole modules get the gradient that full fine-tuning gives them.
func TestWholeModulesHaveTheGradientOfFullFineTuning(t *testing.T) {
	for _, name := range []string{"llama", "qwen2"} {
		m := loadGolden(t, name)
		rng := rand.New(rand.NewPCG(1, 2))
		batch := randomBatch(rng, 2, 10, m.Config.Vocab)
		gradOf := func(names ...string) map[string][]float32 {
			e, err := NewEngine(m, EngineOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := e.Accumulate(batch, NLL, 1, 0); err != nil {
				t.Fatal(err)
			}
			out := map[string][]float32{}
			for _, n := range names {
				if g := e.Grad(n); g != nil {
					if out[n], err = floats(g); err != nil {
						t.Fatal(err)
					}
				}
			}
			return out
		}
		want := gradOf(embedName, headName)
		a, err := m.NewAdapter(ftlib.LoRA{R: 2, SaveModules: []string{"embed_tokens", "lm_head"}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := gradOf(embedName, headName)
		if len(want) == 0 || len(got) != len(want) {
			t.Fatalf("%s: gradients of %d weights, full fine-tuning has %d", name, len(got), len(want))
		}
		for n := range want {
			if d, top := worst(got[n], want[n]); d > 1e-6*max(1, top) || top == 0 {
				t.Errorf("%s: the gradient of %s is %g off (largest %g)", name, n, d, top)
			}
		}
		a.Close()
		m.SetAdapter(nil)
	}
}

// Two adapters that are combined exactly give the model that has both in its weights.
func TestCombine(t *testing.T) {
	m := loadGolden(t, "llama")
	rng := rand.New(rand.NewPCG(7, 1))
	batch := randomBatch(rng, 2, 10, m.Config.Vocab)
	make := func(spec ftlib.LoRA) *Adapter {
		a, err := m.NewAdapter(spec, 1)
		if err != nil {
			t.Fatal(err)
		}
		stir(t, m, rng)
		return a
	}
	one := make(ftlib.LoRA{R: 4, Targets: []string{"q_proj", "up_proj"}})
	two := make(ftlib.LoRA{R: 2, Init: "pissa", Targets: []string{"up_proj", "v_proj"}})
	defer one.Close()
	defer two.Close()
	m.SetAdapter(one)
	merged, err := m.Merge()
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	// The second one on top of the first, by its plain form, which needs no residual.
	plain, err := two.plain()
	if err != nil {
		t.Fatal(err)
	}
	merged.SetAdapter(plain)
	want := logitsOf(t, merged, batch)
	merged.SetAdapter(nil)
	for _, kind := range []string{"cat", "svd"} {
		both, err := m.Combine([]*Adapter{one, two}, Combine{Type: kind, Rank: 8})
		if err != nil {
			t.Fatal(err)
		}
		m.SetAdapter(both)
		if d, _ := worst(logitsOf(t, m, batch), want); d > 2e-4 {
			t.Errorf("%s: logits %g off", kind, d)
		}
		both.Close()
		m.SetAdapter(nil)
	}
	if _, err := m.Combine([]*Adapter{one, two}, Combine{Type: "svd", Weights: []float64{1}}); err == nil || !strings.Contains(err.Error(), "1 weights for 2 adapters") {
		t.Errorf("one weight for two adapters: %v", err)
	}
	if _, err := m.Combine([]*Adapter{one}, Combine{Type: "average"}); err == nil || !strings.Contains(err.Error(), "is not one of linear") {
		t.Errorf("an unknown type: %v", err)
	}
}

// A batch whose rows are under different adapters gives what each gives alone, and
// going back to an adapter makes no copy of weights again.
func TestGenerateUnderAdapters(t *testing.T) {
	m := loadGolden(t, "llama")
	rng := rand.New(rand.NewPCG(7, 1))
	adapters := []*Adapter{nil}
	for range 2 {
		a, err := m.NewAdapter(ftlib.LoRA{R: 4}, 1)
		if err != nil {
			t.Fatal(err)
		}
		stir(t, m, rng)
		defer a.Close()
		adapters = append(adapters, a)
	}
	m.SetAdapter(nil)
	g, err := NewGenerator(m, GeneratorOptions{Weights: FusedWeights})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx := context.Background()
	o := Sampling{MaxNew: 8, IgnoreEOS: true, Temperature: 0.8, Seed: 5}
	prompts := [][]int32{{1, 5, 9}, {1, 7}, {1, 5, 9}, {1, 5, 9}}
	under := []*Adapter{adapters[0], adapters[1], adapters[1], adapters[2]}
	got, err := g.GenerateUnder(ctx, under, prompts, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range prompts {
		m.SetAdapter(under[i])
		one := o
		one.Seeds = []uint64{RowSeed(o.Seed, i)}
		alone, err := g.Generate(ctx, prompts[i:i+1], one)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0].IDs, got[i].IDs) {
			t.Errorf("row %d: %v alone, %v in the batch", i, alone[0].IDs, got[i].IDs)
		}
	}
	m.SetAdapter(nil)
	if slices.Equal(got[0].IDs, got[2].IDs) || slices.Equal(got[2].IDs, got[3].IDs) {
		t.Fatal("the adapters write the same")
	}
	copies := map[copyKey]*layerWeights{}
	for k, f := range g.fusers {
		copies[k] = f.layers[0]
	}
	start := time.Now()
	for _, a := range adapters {
		m.SetAdapter(a)
		if _, err := g.weights(1); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d switches in %v", len(adapters), time.Since(start))
	m.SetAdapter(nil)
	for k, f := range g.fusers {
		if f.layers[0] != copies[k] {
			t.Errorf("going back to an adapter made its weights again")
		}
	}
}

// rowsOf is a batch of one row.
func rowsOf(ids []int32) *corpus.Batch {
	b := &corpus.Batch{B: 1, T: len(ids), IDs: ids}
	for i := range ids {
		b.Pos, b.Seg, b.Mask = append(b.Pos, int32(i)), append(b.Seg, 1), append(b.Mask, 1)
	}
	return b
}

// An adapter is refused on weights of the same shape that it was not trained on.
func TestAdapterKnowsItsWeights(t *testing.T) {
	m := loadGolden(t, "llama")
	a, err := m.NewAdapter(ftlib.LoRA{R: 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	dir := t.TempDir()
	adapter, other := filepath.Join(dir, "a"), filepath.Join(dir, "other")
	if err := a.Save(adapter, m.Path); err != nil {
		t.Fatal(err)
	}
	m.SetAdapter(nil)
	stir(t, m, rand.New(rand.NewPCG(1, 1)))
	if err := m.Save(other, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	m2, err := Load(m.Backend, other, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m2.Close()
	if _, err := m2.LoadAdapter(adapter); err == nil || !strings.Contains(err.Error(), "was trained on other weights") {
		t.Errorf("other weights of the same shape: %v", err)
	}
	again := loadGolden(t, "llama")
	if _, err := again.LoadAdapter(adapter); err != nil {
		t.Error(err)
	}
}
