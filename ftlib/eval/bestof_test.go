package eval

import (
	"math"
	"math/rand/v2"
	"testing"
)

// subsets visits all choices of n of m.
func subsets(m, n int, visit func([]int)) {
	var go1 func(from int, chosen []int)
	go1 = func(from int, chosen []int) {
		if len(chosen) == n {
			visit(chosen)
			return
		}
		for i := from; i < m; i++ {
			go1(i+1, append(chosen[:len(chosen):len(chosen)], i))
		}
	}
	go1(0, nil)
}

// What is computed is the mean over all choices, tried one by one, equal scores included.
func TestBestOfIsTheMeanOverAllChoices(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		m := 1 + rng.IntN(8)
		right, scores := make([]bool, m), make([]float64, m)
		for i := range right {
			right[i], scores[i] = rng.IntN(2) == 0, float64(rng.IntN(4))
			if rng.IntN(6) == 0 {
				scores[i] = math.NaN()
			}
		}
		for n := 1; n <= m; n++ {
			best, pass, count := 0.0, 0.0, 0.0
			subsets(m, n, func(chosen []int) {
				top, good, all, any := math.Inf(-1), 0.0, 0.0, 0.0
				for _, i := range chosen {
					v := scores[i]
					if math.IsNaN(v) {
						v = math.Inf(-1)
					}
					if v > top || all == 0 {
						top, good, all = v, 0, 0
					}
					if v == top {
						all++
						if right[i] {
							good++
						}
					}
					if right[i] {
						any = 1
					}
				}
				best, pass, count = best+good/all, pass+any, count+1
			})
			got, err := BestOf(n, right, scores)
			if err != nil || math.Abs(got-best/count) > 1e-12 {
				t.Errorf("best %d of %v by %v: %v, %v; want %v", n, right, scores, got, err, best/count)
			}
			if got, err := PassAt(n, right); err != nil || math.Abs(got-pass/count) > 1e-12 {
				t.Errorf("one right of %d of %v: %v, %v; want %v", n, right, got, err, pass/count)
			}
		}
	}
}

func TestVote(t *testing.T) {
	s := Sampled{Right: []bool{true, true, false, false, false}, Answers: []string{"1/2", "0.5", "7", "8", ""}}
	for n, want := range map[int]float64{1: 0.4, 5: 1} {
		if got, err := Vote(n, s, 10, 1); err != nil || math.Abs(got-want) > 1e-12 {
			t.Errorf("%d: %v, %v; want %v", n, got, err, want)
		}
	}
	exact := 0.0 // of 3: C(5,3) = 10 choices
	subsets(5, 3, func(c []int) {
		halves, others := 0, 0
		for _, i := range c {
			if i < 2 {
				halves++
			} else if i < 4 {
				others++
			}
		}
		if halves == 2 {
			exact += 0.1
		} else if halves == 1 {
			exact += 0.1 / float64(1+others)
		}
	})
	got, err := Vote(3, s, 20000, 1)
	if err != nil || math.Abs(got-exact) > 0.02 {
		t.Errorf("%v, %v; want about %v", got, err, exact)
	}
	if again, _ := Vote(3, s, 20000, 1); again != got {
		t.Errorf("%v, then %v", got, again)
	}
	if got, _ := Vote(2, Sampled{Right: []bool{false, false}, Answers: []string{"", ""}}, 3, 1); got != 0 {
		t.Errorf("nobody votes: %v", got)
	}
	if _, err := Vote(6, s, 1, 1); err == nil {
		t.Error("six of five answers")
	}
}
