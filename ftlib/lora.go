package ftlib

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
)

var pissaIterations = regexp.MustCompile(`^pissa_niter_[1-9][0-9]*$`)

// CheckInit says what is wrong with a value of init_lora_weights; nil for one that is
// known.
func CheckInit(init string) error {
	known := []string{"", "true", "gaussian", "pissa", "olora"}
	if slices.Contains(known, init) || pissaIterations.MatchString(init) {
		return nil
	}
	names := append(known[1:], "pissa_niter_4")
	return fmt.Errorf("%q is not one of true, gaussian, pissa, pissa_niter_N, olora%s", init, suggest(init, names))
}

// TrainsEmbedding says whether target_modules or modules_to_save name embedding or head.
func (l *LoRA) TrainsEmbedding() bool {
	for _, name := range slices.Concat(l.Targets, l.SaveModules) {
		if strings.HasSuffix(name, "embed_tokens") || strings.HasSuffix(name, "lm_head") {
			return true
		}
	}
	return false
}

// validate checks what only adapters have.
func (l *LoRA) validate(c *checker) {
	if err := CheckInit(l.Init); err != nil {
		c.errorf("lora.init_lora_weights", "%v", err)
	}
	if l.DoRA && l.Init != "" && l.Init != "true" && l.Init != "gaussian" {
		c.errorf("lora.init_lora_weights", "%s changes the weights that use_dora takes its magnitudes from; choose one of the two", l.Init)
	}
	for _, key := range sorted(l.RankPattern) {
		c.pattern("lora.rank_pattern", key)
		c.atLeast("lora.rank_pattern."+key, l.RankPattern[key], 1)
	}
	for _, key := range sorted(l.AlphaPattern) {
		c.pattern("lora.alpha_pattern", key)
		c.within("lora.alpha_pattern."+key, l.AlphaPattern[key], math.SmallestNonzeroFloat64, math.MaxFloat64)
	}
	for _, name := range l.SaveModules {
		c.oneOf("lora.modules_to_save", name, "embed_tokens", "lm_head", "score")
	}
	for _, name := range sorted(l.Tokens) {
		c.oneOf("lora.trainable_token_indices", name, "embed_tokens", "lm_head")
		for _, id := range l.Tokens[name] {
			c.atLeast("lora.trainable_token_indices."+name, id, 0)
		}
	}
}

func (c *checker) pattern(key, pattern string) {
	if _, err := regexp.Compile(pattern); err != nil {
		c.errorf(key, "%q is no module name and no regular expression: %v", pattern, err)
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
