package llm

import (
	"fmt"
	"slices"
	"strings"
)

// Unfrozen is the choice of weights to train ([EngineOptions].Train) when parts of the
// model stay as they are. A part is named as weights are, whole or by neighbouring
// names between dots: "embed_tokens", "layers.0", "mlp.up_proj", "model.norm.weight".
// A part that names no weight and a choice that leaves none are errors.
func (m *Model) Unfrozen(freeze []string) (func(name string) bool, error) {
	names := m.Names()
	frozen := map[string]bool{}
	for _, part := range freeze {
		found := false
		for _, name := range names {
			if strings.Contains("."+name+".", "."+part+".") {
				found, frozen[name] = true, true
			}
		}
		if found {
			continue
		}
		if m.Config.Tied && strings.HasPrefix(headName, part) {
			return nil, fmt.Errorf("llm: cannot freeze %q: the head of this model is its embedding; freeze embed_tokens", part)
		}
		return nil, fmt.Errorf("llm: cannot freeze %q: no weight is named so; parts are embed_tokens, layers.0 to layers.%d, lm_head and the modules %s",
			part, m.Config.Layers-1, strings.Join(m.Config.Linears(), ", "))
	}
	if len(frozen) == len(names) {
		return nil, fmt.Errorf("llm: all weights are frozen: nothing is left to train")
	}
	left := slices.DeleteFunc(names, func(name string) bool { return frozen[name] })
	return func(name string) bool { return slices.Contains(left, name) }, nil
}
