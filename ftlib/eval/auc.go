package eval

import (
	"math"
	"slices"
)

// AUC is the area under the ROC curve: how often a score tells a right thing from a wrong
// one, over all pairs of the two, ties counting half (Mann-Whitney). 0.5 is guessing. It is
// NaN where one of the two kinds is not there.
func AUC(scores []float64, right []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return 0
	})
	good, ranks := 0, 0.0
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && scores[order[to]] == scores[order[from]] {
			to++
		}
		for _, i := range order[from:to] { // equal scores share the mean of their ranks
			if right[i] {
				good++
				ranks += float64(from+to+1) / 2
			}
		}
		from = to
	}
	bad := len(order) - good
	if good == 0 || bad == 0 {
		return math.NaN()
	}
	return (ranks - float64(good)*float64(good+1)/2) / float64(good) / float64(bad)
}
