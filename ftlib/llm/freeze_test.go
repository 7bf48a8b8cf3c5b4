package llm

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib/corpus"
)

// gradients of one batch by name, on the host.
func gradients(t *testing.T, m *Model, o EngineOptions, batch *corpus.Batch) map[string][]float32 {
	t.Helper()
	e, err := NewEngine(m, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 2 { // the second time adds
		if _, err := e.Accumulate(batch, NLL, 0.5, 0); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string][]float32{}
	for _, name := range e.Trainable() {
		if out[name], err = floats(e.Grad(name)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestFrozenPartsHaveNoGradientAndOthersTheSame(t *testing.T) {
	for family, freeze := range map[string][]string{
		"llama": {"layers.1", "lm_head"}, "qwen2": {"embed_tokens", "model.norm.weight"}, "phi": {"mlp", "embed_tokens", "layers.0.self_attn.q_proj"},
	} {
		m := tiny(t, family)
		batch := randomBatch(rand.New(rand.NewPCG(1, 2)), 2, 9, m.Config.Vocab)
		train, err := m.Unfrozen(freeze)
		if err != nil {
			t.Fatal(err)
		}
		all, some := gradients(t, m, EngineOptions{}, batch), gradients(t, m, EngineOptions{Train: train}, batch)
		if len(some) == 0 || len(some) >= len(all) {
			t.Fatalf("%s: %d of %d weights are trained", family, len(some), len(all))
		}
		for name, want := range all {
			frozen := slices.ContainsFunc(freeze, func(part string) bool { return strings.Contains("."+name+".", "."+part+".") })
			got, trained := some[name]
			if trained == frozen {
				t.Errorf("%s: %s is trained: %v", family, name, trained)
			}
			if d, top := worst(got, want); trained && d > 1e-6*top {
				t.Errorf("%s: the gradient of %s differs by %g of %g", family, name, d, top)
			}
		}
	}
}

func TestUnfrozenErrors(t *testing.T) {
	for want, c := range map[string]struct {
		family string
		freeze []string
	}{
		"no weight is named so":  {"llama", []string{"embed_tokens", "layer.0"}},
		"freeze embed_tokens":    {"qwen2", []string{"lm_head"}},
		"nothing is left":        {"llama", []string{"model", "lm_head"}},
		"layers.0 to layers.2, ": {"phi", []string{"layers.3"}},
	} {
		if _, err := tiny(t, c.family).Unfrozen(c.freeze); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want %s", c.freeze, err, want)
		}
	}
}
