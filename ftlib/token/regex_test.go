package token

import (
	"slices"
	"strings"
	"testing"
)

// patternTekken is that of Mistral's newer tokenizers, patternO200K that of GPT-4o.
const (
	patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternO200K  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// patterns of tokenizers, and others that try the parts of the syntax.
var patterns = []string{
	patternGPT2, patternQwen, patternLlama3, patternTekken, patternO200K,
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
	`[\p{L}\p{M}]+|\p{N}|[^\s\p{L}\p{N}]`,
	`(?<=[a-z])(?=[A-Z])`, `(?<!e)s`, `^\s*\S`, `\S$`, `\A.|.\z`, `\bt|e\b`, `a\B.`, `.`,
	`(?:th|he|e)+`, `(?:ab?|the)*?n`, `(t|h){2,3}e??`, `(?>t|th)e`, `(?=t)\w+`, `[^a-z&&[^aeiou]]+`, `[a-z&&[^aeiou]]+`,
	`(?i)the|straße`, `(?i:ſ|k)`, `[[a-c][x-z]1-3]+`, `[]a]+`, `[a\-z]`, `[\w-]+`, `\x{e9}|\u00ef|\x41`, `\P{L}+`, `\p{^L}+`, `[\P{L}\d]`,
	`\p{Han}+|\p{Hiragana}|\p{Cyrillic}+|\p{Sc}|\p{Zs}`, `e*`, `(?:)`, `\s|`, `\n|\r\n?`, `[^\S\n]`, `\D\W`, `x{3,}`, `[\x{1F300}-\x{1FAFF}]`,
	`\s?[!-/:-~！-／：-～‘-‟　-。]+`, `[一-龥ࠀ-一가-퟿]+`,
}

// parts are the pieces into which a pattern cuts a text, as Split with Isolated does.
func partsOf(m matcher, text string) [][2]int {
	var out [][2]int
	p := textPiece(text, true)
	split(&p, m, isolated, false, func(q piece) {
		lo, hi := q.original(0, len(q.s))
		out = append(out, [2]int{lo, hi})
	})
	return out
}

// TestPatterns compares the three ways to match: by hand, by our own matcher and by
// regexp2.
func TestPatterns(t *testing.T) {
	loadKinds()
	r := newRandomText(21)
	var texts []string
	for range 3000 {
		texts = append(texts, r.text())
	}
	for _, pattern := range []string{patternGPT2, patternQwen, patternLlama3, patternTekken, patternO200K} {
		own, err := compileRx(pattern)
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		library, err := compileRegexp(pattern)
		if err != nil {
			t.Fatal(err)
		}
		ways := []matcher{own, library}
		if s, ok := scanners[pattern]; ok {
			ways = append(ways, s)
		}
		for _, text := range texts {
			if strings.Contains(text, "'ſ") {
				continue // regexp2 does not know the long s
			}
			want := partsOf(own, text)
			for i, m := range ways {
				if got := partsOf(m, text); !slices.Equal(got, want) {
					t.Errorf("%s, way %d: %q cut at %v, want %v", pattern, i, text, got, want)
				}
			}
		}
	}
}

// TestPeerPatterns compares with Oniguruma, which the tokenizers library uses.
func TestPeerPatterns(t *testing.T) {
	needPeer(t)
	r := newRandomText(22)
	var cases []peerCase
	for range peerTexts(t) / 4 {
		s := r.text()
		for _, p := range patterns {
			cases = append(cases, peerCase{Text: &s, Pattern: p})
		}
	}
	made := map[string]matcher{}
	wrong := map[string]int{}
	for i, a := range askPeer(t, "-", cases) {
		c := cases[i]
		m := made[c.Pattern]
		if m == nil {
			loadKinds()
			var err error
			if m, err = compile(c.Pattern); err != nil {
				t.Fatalf("%s: %v", c.Pattern, err)
			}
			if _, ok := m.(backtracker); ok {
				t.Errorf("%s: our own matcher does not read it", c.Pattern)
			}
			made[c.Pattern] = m
		}
		if got := inCharacters(*c.Text, partsOf(m, *c.Text)); !slices.Equal(got, a.Offsets) {
			if wrong[c.Pattern]++; wrong[c.Pattern] <= 3 {
				t.Errorf("%s: %q cut at %v, want %v", c.Pattern, *c.Text, got, a.Offsets)
			}
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for _, pattern := range []string{`(a`, `a)`, `[a`, `*a`, `a\`, `(?<n`} {
		if _, err := compile(pattern); err == nil || !strings.Contains(err.Error(), "regular expression") {
			t.Errorf("%s: error %v, want one about the regular expression", pattern, err)
		}
	}
	// What our own matcher does not read goes to regexp2.
	m, err := compile(`(a)\1`)
	if err != nil {
		t.Fatal(err)
	}
	if got := partsOf(m, "baab"); !slices.Equal(got, [][2]int{{0, 1}, {1, 3}, {3, 4}}) {
		t.Errorf("(a)\\1 cuts baab at %v", got)
	}
}
