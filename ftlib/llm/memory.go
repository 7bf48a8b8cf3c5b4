package llm

import (
	"cmp"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/backend"
)

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

// Compiled is what the compiler says of the programs that the engine has compiled so far, the
// largest scratch memory first; empty where the backend tells nothing.
func (e *Engine) Compiled() []backend.Program {
	all := []*program{e.first, e.squared, e.allLogits, e.dEmbed[0], e.dEmbed[1]}
	for _, p := range e.plans {
		all = append(all, p.forward, p.forwardSave, p.backward[0], p.backward[1])
	}
	for _, p := range e.heads {
		all = append(all, p)
	}
	for _, p := range e.free {
		all = append(all, p)
	}
	seen := map[*program]bool{nil: true}
	var out []backend.Program
	for _, p := range all {
		if seen[p] {
			continue
		}
		seen[p] = true
		g := p.graph.Load()
		if g == nil || g.Executable() == nil {
			continue
		}
		if said, ok := backend.Compiled(g.Executable()); ok {
			said.Name = p.name
			out = append(out, said)
		}
	}
	slices.SortStableFunc(out, func(a, b backend.Program) int { return cmp.Compare(b.Temporary, a.Temporary) })
	return out
}
