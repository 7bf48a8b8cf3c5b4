package llm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// wholeNames are the weights of the modules that modules_to_save may name. The score
// head is the method's affair ([Model.NewScoreHead]).
var wholeNames = map[string]string{"embed_tokens": embedName, "lm_head": headName}

// savable are the modules besides the low-rank ones that PEFT's configuration names.
func savable(modules []string) error {
	for _, name := range savedModules(modules) {
		if name != "score" && wholeNames[name] == "" {
			return fmt.Errorf("modules_to_save names %q, which is not supported; embed_tokens, lm_head and score are", name)
		}
	}
	return nil
}

// savedModules are the last parts of names as PEFT allows them, "model.embed_tokens".
func savedModules(modules []string) []string {
	var out []string
	for _, name := range modules {
		if _, last, ok := cutLast(name); ok {
			name = last
		}
		out = append(out, name)
	}
	if slices.Contains(out, "score") { // PEFT names both for a classifier, which has the one or the other
		out = slices.DeleteFunc(out, func(name string) bool { return name == "classifier" })
	}
	return out
}

// mutatingInit is an initialisation that PEFT repeats when it loads an adapter, as it
// changes the weights; "" for the others, whose result the file holds.
func mutatingInit(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && mutating(text) {
		return text
	}
	return ""
}

// mutating says whether an initialisation takes a part of the weights.
func mutating(init string) bool { return init == "olora" || strings.HasPrefix(init, "pissa") }

// savedWeights are the weights that the adapter has whole copies of.
func (a *Adapter) savedWeights(m *Model) []weightSpec {
	var all []weightSpec
	shape := []int{m.Config.Vocab, m.Config.Hidden}
	for _, module := range []string{"embed_tokens", "lm_head"} {
		if slices.Contains(a.Spec.SaveModules, module) {
			all = append(all, weightSpec{wholeNames[module], shape})
		}
	}
	if m.Config.HeadBias && slices.Contains(a.Spec.SaveModules, "lm_head") {
		all = append(all, weightSpec{headBiasName, shape[:1]})
	}
	return all
}

// saveModules gives a new adapter its own copies of whole modules. Where the head is the
// embedding it stays so: training one trains both.
func (a *Adapter) saveModules(m *Model, seed int64) error {
	if err := savable(a.Spec.SaveModules); err != nil {
		return fmt.Errorf("llm: lora.%w", err)
	}
	if m.Config.NoHead && slices.Contains(a.Spec.SaveModules, "lm_head") {
		return fmt.Errorf("llm: lora.modules_to_save names lm_head; %s is a classifier and has none", m.Path)
	}
	a.tie = m.Config.Tied && slices.Contains(a.Spec.SaveModules, "embed_tokens")
	for _, w := range a.savedWeights(m) {
		if a.tie && w.name == headName {
			continue
		}
		t := m.param(w.name)
		values, err := floats(t)
		if err != nil {
			return fmt.Errorf("llm: %s: %w", w.name, err)
		}
		if err := a.put(m, w.name, values, w.shape...); err != nil {
			return err
		}
	}
	return nil
}

// wholeModules are the modules to save that the adapter has, as PEFT's configuration
// names them.
func (a *Adapter) wholeModules() []string {
	var names []string
	for _, module := range []string{"embed_tokens", "lm_head"} {
		if a.params[wholeNames[module]] != nil {
			names = append(names, module)
		}
	}
	return names
}

// headFollows says whether a head that the adapter has no copy of is the embedding that
// it has one of.
func (a *Adapter) headFollows(m *Model) bool { return m.Config.Tied && a.tie }

// headTied says whether head and embedding are one under an adapter, which may be nil.
func (m *Model) headTied(a *Adapter) bool {
	switch {
	case !m.Config.Tied:
		return false
	case a == nil, a.tie:
		return true
	}
	return a.params[headName] == nil && a.params[embedName] == nil
}

// mergedTied says the same of what a merge makes: what an adapter adds to one of the two
// parts them.
func (m *Model) mergedTied(a *Adapter) bool {
	o := m.outside(a)
	return m.headTied(a) && o.embed == nil && o.head == nil
}

// untied is the configuration of the model with a head of its own.
func (c Config) untied() Config {
	c.Tied = false
	c.raw = maps.Clone(c.raw)
	if c.raw != nil {
		c.raw["tie_word_embeddings"] = false
	}
	return c
}

// Unload frees the adapter that is switched on; the model is the base again.
func (m *Model) Unload() {
	if m.adapter != nil {
		m.adapter.Close()
		m.adapter = nil
	}
}
