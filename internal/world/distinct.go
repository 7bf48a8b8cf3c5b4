package world

import (
	"hash/fnv"
	"strings"
)

// catalogue finds, among texts that were added, the one most like another text.
type catalogue struct {
	texts int
	size  []int            // shingles of each text
	where map[uint64][]int // texts that have a shingle
}

func newCatalogue() *catalogue { return &catalogue{where: map[uint64][]int{}} }

// shingles is the set of all runs of three words of a text.
func shingles(text string) map[uint64]bool {
	w := strings.Fields(strings.ToLower(text))
	out := map[uint64]bool{}
	for i := range max(1, len(w)-2) {
		h := fnv.New64a()
		h.Write([]byte(strings.Join(w[i:min(i+3, len(w))], " ")))
		out[h.Sum64()] = true
	}
	return out
}

func (c *catalogue) add(text string) {
	set := shingles(text)
	for h := range set {
		c.where[h] = append(c.where[h], c.texts)
	}
	c.size = append(c.size, len(set))
	c.texts++
}

// nearest is the largest Jaccard similarity of the text to any that was added: the
// share of their runs of three words that both have. 1 is the same text.
func (c *catalogue) nearest(text string) float64 {
	set := shingles(text)
	common := map[int]int{}
	for h := range set {
		for _, i := range c.where[h] {
			common[i]++
		}
	}
	best := 0.0
	for i, n := range common {
		best = max(best, float64(n)/float64(len(set)+c.size[i]-n))
	}
	return best
}
