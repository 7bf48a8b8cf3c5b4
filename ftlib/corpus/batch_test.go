package corpus

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"testing"
)

// examples makes n random examples of 1 to longest tokens, a few of them long.
func randomExamples(seed uint64, n, longest int) []Example {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]Example, n)
	for i := range out {
		k := 1 + rng.IntN(longest)
		if rng.IntN(4) > 0 {
			k = 1 + rng.IntN(longest/4)
		}
		for range k {
			out[i].IDs = append(out[i].IDs, int32(rng.IntN(1000)))
			out[i].Train = append(out[i].Train, rng.IntN(2) == 0)
		}
	}
	return out
}

// views takes the batches of an epoch apart and checks that every example stands in
// there once, whole, with positions of its own and nothing else beside it.
func views(t *testing.T, examples []Example, b *Batches) []*Batch {
	t.Helper()
	var all []*Batch
	seen := map[int]int{}
	for {
		batch, ok := b.Next()
		if !ok {
			break
		}
		all = append(all, batch)
		next := 0
		for r := range batch.B {
			row := func(k int) int { return r*batch.T + k }
			for k := 0; k < batch.T; {
				seg := batch.Seg[row(k)]
				if seg == 0 {
					for ; k < batch.T; k++ { // padding reaches to the end of the row
						if i := row(k); batch.Seg[i] != 0 || batch.IDs[i] != 0 || batch.Mask[i] != 0 || batch.Pos[i] != 0 {
							t.Fatalf("row %d: position %d is no padding", r, k)
						}
					}
					break
				}
				ex := examples[batch.Rows[next]]
				seen[batch.Rows[next]]++
				next++
				for j, id := range ex.IDs {
					i := row(k + j)
					want := float32(0)
					if j > 0 && ex.Train[j] {
						want = 1
					}
					if batch.Seg[i] != seg || batch.Pos[i] != int32(j) || batch.IDs[i] != id || batch.Mask[i] != want {
						t.Fatalf("row %d position %d: seg %d pos %d id %d mask %v, want example's token %d", r, k+j, batch.Seg[i], batch.Pos[i], batch.IDs[i], batch.Mask[i], j)
					}
				}
				k += len(ex.IDs)
				if k < batch.T && batch.Seg[row(k)] != 0 && batch.Seg[row(k)] != seg+1 {
					t.Fatalf("row %d: segment %d follows %d", r, batch.Seg[row(k)], seg)
				}
			}
		}
		if next != len(batch.Rows) {
			t.Fatalf("%d examples laid out, %d listed", next, len(batch.Rows))
		}
	}
	for i := range examples {
		if seen[i] != 1 {
			t.Fatalf("example %d (of %d tokens) was dealt out %d times", i, len(examples[i].IDs), seen[i])
		}
	}
	return all
}

func TestBatchesHoldEveryExampleOnce(t *testing.T) {
	for name, o := range map[string]BatchOptions{
		"buckets":        {Size: 4},
		"given buckets":  {Size: 4, Buckets: []int{16, 50}},
		"in order":       {Size: 3, NoShuffle: true},
		"packed":         {Size: 2, Packing: true, MaxLength: 128},
		"packed, tight":  {Size: 2, Packing: true},
		"packed, order":  {Size: 2, Packing: true, NoShuffle: true},
		"one at a time":  {Size: 1},
		"bigger than it": {Size: 500},
	} {
		t.Run(name, func(t *testing.T) {
			examples := randomExamples(5, 203, 90)
			b := NewBatches(examples, o)
			shapes := map[[2]int]bool{}
			partial := 0
			for epoch := range 3 {
				if b.Epoch() != epoch {
					t.Fatalf("epoch %d, want %d", b.Epoch(), epoch)
				}
				steps := b.Steps()
				all := views(t, examples, b)
				if len(all) != steps {
					t.Errorf("%d batches, Steps said %d", len(all), steps)
				}
				for _, x := range all {
					shapes[[2]int{x.B, x.T}] = true
					if !o.Packing && len(x.Rows) < x.B {
						partial++
					}
				}
			}
			if len(shapes) > 8 {
				t.Errorf("%d shapes", len(shapes))
			}
			if partial > 3 {
				t.Errorf("%d partial batches in 3 epochs", partial)
			}
		})
	}
}

func TestBatchesInOrder(t *testing.T) {
	examples := randomExamples(6, 20, 40)
	b := NewBatches(examples, BatchOptions{Size: 3, NoShuffle: true})
	var rows []int
	for _, x := range views(t, examples, b) {
		rows = append(rows, x.Rows...)
	}
	if !sort.IntsAreSorted(rows) {
		t.Errorf("order %v", rows)
	}
}

func TestBatchesShuffleBySeedAndEpoch(t *testing.T) {
	examples := randomExamples(7, 100, 60)
	order := func(seed uint64, epochs int) (rows []int) {
		b := NewBatches(examples, BatchOptions{Size: 4, Seed: seed})
		for range epochs {
			rows = nil
			for _, x := range views(t, examples, b) {
				rows = append(rows, x.Rows...)
			}
		}
		return rows
	}
	if !slices.Equal(order(1, 1), order(1, 1)) {
		t.Error("one seed, two orders")
	}
	if slices.Equal(order(1, 1), order(2, 1)) || slices.Equal(order(1, 1), order(1, 2)) {
		t.Error("another seed or epoch, the same order")
	}
}

// From any step, a cursor that went through JSON brings back the very batches.
func TestCursorResumes(t *testing.T) {
	examples := randomExamples(8, 61, 50)
	for _, o := range []BatchOptions{{Size: 4, Seed: 9}, {Size: 2, Packing: true, MaxLength: 64, Seed: 9}} {
		straight := NewBatches(examples, o)
		var all []*Batch // nil at the ends of epochs
		var states [][]byte
		for range 70 {
			s, err := json.Marshal(straight.State())
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, s)
			x, _ := straight.Next()
			all = append(all, x)
		}
		for at := 0; at < len(all); at += 3 {
			var c Cursor
			if err := json.Unmarshal(states[at], &c); err != nil {
				t.Fatal(err)
			}
			again := NewBatches(examples, o)
			if err := again.Seek(c); err != nil {
				t.Fatal(err)
			}
			for i := at; i < len(all); i++ {
				if x, _ := again.Next(); !reflect.DeepEqual(x, all[i]) {
					t.Fatalf("resumed at %d: batch %d differs", at, i)
				}
			}
		}
	}
}

func TestSeekRefusesOtherData(t *testing.T) {
	examples := randomExamples(8, 61, 50)
	c := NewBatches(examples, BatchOptions{Size: 4}).State()
	other := slices.Clone(examples)
	other[5].Train = slices.Clone(other[5].Train)
	other[5].Train[0] = !other[5].Train[0]
	for name, b := range map[string]*Batches{
		"data":    NewBatches(other, BatchOptions{Size: 4}),
		"size":    NewBatches(examples, BatchOptions{Size: 5}),
		"seed":    NewBatches(examples, BatchOptions{Size: 4, Seed: 1}),
		"packing": NewBatches(examples, BatchOptions{Size: 4, Packing: true}),
	} {
		if err := b.Seek(c); err == nil {
			t.Errorf("other %s, and the cursor was taken", name)
		}
	}
	b := NewBatches(examples, BatchOptions{Size: 4})
	c.Step = 10000
	if err := b.Seek(c); err == nil {
		t.Error("a step behind the end was taken")
	}
}

func TestNoExamples(t *testing.T) {
	for _, examples := range [][]Example{nil, {{}}} {
		b := NewBatches(examples, BatchOptions{})
		if x, ok := b.Next(); ok {
			t.Errorf("a batch of nothing: %+v", x)
		}
	}
}

func TestRoundLength(t *testing.T) {
	for n := 1; n < 5000; n++ {
		r := roundLength(n)
		if r < n || float64(r) > 1.13*float64(n)+0.01 || roundLength(r) != r {
			t.Errorf("roundLength(%d) = %d", n, r)
		}
	}
}

// ChooseBuckets finds the least padding: no other choice of as many lengths has less.
func TestChooseBucketsIsBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	padding := func(lengths, buckets []int) int {
		n := 0
		for _, l := range lengths {
			n += buckets[sort.SearchInts(buckets, l)] - l
		}
		return n
	}
	for range 50 {
		var lengths []int
		for range 30 {
			lengths = append(lengths, 1+rng.IntN(60))
		}
		got := ChooseBuckets(lengths, 3)
		var cand []int
		for _, l := range lengths {
			cand = append(cand, roundLength(l))
		}
		slices.Sort(cand)
		cand = slices.Compact(cand)
		last := cand[len(cand)-1]
		best := 1 << 30
		for i := range cand {
			for j := i; j < len(cand); j++ {
				best = min(best, padding(lengths, []int{cand[i], cand[j], last}))
			}
		}
		if p := padding(lengths, got); p != best || len(got) > 3 {
			t.Errorf("buckets %v pad %d, the best pad %d", got, p, best)
		}
	}
}

// Packing leaves little empty and never cuts.
func TestBestFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	sizes := make([]int, 500)
	total := 0
	for i := range sizes {
		sizes[i] = 1 + rng.IntN(100)
		total += sizes[i]
	}
	order := rng.Perm(len(sizes))
	bins := bestFit(order, func(i int) int { return sizes[i] }, 256)
	var seen []int
	for _, b := range bins {
		n := 0
		for _, i := range b {
			n += sizes[i]
			seen = append(seen, i)
		}
		if n > 256 {
			t.Errorf("a bin holds %d of 256", n)
		}
	}
	slices.Sort(seen)
	if len(seen) != len(sizes) || len(slices.Compact(seen)) != len(sizes) {
		t.Errorf("%d items in bins, want %d", len(seen), len(sizes))
	}
	if need := (total + 255) / 256; len(bins) > need+need/20+1 {
		t.Errorf("%d bins, at least %d are needed", len(bins), need)
	}
}
