package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

func upper(s string) string {
	if ascii(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func lower(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// titled is a letter as it begins a word: ß becomes Ss, ǆ becomes ǅ.
func titled(r rune) string {
	if t := unicode.ToTitle(r); t != unicode.ToUpper(r) {
		return string(t)
	}
	up := upper(string(r))
	first, n := utf8.DecodeRuneInString(up)
	if n < len(up) && unicode.IsUpper(first) {
		return string(first) + lower(up[n:])
	}
	return up
}

// capitalize is Python's str.capitalize: the first letter in title case, the rest lower.
func capitalize(s string) string {
	if s == "" {
		return s
	}
	_, n := utf8.DecodeRuneInString(s)
	// The whole is lowered, so that a final sigma sees the letters before it.
	return titled([]rune(s)[0]) + strings.TrimPrefix(lower(s), lower(s[:n]))
}

func hasCase(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) }

// title is Python's str.title: letters with case after one such are lower, others title.
func title(s string) string {
	var b strings.Builder
	runes := []rune(s)
	after := false
	for i, r := range runes {
		switch {
		case !hasCase(r):
			b.WriteRune(r)
		case after && r == 'Σ' && (i+1 == len(runes) || !hasCase(runes[i+1])):
			b.WriteRune('ς')
		case after:
			b.WriteString(lower(string(r)))
		default:
			b.WriteString(titled(r))
		}
		after = hasCase(r)
	}
	return b.String()
}

func swapcase(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsUpper(r):
			b.WriteString(lower(string(r)))
		case unicode.IsLower(r):
			b.WriteString(upper(string(r)))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func every(s string, ok func(r rune) bool) bool {
	for _, r := range s {
		if !ok(r) {
			return false
		}
	}
	return s != ""
}

// cased says that the string has letters with case, all of them as wanted.
func cased(s string, wanted, other func(r rune) bool) bool {
	any := false
	for _, r := range s {
		if other(r) || unicode.IsTitle(r) {
			return false
		}
		any = any || wanted(r)
	}
	return any
}
