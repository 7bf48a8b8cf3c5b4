package llm

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/safetensors"
)

// multiply is f·op(x)·op(y) for row-major matrices; t says which are transposed.
func multiply(f float64, x []float32, xr, xc int, xt bool, y []float32, yr, yc int, yt bool) []float32 {
	at := func(v []float32, cols int, t bool) func(i, j int) float64 {
		return func(i, j int) float64 {
			if t {
				i, j = j, i
			}
			return float64(v[i*cols+j])
		}
	}
	n, inner, k := xr, xc, yc
	if xt {
		n, inner = xc, xr
	}
	if yt {
		k = yr
	}
	a, b := at(x, xc, xt), at(y, yc, yt)
	out := make([]float32, n*k)
	for i := range n {
		for j := range k {
			sum := 0.0
			for l := range inner {
				sum += a(i, l) * b(l, j)
			}
			out[i*k+j] = float32(f * sum)
		}
	}
	return out
}

// outsideKinds are adapters of embedding and head.
func outsideKinds() []string {
	var names []string
	for _, name := range sortedKeys(adapterKinds) {
		if strings.HasPrefix(name, "outside ") {
			names = append(names, name)
		}
	}
	return names
}

// Gradients of what adapters have outside of the blocks are those that the merged model's
// whole matrices get, seen through the product: dA = s·Bᵀ·G and so on.
func TestGradientsOutsideTheBlocks(t *testing.T) {
	for _, kind := range outsideKinds() {
		for _, policy := range []bool{false, true} {
			name := kind
			if policy {
				name += ", policy"
			}
			t.Run(name, func(t *testing.T) {
				c := adapterKinds[kind]
				m := loadGolden(t, c.model)
				rng := rand.New(rand.NewPCG(5, 3))
				batch := randomBatch(rng, 2, 10, m.Config.Vocab)
				batch.IDs[2], batch.IDs[5] = 3, 7 // tokens with rows of their own are there
				slopes := Slopes{LogP: make([]float32, 20), Entropy: make([]float32, 20)}
				for i := range slopes.LogP {
					slopes.LogP[i], slopes.Entropy[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
				}
				a, err := m.NewAdapter(c.spec, 1)
				if err != nil {
					t.Fatal(err)
				}
				stir(t, m, rng)
				gradients := func(m *Model) map[string][]float32 {
					e, err := NewEngine(m, EngineOptions{})
					if err != nil {
						t.Fatal(err)
					}
					defer e.Close()
					if err := e.Prepare(batch, NLL, true); err != nil {
						t.Fatal(err)
					}
					for i := range 2 { // adding up is part of it
						if policy {
							p, err := e.Forward(batch, ForwardOptions{Train: true, Temperature: 0.7})
							if err != nil {
								t.Fatal(err)
							}
							if _, err := p.Stats(); err != nil {
								t.Fatal(err)
							}
							err = p.Pull(slopes)
							p.Close()
							if err != nil {
								t.Fatal(err)
							}
						} else if _, err := e.Accumulate(batch, NLL, float32(1+i), 0); err != nil {
							t.Fatal(err)
						}
					}
					out, squares := map[string][]float32{}, 0.0
					for _, name := range e.Trainable() {
						if e.Grad(name) == nil {
							t.Fatalf("%s has no gradient", name)
						}
						if out[name], err = floats(e.Grad(name)); err != nil {
							t.Fatal(err)
						}
						for _, v := range out[name] {
							squares += float64(v) * float64(v)
						}
					}
					if got, err := e.GradSquares(); err != nil || relative(got, squares) > 1e-4 {
						t.Errorf("sum of squares %g (%v), of the gradients %g", got, err, squares)
					}
					return out
				}
				got := gradients(m)
				merged, err := m.Merge()
				if err != nil {
					t.Fatal(err)
				}
				defer merged.Close()
				whole := gradients(merged)
				o, v, d := m.outside(a), m.Config.Vocab, m.Config.Hidden
				want := map[string][]float32{}
				if o.embed != nil {
					down, up, err := a.pair(embedModule)
					if err != nil {
						t.Fatal(err)
					}
					g, r := whole[embedName], o.embed.R
					want[embedDown] = multiply(o.embed.Scale, up, d, r, true, g, v, d, true)
					want[embedUp] = multiply(o.embed.Scale, g, v, d, true, down, r, v, true)
				}
				if o.head != nil {
					down, up, err := a.pair(headModule)
					if err != nil {
						t.Fatal(err)
					}
					g, r := whole[headName], o.head.R
					want[headDown] = multiply(o.head.Scale, up, v, r, true, g, v, d, false)
					want[headUp] = multiply(o.head.Scale, g, v, d, false, down, r, d, true)
				}
				for weight, ids := range a.tokenRows(m) {
					name, _ := rowsName(weight)
					for _, id := range ids {
						want[name] = append(want[name], whole[weight][int(id)*d:(int(id)+1)*d]...)
					}
				}
				if len(want) == 0 {
					t.Fatal("nothing to compare")
				}
				for name := range want {
					if off, top := worst(got[name], want[name]); off > 2e-4*top || top == 0 {
						t.Errorf("%s: gradient differs by %g of %g", name, off, top)
					}
				}
			})
		}
	}
}

// A vocabulary that grows gives new tokens the mean of the old ones; only they are trained;
// the adapter says so to who loads it on the base as it was, and a merge holds them.
func TestNewTokens(t *testing.T) {
	for _, model := range []string{"llama", "qwen2", "phi"} {
		t.Run(model, func(t *testing.T) {
			m := loadGolden(t, model)
			old := m.Config.Vocab
			rng := rand.New(rand.NewPCG(2, 2))
			batch := randomBatch(rng, 2, 10, old)
			before := logitsOf(t, m, batch)
			if err := m.Resize(old + 3); err != nil {
				t.Fatal(err)
			}
			after := logitsOf(t, m, batch)
			for i := range 20 {
				was, is := before[i*old:(i+1)*old], after[i*(old+3):(i+1)*(old+3)]
				mean := 0.0
				for j, v := range was {
					if v != is[j] {
						t.Fatalf("logit %d of position %d was %g and is %g", j, i, v, is[j])
					}
					mean += float64(v) / float64(old)
				}
				for _, v := range is[old:] {
					if relative(float64(v), mean) > 1e-3 && (float64(v)-mean)*(float64(v)-mean) > 1e-8 {
						t.Fatalf("a new token has the logit %g, the mean of the others is %g", v, mean)
					}
				}
			}
			ids := []int32{int32(old), int32(old + 1), int32(old + 2)}
			tokens := map[string][]int{"embed_tokens": {old, old + 1, old + 2}}
			if !m.Config.Tied {
				tokens["lm_head"] = tokens["embed_tokens"]
			}
			a, err := m.NewAdapter(ftlib.LoRA{R: 2, Tokens: tokens}, 1)
			if err != nil {
				t.Fatal(err)
			}
			stir(t, m, rng)
			batch.IDs[3], batch.IDs[6] = ids[0], ids[2]
			want := logitsOf(t, m, batch)
			dir := t.TempDir()
			if err := a.Save(filepath.Join(dir, "a"), m.Path); err != nil {
				t.Fatal(err)
			}
			if err := m.SaveMerged(filepath.Join(dir, "m"), safetensors.F32); err != nil {
				t.Fatal(err)
			}
			again := loadGolden(t, model) // with its own vocabulary
			if _, err := again.LoadAdapter(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			if d, _ := worst(logitsOf(t, again, batch), want); d > 1e-6 {
				t.Errorf("loaded on the base, the logits are %g off", d)
			}
			merged, err := Load(m.Backend, filepath.Join(dir, "m"), LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer merged.Close()
			if merged.Config.Vocab != old+3 || merged.Config.Tied != m.Config.Tied {
				t.Errorf("merged: vocabulary %d, tied %v", merged.Config.Vocab, merged.Config.Tied)
			}
			if d, _ := worst(logitsOf(t, merged, batch), want); d > 1e-4 {
				t.Errorf("merged, the logits are %g off", d)
			}
			if err := m.Resize(old); err != nil { // back: the rows at the end go
				t.Fatal(err)
			}
			m.SetAdapter(nil)
			batch.IDs[3], batch.IDs[6] = 0, 0
			if m.Config.Vocab != old {
				t.Errorf("vocabulary %d", m.Config.Vocab)
			}
			a.Close()
		})
	}
}

// What does not go together is said, not computed wrongly.
func TestOutsideRefuses(t *testing.T) {
	for _, c := range []struct {
		model string
		spec  ftlib.LoRA
		says  string
	}{
		{"llama", ftlib.LoRA{Targets: []string{"lm_head"}, SaveModules: []string{"lm_head"}}, "one way"},
		{"qwen2", ftlib.LoRA{Targets: []string{"lm_head"}, SaveModules: []string{"embed_tokens"}}, "are one in this model"},
		{"llama", ftlib.LoRA{Targets: []string{"embed_tokens"}, DoRA: true}, "use_dora"},
		{"llama", ftlib.LoRA{Targets: []string{"q_proj", "lm_head"}, Init: "pissa"}, "init_lora_weights"},
		{"llama", ftlib.LoRA{Targets: []string{"lm_head"}, Dropout: 0.1}, "lora_dropout"},
		{"llama", ftlib.LoRA{Tokens: map[string][]int{"embed_tokens": {1, 100000}}}, "not in the vocabulary"},
		{"llama", ftlib.LoRA{Tokens: map[string][]int{"embed_tokens": {1, 1}}}, "twice"},
		{"llama", ftlib.LoRA{Tokens: map[string][]int{"q_proj": {1}}}, "q_proj"},
		{"llama", ftlib.LoRA{Tokens: map[string][]int{"embed_tokens": {1}}, SaveModules: []string{"embed_tokens"}}, "train the same rows"},
		{"qwen2", ftlib.LoRA{Tokens: map[string][]int{"lm_head": {1}}}, "name embed_tokens"},
	} {
		m := loadGolden(t, c.model)
		if _, err := m.NewAdapter(c.spec, 1); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
}

// Two adapters that train the embedding, by rows and by low rank, share a model and a batch.
func TestOutsideInOneBatch(t *testing.T) {
	m := loadGolden(t, "qwen2")
	rng := rand.New(rand.NewPCG(1, 8))
	var adapters []*Adapter
	for _, kind := range []string{"outside tied rows", "outside tied embed"} {
		a, err := m.NewAdapter(adapterKinds[kind].spec, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		stir(t, m, rng)
		adapters = append(adapters, a)
	}
	m.SetAdapter(nil)
	g, err := NewGenerator(m, GeneratorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	prompts := [][]int32{{1, 3, 7}, {1, 3, 7}, {1, 3, 7}}
	o := Sampling{MaxNew: 6, IgnoreEOS: true}
	mixed, err := g.GenerateUnder(context.Background(), []*Adapter{adapters[0], nil, adapters[1]}, prompts, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range []*Adapter{adapters[0], nil, adapters[1]} {
		m.SetAdapter(a)
		var ids []int32 // greedy, by whole forward passes
		for row := append([]int32{}, prompts[0]...); len(ids) < o.MaxNew; row = append(row, ids[len(ids)-1]) {
			l := logitsOf(t, m, rowsOf(row))
			l = l[len(l)-m.Config.Vocab:]
			best := 0
			for j, v := range l {
				if v > l[best] {
					best = j
				}
			}
			ids = append(ids, int32(best))
		}
		for j, id := range mixed[i].IDs {
			if ids[j] != id {
				t.Errorf("row %d: %v in the batch, %v alone", i, mixed[i].IDs, ids)
				break
			}
		}
	}
	m.SetAdapter(nil)
}

// What PEFT writes beside the adapter's own tensors, the base's embedding, is passed over
// when it is the model's, and refused when it is another's.
func TestBaseBesideAdapter(t *testing.T) {
	m := loadGolden(t, "llama")
	a, err := m.NewAdapter(ftlib.LoRA{R: 2, Targets: []string{"embed_tokens"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := a.Save(dir, m.Path); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(dir, adapterWeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := m.Weight(embedName)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []float32{0, 1} {
		w[5] += off
		var all []safetensors.Tensor
		for _, name := range f.Names() {
			x, err := f.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, x)
		}
		x, err := safetensors.FromFloat32s(peftPrefix+embedModule+".base_layer.weight", safetensors.F32, []int{m.Config.Vocab, m.Config.Hidden}, w)
		if err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		if err := safetensors.Write(filepath.Join(to, adapterWeightsFile), append(all, x), nil); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, adapterConfigFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, adapterConfigFile), data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = m.LoadAdapter(to)
		if off == 0 && err != nil || off != 0 && (err == nil || !strings.Contains(err.Error(), "differs from the model's")) {
			t.Errorf("off by %g: %v", off, err)
		}
	}
}

func TestTokenIndices(t *testing.T) {
	for text, want := range map[string]string{
		`[3, 4]`:                             `{"embed_tokens":[3,4]}`,
		`{"model.embed_tokens": [3]}`:        `{"embed_tokens":[3]}`,
		`{"embed_tokens":[1],"lm_head":[1]}`: `{"embed_tokens":[1],"lm_head":[1]}`,
		`null`:                               `null`,
	} {
		got, err := tokenIndices(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := json.Marshal(got); string(data) != want {
			t.Errorf("%s is read as %s", text, data)
		}
	}
	if _, err := tokenIndices(json.RawMessage(`"all"`)); err == nil {
		t.Error("a text was taken")
	}
}
