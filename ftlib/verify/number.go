package verify

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

var (
	// A sign counts only where no word or number stands before it.
	numberIn = regexp.MustCompile(`(?:[-+]\s?)?\$?\s?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}\b|\s\d+/\d+|\s?/\s?\d+(?:\.\d+)?)?%?`)

	latexFrac  = regexp.MustCompile(`\\[dtc]?frac\s*\{?\s*(\d+)\s*\}?\s*\{?\s*(\d+)\s*\}?`)
	spacedDash = regexp.MustCompile(`(\d[\d.,]*\s*)-`)
	mixed      = regexp.MustCompile(`^(\d+)\s(\d+)/(\d+)$`)
)

// tidyNumber makes the number literals of a text ones that numberIn finds.
func tidyNumber(s string) string {
	s = strings.NewReplacer(`{,}`, ",", `,\!`, ",", `\!`, "", `\,`, "", `\$`, "$", `\%`, "%", "−", "-", "–", "-", "\u00a0", " ", "\u202f", "", "**", "", "€", "$", "£", "$").Replace(s)
	s = latexFrac.ReplaceAllString(s, " $1/$2 ")
	return spacedDash.ReplaceAllString(s, "$1 ~ ") // 16-3 is no -3
}

// literal is the exact value of one number literal; nil where it is none.
func literal(s string) *big.Rat {
	s = strings.NewReplacer("$", "", ",", "", "%", "").Replace(strings.TrimSpace(s))
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimSpace(strings.TrimLeft(s, "-+ "))
	var r *big.Rat
	if m := mixed.FindStringSubmatch(s); m != nil {
		whole, part := ratio(m[1], "1"), ratio(m[2], m[3])
		if whole == nil || part == nil {
			return nil
		}
		r = whole.Add(whole, part)
	} else if top, bottom, ok := strings.Cut(s, "/"); ok {
		r = ratio(strings.TrimSpace(top), strings.TrimSpace(bottom))
	} else {
		r = ratio(s, "1")
	}
	if r != nil && neg {
		r.Neg(r)
	}
	return r
}

func ratio(top, bottom string) *big.Rat {
	a, b := decimal(top), decimal(bottom)
	if a == nil || b == nil || b.Sign() == 0 {
		return nil
	}
	return a.Quo(a, b)
}

// decimal is the value of digits with a point and an exponent, bounded in size.
func decimal(s string) *big.Rat {
	digits, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	if len(s) > 1000 || strings.Trim(digits, "0123456789.") != "" || strings.Trim(digits, ".") == "" {
		return nil
	}
	if e, err := strconv.Atoi(exponent); exponent != "" && (err != nil || e > 400 || e < -400) {
		return nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	return r
}

// plainText is a text without what does not tell answers apart: case, white space,
// dollars around mathematics, brackets around a choice and a full stop.
func plainText(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(s, "$", "")), " "))
	return strings.Trim(s, " .()")
}
