package token

import "unicode/utf8"

// Patterns with a hand-written scanner, by their exact text.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternQwen   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanners by pattern.
var scanners = map[string]scanner{
	patternGPT2:   scanGPT2,
	patternQwen:   func(s string, at int) int { return scanCL100K(s, at, 1) },
	patternLlama3: func(s string, at int) int { return scanCL100K(s, at, 3) },
}

// runeAt is the character at s[at:], what it is, and where it ends. At the end of
// the text the kind is 0 and the end is at.
func runeAt(s string, at int) (r rune, kind uint8, end int) {
	if at >= len(s) {
		return -1, 0, at
	}
	if b := s[at]; b < utf8.RuneSelf {
		return rune(b), kindsTable[b], at + 1
	}
	r, n := utf8.DecodeRuneInString(s[at:])
	return r, kindOf(r), at + n
}

// run is the end of the longest stretch of characters of the kind from at on.
func run(s string, at int, kind uint8) int {
	for at < len(s) {
		_, k, end := runeAt(s, at)
		if k&kind == 0 {
			return at
		}
		at = end
	}
	return at
}

// others is the end of [^\s\p{L}\p{N}]* from at on.
func others(s string, at int) int {
	for at < len(s) {
		_, k, end := runeAt(s, at)
		if k&(isWhite|isLetter|isNumber) != 0 {
			return at
		}
		at = end
	}
	return at
}

// contraction is the end of 's 't 're 've 'm 'll 'd at s[at:], or at.
func contraction(s string, at int, anyCase bool) int {
	if at+1 >= len(s) || s[at] != '\'' {
		return at
	}
	fold := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		if anyCase && 'A' <= s[i] && s[i] <= 'Z' {
			return s[i] + 'a' - 'A'
		}
		return s[i]
	}
	switch c, d := fold(at+1), fold(at+2); {
	case c == 's', c == 't', c == 'm', c == 'd':
		return at + 2
	case c == 'r' && d == 'e', c == 'v' && d == 'e', c == 'l' && d == 'l':
		return at + 3
	case anyCase && c == 0xC5 && d == 0xBF: // the long s, which folds to s
		return at + 3
	}
	return at
}

// spaces is the end of \s+(?!\S)|\s+ at s[at:], where a space is known to begin:
// all of the run at the end of the text, else all but its last character, else it.
func spaces(s string, at int) int {
	last, i := at, at
	for i < len(s) {
		_, k, end := runeAt(s, i)
		if k&isWhite == 0 {
			break
		}
		last, i = i, end
	}
	if i == len(s) || last == at {
		return i
	}
	return last
}

func scanGPT2(s string, at int) int {
	if end := contraction(s, at, false); end > at {
		return end
	}
	body := at
	if s[at] == ' ' {
		body = at + 1
	}
	_, k, end := runeAt(s, body)
	switch {
	case k&isLetter != 0:
		return run(s, end, isLetter)
	case k&isNumber != 0:
		return run(s, end, isNumber)
	case k&isWhite == 0 && end > body:
		return others(s, end)
	}
	return spaces(s, at)
}

// scanCL100K is the pattern of cl100k with numbers of at most digits characters.
func scanCL100K(s string, at, digits int) int {
	if end := contraction(s, at, true); end > at {
		return end
	}
	r, k, end := runeAt(s, at)
	// [^\r\n\p{L}\p{N}]?\p{L}+
	if k&isLetter != 0 {
		return run(s, end, isLetter)
	}
	if k&isNumber == 0 && r != '\r' && r != '\n' {
		if _, k2, end2 := runeAt(s, end); k2&isLetter != 0 {
			return run(s, end2, isLetter)
		}
	}
	// \p{N}{1,digits}
	if k&isNumber != 0 {
		for range digits - 1 {
			_, k, e := runeAt(s, end)
			if k&isNumber == 0 {
				break
			}
			end = e
		}
		return end
	}
	// ` ?[^\s\p{L}\p{N}]+[\r\n]*`
	body := at
	if r == ' ' {
		body = at + 1
	}
	if end := others(s, body); end > body {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
			end++
		}
		return end
	}
	// \s*[\r\n]+: the run of spaces up to its last line end
	lineEnd := -1
	for i := at; i < len(s); {
		r, k, end := runeAt(s, i)
		if k&isWhite == 0 {
			break
		}
		i = end
		if r == '\r' || r == '\n' {
			lineEnd = i
		}
	}
	if lineEnd > 0 {
		return lineEnd
	}
	return spaces(s, at)
}
