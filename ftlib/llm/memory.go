package llm

import "github.com/gomlx/gomlx/core/tensors"

// Bytes is the memory of the model's own weights as they are held, adapters aside.
func (m *Model) Bytes() int64 { return bytesOf(m.params) }

// Bytes is the memory of the adapter's tensors, those that are saved whole included.
func (a *Adapter) Bytes() int64 { return bytesOf(a.params) }

func bytesOf(all map[string]*tensors.Tensor) int64 {
	n := int64(0)
	for _, t := range all {
		n += int64(t.Shape().ByteSize())
	}
	return n
}
