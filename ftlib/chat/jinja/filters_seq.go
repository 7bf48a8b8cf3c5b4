package jinja

import (
	"sort"
	"strconv"
	"strings"
	"unicode"
)

func sequenceFilter(name string) filterFunc {
	switch name {
	case "length", "count":
		return func(s *state, v Value, a *arguments) Value { return int64(length(v)) }
	case "list":
		return func(s *state, v Value, a *arguments) Value {
			return &List{Items: append([]Value{}, items(v)...)}
		}
	case "first":
		return func(s *state, v Value, a *arguments) Value {
			if l := items(v); len(l) > 0 {
				return l[0]
			}
			return &undefined{msg: "No first item, sequence was empty."}
		}
	case "last":
		return func(s *state, v Value, a *arguments) Value {
			if typeKind(v) == "generator" {
				fail("TypeError", "'generator' object is not reversible")
			}
			if l := items(v); len(l) > 0 {
				return l[len(l)-1]
			}
			return &undefined{msg: "No last item, sequence was empty."}
		}
	case "reverse":
		return func(s *state, v Value, a *arguments) Value {
			l := items(v)
			r := &List{Kind: "generator", Items: make([]Value, 0, len(l))}
			for i := len(l) - 1; i >= 0; i-- {
				r.Items = append(r.Items, l[i])
			}
			if _, ok := v.(Str); ok {
				return Str{}.join(r.Items)
			}
			return r
		}
	case "join":
		return func(s *state, v Value, a *arguments) Value {
			sep := Str{}
			if d, ok := a.opt("d"); ok {
				sep = text(d)
			}
			attr, has := a.opt("attribute")
			list := items(v)
			parts := make([]Value, len(list))
			for i, e := range list {
				if has && attr != nil {
					e = path(e, attr, nil)
				}
				parts[i] = text(e)
			}
			return sep.join(parts)
		}
	case "default", "d":
		return func(s *state, v Value, a *arguments) Value {
			def, ok := a.opt("default_value")
			if !ok {
				def = Str{}
			}
			_, u := v.(*undefined)
			if u || a.bool("boolean", false) && !truth(v) {
				return def
			}
			return v
		}
	case "items":
		return func(s *state, v Value, a *arguments) Value {
			if _, ok := v.(*undefined); ok {
				return &List{Kind: "generator"}
			}
			d, ok := v.(*Dict)
			if !ok {
				fail("TypeError", "Can only get item pairs from a mapping.")
			}
			return &List{Items: d.pairs(), Kind: "generator"}
		}
	case "dictsort":
		return dictSort
	case "map":
		return mapFilter
	case "select", "reject", "selectattr", "rejectattr":
		return func(s *state, v Value, a *arguments) Value {
			return selectFilter(s, v, a, strings.HasPrefix(name, "select"), strings.HasSuffix(name, "attr"))
		}
	case "attr":
		return func(s *state, v Value, a *arguments) Value {
			n := a.str("name")
			if m := attribute(v, n.S); m != nil {
				return m
			}
			return missing(v, n)
		}
	case "unique":
		return func(s *state, v Value, a *arguments) Value {
			key := sortKey(a.bool("case_sensitive", false), optAttr(a))
			seen := map[any]bool{}
			r := &List{Kind: "generator"}
			for _, e := range items(v) {
				if k := hash(key(e)[0]); !seen[k] {
					seen[k] = true
					r.Items = append(r.Items, e)
				}
			}
			return r
		}
	case "sort":
		return func(s *state, v Value, a *arguments) Value {
			reverse := a.bool("reverse", false)
			return &List{Items: sorted(items(v), sortKey(a.bool("case_sensitive", false), optAttr(a)), reverse)}
		}
	case "min", "max":
		return func(s *state, v Value, a *arguments) Value {
			key := sortKey(a.bool("case_sensitive", false), optAttr(a))
			list := items(v)
			if len(list) == 0 {
				return &undefined{msg: "No aggregated item, sequence was empty."}
			}
			best := list[0]
			for _, e := range list[1:] {
				x, y := key(e), key(best)
				if name == "min" && less(x[0], y[0], "<") || name == "max" && less(y[0], x[0], ">") {
					best = e
				}
			}
			return best
		}
	case "sum":
		return func(s *state, v Value, a *arguments) Value {
			attr := optAttr(a)
			total, ok := a.opt("start")
			if !ok {
				total = int64(0)
			}
			for _, e := range items(v) {
				if attr != nil {
					e = path(e, attr, nil)
				}
				total = binary("+", total, e)
			}
			return total
		}
	case "groupby":
		return groupBy
	case "batch", "slice":
		return func(s *state, v Value, a *arguments) Value {
			n := a.int("count", 0)
			fill, _ := a.opt("fill_with")
			if n < 1 {
				fail("ValueError", "%s needs a number above 0", name)
			}
			if name == "batch" {
				return batch(items(v), n, fill)
			}
			return slices(items(v), n, fill)
		}
	}
	return nil
}

func optAttr(a *arguments) Value {
	v, _ := a.opt("attribute")
	return v
}

// path follows "a.b.0" from a value, as the attribute arguments of filters do.
// A default that is not none stands in for what is missing on the way.
func path(v, attr, def Value) Value {
	s, ok := attr.(Str)
	if !ok {
		s = text(attr)
	}
	for _, part := range strings.Split(s.S, ".") {
		if n, err := strconv.ParseInt(part, 10, 64); err == nil && every(part, unicode.IsDigit) {
			v = getItem(v, n)
		} else {
			v = getItem(v, Str{S: part})
		}
		if _, u := v.(*undefined); u && def != nil {
			v = def
		}
	}
	return v
}

func mapFilter(s *state, v Value, a *arguments) Value {
	r := &List{Kind: "generator"}
	if !truth(v) {
		return r
	}
	if len(a.c.args) == 0 {
		attr, ok := a.opt("attribute")
		if !ok {
			fail("FilterArgumentError", "map requires a filter argument")
		}
		def, _ := a.opt("default")
		a.end()
		for _, e := range items(v) {
			r.Items = append(r.Items, path(e, attr, def))
		}
		return r
	}
	name := text(a.need("name")).S
	for _, e := range items(v) {
		r.Items = append(r.Items, s.apply(name, e, a.c))
	}
	return r
}

func selectFilter(s *state, v Value, a *arguments, want, byAttr bool) Value {
	r := &List{Kind: "generator"}
	if !truth(v) {
		return r
	}
	var attr Value
	if byAttr {
		if len(a.c.args) == 0 {
			fail("FilterArgumentError", "Missing parameter for attribute name")
		}
		attr = a.need("attribute")
	}
	test := ""
	if len(a.c.args) > 0 {
		test = text(a.need("name")).S
	}
	for _, e := range items(v) {
		x := e
		if byAttr {
			x = path(e, attr, nil)
		}
		if test != "" {
			x = s.test(test, x, a.c)
		}
		if truth(x) == want {
			r.Items = append(r.Items, e)
		}
	}
	return r
}

// sortKey is what filters sort by: the value or its attributes, letters folded.
func sortKey(sensitive bool, attr Value) func(Value) []Value {
	attrs := []Value{attr}
	if s, ok := attr.(Str); ok {
		attrs = nil
		for _, p := range strings.Split(s.S, ",") {
			attrs = append(attrs, Str{S: p})
		}
	}
	return func(v Value) []Value {
		out := make([]Value, len(attrs))
		for i, at := range attrs {
			k := v
			if at != nil {
				k = path(v, at, nil)
			}
			if s, ok := k.(Str); ok && !sensitive {
				k = Str{S: lower(s.S)}
			}
			out[i] = k
		}
		return out
	}
}

func sorted(list []Value, key func(Value) []Value, reverse bool) []Value {
	keys := make([][]Value, len(list))
	order := make([]int, len(list))
	for i, v := range list {
		keys[i], order[i] = key(v), i
	}
	before := func(a, b []Value) bool {
		for i := range a {
			if !equal(a[i], b[i]) {
				return less(a[i], b[i], "<")
			}
		}
		return false
	}
	sort.SliceStable(order, func(i, j int) bool {
		a, b := keys[order[i]], keys[order[j]]
		if reverse {
			a, b = b, a
		}
		return before(a, b)
	})
	out := make([]Value, len(list))
	for i, o := range order {
		out[i] = list[o]
	}
	return out
}

func dictSort(s *state, v Value, a *arguments) Value {
	d, ok := v.(*Dict)
	if !ok {
		if u, ok := v.(*undefined); ok {
			u.raise()
		}
		fail("AttributeError", "'%s' object has no attribute 'items'", typeName(v))
	}
	sensitive := a.bool("case_sensitive", false)
	by := "key"
	if b := a.optStr("by"); b != nil {
		by = *b
	}
	at := map[string]int64{"key": 0, "value": 1}
	i, ok := at[by]
	if !ok {
		fail("FilterArgumentError", "You can only sort by either \"key\" or \"value\"")
	}
	return &List{Items: sorted(d.pairs(), sortKey(sensitive, i), a.bool("reverse", false))}
}

// groupFields are the names of the two items of a group.
var groupFields = []string{"grouper", "list"}

func groupBy(s *state, v Value, a *arguments) Value {
	attr := a.need("attribute")
	def, _ := a.opt("default")
	sensitive := a.bool("case_sensitive", false)
	raw := func(e Value) Value {
		return path(e, attr, def)
	}
	key := func(e Value) []Value {
		k := raw(e)
		if t, ok := k.(Str); ok && !sensitive {
			k = Str{S: lower(t.S)}
		}
		return []Value{k}
	}
	out := &List{}
	var last []Value
	for _, e := range sorted(items(v), key, false) {
		k := key(e)
		if last == nil || !equal(last[0], k[0]) {
			out.Items = append(out.Items, &List{Items: []Value{raw(e), &List{}}, Kind: "tuple", fields: groupFields})
			last = k
		}
		group := out.Items[len(out.Items)-1].(*List).Items[1].(*List)
		group.Items = append(group.Items, e)
	}
	return out
}

func batch(list []Value, n int, fill Value) Value {
	r := &List{Kind: "generator"}
	for len(list) > 0 {
		k := min(n, len(list))
		b := &List{Items: append([]Value{}, list[:k]...)}
		for fill != nil && len(b.Items) < n {
			b.Items = append(b.Items, fill)
		}
		r.Items = append(r.Items, b)
		list = list[k:]
	}
	return r
}

func slices(list []Value, n int, fill Value) Value {
	r := &List{Kind: "generator"}
	each, extra := len(list)/n, len(list)%n
	at := 0
	for i := 0; i < min(n, 1<<16); i++ {
		k := each
		if i < extra {
			k++
		}
		b := &List{Items: append([]Value{}, list[at:at+k]...)}
		if fill != nil && i >= extra {
			b.Items = append(b.Items, fill)
		}
		r.Items = append(r.Items, b)
		at += k
	}
	return r
}
