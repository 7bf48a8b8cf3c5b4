package tune

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
)

// weights of a checkpoint, by name.
func weights(t *testing.T, dir string) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]float32{}
	for _, name := range f.Names() {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = x.Float32s(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestFrozenPartsAndWhatIsWrittenDown trains from a hub name with frozen parts, and
// looks at the weights and at the specification that is kept.
func TestFrozenPartsAndWhatIsWrittenDown(t *testing.T) {
	spec := realSpec(t, func(r *ftlib.Run) {
		r.Batch.MaxSteps, r.Model.Backend = 2, "go"
		r.Model.Freeze = []string{"embed_tokens", "layers.1.mlp"}
	})
	before := weights(t, spec.Model.Path)
	cache := t.TempDir()
	snapshot := filepath.Join(cache, "models--school--tiny", "snapshots", "abc")
	if err := os.MkdirAll(filepath.Dir(snapshot), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(snapshot, os.DirFS(spec.Model.Path)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HF_HUB_CACHE", cache)
	t.Setenv("HF_HUB_OFFLINE", "1")
	spec.Model.Path, spec.Name = "school/tiny", "run"
	res, err := Run(context.Background(), spec, Options{})
	if err != nil || res.Status != ckpt.Finished {
		t.Fatalf("%+v, %v", res, err)
	}
	for name, w := range weights(t, res.Checkpoint) {
		frozen := name == "model.embed_tokens.weight" || filepath.Ext(name) == ".weight" && len(name) > 19 && name[:19] == "model.layers.1.mlp."
		if slices.Equal(w, before[name]) != frozen {
			t.Errorf("%s is frozen: %v", name, !frozen)
		}
	}
	kept, err := ckpt.Spec(res.Dir)
	if err != nil || kept.Model.Path != "school/tiny" || kept.Model.DType != "float32" || kept.Data.MaxLength != 64 {
		t.Errorf("%+v, %v", kept, err)
	}
	if diff := differences(spec, kept); len(diff) > 0 {
		t.Errorf("the same run differs in %v", diff)
	}
}

func TestComputeType(t *testing.T) {
	lora := ftlib.Run{LoRA: &ftlib.LoRA{}}
	half := lora
	half.Model.DType = "bfloat16"
	for _, c := range []struct {
		run     ftlib.Run
		backend string
		want    dtypes.DType
	}{
		{lora, "xla:cpu plugin", dtypes.Float32}, {lora, "xla:cuda plugin", dtypes.BFloat16}, {half, "xla:cpu plugin", dtypes.BFloat16},
		{ftlib.Run{}, "xla:cuda plugin", dtypes.Float32}, {lora, "SimpleGo", dtypes.Float32},
	} {
		if got, err := computeType(c.run, c.backend); err != nil || got != c.want {
			t.Errorf("%+v on %s: %v, %v", c.run.Model, c.backend, got, err)
		}
	}
}

// TestNotFiniteGradientLeavesWeights: a step that cannot be taken changes nothing.
func TestNotFiniteGradientLeavesWeights(t *testing.T) {
	b, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.Load(b, tinyModel(t), llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSFT(e, llm.NLL, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before, err := m.Weight("model.norm.weight")
	if err != nil {
		t.Fatal(err)
	}
	batch := pad(examples(2, 90, 3), []int{0, 1})
	if _, err := s.Accumulate(batch, float32(math.Inf(1))); err != nil {
		t.Fatal(err)
	}
	norm, err := s.Apply(Hyper{LR: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Step: 1})
	if err != nil || finite(norm) {
		t.Fatalf("norm %v, %v", norm, err)
	}
	after, err := m.Weight("model.norm.weight")
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("the weights changed: %v", err)
	}
}
