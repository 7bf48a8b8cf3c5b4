package world

import (
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
)

// source draws everything that is random. It uses only the raw output of PCG,
// which the standard library fixes for all time, so that a seed keeps its meaning
// when the library changes how it makes ranges and shuffles.
type source struct {
	pcg *rand.PCG
	// rows is set while rows of a data set are drawn. They ask in fewer wordings and
	// with more numbers than the pretraining text does, so that two rows are not alike.
	rows bool
}

// newSource gives each stream of a seed numbers of its own: a data set that
// grows does not change another one.
func newSource(seed uint64, stream string) *source {
	h := fnv.New64a()
	h.Write([]byte(stream))
	return &source{pcg: rand.NewPCG(seed, h.Sum64())}
}

// newRows is newSource for a data set.
func newRows(seed uint64, name string) *source {
	s := newSource(seed, name)
	s.rows = true
	return s
}

// extra is a further number in a row of a data set, 0 elsewhere.
func (s *source) extra() int {
	if !s.rows {
		return 0
	}
	return s.between(1, 900)
}

// n is a number from 0 to k-1.
func (s *source) n(k int) int {
	hi, _ := bits.Mul64(s.pcg.Uint64(), uint64(k))
	return int(hi)
}

// between is a number from lo to hi, both included.
func (s *source) between(lo, hi int) int { return lo + s.n(hi-lo+1) }

func (s *source) chance(p float64) bool { return s.unit() < p }

func (s *source) unit() float64 { return float64(s.pcg.Uint64()>>11) / (1 << 53) }

func pick[T any](s *source, list []T) T { return list[s.n(len(list))] }

// sample is k different items of the list, in random order.
func sample[T any](s *source, list []T, k int) []T {
	out := append([]T(nil), list...)
	for i := range k {
		j := s.between(i, len(out)-1)
		out[i], out[j] = out[j], out[i]
	}
	return out[:k]
}

func shuffle[T any](s *source, list []T) {
	for i := len(list) - 1; i > 0; i-- {
		j := s.n(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}

// share is the index of one of the weights, drawn in proportion to them.
func (s *source) share(weights []float64) int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	u := s.unit() * sum
	for i, w := range weights {
		if u -= w; u < 0 {
			return i
		}
	}
	return len(weights) - 1
}
