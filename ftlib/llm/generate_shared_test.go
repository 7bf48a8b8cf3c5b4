package llm

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib"
	"ftlab/internal/testkit"
)

// Several answers to one prompt are what each is alone, though the prompt is read once; and
// they go on past the end of the first cache.
func TestEqualPromptsShareTheirPrefill(t *testing.T) {
	for name, b := range map[string]compute.Backend{"here": quick(t), "compiled": testkit.Backend(t)} {
		t.Run(name, func(t *testing.T) {
			m := loudModel(t, b, "llama")
			withAdapter(t, m, ftlib.LoRA{R: 4})
			g := newTestGenerator(t, m, GeneratorOptions{Weights: FusedWeights})
			p := somePrompts(20, 9, 1)
			var prompts [][]int32
			for _, i := range []int{0, 1, 0, 2, 0, 1, 0, 2, 0} {
				prompts = append(prompts, slices.Clone(p[i]))
			}
			o := Sampling{MaxNew: 24, Temperature: 1, IgnoreEOS: true}
			for i := range prompts {
				o.Seeds = append(o.Seeds, uint64(100+i))
			}
			got := generate(t, g, prompts, o)
			differ := 0
			for i, prompt := range prompts {
				own := o
				own.Seeds = o.Seeds[i : i+1]
				want := generate(t, g, [][]int32{prompt}, own)[0]
				if !slices.Equal(got[i].IDs, want.IDs) {
					t.Fatalf("row %d: %v, alone %v", i, got[i].IDs, want.IDs)
				}
				for k := range want.LogProbs {
					if math.Abs(float64(got[i].LogProbs[k]-want.LogProbs[k])) > 2e-4 {
						t.Fatalf("row %d, token %d: %v, alone %v", i, k, got[i].LogProbs[k], want.LogProbs[k])
					}
				}
				if i > 0 && !slices.Equal(got[i].IDs, got[0].IDs) {
					differ++
				}
			}
			if differ < 6 {
				t.Errorf("only %d answers differ: seeds of their own are expected", differ)
			}
		})
	}
}

// What is read is one row for each prompt that differs.
func TestDistinctPrompts(t *testing.T) {
	s := &session{rows: []*genRow{{prompt: []int32{5, 6, 7}}, {prompt: []int32{5, 6, 8}}, {prompt: []int32{6, 5, 7}}, {prompt: []int32{5, 6, 7}}}}
	rows, like := s.distinct() // the last token of a prompt is the first that decoding reads
	if len(rows) != 2 || !slices.Equal(like, []int32{0, 0, 1, 0}) {
		t.Errorf("%d rows, %v", len(rows), like)
	}
}
