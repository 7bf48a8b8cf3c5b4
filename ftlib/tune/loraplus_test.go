package tune

import (
	"math"
	"path/filepath"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/internal/testkit"
)

// Adam's first step is the learning rate for every weight with a gradient: with LoRA+
// that of B is larger by the ratio, that of A is not.
func TestLoRAPlus(t *testing.T) {
	m, err := llm.Load(testkit.Backend(t), filepath.Dir(testkit.Golden(t, "models/llama/config.json")), llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.NewAdapter(ftlib.LoRA{R: 4, Init: "olora"}, 1); err != nil { // B is not zero: A has a gradient
		t.Fatal(err)
	}
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSFT(e, llm.NLL, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.loraPlus(8)
	before := map[string][]float32{}
	state, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range state.Tensors {
		if before[x.Name], err = x.Float32s(); err != nil {
			t.Fatal(err)
		}
	}
	ids := []int32{1, 5, 9, 3, 2, 7}
	b := &corpus.Batch{B: 1, T: 6, IDs: ids, Pos: []int32{0, 1, 2, 3, 4, 5}, Seg: []int32{1, 1, 1, 1, 1, 1}, Mask: []float32{0, 1, 1, 1, 1, 1}}
	if _, err := s.Accumulate(b, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(Hyper{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-12, Step: 1}); err != nil {
		t.Fatal(err)
	}
	if state, err = s.State(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, x := range state.Tensors {
		old := before[x.Name]
		if old == nil {
			continue // a moment
		}
		now, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		step := 0.0
		for i := range now {
			step = max(step, math.Abs(float64(now[i])-float64(old[i])))
		}
		want := 1e-3
		if isUp(x.Name) {
			want *= 8
		}
		if seen++; math.Abs(step/want-1) > 1e-2 {
			t.Errorf("%s moved by %g, want %g", x.Name, step, want)
		}
	}
	if seen != 2*7*m.Config.Layers {
		t.Errorf("%d weights were trained", seen)
	}
}
