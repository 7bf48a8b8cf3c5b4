package backend

import (
	"bytes"
	"os"
	"strconv"

	"github.com/gomlx/compute"

	remote "ftlab/kernel/session"
)

// Resident is the memory, in bytes, of the process that holds the tensors of b: this
// one, or the device server. 0: not known. What lies on a GPU does not count.
func Resident(b compute.Backend) int64 {
	if s, ok := b.(*remote.Backend); ok {
		stats, err := s.Stats()
		if err != nil {
			return 0
		}
		return stats.Resident
	}
	data, err := os.ReadFile("/proc/self/statm")
	if f := bytes.Fields(data); err == nil && len(f) > 1 {
		pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}
