package llm

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"ftlab/ftlib/safetensors"
)

// NewScoreHead gives the model a linear layer from its last hidden states to numbers:
// one for a reward or a value, two for a step that is wrong or right. It belongs to
// the adapter that is switched on and is saved with it, else to the model. Weights are drawn
// as transformers does, normal with deviation 0.02; the bias is zero.
func (m *Model) NewScoreHead(labels int, bias bool, seed int64) error {
	if labels < 1 {
		return fmt.Errorf("llm: a score head with %d outputs", labels)
	}
	h := fnv.New64a()
	h.Write([]byte(scoreName))
	rng := rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
	values := make([]float32, labels*m.Config.Hidden)
	for i := range values {
		values[i] = float32(0.02 * rng.NormFloat64())
	}
	return m.setScoreHead(labels, values, bias)
}

func (m *Model) setScoreHead(labels int, weight []float32, bias bool) error {
	params := m.params
	if m.adapter != nil {
		params = m.adapter.params
	} else {
		m.Config.Labels, m.Config.LabelBias, m.changed = labels, bias, true
	}
	w, err := newFloats(m.Backend, weight, labels, m.Config.Hidden)
	if err != nil {
		return err
	}
	m.release(params[scoreName], params[scoreBiasName])
	params[scoreName] = w
	delete(params, scoreBiasName)
	if !bias {
		return nil
	}
	params[scoreBiasName], err = newFloats(m.Backend, make([]float32, labels), labels)
	return err
}

// Labels is the number of outputs of the score head, the adapter's before the model's;
// 0: there is none.
func (m *Model) Labels() int {
	if t := m.under(m.adapter, scoreName); t != nil {
		return t.Shape().Dimensions[0]
	}
	return 0
}

// DropTokenHead makes the model a classifier: the head that predicts tokens goes, unless it
// is the embedding.
func (m *Model) DropTokenHead() {
	if m.Config.Tied {
		return
	}
	m.Config.NoHead, m.changed = true, true
	for _, name := range []string{headName, headBiasName} {
		m.release(m.params[name])
		delete(m.params, name)
	}
}

// classify finds out from the tensors of a file whether it is a classifier: a score
// head, often instead of the one for tokens.
func (c *Config) classify(src source) error {
	names := src.Names()
	if !slices.Contains(names, scoreName) {
		return nil
	}
	t, err := src.Tensor(scoreName)
	if err != nil {
		return err
	}
	if len(t.Shape) != 2 {
		return fmt.Errorf("llm: %s is %v, [labels, %d] is expected", scoreName, t.Shape, c.Hidden)
	}
	c.Labels, c.LabelBias = t.Shape[0], slices.Contains(names, scoreBiasName)
	c.NoHead = !c.Tied && !slices.Contains(names, headName)
	return nil
}

// readScore loads a score head that was saved with an adapter.
func (a *Adapter) readScore(m *Model, f *safetensors.File, have map[string]string) error {
	for _, name := range []string{scoreName, scoreBiasName} {
		key, ok := have[name]
		if !ok {
			if name == scoreName {
				return fmt.Errorf("llm: %s: modules_to_save names a score head, which is not there: a reward model without it is none", f.Path)
			}
			continue
		}
		delete(have, name)
		t, err := f.Tensor(key)
		if err != nil {
			return err
		}
		if name == scoreName && (len(t.Shape) != 2 || t.Shape[1] != m.Config.Hidden) {
			return fmt.Errorf("llm: %s: %s is %v, should be [labels, %d]", f.Path, key, t.Shape, m.Config.Hidden)
		}
		values, err := t.Float32s()
		if err != nil {
			return err
		}
		if err := a.put(m, name, values, t.Shape...); err != nil {
			return err
		}
	}
	return nil
}

// architecture is the name of transformers' class for the family with a score head.
func (c *Config) architecture() string {
	family := map[string]string{"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "phi": "Phi"}[c.Family]
	if c.Labels > 1 || c.LabelBias {
		return family + "ForTokenClassification"
	}
	return family + "ForSequenceClassification"
}

// scored are the names that merging adds to the model's own: the adapter's score head.
func (m *Model) scored() []string {
	var names []string
	if m.adapter != nil {
		for _, name := range []string{scoreName, scoreBiasName} {
			if m.adapter.params[name] != nil && m.params[name] == nil {
				names = append(names, name)
			}
		}
		if m.Config.Tied && !m.mergedTied(m.adapter) {
			names = append(names, headName)
		}
	}
	return names
}

// withScore is the configuration of the model with the adapter's score head.
func (m *Model) withScore() Config {
	c := m.Config
	if m.Config.Tied && !m.mergedTied(m.adapter) {
		c = c.untied()
	}
	if m.adapter != nil && m.adapter.params[scoreName] != nil {
		c.Labels, c.LabelBias = m.Labels(), m.adapter.params[scoreBiasName] != nil
	}
	return c
}
