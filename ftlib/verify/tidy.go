package verify

import (
	"regexp"
	"strings"
)

// Brackets of LaTeX commands become single runes, so that they nest like any other.
const (
	setOpen, setClose     = "⦃", "⦄"
	angleOpen, angleClose = "⟨", "⟩"
	floorOpen, floorClose = "⌊", "⌋"
	ceilOpen, ceilClose   = "⌈", "⌉"
)

var (
	symbols = strings.NewReplacer(
		`\left.`, "", `\right.`, "", `\left`, "", `\right`, "",
		`\bigl`, "", `\bigr`, "", `\Bigl`, "", `\Bigr`, "", `\bigg`, "", `\Bigg`, "", `\big`, "", `\Big`, "",
		`\displaystyle`, "", `\textstyle`, "", `\limits`, "", `\nolimits`, "",
		`\dfrac`, `\frac`, `\tfrac`, `\frac`, `\cfrac`, `\frac`, `\dbinom`, `\binom`, `\tbinom`, `\binom`,
		`{,}`, ",", `\!`, "", `\%`, "%", `\$`, "", `$`, "", `\(`, "", `\)`, "", `\[`, "", `\]`, "",
		`\{`, setOpen, `\}`, setClose, `\lbrace`, setOpen, `\rbrace`, setClose,
		`\langle`, angleOpen, `\rangle`, angleClose, `\lfloor`, floorOpen, `\rfloor`, floorClose,
		`\lceil`, ceilOpen, `\rceil`, ceilClose, `\lvert`, "|", `\rvert`, "|", `\vert`, "|", `\mid`, "|",
		`\lbrack`, "[", `\rbrack`, "]", `\lparen`, "(", `\rparen`, ")",
		`^{\circ}`, " ", `^\circ`, " ", `^{\circ }`, " ", `\circ`, " ", `\degrees`, " ", `\degree`, " ", "°", " ",
		`\quad`, " ", `\qquad`, " ", `\;`, " ", `\:`, " ", `\,`, " ", `\ `, " ", `~`, " ", "\u00a0", " ", "\u2009", " ", "\u202f", " ",
		`\leqslant`, "≤", `\geqslant`, "≥", `\leq`, "≤", `\geq`, "≥", `\neq`, "≠", `\ne `, "≠", `\le `, "≤", `\ge `, "≥", `\le\`, `≤\`, `\ge\`, `≥\`,
		`\lt`, "<", `\gt`, ">", "<=", "≤", ">=", "≥", "!=", "≠", `\approx`, "≈", `\equiv`, "≡",
		`\infty`, "∞", `\infinity`, "∞", `\emptyset`, "∅", `\varnothing`, "∅", `\cup`, "∪", `\bigcup`, "∪", `\cap`, "∩", `\setminus`, "∖",
		`\cdots`, "…", `\ldots`, "…", `\dots`, "…", `\cdot`, "*", `\times`, "*", `\ast`, "*", "×", "*", "·", "*", "⋅", "*", "**", "^", `\div`, "/", "÷", "/",
		`\pm`, "±", `\mp`, "∓", `\in `, "∈", `\in\`, `∈\`, "−", "-", "–", "-", "—", "-", "π", `\pi `, "√", `\sqrt `, "²", "^2", "³", "^3",
		"½", `\frac{1}{2}`, "¼", `\frac{1}{4}`, "¾", `\frac{3}{4}`, "€", "", "£", "", "¥", "", "’", "'", `\colon`, ":", `\prime`, "'",
	)
	textGroup  = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|textnormal|textsf|texttt|mbox|hbox|mathrm|mathbf|mathit|mathbb|mathcal|mathsf|boldsymbol|operatorname|emph|bf|rm)\s*\*?\s*\{([^{}]*)\}`)
	bareFont   = regexp.MustCompile(`\\(?:rm|bf|it|mathrm|mathbf|boldsymbol|text)\b`)
	unitPower  = regexp.MustCompile(`^\s*\^\s*(?:\{\s*[-+]?\d\s*\}|\d)`)
	grouped    = regexp.MustCompile(`(^|[^\d.,])(\d{1,3}(?:,\d{3})+)($|[^\d,]|,[^\d])`)
	spaced     = regexp.MustCompile(`(^|[^\d.,])(\d{1,3}(?:[ ]\d{3})+)($|[^\d])`)
	thinComma  = regexp.MustCompile(`\s*,\s*\\!\s*`)
	boxedGroup = regexp.MustCompile(`\\(?:boxed|fbox)\s*`)
	anyDigit   = regexp.MustCompile(`[0-9]|\\pi|\\frac|\\sqrt`)
	andOr      = regexp.MustCompile(`(?i)\s(?:and|or)\s`)
	times10    = regexp.MustCompile(`(\d)\s*(?:million|billion|trillion|thousand)s?\b`)
)

// tidy removes what does not change an answer. percent says that it had a percent sign.
func tidy(s string, merge bool) (out string, percent bool) {
	s = strings.TrimSpace(s)
	s = boxedGroup.ReplaceAllString(s, "")
	s = thinComma.ReplaceAllString(strings.ReplaceAll(s, `\\%`, "%"), ",")
	s = strings.ReplaceAll(s, `\\`, "\uE000") // rows of matrices, before "\ "
	s = symbols.Replace(s)
	s = texts(s)
	s = bareFont.ReplaceAllString(s, "")
	s = times10.ReplaceAllStringFunc(s, func(m string) string {
		zeros := map[string]string{"thousand": "3", "million": "6", "billion": "9", "trillion": "12"}
		word := strings.TrimRight(strings.TrimLeft(m, "0123456789 "), "s")
		return m[:1] + "*10^{" + zeros[word] + "}"
	})
	percent = strings.Contains(s, "%")
	s = strings.ReplaceAll(s, "%", " ")
	s = strings.Join(strings.Fields(s), " ")
	s = strings.TrimRight(s, " .,;:")
	if merge {
		for range 3 { // groups that touch share their border
			s = grouped.ReplaceAllStringFunc(s, func(m string) string {
				p := grouped.FindStringSubmatch(m)
				return p[1] + strings.ReplaceAll(p[2], ",", "") + p[3]
			})
		}
		s = spaced.ReplaceAllStringFunc(s, func(m string) string {
			p := spaced.FindStringSubmatch(m)
			return p[1] + strings.ReplaceAll(p[2], " ", "") + p[3]
		})
	}
	return s, percent
}

const letters26 = "abcdefghijklmnopqrstuvwxyz"

// texts unwraps \text{}: behind a number it is a unit and goes.
func texts(s string) string {
	for range 64 {
		at := textGroup.FindStringSubmatchIndex(s)
		if at == nil {
			return s
		}
		before, inner, after := s[:at[0]], s[at[2]:at[3]], s[at[1]:]
		word := strings.ToLower(strings.Trim(strings.TrimSpace(inner), "."))
		switch {
		case word == "and" || word == "or" || word == ",":
			s = before + " , " + after
		case word == "million" || word == "billion" || word == "trillion" || word == "thousand":
			s = before + " " + word + " " + after
		case strings.ContainsAny(word, "0123456789()=+") || !strings.ContainsAny(word, letters26):
			s = before + " " + inner + " " + after
		case strings.HasSuffix(strings.TrimRight(before, " "), "_"), strings.HasSuffix(strings.TrimRight(before, " "), "_{"):
			s = before + strings.ReplaceAll(inner, " ", "") + after // a subscript
		case anyDigit.MatchString(before) && !strings.ContainsAny(last(strings.TrimRight(before, " ")), ",=(+-*/"+setOpen) && word != "i" && len(word) > 0 && !andOr.MatchString(" "+word+" "):
			if m := unitPower.FindString(after); m != "" {
				after = after[len(m):]
			}
			s = before + " " + after
		case strings.TrimSpace(before) == "" && strings.TrimSpace(after) == "":
			return inner
		default:
			s = before + " " + inner + " " + after
		}
	}
	return s
}

// last is the last byte of a string, as a string.
func last(s string) string {
	if s == "" {
		return " "
	}
	return s[len(s)-1:]
}
