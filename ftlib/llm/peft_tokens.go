package llm

import (
	"encoding/json"
	"fmt"

	"ftlab/ftlib/safetensors"
)

// tokenIndices reads trainable_token_indices: a list means the embedding.
func tokenIndices(raw json.RawMessage) (map[string][]int, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var list []int
	if json.Unmarshal(raw, &list) == nil {
		return map[string][]int{"embed_tokens": list}, nil
	}
	var by map[string][]int
	if err := json.Unmarshal(raw, &by); err != nil {
		return nil, fmt.Errorf("trainable_token_indices is neither a list nor lists by module: %s", raw)
	}
	tokens := map[string][]int{}
	for name, ids := range by {
		if _, last, ok := cutLast(name); ok {
			name = last
		}
		tokens[name] = ids
	}
	return tokens, nil
}

// grow resizes the model's vocabulary where an adapter was trained with a larger one. Rows
// that came then are those of the base that was saved with the adapter, where PEFT did so
// (save_embedding_layers).
func (m *Model) grow(a *Adapter, f *safetensors.File) error {
	vocab := m.Config.Vocab
	for _, ids := range a.Spec.Tokens {
		for _, id := range ids {
			vocab = max(vocab, id+1)
		}
	}
	bases := map[string]safetensors.Tensor{}
	for _, key := range f.Names() {
		axis := 0
		name := internalName(key)
		switch name {
		case embedDown:
			axis = 1
		case embedName, headName, headUp:
		default:
			continue
		}
		t, err := f.Tensor(key)
		if err != nil {
			return err
		}
		if len(t.Shape) != 2 {
			continue // said when it is read
		}
		vocab = max(vocab, t.Shape[axis])
		if name == embedName || name == headName {
			bases[name] = t
		}
	}
	old := m.Config.Vocab
	if vocab <= old {
		return nil
	}
	if err := m.Resize(vocab); err != nil {
		return err
	}
	for _, name := range sortedKeys(bases) {
		t := bases[name]
		if m.params[name] == nil || !sameShape(t.Shape, []int{vocab, m.Config.Hidden}) {
			continue
		}
		values, err := t.Float32s()
		if err != nil {
			return err
		}
		w, err := m.Weight(name)
		if err != nil {
			return err
		}
		copy(w[old*m.Config.Hidden:], values[old*m.Config.Hidden:])
		x, err := newMatrix(m.Backend, m.dtype, w, vocab, m.Config.Hidden)
		if err != nil {
			return err
		}
		m.release(m.params[name])
		m.params[name] = x
	}
	return nil
}

// passBase leaves out a base weight that PEFT saved with the adapter (save_embedding_layers),
// and says what is wrong with one that is not the model's.
func (a *Adapter) passBase(m *Model, f *safetensors.File, name string, have map[string]string) (problem string, err error) {
	key, ok := have[name]
	if !ok {
		return "", nil
	}
	delete(have, name)
	t, err := f.Tensor(key)
	if err != nil {
		return "", err
	}
	ours := m.param(name)
	if ours == nil || !sameShape(t.Shape, ours.Shape().Dimensions) {
		return fmt.Sprintf("%s is %v and not the model's", key, t.Shape), nil
	}
	theirs, err := t.Float32s()
	if err != nil {
		return "", err
	}
	w, err := m.Weight(name)
	if err != nil {
		return "", err
	}
	for i, v := range theirs {
		if d := v - w[i]; d > 0.01 || d < -0.01 { // either may be rounded to half precision
			return fmt.Sprintf("%s, of the base that it was trained on, differs from the model's", key), nil
		}
	}
	return "", nil
}
