package world

import (
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
)

// catalogue finds, among texts that were added, the one most like another text.
type catalogue struct {
	size  []int            // shingles of each text
	about []string         // essentials of each text
	where map[uint64][]int // texts that have a shingle
}

var essential = regexp.MustCompile(`\d+|\b(` + strings.Join(names, "|") + `)\b|\b[a-z]\b|[-+*/_%<>=]+`)

// essentials are what a question of this world is about: its numbers, names, single
// letters and signs. "Which pet does Anna have?" and "Which pet does Ben have?" are
// two questions, although they are alike; with a "Please tell me" before it, each
// is the same question.
func essentials(text string) string {
	words := essential.FindAllString(text, -1)
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
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
		c.where[h] = append(c.where[h], len(c.size))
	}
	c.size = append(c.size, len(set))
	c.about = append(c.about, essentials(text))
}

// nearest is the largest Jaccard similarity of the text to any that was added and
// has the same essentials: the share of their runs of three words that both have.
func (c *catalogue) nearest(text string) float64 {
	set := shingles(text)
	common := map[int]int{}
	for h := range set {
		for _, i := range c.where[h] {
			common[i]++
		}
	}
	best, about := 0.0, essentials(text)
	for i, n := range common {
		if c.about[i] != about {
			continue
		}
		best = max(best, float64(n)/float64(len(set)+c.size[i]-n))
	}
	return best
}
