package verify

import (
	"regexp"
	"slices"
	"strings"
)

var (
	choiceIn     = regexp.MustCompile(`^\W*(?:(?i:option|choice|answer)\s*)?\(?\s*([A-Za-z])\s*(?:[).:]\W*.*)?$`)
	choiceAlone  = regexp.MustCompile(`^\W*([A-J])\W*$`)
	decimalComma = regexp.MustCompile(`^(-?\d+),(\d+)$`)
	withUnit     = regexp.MustCompile(`^(.*?[\d)}])(\s*)((?:per\s+)?[A-Za-z][A-Za-z./ ]*?)(?:\s*\^\s*\{?\d\}?)?$`)
)

// units that have fewer than four letters; longer words are taken for units anyhow.
var units = strings.Fields("cm mm km nm ft in yd mi kg mg lb lbs oz gal qt pt ml mL kL sec min hr hrs day yr yrs mph kph rpm am pm sq cu per deg rad pct usd cents men cup cups bag box egg cow dog cat car hat pen per feet inch")

// Equal says whether two answers mean the same; see the package's comment for what
// that is.
func Equal(reference, answer string) bool { return equal(Math, reference, answer) }

func equal(kind Kind, want, got string) bool {
	want, got = strings.TrimSpace(want), strings.TrimSpace(got)
	if want == "" || got == "" {
		return false
	}
	if want == got {
		return true
	}
	if len(want) > maxAnswer || len(got) > maxAnswer {
		return false
	}
	if h := hendrycks(got); h != "" && (h == hendrycks(want) || h == want) {
		return true
	}
	if c := choice(want); c != "" {
		if m := choiceIn.FindStringSubmatch(unwrap(got)); m != nil {
			return strings.EqualFold(m[1], c)
		}
	}
	c := comparison{}
	if kind == Numeric {
		c.tolerance = 1e-6
	}
	for _, merge := range []bool{true, false} {
		if c.answers(read(want, merge), read(got, merge)) {
			return true
		}
	}
	return c.loosely(want, got)
}

// choice is the letter of a multiple-choice reference: (A), \text{(A)}, A; "" for any
// other.
func choice(s string) string {
	if m := choiceAlone.FindStringSubmatch(unwrap(s)); m != nil {
		return m[1]
	}
	return ""
}

// unwrap takes \text{}, braces and dollars off.
func unwrap(s string) string {
	s = textGroup.ReplaceAllString(s, "$1")
	return strings.TrimSpace(strings.NewReplacer("$", "", "{", "", "}", "", `\ `, " ").Replace(s))
}

// comparison is how closely values have to agree.
type comparison struct {
	tolerance float64 // relative; 0: exactly, as far as arithmetic allows
}

func (c comparison) answers(want, got answer) bool {
	if c.forms(want.form, got.form, 0) {
		return true
	}
	if want.percent == got.percent || want.form.kind != formExpr || got.form.kind != formExpr {
		return false
	}
	hundredth := func(n *node) *node {
		return &node{op: '/', kids: []*node{n, {op: 'n', num: decimal("100")}}}
	}
	if want.percent { // 50 % is 0.5
		return c.exprs(hundredth(want.form.expr), got.form.expr)
	}
	return c.exprs(want.form.expr, hundredth(got.form.expr))
}

// loosely compares what is written in a way that has a second meaning, where the other
// side leaves no doubt: 2,5 for 2.5, and 18 m for 18.
func (c comparison) loosely(want, got string) bool {
	w, _ := tidy(want, true)
	g, _ := tidy(got, true)
	if isNumber(want) {
		if m := decimalComma.FindStringSubmatch(g); m != nil && c.forms(formOf(w, 0), formOf(m[1]+"."+m[2], 0), 0) {
			return true
		}
	}
	w, wUnit := head(w)
	g, gUnit := head(g)
	if wUnit == "" && gUnit == "" || !numeric(w) || !numeric(g) {
		return false
	}
	if (wUnit == "") != (gUnit == "") || isUnit(wUnit) && isUnit(gUnit) {
		return c.forms(formOf(w, 0), formOf(g, 0), 0)
	}
	return false
}

// head is a number without the unit behind it.
func head(s string) (number, unit string) {
	m := withUnit.FindStringSubmatch(s)
	if m == nil || m[2] == "" && !isUnit(m[3]) {
		return s, ""
	}
	return m[1], strings.TrimSpace(m[3])
}

func numeric(s string) bool {
	f := formOf(s, 0)
	if f.kind != formExpr {
		return false
	}
	vars := map[string]bool{}
	f.expr.names(true, vars)
	return len(vars) == 0
}

func isUnit(s string) bool {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '/' || r == '.' })
	for _, w := range words {
		if len(w) < 4 && !slices.Contains(units, w) {
			return false
		}
	}
	return len(words) > 0
}

func (c comparison) forms(a, b *form, depth int) bool {
	if a.kind == b.kind && a.same(b) {
		return true
	}
	if depth > maxNesting {
		return false
	}
	switch {
	case a.kind == formRelation && b.kind == formRelation:
		return c.relations(a, b, depth)
	case a.kind == formRelation:
		return c.solved(a, b, depth)
	case b.kind == formRelation:
		return c.solved(b, a, depth)
	case a.kind == formUnion && b.kind == formList:
		return c.forms(a, b.intervals(), depth+1)
	case a.kind == formList && b.kind == formUnion:
		return c.forms(a.intervals(), b, depth+1)
	case a.kind == formExpr && b.kind == formExpr:
		return c.exprs(a.expr, b.expr)
	case a.kind == formBased || b.kind == formBased:
		return c.based(a, b)
	case a.kind == formText && b.kind == formText:
		return a.text != "" && textTidy.Replace(strings.ToLower(a.text)) == textTidy.Replace(strings.ToLower(b.text)) && textTidy.Replace(a.text) != ""
	case a.kind == formMatrix && b.kind == formMatrix:
		return a.cols == b.cols && c.ordered(a, b, depth)
	case a.kind == formTuple && b.kind == formTuple:
		return a.open == b.open && a.close == b.close && c.ordered(a, b, depth)
	case a.kind == formTuple && b.kind == formList, a.kind == formList && b.kind == formTuple:
		return a.open+b.open == "(" && a.close+b.close == ")" && c.ordered(a, b, depth)
	case a.kind == formRatio && b.kind == formRatio:
		return c.ordered(a, b, depth)
	case a.unordered() && b.unordered():
		return c.unordered(a, b, depth)
	case a.kind == formSet && len(a.items) == 1:
		return c.forms(a.items[0], b, depth+1)
	case b.kind == formSet && len(b.items) == 1:
		return c.forms(a, b.items[0], depth+1)
	}
	return false
}

// same says that two forms are written alike, but for white space and needless braces.
func (f *form) same(g *form) bool {
	a, b := strings.ReplaceAll(f.text, " ", ""), strings.ReplaceAll(g.text, " ", "")
	return a == b && a != "" && f.base == g.base
}

func (f *form) unordered() bool {
	return f.kind == formList || f.kind == formSet || f.kind == formUnion
}

func (c comparison) ordered(a, b *form, depth int) bool {
	if len(a.items) != len(b.items) {
		return false
	}
	for i := range a.items {
		if !c.forms(a.items[i], b.items[i], depth+1) {
			return false
		}
	}
	return true
}

// unordered compares as sets: order and repetition do not count.
func (c comparison) unordered(a, b *form, depth int) bool {
	within := func(a, b *form) bool {
		for _, x := range a.items {
			if !slices.ContainsFunc(b.items, func(y *form) bool { return c.forms(x, y, depth+1) }) {
				return false
			}
		}
		return true
	}
	return len(a.items) > 0 == (len(b.items) > 0) && within(a, b) && within(b, a)
}

// based compares numbers written in a base: digits and base, or, where both say their
// base, values. A number without one is taken to be in the other's.
func (c comparison) based(a, b *form) bool {
	if a.kind != formBased {
		a, b = b, a
	}
	digits := func(s string) string { return strings.TrimLeft(strings.ToLower(strings.ReplaceAll(s, " ", "")), "0") }
	if b.kind != formBased {
		return digits(a.text) == digits(b.text)
	}
	if a.base == b.base {
		return digits(a.text) == digits(b.text)
	}
	x, okX := inBase(a.text, a.base)
	y, okY := inBase(b.text, b.base)
	return okX && okY && x.Cmp(y) == 0
}
