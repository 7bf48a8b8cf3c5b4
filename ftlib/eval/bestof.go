package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ftlab/ftlib/verify"
)

// Sampled are the answers that were sampled to one problem: whether each is right, and what
// it comes to, "" where it comes to nothing.
type Sampled struct {
	Right   []bool
	Answers []string
}

// BestOf is the expected accuracy of taking, out of n answers drawn from those that are
// there, the one with the highest score: exact, over all choices of n of them, so that it
// is no less certain for a small n. Answers with equal scores are chosen equally often; NaN
// is the lowest score.
//
// With the answers in falling order, that of rank i (from 0) is the best of n of m in
// C(m-1-i, n-1) of C(m, n) choices.
func BestOf(n int, right []bool, scores []float64) (float64, error) {
	m := len(right)
	if len(scores) != m || n < 1 || n > m {
		return 0, fmt.Errorf("eval: the best %d of %d answers with %d scores", n, m, len(scores))
	}
	order := make([]int, m)
	for i := range order {
		order[i] = i
	}
	score := func(i int) float64 {
		if v := scores[i]; !math.IsNaN(v) {
			return v
		}
		return math.Inf(-1)
	}
	slices.SortFunc(order, func(a, b int) int {
		switch x, y := score(a), score(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	sum := 0.0
	chance := float64(n) / float64(m) // of rank 0: C(m-1, n-1) / C(m, n)
	for from := 0; from < m; {
		to, good, share := from, 0.0, 0.0
		for ; to < m && score(order[to]) == score(order[from]); to++ {
			if right[order[to]] {
				good++
			}
			share += chance
			if left := m - 1 - to; left > 0 { // C(left-1, n-1) / C(left, n-1)
				chance *= float64(left-n+1) / float64(left)
			}
		}
		sum += share * good / float64(to-from)
		from = to
	}
	return sum, nil
}

// PassAt is the probability that at least one of n answers drawn from those that are there
// is right: 1 - C(wrong, n) / C(all, n) (Chen et al. 2021).
func PassAt(n int, right []bool) (float64, error) {
	m, wrong := len(right), 0
	if n < 1 || n > m {
		return 0, fmt.Errorf("eval: %d of %d answers", n, m)
	}
	for _, r := range right {
		if !r {
			wrong++
		}
	}
	none := 1.0
	for i := range n {
		none *= float64(max(0, wrong-i)) / float64(m-i)
	}
	return 1 - none, nil
}

// Vote is the expected accuracy of the answer that most of n answers come to (Wang et al.
// 2023, self-consistency). Answers are one where [verify.Equal] says so; what comes to
// nothing has no vote; a draw is decided by lot. It is a mean over draws choices of n, the
// same for the same seed; where n is all of them or one it is exact.
func Vote(n int, s Sampled, draws int, seed uint64) (float64, error) {
	m := len(s.Right)
	if n < 1 || n > m || len(s.Answers) != m {
		return 0, fmt.Errorf("eval: a vote of %d of %d answers", n, m)
	}
	class := make([]int, m)  // -1: no vote
	good := map[int][2]int{} // right and all of a class
	var reps []string
	for i, a := range s.Answers {
		class[i] = -1
		if a == "" {
			continue
		}
		at := slices.IndexFunc(reps, func(r string) bool { return r == a || verify.Equal(r, a) })
		if at < 0 {
			at, reps = len(reps), append(reps, a)
		}
		class[i] = at
		g := good[at]
		g[1]++
		if s.Right[i] {
			g[0]++
		}
		good[at] = g
	}
	one := func(chosen []int) float64 {
		votes, top := make([]int, len(reps)), 0
		for _, i := range chosen {
			if class[i] >= 0 {
				votes[class[i]]++
				top = max(top, votes[class[i]])
			}
		}
		sum, winners := 0.0, 0.0
		for c, v := range votes {
			if v == top && top > 0 {
				sum, winners = sum+float64(good[c][0])/float64(good[c][1]), winners+1
			}
		}
		if winners == 0 {
			return 0
		}
		return sum / winners
	}
	all := make([]int, m)
	for i := range all {
		all[i] = i
	}
	if n == m {
		return one(all), nil
	}
	sum, count := 0.0, 0.0
	if n == 1 {
		for i := range m {
			sum, count = sum+one(all[i:i+1]), count+1
		}
		return sum / count, nil
	}
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	for range max(1, draws) {
		rng.Shuffle(m, func(i, j int) { all[i], all[j] = all[j], all[i] })
		sum, count = sum+one(all[:n]), count+1
	}
	return sum / count, nil
}
