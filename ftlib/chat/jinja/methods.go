package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type strFunc func(s Str, a *arguments) Value

// strMethod is a method of Python's str that the interpreter has; nil for others.
func strMethod(name string) strFunc {
	change := func(f func(string) string) strFunc {
		return func(s Str, a *arguments) Value { a.end(); return s.mapped(f) }
	}
	ask := func(f func(string) bool) strFunc {
		return func(s Str, a *arguments) Value { a.end(); return f(s.S) }
	}
	trim := func(left, right bool) strFunc {
		return func(s Str, a *arguments) Value {
			chars := a.optStr("chars")
			a.end()
			return s.trim(left, right, chars)
		}
	}
	switch name {
	case "upper":
		return change(upper)
	case "lower", "casefold":
		return change(lower)
	case "capitalize":
		return change(capitalize)
	case "title":
		return change(title)
	case "swapcase":
		return change(swapcase)
	case "strip":
		return trim(true, true)
	case "lstrip":
		return trim(true, false)
	case "rstrip":
		return trim(false, true)
	case "isdigit", "isdecimal", "isnumeric":
		return ask(func(s string) bool { return every(s, unicode.IsDigit) })
	case "isalpha":
		return ask(func(s string) bool { return every(s, unicode.IsLetter) })
	case "isalnum":
		return ask(func(s string) bool {
			return every(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
		})
	case "isspace":
		return ask(func(s string) bool { return every(s, isSpace) })
	case "isupper":
		return ask(func(s string) bool { return cased(s, unicode.IsUpper, unicode.IsLower) })
	case "islower":
		return ask(func(s string) bool { return cased(s, unicode.IsLower, unicode.IsUpper) })
	case "isascii":
		return ask(ascii)
	case "split", "rsplit":
		return func(s Str, a *arguments) Value {
			sep, limit := a.optStr("sep"), a.int("maxsplit", -1)
			a.end()
			if name == "rsplit" {
				return &List{Items: s.rsplit(sep, limit)}
			}
			return &List{Items: s.split(sep, limit)}
		}
	case "splitlines":
		return func(s Str, a *arguments) Value { return &List{Items: s.lines(a.bool("keepends", false))} }
	case "replace":
		return func(s Str, a *arguments) Value {
			old, with, n := a.str("old"), a.str("new"), a.int("count", -1)
			a.end()
			return s.replace(old, with, n)
		}
	case "join":
		return func(s Str, a *arguments) Value { return s.join(items(a.need("iterable"))) }
	case "format":
		return func(s Str, a *arguments) Value { return formatBraces(s, a.c) }
	case "startswith", "endswith":
		return func(s Str, a *arguments) Value { return affix(s, a, name == "endswith") }
	case "removeprefix", "removesuffix":
		return func(s Str, a *arguments) Value {
			x := a.str("affix").S
			switch {
			case name == "removeprefix" && strings.HasPrefix(s.S, x):
				return s.cut(len(x), len(s.S))
			case name == "removesuffix" && strings.HasSuffix(s.S, x):
				return s.cut(0, len(s.S)-len(x))
			}
			return s
		}
	case "find", "rfind", "index", "rindex", "count":
		return func(s Str, a *arguments) Value { return search(s, a, name) }
	case "partition", "rpartition":
		return func(s Str, a *arguments) Value { return partition(s, a.str("sep").S, name == "rpartition") }
	case "zfill", "ljust", "rjust", "center":
		return func(s Str, a *arguments) Value { return pad(s, a, name) }
	}
	return nil
}

func affix(s Str, a *arguments, end bool) Value {
	v := a.need("prefix")
	from, to := a.int("start", 0), a.int("end", s.runes())
	part := s.S
	if n := s.runes(); from != 0 || to != n {
		if from < 0 {
			from = max(0, from+n)
		}
		if to < 0 {
			to += n
		}
		if from > n || to < from {
			return false
		}
		part = s.S[s.offset(from):s.offset(to)]
	}
	list := []Value{v}
	if l, ok := v.(*List); ok && l.Kind == "tuple" {
		list = l.Items
	}
	for _, x := range list {
		p, ok := x.(Str)
		if !ok {
			if u, ok := x.(*undefined); ok {
				u.raise()
			}
			fail("TypeError", "%s first arg must be str or a tuple of str, not %s", a.fn, typeName(x))
		}
		if end && strings.HasSuffix(part, p.S) || !end && strings.HasPrefix(part, p.S) {
			return true
		}
	}
	return false
}

func search(s Str, a *arguments, name string) Value {
	sub := a.str("sub").S
	from := a.int("start", 0)
	n := s.runes()
	to := a.int("end", n)
	if from < 0 {
		from = max(0, from+n)
	}
	if to < 0 {
		to = max(0, to+n)
	}
	part := ""
	if from <= n {
		part = s.S[s.offset(from):max(s.offset(from), s.offset(to))]
	}
	if name == "count" {
		return int64(strings.Count(part, sub))
	}
	i := strings.Index(part, sub)
	if name[0] == 'r' {
		i = strings.LastIndex(part, sub)
	}
	if i < 0 {
		if strings.HasSuffix(name, "index") {
			fail("ValueError", "substring not found")
		}
		return int64(-1)
	}
	return int64(from + utf8.RuneCountInString(part[:i]))
}

func partition(s Str, sep string, last bool) Value {
	if sep == "" {
		fail("ValueError", "empty separator")
	}
	i := strings.Index(s.S, sep)
	if last {
		i = strings.LastIndex(s.S, sep)
	}
	parts := []Value{s, Str{}, Str{}}
	if i >= 0 {
		parts = []Value{s.cut(0, i), s.cut(i, i+len(sep)), s.cut(i+len(sep), len(s.S))}
	} else if last {
		parts = []Value{Str{}, Str{}, s}
	}
	return &List{Items: parts, Kind: "tuple"}
}

func pad(s Str, a *arguments, name string) Value {
	width := a.int("width", 0)
	fill := " "
	if f := a.optStr("fillchar"); f != nil {
		fill = *f
	}
	n := width - s.runes()
	if n <= 0 {
		return s
	}
	if n > 1<<20 || utf8.RuneCountInString(fill) != 1 {
		fail("TypeError", "%s: bad width or fill character", name)
	}
	left, right := 0, 0
	switch name {
	case "zfill":
		if s.S != "" && (s.S[0] == '-' || s.S[0] == '+') {
			return concat(concat(s.cut(0, 1), Str{S: strings.Repeat("0", n)}), s.cut(1, len(s.S)))
		}
		left, fill = n, "0"
	case "ljust":
		right = n
	case "rjust":
		left = n
	default:
		left = n/2 + n&width&1
		right = n - left
	}
	return concat(concat(Str{S: strings.Repeat(fill, left)}, s), Str{S: strings.Repeat(fill, right)})
}

// formatBraces is Python's str.format with {}, {0}, {name}, !r, !s and :spec.
func formatBraces(s Str, c call) Value {
	var b builder
	auto := 0
	f := s.S
	for at := 0; at < len(f); {
		i := strings.IndexAny(f[at:], "{}")
		if i < 0 {
			b.add(s.cut(at, len(f)))
			break
		}
		b.add(s.cut(at, at+i))
		at += i
		if at+1 < len(f) && f[at+1] == f[at] {
			b.text(f[at : at+1])
			at += 2
			continue
		}
		end := strings.IndexByte(f[at:], '}')
		if f[at] == '}' || end < 0 {
			fail("ValueError", "Single '%c' encountered in format string", f[at])
		}
		field, spec, _ := strings.Cut(f[at+1:at+end], ":")
		field, conv, _ := strings.Cut(field, "!")
		at += end + 1
		v := formatField(field, c, &auto)
		if conv == "r" {
			v = repr(v)
		}
		b.add(formatSpec(v, spec))
	}
	return b.str()
}

func formatField(field string, c call, auto *int) Value {
	name, path := field, ""
	if i := strings.IndexAny(field, ".["); i >= 0 {
		name, path = field[:i], field[i:]
	}
	var v Value
	n := -1
	if name == "" {
		n = *auto
		*auto++
	} else if every(name, unicode.IsDigit) {
		n = 0
		for _, r := range name {
			n = min(n*10+int(r-'0'), 1<<20)
		}
	}
	switch {
	case n >= 0 && n >= len(c.args):
		fail("IndexError", "Replacement index %d out of range for positional args tuple", n)
	case n >= 0:
		v = c.args[n]
	default:
		found := false
		for i, k := range c.names {
			if k == name {
				v, found = c.named[i], true
			}
		}
		if !found {
			fail("KeyError", "%s", reprText(name))
		}
	}
	for path != "" {
		key := path[1:]
		if path[0] == '[' {
			end := strings.IndexByte(path, ']')
			if end < 0 {
				fail("ValueError", "Missing ']' in format string")
			}
			key, path = path[1:end], path[end+1:]
			v = getItem(v, Str{S: key})
			continue
		}
		path = ""
		if i := strings.IndexAny(key, ".["); i >= 0 {
			key, path = key[:i], key[i:]
		}
		v = getAttr(v, key)
	}
	return v
}

func formatSpec(v Value, spec string) Str {
	if spec == "" {
		return text(v)
	}
	align := byte(0)
	if spec[0] == '<' || spec[0] == '>' || spec[0] == '^' {
		align, spec = spec[0], spec[1:]
	}
	conv := byte('s')
	if _, ok := number(v); ok {
		conv = 'g'
		if _, ok := integer(v); ok {
			conv = 'd'
		}
		if align == 0 {
			align = '>'
		}
	}
	if n := len(spec); n > 0 && (spec[n-1] < '0' || spec[n-1] > '9') {
		conv, spec = spec[n-1], spec[:n-1]
	}
	if align != '>' {
		spec = "-" + spec
	}
	return convert(v, spec, conv)
}

func dictMethod(name string) func(d *Dict, a *arguments) Value {
	switch name {
	case "get":
		return func(d *Dict, a *arguments) Value {
			k := a.need("key")
			def, _ := a.opt("default")
			if v, ok := d.Get(k); ok {
				return v
			}
			return def
		}
	case "items":
		return func(d *Dict, a *arguments) Value { return &List{Items: d.pairs(), Kind: "dict_items"} }
	case "keys":
		return func(d *Dict, a *arguments) Value { return &List{Items: d.Keys, Kind: "dict_keys"} }
	case "values":
		return func(d *Dict, a *arguments) Value { return &List{Items: d.values, Kind: "dict_values"} }
	case "copy":
		return func(d *Dict, a *arguments) Value {
			c := NewDict(d.Tag)
			for i, k := range d.Keys {
				c.Set(k, d.values[i])
			}
			return c
		}
	}
	return nil
}

func (d *Dict) pairs() []Value {
	out := make([]Value, len(d.Keys))
	for i, k := range d.Keys {
		out[i] = &List{Items: []Value{k, d.values[i]}, Kind: "tuple"}
	}
	return out
}

func listMethod(name string) func(l *List, a *arguments) Value {
	switch name {
	case "index":
		return func(l *List, a *arguments) Value {
			v := a.need("value")
			for i, e := range l.Items {
				if equal(e, v) {
					return int64(i)
				}
			}
			fail("ValueError", "%s is not in list", repr(v).S)
			return nil
		}
	case "count":
		return func(l *List, a *arguments) Value {
			v, n := a.need("value"), int64(0)
			for _, e := range l.Items {
				if equal(e, v) {
					n++
				}
			}
			return n
		}
	case "copy":
		return func(l *List, a *arguments) Value { return &List{Items: append([]Value{}, l.Items...), Kind: l.Kind} }
	}
	return nil
}
