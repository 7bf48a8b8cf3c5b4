package corpus

import (
	"math/rand/v2"
	"sort"
)

// packed puts examples together into sequences of the one length there is.
func (b *Batches) packed(order []int, rng *rand.Rand) []plan {
	length := b.buckets[0]
	var bins [][]int
	for at := 0; at < len(order); at += window {
		bins = append(bins, bestFit(order[at:min(at+window, len(order))], func(i int) int { return len(b.examples[i].IDs) }, length)...)
	}
	if !b.o.NoShuffle {
		rng.Shuffle(len(bins), func(i, j int) { bins[i], bins[j] = bins[j], bins[i] })
	}
	var out []plan
	for at := 0; at < len(bins); at += b.o.Size {
		out = append(out, plan{length, bins[at:min(at+b.o.Size, len(bins))]})
	}
	return out
}

// bestFit packs items into bins: longest first, each into the fullest bin that still
// takes it (best-fit decreasing). Items of one length keep their order.
func bestFit(items []int, size func(int) int, capacity int) [][]int {
	sorted := append([]int{}, items...)
	sort.SliceStable(sorted, func(i, j int) bool { return size(sorted[i]) > size(sorted[j]) })
	var bins [][]int
	free := make([][]int, capacity+1) // bins by the room they have left
	for _, it := range sorted {
		n := size(it)
		room := n
		for room <= capacity && len(free[room]) == 0 {
			room++
		}
		var bin int
		if room > capacity {
			bin, room = len(bins), capacity
			bins = append(bins, nil)
		} else {
			last := len(free[room]) - 1
			bin, free[room] = free[room][last], free[room][:last]
		}
		bins[bin] = append(bins[bin], it)
		free[room-n] = append(free[room-n], bin)
	}
	return bins
}
