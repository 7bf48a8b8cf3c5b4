package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

type filterFunc func(s *state, v Value, a *arguments) Value

// filterBody runs the filters of a filter block or a set block over its text; the
// first of them stands innermost.
func (s *state) filterBody(x *filterExpr, v Value) Value {
	if inner, ok := x.x.(*filterExpr); ok {
		v = s.filterBody(inner, v)
	}
	return s.apply(x.name, v, s.args(x.args))
}

func (s *state) apply(name string, v Value, c call) Value {
	f := filterFor(name)
	if f == nil {
		fail("TemplateAssertionError", "No filter named %s.", reprText(name))
	}
	return f(s, v, newArgs("do_"+name, c))
}

// filterFor is the filter of that name, nil when there is none.
func filterFor(name string) filterFunc {
	if f := textFilter(name); f != nil {
		return f
	}
	return sequenceFilter(name)
}

func textFilter(name string) filterFunc {
	change := func(f func(string) string) filterFunc {
		return func(s *state, v Value, a *arguments) Value { a.end(); return text(v).mapped(f) }
	}
	switch name {
	case "upper":
		return change(upper)
	case "lower":
		return change(lower)
	case "capitalize":
		return change(capitalize)
	case "title":
		return change(titleWords)
	case "trim":
		return func(s *state, v Value, a *arguments) Value {
			chars := a.optStr("chars")
			a.end()
			return text(v).trim(true, true, chars)
		}
	case "string":
		return func(s *state, v Value, a *arguments) Value { return text(v) }
	case "safe":
		return func(s *state, v Value, a *arguments) Value {
			t := text(v)
			t.safe = true
			return t
		}
	case "e", "escape", "forceescape":
		return func(s *state, v Value, a *arguments) Value {
			t := text(v)
			if name == "forceescape" {
				t.safe = false
			}
			return t.escaped()
		}
	case "replace":
		return func(s *state, v Value, a *arguments) Value {
			old, with := text(a.need("old")), text(a.need("new"))
			n := -1
			if c, ok := a.opt("count"); ok && c != nil {
				k, _ := integer(c)
				n = int(k)
			}
			return text(v).replace(old, with, n)
		}
	case "format":
		return func(s *state, v Value, a *arguments) Value {
			if len(a.c.names) > 0 {
				d := NewDict(0)
				for i, n := range a.c.names {
					d.Set(Str{S: n}, a.c.named[i])
				}
				return formatPercent(text(v), d)
			}
			return formatPercent(text(v), &List{Items: a.c.args, Kind: "tuple"})
		}
	case "indent":
		return indent
	case "truncate":
		return truncate
	case "center":
		return func(s *state, v Value, a *arguments) Value {
			return pad(text(v), newArgs("center", call{args: []Value{int64(a.int("width", 80))}}), "center")
		}
	case "wordcount":
		return func(s *state, v Value, a *arguments) Value {
			return int64(len(strings.FieldsFunc(text(v).S, func(r rune) bool {
				return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
			})))
		}
	case "striptags":
		return func(s *state, v Value, a *arguments) Value { return stripTags(text(v)) }
	case "urlencode":
		return func(s *state, v Value, a *arguments) Value { return urlEncode(v) }
	case "tojson":
		return toJSON
	case "pprint":
		return func(s *state, v Value, a *arguments) Value {
			var b strings.Builder
			writeRepr(&b, v, 0)
			return covered(b.String(), v)
		}
	case "int":
		return func(s *state, v Value, a *arguments) Value { return toInt(v, a) }
	case "float":
		return func(s *state, v Value, a *arguments) Value {
			def, ok := a.opt("default")
			if !ok {
				def = 0.0
			}
			if f, ok := toFloat(v); ok {
				return f
			}
			return def
		}
	case "abs":
		return func(s *state, v Value, a *arguments) Value {
			if f, ok := number(v); ok && f >= 0 {
				return sign(v, false)
			}
			return sign(v, true)
		}
	case "round":
		return round
	}
	return nil
}

func isLower(r rune) bool { return unicode.IsLower(r) }
func isUpper(r rune) bool { return unicode.IsUpper(r) }

// titleWords is Jinja2's title filter: a word starts after white space or one of -({[<.
func titleWords(s string) string {
	var b strings.Builder
	start := true
	rest := 0
	flush := func(end int) { b.WriteString(lower(s[rest:end])) }
	for i, r := range s {
		if isSpace(r) || strings.ContainsRune("-({[<", r) {
			flush(i)
			b.WriteRune(r)
			start, rest = true, i+len(string(r))
			continue
		}
		if start {
			b.WriteString(upper(string(r)))
			start, rest = false, i+len(string(r))
		}
	}
	flush(len(s))
	return b.String()
}

func indent(s *state, v Value, a *arguments) Value {
	t, ok := v.(Str)
	if !ok {
		a.wrong("s", v, "str")
	}
	prefix := Str{S: "    "}
	if w, ok := a.opt("width"); ok {
		switch x := w.(type) {
		case Str:
			prefix = x
		default:
			n, ok := integer(x)
			if !ok || n > 1<<16 {
				fail("TypeError", "indent needs a number of spaces or a string")
			}
			prefix.S = strings.Repeat(" ", max(0, int(n)))
		}
	}
	first, blank := a.bool("first", false), a.bool("blank", false)
	a.end()
	var b builder
	if first {
		b.add(prefix)
	}
	for i, l := range concat(t, Str{S: "\n"}).lines(false) {
		line := l.(Str)
		if i > 0 {
			b.text("\n")
			if line.S != "" || blank {
				b.add(prefix)
			}
		}
		b.add(line)
	}
	return b.str()
}

func truncate(s *state, v Value, a *arguments) Value {
	t := text(v)
	n, kill := a.int("length", 255), a.bool("killwords", false)
	end := Str{S: "..."}
	if e, ok := a.opt("end"); ok {
		end = text(e)
	}
	leeway := 5
	if l, ok := a.opt("leeway"); ok && l != nil {
		k, _ := integer(l)
		leeway = int(k)
	}
	if n < end.runes() || leeway < 0 {
		fail("AssertionError", "expected length >= %d, got %d", end.runes(), n)
	}
	if t.runes() <= n+leeway {
		return t
	}
	t = t.cut(0, t.offset(n-end.runes()))
	if i := strings.LastIndexByte(t.S, ' '); !kill && i >= 0 {
		t = t.cut(0, i)
	}
	return concat(t, end)
}

func stripTags(t Str) Value {
	var b strings.Builder
	rest := t.S
	for {
		i := strings.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		j := strings.IndexByte(rest[i:], '>')
		if j < 0 {
			break
		}
		b.WriteString(rest[:i])
		rest = rest[i+j+1:]
	}
	b.WriteString(rest)
	return covered(strings.Join(strings.FieldsFunc(b.String(), isSpace), " "), t)
}

func urlEncode(v Value) Value {
	quote := func(s string, query bool) string {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			c := s[i]
			switch {
			case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~", c) >= 0 || c == '/' && !query:
				b.WriteByte(c)
			case c == ' ' && query:
				b.WriteByte('+')
			default:
				b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(c)|0x100, 16)[1:]))
			}
		}
		return b.String()
	}
	d, ok := v.(*Dict)
	if !ok {
		return covered(quote(text(v).S, false), v)
	}
	var parts []string
	for i, k := range d.Keys {
		parts = append(parts, quote(text(k).S, true)+"="+quote(text(d.values[i]).S, true))
	}
	return covered(strings.Join(parts, "&"), v)
}

func toJSON(s *state, v Value, a *arguments) Value {
	o := jsonOptions{item: ", ", key: ": "}
	o.ascii = a.bool("ensure_ascii", false)
	if in, ok := a.opt("indent"); ok && in != nil {
		o.indented, o.item = true, ","
		if n, ok := integer(in); ok {
			o.indent = strings.Repeat(" ", int(min(max(n, 0), 1<<10)))
		} else {
			o.indent = text(in).S
		}
	}
	if sep, ok := a.opt("separators"); ok && sep != nil {
		parts := items(sep)
		if len(parts) != 2 {
			fail("ValueError", "separators are two strings")
		}
		o.item, o.key = text(parts[0]).S, text(parts[1]).S
	}
	o.sort = a.bool("sort_keys", false)
	a.end()
	var b strings.Builder
	writeJSON(&b, v, o, 0)
	return covered(b.String(), v)
}

func toFloat(v Value) (float64, bool) {
	if f, ok := number(v); ok {
		return f, true
	}
	if t, ok := v.(Str); ok {
		s := strings.ReplaceAll(strings.TrimFunc(t.S, isSpace), "_", "")
		if strings.ContainsAny(s, "xXpP") {
			return 0, false
		}
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil || math.IsInf(f, 0)
	}
	return 0, false
}

func toInt(v Value, a *arguments) Value {
	def, ok := a.opt("default")
	if !ok {
		def = int64(0)
	}
	base := a.int("base", 10)
	if u, ok := v.(*undefined); ok {
		u.raise()
	}
	if n, ok := integer(v); ok {
		return n
	}
	if t, ok := v.(Str); ok {
		s := strings.TrimFunc(t.S, isSpace)
		if p := len(s); p > 2 && s[0] == '0' && base != 10 {
			s = strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(s), "0x"), "0b")
		}
		if n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), base, 64); err == nil {
			return n
		}
	}
	if f, ok := toFloat(v); ok && math.Abs(f) < 1<<62 {
		return int64(f)
	}
	return def
}

func round(s *state, v Value, a *arguments) Value {
	precision := a.int("precision", 0)
	method := "common"
	if m := a.optStr("method"); m != nil {
		method = *m
	}
	f, ok := number(v)
	if !ok {
		sign(v, false)
	}
	p := math.Pow(10, float64(precision))
	switch method {
	case "ceil":
		return math.Ceil(f*p) / p
	case "floor":
		return math.Floor(f*p) / p
	case "common":
		if _, isInt := integer(v); isInt && precision >= 0 {
			return v
		}
		if precision >= 0 {
			r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', precision, 64), 64)
			return r
		}
		return math.RoundToEven(f*p) / p
	}
	fail("FilterArgumentError", "method must be common, ceil or floor")
	return nil
}
