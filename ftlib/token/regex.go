package token

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/dlclark/regexp2"
)

// compile makes a matcher of a regular expression in the syntax of Oniguruma: a
// hand-written scanner where there is one for this very text, our own matcher where
// it knows the syntax, regexp2 otherwise.
func compile(pattern string) (matcher, error) {
	loadKinds()
	if s, ok := scanners[pattern]; ok {
		return s, nil
	}
	if m, err := compileRx(pattern); err == nil {
		return m, nil
	}
	return compileRegexp(pattern)
}

// compileRegexp makes a matcher with regexp2.
func compileRegexp(pattern string) (matcher, error) {
	re, err := regexp2.Compile(translate(pattern), regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", pattern, err)
	}
	return backtracker{re}, nil
}

// backtracker is a regexp2 expression.
type backtracker struct{ re *regexp2.Regexp }

func (m backtracker) find(s string, yield func(lo, hi int)) {
	runes := []rune(s)
	at, byteAt := 0, 0
	to := func(i int) int {
		for ; at < i; at++ {
			byteAt += runeLen(runes[at])
		}
		return byteAt
	}
	match, err := m.re.FindRunesMatch(runes)
	for match != nil && err == nil {
		lo := to(match.Index)
		yield(lo, to(match.Index+match.Length))
		match, err = m.re.FindNextMatch(match)
	}
}

// whiteSpace is \s for the inside of a character class.
const whiteSpace = `\t-\r \x85\xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000`

// properties are the classes whose Go edition differs from the peer's.
var properties = map[string]*class{
	"L": letters, "N": numbers, "M": marks, "Lu": uppers, "Ll": lowers, "Lt": titles, "Lm": modifiers,
	"Lo": otherLetters, "Nd": digits, "P": punctuation, "S": symbols, "Han": han,
}

// translate turns the classes of Oniguruma into those of regexp2: the same names,
// and the characters that Go's edition of Unicode does not have yet.
func translate(pattern string) string {
	var out strings.Builder
	inClass := 0
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '[':
			inClass++
		case c == ']' && inClass > 0:
			inClass--
		case c == '\\' && i+1 < len(pattern):
			body, n, negative := classBody(pattern[i:])
			i += n - 1
			switch {
			case body == "":
				out.WriteString(pattern[i-n+1 : i+1])
			case inClass > 0 && !negative:
				out.WriteString(body)
			case inClass > 0:
				out.WriteString(pattern[i-n+1 : i+1])
			case negative:
				out.WriteString("[^" + body + "]")
			default:
				out.WriteString("[" + body + "]")
			}
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// classBody is what stands for the escape at the start of p inside a character
// class, or "" where regexp2 means the same; n is the length of the escape.
func classBody(p string) (body string, n int, negative bool) {
	switch p[1] {
	case 's', 'S':
		return whiteSpace, 2, p[1] == 'S'
	case 'd', 'D':
		return `\p{Nd}` + missing(digits, unicode.Nd), 2, p[1] == 'D'
	case 'p', 'P':
		end := strings.IndexByte(p, '}')
		if len(p) < 4 || p[2] != '{' || end < 0 {
			return "", 2, false
		}
		name := strings.TrimPrefix(p[3:end], "^")
		c, ok := properties[name]
		if !ok {
			return "", end + 1, false
		}
		table := unicode.Categories[name]
		if table == nil {
			table = unicode.Scripts[name]
		}
		negative = (p[1] == 'P') != (p[3] == '^')
		return `\p{` + name + `}` + missing(c, table), end + 1, negative
	}
	return "", 2, false
}

// missing are the ranges of c that Go's table lacks.
func missing(c *class, have *unicode.RangeTable) string {
	var out strings.Builder
	add := func(lo, hi rune) {
		from := rune(-1)
		for r := lo; r <= hi+1; r++ {
			if r <= hi && !unicode.Is(have, r) {
				if from < 0 {
					from = r
				}
			} else if from >= 0 {
				fmt.Fprintf(&out, "%c-%c", from, r-1)
				from = -1
			}
		}
	}
	for _, r := range c.load().R16 {
		add(rune(r.Lo), rune(r.Hi))
	}
	for _, r := range c.load().R32 {
		add(rune(r.Lo), rune(r.Hi))
	}
	return out.String()
}

func runeLen(r rune) int {
	switch {
	case r < 0x80:
		return 1
	case r < 0x800:
		return 2
	case r < 0x10000:
		return 3
	}
	return 4
}
