package llm

import (
	"slices"
	"testing"

	"ftlab/ftlib/corpus"
)

func TestLogProbsOfOneToken(t *testing.T) {
	m := tiny(t, "llama")
	e, err := NewEngine(m, EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, err := e.LogProbs(&corpus.Batch{B: 1, T: 1, IDs: []int32{3}, Pos: []int32{0}, Seg: []int32{1}, Mask: []float32{0}})
	if err != nil || !slices.Equal(got, []float32{0}) {
		t.Errorf("%v, %v", got, err)
	}
}

// The logits of a whole batch never exist, however odd its length.
func TestHeadIsChunkedAtOddLengths(t *testing.T) {
	for _, length := range []int{64, 65, 511, 1021, 2048} {
		b := &corpus.Batch{B: 1, T: length, Seg: make([]int32, length), IDs: make([]int32, length), Mask: make([]float32, length)}
		for i := range length {
			b.Seg[i], b.Mask[i] = 1, min(float32(i), 1)
		}
		rows, _, _, err := targetRows(b, false)
		if err != nil {
			t.Fatal(err)
		}
		const vocab = 151936
		chunk := headChunk(len(rows), vocab)
		if len(rows) < length-1 || len(rows)%chunk != 0 || chunk > 128 {
			t.Errorf("length %d: %d rows in chunks of %d", length, len(rows), chunk)
		}
	}
}
