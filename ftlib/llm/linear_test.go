package llm

import (
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
)

// TestHalfPrecisionTrainsEveryAdapter compares gradients in bfloat16 with those in
// float32: close, for every kind of adapter.
func TestHalfPrecisionTrainsEveryAdapter(t *testing.T) {
	for name, spec := range map[string]ftlib.LoRA{
		"lora": {R: 4, Bias: "all"}, "dora": {R: 4, DoRA: true}, "dora with dropout": {R: 4, DoRA: true, Dropout: 0.2},
	} {
		var all [2]map[string][]float32
		for i, dtype := range []dtypes.DType{dtypes.Float32, dtypes.BFloat16} {
			base := tiny(t, "llama")
			m, err := New(base.Backend, base.Config, 7, LoadOptions{DType: dtype})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if _, err := m.NewAdapter(spec, 1); err != nil {
				t.Fatal(err)
			}
			stir(t, m, rand.New(rand.NewPCG(5, 6)))
			all[i] = gradients(t, m, EngineOptions{}, randomBatch(rand.New(rand.NewPCG(1, 2)), 2, 9, m.Config.Vocab))
		}
		for param, want := range all[0] {
			if d, top := worst(all[1][param], want); d > 0.1*top {
				t.Errorf("%s: the gradient of %s differs by %g of %g", name, param, d, top)
			}
		}
	}
}
