package session

import (
	"runtime"
	"sync"
)

// slack is how much remote memory may pile up in addition to a doubling, in bytes.
const slack = 32 << 20

// collector makes Go's garbage collector see remote memory: it collects when the bytes
// behind this program's buffers have doubled since the last time.
type collector struct {
	mu         sync.Mutex
	live       int64 // bytes
	after      int64 // live after the last collection
	collecting bool
}

func (c *collector) add(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live += bytes
	if c.collecting || c.live <= 2*c.after+slack {
		return
	}
	c.collecting = true
	go func() {
		runtime.GC()
		runtime.GC() // cleanups are queued by the first
		c.mu.Lock()
		defer c.mu.Unlock()
		c.after, c.collecting = c.live, false
	}()
}

func (c *collector) sub(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live -= bytes
	c.after = min(c.after, c.live)
}
