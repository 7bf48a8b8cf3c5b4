package llm

import (
	"context"
	"fmt"
	"slices"
)

// copyKey names a fused copy of the weights: how it lies, and the adapter in it.
type copyKey struct {
	layout  layout
	adapter *Adapter
}

// maxCopies is how many fused copies of a layout a generator keeps: those of the adapters
// that were used last.
const maxCopies = 4

// copyFor is the fused copy of a kind, an empty one when there is none; the copy that was
// not used for longest makes room for it.
func (g *Generator) copyFor(k copyKey) *fuser {
	g.used = append(slices.DeleteFunc(g.used, func(o copyKey) bool { return o == k }), k)
	if f := g.fusers[k]; f != nil {
		return f
	}
	same := 0
	for _, o := range g.used {
		if o.layout == k.layout {
			same++
		}
	}
	for i, o := range g.used {
		if same > maxCopies && o.layout == k.layout {
			g.fusers[o].free()
			delete(g.fusers, o)
			g.used = slices.Delete(g.used, i, i+1)
			break
		}
	}
	g.fusers[k] = &fuser{m: g.m, layout: k.layout}
	return g.fusers[k]
}

// under runs do with an adapter switched on, nil for the base, and switches back.
func (g *Generator) under(a *Adapter, do func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.m.adapter
	g.m.SetAdapter(a)
	defer g.m.SetAdapter(before)
	return do()
}

// StreamUnder is [Generator.Stream] under an adapter of the model, nil for the base,
// whatever is switched on. Adapters of one model take turns without waiting for anything
// but each other's texts.
func (g *Generator) StreamUnder(ctx context.Context, a *Adapter, prompt []int32, o Sampling, yield func(Piece) bool) (Output, error) {
	prompts := [][]int32{prompt}
	if err := g.check(prompts, &o); err != nil {
		return Output{}, err
	}
	var out []Output
	err := g.under(a, func() (err error) {
		out, err = g.locked(ctx, prompts, o, yield)
		return err
	})
	if len(out) == 0 {
		return Output{}, err
	}
	return out[0], err
}

// GenerateUnder continues each prompt under an adapter of its own, nil for the base, and
// gives what [Generator.Generate] gives under each of them. Rows of one adapter are
// decoded side by side; the adapters take turns: a batch takes as long as its parts.
func (g *Generator) GenerateUnder(ctx context.Context, adapters []*Adapter, prompts [][]int32, o Sampling) ([]Output, error) {
	if len(adapters) != len(prompts) {
		return nil, fmt.Errorf("llm: %d adapters for %d prompts", len(adapters), len(prompts))
	}
	if err := g.check(prompts, &o); err != nil {
		return nil, err
	}
	seeds := o.Seeds
	for i := range prompts {
		if o.Seeds == nil {
			seeds = append(seeds, RowSeed(o.Seed, i))
		}
	}
	out := make([]Output, len(prompts))
	done := map[*Adapter]bool{}
	for _, a := range adapters {
		if done[a] {
			continue
		}
		done[a] = true
		var rows []int
		var some [][]int32
		part := o
		part.Seeds = nil
		for i := range prompts {
			if adapters[i] == a {
				rows, some, part.Seeds = append(rows, i), append(some, prompts[i]), append(part.Seeds, seeds[i])
			}
		}
		err := g.under(a, func() error {
			got, err := g.locked(ctx, some, part, nil)
			for k, r := range got {
				out[rows[k]] = r
			}
			return err
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}
