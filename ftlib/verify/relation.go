package verify

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// inBase is the value of digits in a base.
func inBase(digits, base string) (*big.Int, bool) {
	b, err := strconv.Atoi(base)
	if err != nil || b < 2 || b > 36 || len(digits) > 1000 {
		return nil, false
	}
	return new(big.Int).SetString(digits, b)
}

// isVariable says that a form is one name: x, f(x), or a word.
func (f *form) isVariable() bool {
	if f.kind == formText {
		return true
	}
	if f.kind != formExpr {
		return false
	}
	n := f.expr
	if n.op == '*' && n.kids[0].op == 'v' && (n.kids[1].op == 'v' || n.kids[1].op == 'c') { // f(x), AB
		return true
	}
	return n.op == 'v' || n.op == 'w' || n.op == 'c' && n.name == "i"
}

// solved compares a relation with an answer that is none: x = 5 with 5, 0 < x < 1 with
// the interval (0,1).
func (c comparison) solved(rel, other *form, depth int) bool {
	if slices.Contains(rel.rels, "≈") {
		return slices.ContainsFunc(rel.items, func(i *form) bool { return !i.isVariable() && c.forms(i, other, depth+1) })
	}
	first, last := rel.items[0], rel.items[len(rel.items)-1]
	if rel.all("=") {
		if last.isVariable() && !first.isVariable() && other.kind != formText {
			return c.forms(first, other, depth+1)
		}
		return c.forms(last, other, depth+1)
	}
	if other.kind == formTuple || other.kind == formUnion {
		if _, interval := rel.interval(); interval != nil {
			return c.forms(interval, other, depth+1)
		}
	}
	return false
}

// all says that one sign stands between all items.
func (f *form) all(sign string) bool {
	return !slices.ContainsFunc(f.rels, func(s string) bool { return s != sign })
}

var flipped = map[string]string{"<": ">", ">": "<", "≤": "≥", "≥": "≤", "=": "=", "≠": "≠", "≈": "≈"}

// relations compares equations and inequalities.
func (c comparison) relations(a, b *form, depth int) bool {
	if len(a.items) == len(b.items) && slices.Equal(a.rels, b.rels) && c.ordered(a, b, depth) {
		return true
	}
	va, ia := a.interval()
	vb, ib := b.interval()
	if ia != nil && ib != nil {
		return va == vb && c.forms(ia, ib, depth+1)
	}
	if len(a.items) != 2 || len(b.items) != 2 {
		return false
	}
	da, db := a.difference(), b.difference()
	if da == nil || db == nil {
		return false
	}
	k, ok := c.factor(da, db)
	switch {
	case !ok:
		return false
	case k < 0:
		return a.rels[0] == flipped[b.rels[0]]
	}
	return a.rels[0] == b.rels[0]
}

// difference is left less right.
func (f *form) difference() *node {
	l, r := f.items[0].expr, f.items[1].expr
	if f.items[0].kind != formExpr || f.items[1].kind != formExpr {
		return nil
	}
	return &node{op: '+', kids: []*node{l, {op: '-', kids: []*node{r}}}}
}

// interval is the set that an inequality of one variable describes; nil where it is no
// such inequality.
func (f *form) interval() (variable string, interval *form) {
	name := func(g *form) string {
		if g.kind == formExpr && g.expr.op == 'v' {
			return g.expr.name
		}
		return ""
	}
	inf := func(sign string) *form {
		n := &node{op: 'c', name: "inf"}
		if sign == "-" {
			n = &node{op: '-', kids: []*node{n}}
		}
		return &form{kind: formExpr, text: sign + "∞", expr: n}
	}
	between := func(lo *form, loSign string, hi *form, hiSign string) *form {
		open, end := "(", ")"
		if loSign == "≤" {
			open = "["
		}
		if hiSign == "≤" {
			end = "]"
		}
		return &form{kind: formTuple, text: open + lo.text + "," + hi.text + end, open: open, close: end, items: []*form{lo, hi}}
	}
	items, rels := slices.Clone(f.items), slices.Clone(f.rels)
	if f.kind != formRelation || len(items) > 3 {
		return "", nil
	}
	if slices.Contains([]string{">", "≥"}, rels[0]) { // smaller to larger
		slices.Reverse(items)
		slices.Reverse(rels)
		for i := range rels {
			rels[i] = flipped[rels[i]]
		}
	}
	for _, r := range rels {
		if r != "<" && r != "≤" {
			if x := name(items[0]); r == "≠" && len(items) == 2 && x != "" {
				at := items[1]
				return x, &form{kind: formUnion, text: "≠" + at.text, items: []*form{between(inf("-"), "<", at, "<"), between(at, "<", inf(""), "<")}}
			}
			return "", nil
		}
	}
	if len(items) == 3 {
		return name(items[1]), nilUnless(name(items[1]) != "", between(items[0], rels[0], items[2], rels[1]))
	}
	if x := name(items[0]); x != "" {
		return x, between(inf("-"), "<", items[1], rels[0])
	}
	if x := name(items[1]); x != "" {
		return x, between(items[0], rels[0], inf(""), "<")
	}
	return "", nil
}

func nilUnless(ok bool, f *form) *form {
	if ok {
		return f
	}
	return nil
}

// intervals is a list of inequalities as a union of sets.
func (f *form) intervals() *form {
	u := &form{kind: formUnion, text: strings.ReplaceAll(f.text, "∪", ",")}
	for _, i := range f.items {
		if _, interval := i.interval(); interval != nil {
			i = interval
		}
		if i.kind == formUnion {
			u.items = append(u.items, i.items...)
		} else {
			u.items = append(u.items, i)
		}
	}
	return u
}
