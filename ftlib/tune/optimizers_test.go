package tune

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
)

// wideTrainer trains all weights of a small model whose matrices have state in 8 bits.
func wideTrainer(t *testing.T, spec ftlib.Optim) *trainer {
	t.Helper()
	b, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c, err := llm.ParseConfig([]byte(`{"model_type": "llama", "vocab_size": 70, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
		"num_attention_heads": 2, "max_position_embeddings": 32, "rms_norm_eps": 1e-5}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.New(b, c, 1, llm.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	e, err := llm.NewEngine(m, llm.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newTrainer(e, 1, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.opt.Close)
	return &s
}

// takeSteps takes optimizer steps on batches that depend on their number alone.
func takeSteps(t *testing.T, s *trainer, from, to int) {
	t.Helper()
	for step := from; step <= to; step++ {
		b := &corpus.Batch{B: 1, T: 8, Pos: []int32{0, 1, 2, 3, 4, 5, 6, 7}, Seg: []int32{1, 1, 1, 1, 1, 1, 1, 1}, Mask: []float32{0, 1, 1, 1, 1, 1, 1, 1}}
		for i := range 8 {
			b.IDs = append(b.IDs, int32(step*13+i*i*7)%70)
		}
		if _, err := s.Engine.Accumulate(b, llm.NLL, 1.0/7, s.key()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(Hyper{LR: 1e-2, WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, Momentum: 0.9, MaxGradNorm: 1, Step: step}); err != nil {
			t.Fatal(err)
		}
	}
}

func stateOf(t *testing.T, s *trainer) State {
	t.Helper()
	st, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(st.Tensors, func(a, b safetensors.Tensor) int { return strings.Compare(a.Name, b.Name) })
	return st
}

// Every optimizer goes on from a checkpoint bit for bit; state in 8 bits is stored in 8
// bits; the checkpoint of another optimizer is refused.
func TestOptimizersResume(t *testing.T) {
	for _, spec := range []ftlib.Optim{{Optim: "adamw_8bit"}, {Optim: "paged_adamw_8bit"}, {Optim: "lion"}, {Optim: "adafactor"}, {Optim: "sgd", Momentum: 0.9}, {Optim: "sgd"}} {
		straight := wideTrainer(t, spec)
		takeSteps(t, straight, 1, 4)
		want := stateOf(t, straight)

		begun := wideTrainer(t, spec)
		takeSteps(t, begun, 1, 2)
		st := stateOf(t, begun)
		path := filepath.Join(t.TempDir(), "state.safetensors")
		if err := safetensors.Write(path, st.Tensors, nil); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		st.Tensors = nil
		bytesOf := map[bool]int{}
		for _, name := range f.Names() {
			x, err := f.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			st.Tensors = append(st.Tensors, x)
			bytesOf[strings.HasPrefix(name, optimPrefix)] += len(x.Data)
		}
		if spec.EightBit() && bytesOf[true] > bytesOf[false] { // 2 of 4 bytes, the embedding 8
			t.Errorf("%s: state of %d bytes for weights of %d", spec.Optim, bytesOf[true], bytesOf[false])
		}
		resumed := wideTrainer(t, spec)
		if err := resumed.Restore(st); err != nil {
			t.Fatal(err)
		}
		takeSteps(t, resumed, 3, 4)
		have := stateOf(t, resumed)
		if len(have.Tensors) != len(want.Tensors) {
			t.Fatalf("%s: %d tensors, want %d", spec.Optim, len(have.Tensors), len(want.Tensors))
		}
		for i, x := range have.Tensors {
			if w := want.Tensors[i]; x.Name != w.Name || x.DType != w.DType || !bytes.Equal(x.Data, w.Data) {
				t.Errorf("%s: %s differs", spec.Optim, w.Name)
			}
		}
		other := wideTrainer(t, ftlib.Optim{})
		if err := other.Restore(st); bytesOf[true] > 0 && (err == nil || !strings.Contains(err.Error(), "optim.optim")) {
			t.Errorf("AdamW resumes from %s: %v", spec.Optim, err)
		}
	}
}
