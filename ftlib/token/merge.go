package token

import "math"

// mergeTable maps a pair of tokens to the rank of its merge and the token that it
// makes: a hash table with open addressing.
type mergeTable struct {
	slots []mergeSlot
	mask  uint64
	n     int
}

type mergeSlot struct {
	key  uint64 // a<<32 | b, plus one in the high half so that 0 is free
	rank int32
	id   int32
}

func newMergeTable(n int) mergeTable {
	size := 16
	for size < 2*n+2 {
		size *= 2
	}
	return mergeTable{slots: make([]mergeSlot, size), mask: uint64(size - 1)}
}

func mergeKey(a, b int32) uint64 { return uint64(uint32(a)+1)<<32 | uint64(uint32(b)) }

func mergeHash(key uint64) uint64 {
	key *= 0x9E3779B97F4A7C15
	return key ^ key>>29
}

// put stores a merge; a later one of the same pair wins, as in the peer.
func (t *mergeTable) put(a, b, rank, id int32) {
	key := mergeKey(a, b)
	for i := mergeHash(key) & t.mask; ; i = (i + 1) & t.mask {
		if s := &t.slots[i]; s.key == 0 || s.key == key {
			if s.key == 0 {
				t.n++
			}
			*s = mergeSlot{key, rank, id}
			return
		}
	}
}

// grow doubles the table.
func (t *mergeTable) grow() {
	old := t.slots
	*t = newMergeTable(len(old))
	for _, s := range old {
		if s.key != 0 {
			t.put(int32(s.key>>32)-1, int32(uint32(s.key)), s.rank, s.id)
		}
	}
}

// noRank is the rank of a pair that does not merge.
const noRank = math.MaxInt32

// get is the rank and the product of a pair; noRank: none.
func (t *mergeTable) get(a, b int32) (rank, id int32) {
	key := mergeKey(a, b)
	for i := mergeHash(key) & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.key == key {
			return s.rank, s.id
		}
		if s.key == 0 {
			return noRank, -1
		}
	}
}

// shortWord is the number of symbols up to which the next merge is looked for by
// going over all pairs; longer words keep a heap.
const shortWord = 40

// join merges the symbols of a word: always the pair of lowest rank, the leftmost
// of several. It works in place and returns what is left.
func (t *mergeTable) join(syms []tok, w *worker) []tok {
	if len(syms) < 2 {
		return syms
	}
	if len(syms) > shortWord {
		return t.joinLong(syms, w)
	}
	var ranks, ids [shortWord]int32
	n := len(syms)
	for i := range n - 1 {
		ranks[i], ids[i] = t.get(syms[i].id, syms[i+1].id)
	}
	for {
		best, at := int32(noRank), -1
		for i, r := range ranks[:n-1] {
			if r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			return syms[:n]
		}
		syms[at] = tok{ids[at], syms[at].n + syms[at+1].n}
		copy(syms[at+1:n], syms[at+2:n])
		n--
		if n == 1 {
			return syms[:1]
		}
		copy(ranks[at:n-1], ranks[at+1:n])
		copy(ids[at:n-1], ids[at+1:n])
		if at > 0 {
			ranks[at-1], ids[at-1] = t.get(syms[at-1].id, syms[at].id)
		}
		if at < n-1 {
			ranks[at], ids[at] = t.get(syms[at].id, syms[at+1].id)
		}
	}
}

// joinOnce makes the first merge that join would make.
func (t *mergeTable) joinOnce(syms []tok) []tok {
	best, at, product := int32(noRank), -1, int32(0)
	for i := range len(syms) - 1 {
		if rank, id := t.get(syms[i].id, syms[i+1].id); rank < best {
			best, at, product = rank, i, id
		}
	}
	if at < 0 {
		return syms
	}
	syms[at] = tok{product, syms[at].n + syms[at+1].n}
	return append(syms[:at+1], syms[at+2:]...)
}

// joinLong is join with a heap of pairs over a doubly linked list: O(n log n).
func (t *mergeTable) joinLong(syms []tok, w *worker) []tok {
	n := len(syms)
	if cap(w.prev) < n {
		w.prev, w.next = make([]int32, n), make([]int32, n)
	}
	prev, next := w.prev[:n], w.next[:n]
	heap := w.heap[:0]
	for i := range n {
		prev[i], next[i] = int32(i-1), int32(i+1)
		if i+1 < n {
			if rank, _ := t.get(syms[i].id, syms[i+1].id); rank != noRank {
				heap = append(heap, uint64(rank)<<32|uint64(i))
			}
		}
	}
	heap.init()
	push := func(i int32) {
		if rank, _ := t.get(syms[i].id, syms[next[i]].id); rank != noRank {
			heap.push(uint64(rank)<<32 | uint64(i))
		}
	}
	for len(heap) > 0 {
		top := heap.pop()
		i := int32(uint32(top))
		if syms[i].n == 0 || int(next[i]) >= n {
			continue // merged away, or the last
		}
		j := next[i]
		rank, id := t.get(syms[i].id, syms[j].id)
		if uint64(rank) != top>>32 {
			continue // a neighbour has changed since
		}
		syms[i] = tok{id, syms[i].n + syms[j].n}
		syms[j].n = 0
		next[i] = next[j]
		if int(next[j]) < n {
			prev[next[j]] = i
		}
		if prev[i] >= 0 {
			push(prev[i])
		}
		if int(next[i]) < n {
			push(i)
		}
	}
	w.heap = heap
	out := syms[:0]
	for _, s := range syms {
		if s.n != 0 {
			out = append(out, s)
		}
	}
	return out
}

// mergeHeap holds merges that may be made, rank and place in one number: a heap with
// four children a node, least first.
type mergeHeap []uint64

func (h mergeHeap) init() {
	for i := (len(h) - 2) / 4; i >= 0; i-- {
		h.down(i)
	}
}

func (h *mergeHeap) push(x uint64) {
	*h = append(*h, x)
	a := *h
	i := len(a) - 1
	for i > 0 {
		p := (i - 1) / 4
		if a[p] <= x {
			break
		}
		a[i] = a[p]
		i = p
	}
	a[i] = x
}

func (h *mergeHeap) pop() uint64 {
	a := *h
	top := a[0]
	last := len(a) - 1
	a[0] = a[last]
	*h = a[:last]
	if last > 0 {
		h.down(0)
	}
	return top
}

func (h mergeHeap) down(i int) {
	if len(h) == 0 {
		return
	}
	x := h[i]
	for {
		c := 4*i + 1
		if c >= len(h) {
			break
		}
		best := c
		for k := c + 1; k < min(c+4, len(h)); k++ {
			if h[k] < h[best] {
				best = k
			}
		}
		if x <= h[best] {
			break
		}
		h[i] = h[best]
		i = best
	}
	h[i] = x
}
