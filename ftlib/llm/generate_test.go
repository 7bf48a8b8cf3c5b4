package llm

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"ftlab/internal/testkit"
)

// goldenText is what the golden files say about greedy continuations.
type goldenText struct {
	Prompts       [][]int32   `json:"greedy_prompts"`
	Continuations [][]int32   `json:"greedy_continuations"`
	Batched       [][]int32   `json:"greedy_batched_left_padded"`
	Margin        [][]float64 `json:"greedy_top2_margin"`
}

// agrees compares a continuation up to where the peer itself was undecided.
func agrees(t *testing.T, what string, got, want []int32, margin []float64) {
	t.Helper()
	for i := range want {
		if margin[i] <= 1e-3 {
			t.Logf("%s: undecided at %d, margin %g", what, i, margin[i])
			return
		}
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

func newTestGenerator(t *testing.T, m *Model, o GeneratorOptions) *Generator {
	t.Helper()
	g, err := NewGenerator(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func TestGoldenGreedy(t *testing.T) {
	for _, family := range []string{"llama", "mistral", "qwen2", "phi"} {
		for _, mode := range []WeightMode{FusedWeights, SharedWeights} {
			b := quick(t)
			if (mode == SharedWeights) == (family == "phi") { // each way once where programs are compiled
				b = testkit.Backend(t)
			}
			t.Run(family, func(t *testing.T) {
				var want goldenText
				testkit.GoldenJSON(t, "models/"+family+"_io.json", &want)
				m, err := Load(b, testkit.Golden(t, "models/"+family), LoadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				g := newTestGenerator(t, m, GeneratorOptions{Weights: mode})
				o := Sampling{MaxNew: len(want.Continuations[0]), IgnoreEOS: true}
				batch, err := g.Generate(context.Background(), want.Prompts, o)
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range want.Prompts {
					single, err := g.Generate(context.Background(), [][]int32{p}, o)
					if err != nil {
						t.Fatal(err)
					}
					agrees(t, "single", single[0].IDs, want.Continuations[i], want.Margin[i])
					agrees(t, "batch", batch[i].IDs, want.Batched[i], want.Margin[i])
					if len(single[0].IDs) != o.MaxNew || single[0].Finish != FinishLength {
						t.Errorf("row %d: %d tokens, finish %q", i, len(single[0].IDs), single[0].Finish)
					}
				}
			})
		}
	}
}

func TestStoriesGreedy(t *testing.T) {
	var want struct {
		IDs []int32 `json:"greedy_bos_plus_200_tokens"`
	}
	dir := testkit.SharedData(t, "stories260K")
	readJSON(t, testkit.SharedData(t, "stories260K/golden.json"), &want)
	for _, path := range []string{dir, testkit.SharedData(t, "stories260K/stories260K.bin")} {
		m, err := Load(testkit.Backend(t), path, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		g := newTestGenerator(t, m, GeneratorOptions{})
		out, err := g.Generate(context.Background(), [][]int32{want.IDs[:1]}, Sampling{MaxNew: len(want.IDs) - 1})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out[0].IDs, want.IDs[1:]) {
			t.Errorf("%s:\n%v, want\n%v", path, out[0].IDs, want.IDs[1:])
		}
	}
}

func readJSON(t *testing.T, path string, out any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		t.Fatal(err)
	}
}
