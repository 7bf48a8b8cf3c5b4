package verify

import (
	"regexp"
	"strings"
)

// formKind is the outer shape of an answer.
type formKind byte

const (
	formText     formKind = iota // no mathematics, or none that is understood
	formExpr                     // a value or an expression
	formList                     // a, b: in any order
	formTuple                    // (a, b), [a, b), ⟨a, b⟩: points, vectors, intervals
	formSet                      // {a, b}
	formUnion                    // A ∪ B
	formMatrix                   // rows of equal length
	formRelation                 // a = b, a < b < c
	formBased                    // 1011_2
	formRatio                    // a:b
)

// form is an answer as it was understood.
type form struct {
	kind        formKind
	text        string   // the tidy source
	open, close string   // of tuples
	items       []*form  // of all that have parts; of matrices row by row
	rels        []string // between the items of relations
	cols        int      // of matrices
	expr        *node    // of formExpr
	base        string   // of formBased; items are none, text the digits
}

const (
	maxNesting = 12
	maxItems   = 100
)

// answer is a form with what tidying took away.
type answer struct {
	form    *form
	percent bool
}

// read understands an answer. merge says that 1,234 is one number.
func read(s string, merge bool) answer {
	if len(s) > maxAnswer {
		return answer{form: &form{text: s}}
	}
	t, percent := tidy(s, merge)
	return answer{formOf(t, 0), percent}
}

var (
	basedIn   = regexp.MustCompile(`^(-?[0-9][0-9A-Fa-f]*)\s*_\s*(?:\{\s*(\w+)\s*\}|(\d+))$`)
	matrixIn  = regexp.MustCompile(`^\\begin\{([a-zA-Z]*matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{([a-zA-Z]*matrix|array)\}$`)
	onlyWord  = regexp.MustCompile(`^[A-Za-z]{3,}$`)
	wordInAnd = regexp.MustCompile(`\b(?:and|or)\b`)
	textTidy  = strings.NewReplacer(" ", "", ".", "", "(", "", ")", "", "'", "", "\"", "")
)

func formOf(s string, depth int) *form {
	s = strings.TrimSpace(s)
	f := &form{text: s}
	if s == "" || depth > maxNesting {
		return f
	}
	if inner, ok := enclosed(s, "{", "}"); ok {
		return formOf(inner, depth+1)
	}
	if m := matrixIn.FindStringSubmatch(s); m != nil && !strings.Contains(m[2], `\begin`) {
		return f.matrix(m[2], depth)
	}
	if m := basedIn.FindStringSubmatch(s); m != nil {
		f.kind, f.text, f.base = formBased, m[1], m[2]+m[3]
		if b, ok := map[string]string{"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}[f.base]; ok {
			f.base = b
		}
		return f
	}
	if parts, _ := split(s, ",", ";"); len(parts) > 1 {
		return f.of(formList, parts, depth)
	}
	if wordInAnd.MatchString(s) && len(s) < 300 {
		return f.of(formList, wordInAnd.Split(s, -1), depth)
	}
	if parts, signs := split(s, "=", "<", ">", "≤", "≥", "≠", "≈", "∈"); len(parts) > 1 {
		if signs[0] == "∈" && len(parts) == 2 {
			return formOf(parts[1], depth+1)
		}
		f.rels = signs
		return f.of(formRelation, parts, depth)
	}
	if parts, _ := split(s, "∪", "\\bigcup"); len(parts) > 1 {
		return f.of(formUnion, parts, depth)
	}
	if parts := strings.Split(s, " U "); len(parts) > 1 {
		return f.of(formUnion, parts, depth)
	}
	if inner, ok := enclosed(s, setOpen, setClose); ok {
		if parts, _ := split(inner, "|", ":"); len(parts) == 2 && !strings.Contains(inner[:1], "|") { // {x | x > 3}
			return formOf(parts[1], depth+1)
		}
		parts, _ := split(inner, ",", ";")
		if strings.TrimSpace(inner) == "" {
			f.text, parts = "∅", nil
		}
		return f.of(formSet, parts, depth)
	}
	if s == "∅" {
		f.kind = formSet
		return f
	}
	for _, b := range []string{"()", "[]", "(]", "[)", angleOpen + angleClose} {
		r := []rune(b)
		inner, ok := enclosed(s, string(r[0]), string(r[1]))
		if !ok {
			continue
		}
		if parts, _ := split(inner, ",", ";"); len(parts) > 1 {
			f.open, f.close = string(r[0]), string(r[1])
			if f.open == angleOpen {
				f.open, f.close = "(", ")"
			}
			return f.of(formTuple, parts, depth)
		}
		if b == "()" || b == "[]" {
			if g := formOf(inner, depth+1); g.kind != formText && g.kind != formExpr {
				return g
			}
		}
	}
	if parts, _ := split(s, ":"); len(parts) > 1 && !strings.Contains(s, "|") {
		return f.of(formRatio, parts, depth)
	}
	return f.leaf()
}

// leaf is a form without parts.
func (f *form) leaf() *form {
	if onlyWord.MatchString(f.text) && !strings.Contains(" pi infinity ", " "+f.text+" ") {
		return f
	}
	if strings.Contains(f.text, "±") {
		a, b := parse(f.text, 1), parse(f.text, -1)
		if a != nil && b != nil {
			f.kind = formList
			f.items = []*form{{kind: formExpr, text: f.text, expr: a}, {kind: formExpr, text: f.text, expr: b}}
		}
		return f
	}
	n := parse(f.text, 1)
	if n == nil {
		return f
	}
	words := map[string]bool{}
	n.words(words)
	if len(words) > 0 && !n.hasNumber() {
		return f // a name, a phrase
	}
	f.kind, f.expr = formExpr, n
	return f
}

func (f *form) of(kind formKind, parts []string, depth int) *form {
	if len(parts) > maxItems {
		return f
	}
	f.kind = kind
	for _, p := range parts {
		if strings.TrimSpace(p) == "" && kind == formList {
			continue
		}
		f.items = append(f.items, formOf(p, depth+1))
	}
	if kind == formList && len(f.items) == 1 {
		return f.items[0]
	}
	return f
}

// matrix reads the rows of a matrix; tidy wrote \\ as U+E000.
func (f *form) matrix(body string, depth int) *form {
	rows := strings.Split(strings.Trim(strings.TrimSpace(body), "\uE000 "), "\uE000")
	for i, row := range rows {
		cells := strings.Split(strings.ReplaceAll(row, `\hline`, ""), "&")
		if i > 0 && len(cells) != f.cols || len(f.items)+len(cells) > maxItems {
			return &form{text: f.text}
		}
		f.cols = len(cells)
		for _, c := range cells {
			f.items = append(f.items, formOf(c, depth+1))
		}
	}
	f.kind = formMatrix
	return f
}

const openers, closers = "([{" + setOpen + angleOpen + floorOpen + ceilOpen, ")]}" + setClose + angleClose + floorClose + ceilClose

// split cuts s at these signs outside of brackets and says which they were.
func split(s string, at ...string) (parts, signs []string) {
	depth, from := 0, 0
	for i, r := range s {
		if i < from {
			continue
		}
		switch {
		case strings.ContainsRune(openers, r):
			depth++
		case strings.ContainsRune(closers, r):
			depth--
		case depth == 0:
			for _, sign := range at {
				if strings.HasPrefix(s[i:], sign) {
					parts, signs = append(parts, s[from:i]), append(signs, sign)
					from = i + len(sign)
					break
				}
			}
		}
	}
	return append(parts, s[from:]), signs
}

// enclosed is what stands between a bracket at the start and its partner at the end.
func enclosed(s, open, end string) (string, bool) {
	inner, ok := strings.CutPrefix(s, open)
	if !ok {
		return "", false
	}
	if inner, ok = strings.CutSuffix(inner, end); !ok {
		return "", false
	}
	depth := 0
	for _, r := range inner {
		switch {
		case strings.ContainsRune(openers, r):
			depth++
		case strings.ContainsRune(closers, r):
			if depth--; depth < 0 {
				return "", false
			}
		}
	}
	return inner, depth == 0
}

func (n *node) words(into map[string]bool) {
	if n.op == 'w' {
		into[n.name] = true
	}
	for _, k := range n.kids {
		k.words(into)
	}
}

func (n *node) hasNumber() bool {
	if n.op == 'n' || n.op == 'c' && n.name == "pi" {
		return true
	}
	for _, k := range n.kids {
		if k.hasNumber() {
			return true
		}
	}
	return false
}

// words counts the words of an expression: a formula has none.
func (f *form) words() int {
	into := map[string]bool{}
	if f.expr != nil {
		f.expr.words(into)
	}
	for _, i := range f.items {
		if i.kind == formText {
			return 1
		}
		if i.words() > 0 {
			return 1
		}
	}
	return len(into)
}
