package llm

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Every token attends over all slots of the cache, used or not, so it is kept short:
// it grows as the text does, in sizes of which few exist because each is compiled for.

const firstBucket = 128

// bucket is the size of a cache that a text of n tokens starts with: 96, 128, 192, 256 ...
func bucket(n int) int {
	size := grown(n)
	if smaller := size / 4 * 3; smaller >= n {
		return smaller
	}
	return size
}

// grown is the size that a cache is made larger to: whole doublings, so that a long
// conversation waits for few compilations.
func grown(n int) int {
	size := firstBucket
	for size < n {
		size *= 2
	}
	return size
}

// promptBucket is the length that prompts are padded to before the prefill.
func promptBucket(n int) int {
	size := 16
	for size < n {
		size *= 2
	}
	if half := size / 4 * 3; half >= n && size > 64 {
		return half
	}
	return size
}

// rowBucket is the number of rows that a batch is padded to.
func rowBucket(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}

// caches are the keys of all layers and then their values, [B, KV, size, hd] each.
type caches struct {
	size int
	all  []*tensors.Tensor
}

// newCaches makes empty ones.
func newCaches(b compute.Backend, c *Config, rows, size int) (caches, error) {
	out := caches{size: size}
	for range 2 * c.Layers {
		t, err := newTensor(b, dtypes.Float32, []int{rows, c.KVHeads, size, c.HeadDim}, func(flat any) error {
			clear(flat.([]float32))
			return nil
		})
		if err != nil {
			out.free()
			return out, err
		}
		out.all = append(out.all, t)
	}
	return out, nil
}

func (c *caches) free() {
	free(c.all...)
	c.all = nil
}
