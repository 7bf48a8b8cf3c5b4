package eval

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAUCCountsPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		n := 2 + rng.IntN(40)
		scores, right := make([]float64, n), make([]bool, n)
		for i := range scores {
			scores[i], right[i] = float64(rng.IntN(9)), rng.IntN(2) == 0 // with ties
		}
		won, pairs := 0.0, 0.0
		for i := range scores {
			for k := range scores {
				if right[i] && !right[k] {
					pairs++
					switch {
					case scores[i] > scores[k]:
						won++
					case scores[i] == scores[k]:
						won += 0.5
					}
				}
			}
		}
		if got, want := AUC(scores, right), won/pairs; math.Abs(got-want) > 1e-12 && !(math.IsNaN(got) && pairs == 0) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if !math.IsNaN(AUC([]float64{1, 2}, []bool{true, true})) {
		t.Error("an area without wrong ones")
	}
}
