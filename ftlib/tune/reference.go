package tune

import (
	"fmt"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
)

// reference is the policy that another one is measured against: the base with the adapter
// off, an adapter of its own, or, where the base itself trains, what it said before the first
// step. What it says about a group never changes, so it is asked once.
type reference struct {
	engine *llm.Engine
	own    *llm.Adapter        // loaded for the reference; nil: none
	frozen bool                // the weights train: everything must be asked before the first step
	again  bool                // ask at every step
	known  map[int][][]float32 // group -> log-probabilities of the targets of each sequence
}

// newReference makes the reference of a trainer. adapter names another one than the model as
// it is now.
func newReference(t *trainer, adapter, kept string, again bool) (*reference, error) {
	m := t.model
	r := &reference{known: map[int][][]float32{}, again: again}
	policy := m.Adapter()
	defer func() { m.SetAdapter(policy) }()
	if adapter == "" {
		adapter = kept // the policy goes on from an adapter: the reference is that adapter as it was
	}
	switch {
	case adapter != "":
		m.SetAdapter(nil)
		a, err := m.LoadAdapter(adapter)
		if err != nil {
			return nil, fmt.Errorf("tune: the reference: %w", err)
		}
		r.own = a
	case policy != nil:
		m.SetAdapter(nil)
	default:
		r.frozen = true
		if again {
			return nil, fmt.Errorf("tune: recompute_ref_log_probs: all weights train: nothing of the reference is left to ask; use lora")
		}
		r.engine = t.Engine
		return r, nil
	}
	e, err := llm.NewEngine(m, llm.EngineOptions{Train: func(string) bool { return false }})
	r.engine = e
	return r, err
}

// precompute asks about everything before the weights change.
func (r *reference) precompute(d *Data) error {
	if !r.frozen {
		return nil
	}
	if err := d.eachBatch(func(b *corpus.Batch) error { return r.ask(b) }); err != nil {
		return err
	}
	r.engine = nil
	return nil
}

// ask remembers the log-probabilities of the groups of a batch.
func (r *reference) ask(b *corpus.Batch) error {
	p, err := r.engine.Forward(b, llm.ForwardOptions{})
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := p.Stats()
	if err != nil {
		return err
	}
	for i, group := range b.Rows {
		var list [][]float32
		for row := i; row < b.B; row += r.blockSize(b) {
			var values []float32
			for t := range b.T {
				if b.Mask[row*b.T+t] != 0 {
					values = append(values, s.LogP[row*b.T+t])
				}
			}
			list = append(list, values)
		}
		r.known[group] = list
	}
	return nil
}

// blockSize is the number of groups that a batch has room for: both methods that have a
// reference have two blocks.
func (r *reference) blockSize(b *corpus.Batch) int { return b.B / 2 }

// logps are the log-probabilities of the targets of a batch, [B, T] row by row; 0 elsewhere.
func (r *reference) logps(b *corpus.Batch) ([][]float64, error) {
	ask := r.again
	for _, group := range b.Rows {
		ask = ask || r.known[group] == nil
	}
	if ask {
		if r.engine == nil {
			return nil, fmt.Errorf("tune: the reference was not asked about a group before its weights changed")
		}
		if err := r.ask(b); err != nil {
			return nil, err
		}
	}
	out := make([][]float64, b.B)
	for row := range out {
		out[row] = make([]float64, b.T)
	}
	for i, group := range b.Rows {
		for k, values := range r.known[group] {
			row, next := i+k*r.blockSize(b), 0
			for t := range b.T {
				if b.Mask[row*b.T+t] != 0 {
					out[row][t] = float64(values[next])
					next++
				}
			}
		}
	}
	return out, nil
}

func (r *reference) close() {
	if r == nil {
		return
	}
	if r.engine != nil && !r.frozen {
		r.engine.Close()
	}
	if r.own != nil {
		r.own.Close()
	}
}
