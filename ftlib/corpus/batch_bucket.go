package corpus

import (
	"math/bits"
	"sort"
)

// roundLength is the next length with four significant bits: 1-16, 18, 20, ..., 32, 36,
// 40, ..., 64, 72, ... It is at most an eighth longer.
func roundLength(n int) int {
	n = max(n, 1)
	shift := max(0, bits.Len(uint(n-1))-4)
	return (n + 1<<shift - 1) >> shift << shift
}

// fewBuckets picks as few lengths as keep padding below an eighth; eight at most, for
// every one is a compilation.
func fewBuckets(lengths []int) []int {
	real := 0
	for _, n := range lengths {
		real += n
	}
	var out []int
	for k := 1; k <= 8; k++ {
		out = ChooseBuckets(lengths, k)
		padded := 0
		for _, n := range lengths {
			if n > 0 {
				padded += out[sort.SearchInts(out, n)]
			}
		}
		if float64(padded-real) < float64(padded)/8 {
			break
		}
	}
	return out
}

// ChooseBuckets picks at most k lengths to pad to, such that the padding of rows with
// these lengths is least. The longest row fits the last bucket.
func ChooseBuckets(lengths []int, k int) []int {
	counts := map[int]int{} // rows that round up to a length
	for _, n := range lengths {
		if n > 0 {
			counts[roundLength(n)]++
		}
	}
	if len(counts) == 0 {
		return []int{1}
	}
	cand := make([]int, 0, len(counts))
	for c := range counts {
		cand = append(cand, c)
	}
	sort.Ints(cand)
	n := len(cand)
	rows := make([]int, n+1) // rows[i]: in the first i candidates
	for i, c := range cand {
		rows[i+1] = rows[i] + counts[c]
	}
	// cost[j][i]: padded positions of the first i candidates with j buckets, the last
	// of which is candidate i-1. The real tokens are the same for every choice.
	k = min(k, n)
	const far = 1 << 62
	cost := make([][]int, k+1)
	from := make([][]int, k+1)
	for j := range cost {
		cost[j], from[j] = make([]int, n+1), make([]int, n+1)
		for i := range cost[j] {
			cost[j][i] = far
		}
	}
	cost[0][0] = 0
	for j := 1; j <= k; j++ {
		for i := 1; i <= n; i++ {
			for h := 0; h < i; h++ {
				if cost[j-1][h] == far {
					continue
				}
				if c := cost[j-1][h] + (rows[i]-rows[h])*cand[i-1]; c < cost[j][i] {
					cost[j][i], from[j][i] = c, h
				}
			}
		}
	}
	best := 1
	for j := 2; j <= k; j++ {
		if cost[j][n] < cost[best][n] {
			best = j
		}
	}
	var out []int
	for i := n; best > 0; best-- {
		out = append(out, cand[i-1])
		i = from[best][i]
	}
	sort.Ints(out)
	return out
}

// Padding is the share of positions that hold no token, over the rest of the epoch, as
// planned.
func (b *Batches) Padding() float64 {
	all, real := 0, 0
	for _, p := range b.plan {
		all += b.o.Size * p.length
		for _, row := range p.rows {
			for _, i := range row {
				real += len(b.examples[i].IDs)
			}
		}
	}
	if all == 0 {
		return 0
	}
	return 1 - float64(real)/float64(all)
}
