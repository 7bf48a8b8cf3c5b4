package verify

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a number, a name, a LaTeX command or one sign.
type token struct {
	kind  byte // 'n' number, 'a' name, 's' sign, 0 the end
	text  string
	space bool // white space stands before it
}

var functions = []string{
	"arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sin", "cos", "tan", "cot", "sec", "csc",
	"log", "ln", "lg", "exp", "sqrt", "abs", "frac", "binom", "overline", "pi", "infty", "infinity",
}

var greek = strings.Fields("alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell")

// tokens cuts a tidy formula. A run of letters is a known name, else one word when it
// has four letters or more, else single variables.
func tokens(s string) []token {
	var out []token
	space := false
	add := func(kind byte, text string) {
		out = append(out, token{kind, text, space})
		space = false
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ':
			space = true
			i++
		case digit(c) || c == '.' && i+1 < len(s) && digit(s[i+1]):
			j := i
			for j < len(s) && digit(s[j]) {
				j++
			}
			if j < len(s) && s[j] == '.' && (j+1 == len(s) || s[j+1] != '.') {
				for j++; j < len(s) && digit(s[j]); j++ {
				}
			}
			if k := exponent(s[j:]); k > 0 {
				j += k
			}
			add('n', s[i:j])
			i = j
		case c == '\\':
			j := i + 1
			for j < len(s) && letter(s[j]) {
				j++
			}
			if j == i+1 {
				i++ // a lone backslash
				continue
			}
			name := s[i+1 : j]
			for _, f := range functions { // \cosx, \sqrtx
				if strings.HasPrefix(name, f) && !slices.Contains(greek, name) && len(name) <= len(f)+2 {
					j, name = i+1+len(f), f
					break
				}
			}
			add('a', name)
			i = j
		case letter(c):
			j := i
			for j < len(s) && letter(s[j]) {
				j++
			}
			i = letters(s[i:j], add) + i
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if unicode.IsLetter(r) {
				add('a', s[i:i+size])
			} else {
				add('s', s[i:i+size])
			}
			i += size
		}
	}
	return out
}

// letters cuts the first name off a run of letters and returns its length.
func letters(run string, add func(byte, string)) int {
	for _, f := range functions {
		if strings.HasPrefix(run, f) && f != "lg" && f != "frac" {
			add('a', f)
			return len(f)
		}
	}
	if slices.Contains(greek, run) || len(run) >= 4 {
		for at := 1; at < len(run) && len(run) < 8; at++ { // xsin, asqrt
			for _, f := range functions[:9] {
				if run[at:] == f && at <= 2 {
					add('a', run[:1])
					return 1
				}
			}
			if run[at:] == "sqrt" && at <= 2 {
				add('a', run[:1])
				return 1
			}
		}
		add('a', run)
		return len(run)
	}
	add('a', run[:1])
	return 1
}

// exponent is the length of an E notation's exponent at the start of s.
func exponent(s string) int {
	if len(s) < 2 || s[0] != 'e' && s[0] != 'E' {
		return 0
	}
	j := 1
	if s[j] == '-' || s[j] == '+' {
		j++
	}
	from := j
	for j < len(s) && digit(s[j]) {
		j++
	}
	if j == from || from == 1 && s[0] == 'e' && j < len(s) && letter(s[j]) {
		return 0
	}
	return j
}

func digit(c byte) bool  { return '0' <= c && c <= '9' }
func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
