package corpus

import (
	"fmt"
	"hash/fnv"
)

// Cursor is a place in a sequence of batches. It encodes to JSON.
type Cursor struct {
	Epoch int    `json:"epoch"` // from 0
	Step  int    `json:"step"`  // batches of this epoch that were dealt out
	Data  string `json:"data"`  // fingerprint of examples and options
}

// State is the place of the next batch.
func (b *Batches) State() Cursor { return Cursor{b.epoch, b.next, b.fingerprint()} }

// Seek goes to a place that State gave, of these or equal Batches: the same batches
// follow. Other examples or other options are an error.
func (b *Batches) Seek(c Cursor) error {
	if c.Data != "" && c.Data != b.fingerprint() {
		return fmt.Errorf("corpus: the data or batch options differ from those of the checkpoint (fingerprint %s, not %s): the run cannot go on exactly; start a branch", b.fingerprint(), c.Data)
	}
	if c.Epoch < 0 || c.Step < 0 {
		return fmt.Errorf("corpus: bad cursor: epoch %d, step %d", c.Epoch, c.Step)
	}
	p := b.planEpoch(c.Epoch)
	if c.Step > len(p) {
		return fmt.Errorf("corpus: bad cursor: step %d of %d", c.Step, len(p))
	}
	b.epoch, b.plan, b.next = c.Epoch, p, c.Step
	return nil
}

// fingerprint stands for everything that decides the batches.
func (b *Batches) fingerprint() string {
	if b.print != "" {
		return b.print
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %v %d %v %v\n", b.o.Size, b.o.MaxLength, b.o.Packing, b.o.Seed, b.o.NoShuffle, b.buckets)
	buf := make([]byte, 0, 4096)
	for _, ex := range b.examples {
		buf = buf[:0]
		for i, id := range ex.IDs {
			t := byte(0)
			if ex.Train[i] {
				t = 1
			}
			buf = append(buf, byte(id), byte(id>>8), byte(id>>16), byte(id>>24), t)
		}
		h.Write(append(buf, '\n'))
	}
	b.print = fmt.Sprintf("%016x", h.Sum64())
	return b.print
}
