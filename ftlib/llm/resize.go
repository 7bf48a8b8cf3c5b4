package llm

import (
	"fmt"
	"maps"

	"github.com/gomlx/gomlx/core/tensors"
)

// Resize changes the size of the vocabulary, as transformers' resize_token_embeddings does.
// New rows of the embedding, and of the head where it is another matrix, are the mean of
// those that are there (transformers adds noise of a thousandth of a percent of their
// variance), so that a new token is neither likely nor unlikely; rows at the end go when
// the vocabulary becomes smaller. Train new rows alone with [ftlib.LoRA.Tokens]. Adapters
// that hold embedding or head of the old size no longer fit.
func (m *Model) Resize(vocab int) error {
	old := m.Config.Vocab
	switch {
	case vocab == old:
		return nil
	case vocab < 1:
		return fmt.Errorf("llm: a vocabulary of %d", vocab)
	}
	if a := m.adapter; a != nil {
		if o := m.outside(a); o.embed != nil || o.head != nil || a.params[embedName] != nil || a.params[headName] != nil {
			return fmt.Errorf("llm: the adapter that is on holds embedding or head for %d tokens: resize the vocabulary before it is made", old)
		}
	}
	resized := map[string]*tensors.Tensor{}
	for _, name := range []string{embedName, headName, headBiasName} {
		t := m.params[name]
		if t == nil {
			continue
		}
		values, err := floats(t)
		if err != nil {
			return fmt.Errorf("llm: %s: %w", name, err)
		}
		width := len(values) / old
		mean := make([]float64, width)
		for i, v := range values {
			mean[i%width] += float64(v) / float64(old)
		}
		values = values[:min(len(values), vocab*width)]
		for len(values) < vocab*width {
			for _, v := range mean {
				values = append(values, float32(v))
			}
		}
		if name == headBiasName {
			resized[name], err = newFloats(m.Backend, values, vocab)
		} else {
			resized[name], err = newMatrix(m.Backend, m.dtype, values, vocab, width)
		}
		if err != nil {
			return fmt.Errorf("llm: %s: %w", name, err)
		}
	}
	for name, t := range resized {
		m.release(m.params[name])
		m.params[name] = t
	}
	m.Config.Vocab = vocab
	if m.Config.raw != nil {
		m.Config.raw = maps.Clone(m.Config.raw)
		m.Config.raw["vocab_size"] = vocab
	}
	return nil
}
