package corpus

import (
	"math/rand/v2"
	"sort"
)

// BatchOptions say how examples are grouped. The zero value is batches of 8 in an
// order shuffled with seed 0.
type BatchOptions struct {
	Size      int    // sequences in a batch; 0: 8
	MaxLength int    // length of a packed sequence; 0: the longest example's, rounded up
	Packing   bool   // several examples to a sequence, each seeing only itself
	Seed      uint64 // of the order
	NoShuffle bool   // keep the order of the examples (evaluation)
	Buckets   []int  // the lengths to pad to, ascending; nil: chosen from the data, at most eight
}

// Batches deals examples out in batches, epoch after epoch.
//
// # Shapes
//
// Every new shape costs a compilation, every padded position a share of the step. An
// example is padded to the next of a few bucket lengths, which are chosen from the
// data: out of the lengths with four significant bits (..., 64, 72, 80, ..., 128, 144,
// ...) those that waste the least, as few as keep padding below an eighth and eight at
// most (grade-school mathematics: 7, conversations: 8). A bucket's rows that do not fill a
// batch move to the next longer bucket, so that one epoch has one partial batch at
// most, filled up with empty rows (Seg 0). Shapes are [Size, bucket] and nothing else.
// With NoShuffle, neighbours stay together and a batch is as long as its longest row.
//
// With Packing there is one shape, [Size, MaxLength]: examples are put together
// best-fit decreasing and never cut; Seg numbers them within their row and Pos starts
// again with each, so that attention and positions are those of the example alone.
//
// # Order
//
// Epoch e is shuffled by PCG (math/rand/v2) seeded with (Seed, e); the same examples,
// options and epoch give the same batches on every machine. The order of the batches is
// random too, except that within each group of eight those of one shape stand together.
//
// # Position
//
// State is where the sequence stands: it is small, encodes to JSON, and Seek brings
// another Batches over the same examples and options to the same place.
type Batches struct {
	o        BatchOptions
	examples []Example
	buckets  []int
	epoch    int
	plan     []plan // of this epoch
	next     int
	print    string // fingerprint, once it was asked for
}

// plan of one batch: rows of examples, each row one or several.
type plan struct {
	length int
	rows   [][]int
}

// window is how many examples are packed together: enough for a tight fit, few enough
// to keep epochs different.
const window = 4096

// NewBatches groups the examples. Empty ones are left out. An example longer than
// MaxLength is not cut (Encode does that): sequences are then as long as it.
func NewBatches(examples []Example, o BatchOptions) *Batches {
	if o.Size <= 0 {
		o.Size = 8
	}
	b := &Batches{o: o, examples: examples}
	longest := 0
	var lengths []int
	for _, ex := range examples {
		lengths = append(lengths, len(ex.IDs))
		longest = max(longest, len(ex.IDs))
	}
	switch {
	case o.Packing && o.MaxLength >= longest && o.MaxLength > 0:
		b.buckets = []int{o.MaxLength}
	case o.Packing:
		b.buckets = []int{roundLength(longest)}
	case o.Buckets != nil:
		b.buckets = append([]int{}, o.Buckets...)
		sort.Ints(b.buckets)
		if n := len(b.buckets); n == 0 || b.buckets[n-1] < longest {
			b.buckets = append(b.buckets, roundLength(longest))
		}
	default:
		b.buckets = fewBuckets(lengths)
	}
	b.plan = b.planEpoch(0)
	return b
}

// Buckets are the sequence lengths in use.
func (b *Batches) Buckets() []int { return append([]int{}, b.buckets...) }

// Epoch is the epoch that the next batch belongs to, from 0.
func (b *Batches) Epoch() int { return b.epoch }

// Steps is the number of batches of the current epoch.
func (b *Batches) Steps() int { return len(b.plan) }

// TotalSteps is the number of batches of the first epochs together. With packing,
// epochs may differ by a batch.
func (b *Batches) TotalSteps(epochs int) int {
	n := 0
	for e := range epochs {
		if !b.o.Packing || b.o.NoShuffle {
			return epochs * len(b.planEpoch(e))
		}
		n += len(b.planEpoch(e))
	}
	return n
}

// Next is the next batch. At the end of an epoch it answers false once; the call after
// that begins the next epoch.
func (b *Batches) Next() (*Batch, bool) {
	if b.next >= len(b.plan) {
		b.epoch++
		b.plan = b.planEpoch(b.epoch)
		b.next = 0
		return nil, false
	}
	b.next++
	return b.build(b.plan[b.next-1]), true
}

// planEpoch decides all batches of an epoch.
func (b *Batches) planEpoch(epoch int) []plan {
	rng := rand.New(rand.NewPCG(b.o.Seed, uint64(epoch)))
	order := make([]int, 0, len(b.examples))
	for i, ex := range b.examples {
		if len(ex.IDs) > 0 {
			order = append(order, i)
		}
	}
	if !b.o.NoShuffle {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	switch {
	case b.o.Packing:
		return b.packed(order, rng)
	case b.o.NoShuffle:
		return b.inOrder(order)
	}
	return b.bucketed(order, rng)
}

func (b *Batches) bucketOf(n int) int {
	return sort.SearchInts(b.buckets, n)
}

// inOrder groups neighbours.
func (b *Batches) inOrder(order []int) []plan {
	var out []plan
	for at := 0; at < len(order); at += b.o.Size {
		p := plan{}
		for _, i := range order[at:min(at+b.o.Size, len(order))] {
			p.length = max(p.length, b.buckets[b.bucketOf(len(b.examples[i].IDs))])
			p.rows = append(p.rows, []int{i})
		}
		out = append(out, p)
	}
	return out
}

// bucketed groups rows of similar length.
func (b *Batches) bucketed(order []int, rng *rand.Rand) []plan {
	groups := make([][]int, len(b.buckets))
	for _, i := range order {
		k := b.bucketOf(len(b.examples[i].IDs))
		groups[k] = append(groups[k], i)
	}
	var out []plan
	for k, g := range groups {
		whole := len(g) - len(g)%b.o.Size
		if k+1 < len(groups) { // what is left fills a longer bucket
			groups[k+1] = append(groups[k+1], g[whole:]...)
			g = g[:whole]
		}
		for at := 0; at < len(g); at += b.o.Size {
			p := plan{length: b.buckets[k]}
			for _, i := range g[at:min(at+b.o.Size, len(g))] {
				p.rows = append(p.rows, []int{i})
			}
			out = append(out, p)
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for at := 0; at < len(out); at += 8 {
		part := out[at:min(at+8, len(out))]
		up := at/8%2 == 0 // up, then down: neighbours meet at equal lengths
		sort.SliceStable(part, func(i, j int) bool {
			return (part[i].length < part[j].length) == up && part[i].length != part[j].length
		})
	}
	return out
}

// build lays a planned batch out.
func (b *Batches) build(p plan) *Batch {
	n := b.o.Size * p.length
	out := &Batch{
		B: b.o.Size, T: p.length,
		IDs: make([]int32, n), Mask: make([]float32, n), Pos: make([]int32, n), Seg: make([]int32, n),
	}
	for r, row := range p.rows {
		at := r * p.length
		for s, i := range row {
			ex := b.examples[i]
			out.Rows = append(out.Rows, i)
			for k, id := range ex.IDs {
				out.IDs[at+k] = id
				out.Pos[at+k] = int32(k)
				out.Seg[at+k] = int32(s + 1)
				if k > 0 && ex.Train[k] {
					out.Mask[at+k] = 1
				}
			}
			at += len(ex.IDs)
		}
	}
	return out
}
