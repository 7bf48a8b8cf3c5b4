package llm

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// pieces feeds text in pieces and joins what comes out.
func pieces(f *textFlow, parts []string) (out string, found bool) {
	for _, p := range parts {
		text, hit := f.take(p, false)
		out += text
		if hit {
			return out, true
		}
	}
	text, hit := f.take("", true)
	return out + text, hit
}

func TestStopStrings(t *testing.T) {
	for _, c := range []struct {
		parts []string
		stops []string
		want  string
		found bool
	}{
		{[]string{"a", "b"}, nil, "ab", false},
		{[]string{"one\n", "\ntwo"}, []string{"\n\n"}, "one", true},
		{[]string{"Hi ##", "# Hu", "man: x"}, []string{"### Human:"}, "Hi ", true},
		{[]string{"Hi ##", "# Hugo"}, []string{"### Human:"}, "Hi ### Hugo", false},
		{[]string{"Hi ##"}, []string{"###"}, "Hi ##", false},
		{[]string{"aab", "aabc"}, []string{"aabc"}, "aab", true},
		{[]string{"x END y STOP"}, []string{"STOP", "END"}, "x ", true},
		{[]string{"ä", "ö"}, []string{"ö"}, "ä", true},
	} {
		if got, found := pieces(&textFlow{stops: c.stops}, c.parts); got != c.want || found != c.found {
			t.Errorf("%q until %q: %q %v, want %q %v", c.parts, c.stops, got, found, c.want, c.found)
		}
	}
}

// TestStopStringsNeverLeak cuts random texts at random places.
func TestStopStringsNeverLeak(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	letters := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte("ab"[rng.IntN(2)])
		}
		return b.String()
	}
	for range 5000 {
		text, stop := letters(1+rng.IntN(20)), letters(1+rng.IntN(5))
		var parts []string
		for rest := text; rest != ""; {
			n := 1 + rng.IntN(len(rest))
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		want, _, cut := strings.Cut(text, stop)
		got, found := pieces(&textFlow{stops: []string{stop}}, parts)
		if got != want || found != cut {
			t.Fatalf("%q until %q: %q %v, want %q %v", parts, stop, got, found, want, cut)
		}
	}
}
