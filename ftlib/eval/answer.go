package eval

import (
	"math/big"
	"regexp"
	"strings"
	"unicode"
)

var (
	saysAnswer = regexp.MustCompile(`(?i)\b(?:the\s+)?(?:final\s+)?answer\s*(?:is|:|=)\s*:?\s*([^\n]+)`)
	numberIn   = regexp.MustCompile(`[-+]?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?`)
	fraction   = regexp.MustCompile(`^(-?)\\[dt]?frac\{?(\d+)\}?\{?(\d+)\}?$`)
)

// FinalAnswer is the answer that a solution comes to: what stands after the last
// "####" on its line, else in the last \boxed{}, else behind the last "the answer is".
// Without any of these it is the whole text, and ok is false.
func FinalAnswer(text string) (answer string, ok bool) {
	if i := strings.LastIndex(text, "####"); i >= 0 {
		line, _, _ := strings.Cut(strings.TrimLeft(text[i+4:], " \t"), "\n")
		return strings.TrimSpace(line), true
	}
	if i := strings.LastIndex(text, `\boxed{`); i >= 0 {
		if inner, closed := braced(text[i+len(`\boxed{`):]); closed {
			return strings.TrimSpace(inner), true
		}
	}
	if all := saysAnswer.FindAllStringSubmatch(text, -1); all != nil {
		a := strings.TrimSpace(all[len(all)-1][1])
		return strings.TrimRight(a, ". "), true
	}
	return strings.TrimSpace(text), false
}

// braced is text up to the brace that closes the one before it.
func braced(text string) (string, bool) {
	depth := 1
	for i, r := range text {
		switch r {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return text[:i], true
			}
		}
	}
	return text, false
}

// Same reports whether two answers mean the same: equal as exact numbers ("1,000",
// "$1000.00" and "1000"; "1/2", "0.5" and \frac{1}{2}), or equal as text without
// regard to case, white space, a final full stop and the dollars around mathematics.
func Same(a, b string) bool {
	x, y := number(a), number(b)
	if x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	return plain(a) == plain(b)
}

// number is the exact value of text that is one number; nil for any other.
func number(s string) *big.Rat {
	s = strings.Trim(strings.TrimSpace(s), "$. ")
	s = strings.ReplaceAll(strings.ReplaceAll(s, `\$`, ""), `\%`, "%")
	if m := fraction.FindStringSubmatch(strings.ReplaceAll(s, " ", "")); m != nil {
		s = m[1] + m[2] + "/" + m[3]
	}
	s = strings.TrimSuffix(s, "%") // a reference says 50 where an answer says 50%
	s = strings.NewReplacer(",", "", "$", "", "−", "-").Replace(s)
	if s == "" || !strings.ContainsAny(s, "0123456789") || strings.ContainsAny(s, "eExXpP_ ") || len(s) > 100 {
		return nil
	}
	if _, denominator, ok := strings.Cut(s, "/"); ok && strings.Trim(denominator, "0") == "" {
		return nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	return r
}

func plain(s string) string {
	s = strings.Trim(strings.TrimSpace(s), "$")
	s = strings.TrimRight(s, ".")
	return strings.ToLower(strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " "))
}

// Right reports whether generated text comes to the reference answer. Where the
// reference is a number and the text does not say which of its numbers is the
// answer, the last one counts.
func Right(text, reference string) bool {
	want, _ := FinalAnswer(reference)
	got, said := FinalAnswer(text)
	if Same(got, want) {
		return true
	}
	if number(want) == nil {
		return false
	}
	if said { // "18 dollars", "x = 18"
		if all := numberIn.FindAllString(got, -1); len(all) == 1 {
			return Same(all[0], want)
		}
		return false
	}
	all := numberIn.FindAllString(text, -1)
	return len(all) > 0 && Same(all[len(all)-1], want)
}
