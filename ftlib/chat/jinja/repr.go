package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// text is Python's str() of a value.
func text(v Value) Str {
	if s, ok := v.(Str); ok {
		return s
	}
	return repr(v)
}

// repr is Python's repr() of a value; undefined is the empty string, as str() of it.
func repr(v Value) Str {
	if _, ok := v.(*undefined); ok {
		return Str{}
	}
	var b strings.Builder
	writeRepr(&b, v, 0)
	return covered(b.String(), v)
}

func writeRepr(b *strings.Builder, v Value, depth int) {
	if depth > maxDepth {
		fail("RecursionError", "value nested deeper than %d", maxDepth)
	}
	switch x := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if x {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case float64:
		b.WriteString(floatText(x))
	case Str:
		b.WriteString(reprText(x.S))
	case *undefined:
		b.WriteString("Undefined")
	case *Dict:
		b.WriteByte('{')
		for i, k := range x.Keys {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, k, depth+1)
			b.WriteString(": ")
			writeRepr(b, x.values[i], depth+1)
		}
		b.WriteByte('}')
	case *List:
		open, end := "[", "]"
		switch x.Kind {
		case "tuple":
			open, end = "(", ")"
			if len(x.Items) == 1 {
				end = ",)"
			}
		case "dict_items", "dict_keys", "dict_values":
			open, end = x.Kind+"([", "])"
		case "range":
			b.WriteString(x.note)
			return
		case "generator":
			b.WriteString("<generator object>")
			return
		}
		b.WriteString(open)
		for i, e := range x.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, e, depth+1)
		}
		b.WriteString(end)
	case *macro:
		fmt.Fprintf(b, "<Macro %s>", reprText(x.def.name))
	case *function:
		fmt.Fprintf(b, "<function %s>", x.name)
	case *namespace:
		b.WriteString("<Namespace ")
		writeRepr(b, x.d, depth+1)
		b.WriteByte('>')
	case *loop:
		fmt.Fprintf(b, "<LoopContext %d/%d>", x.i+1, len(x.items))
	}
}

// floatText is Python's repr of a float.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if exp >= -4 && exp < 16 {
		s = strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.ContainsRune(s, '.') {
			s += ".0"
		}
	}
	return s
}

// reprText is Python's repr of a string.
func reprText(s string) string {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// jsonOptions are the arguments of the tojson filter, as json.dumps has them.
type jsonOptions struct {
	ascii     bool
	indent    string
	indented  bool
	item, key string // separators
	sort      bool
}

func writeJSON(b *strings.Builder, v Value, o jsonOptions, depth int) {
	if depth > maxDepth {
		fail("RecursionError", "value nested deeper than %d", maxDepth)
	}
	newline := func(depth int) {
		if o.indented {
			b.WriteByte('\n')
			b.WriteString(strings.Repeat(o.indent, depth))
		}
	}
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case float64:
		switch s := floatText(x); s {
		case "nan":
			b.WriteString("NaN")
		case "inf":
			b.WriteString("Infinity")
		case "-inf":
			b.WriteString("-Infinity")
		default:
			b.WriteString(s)
		}
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case Str:
		quoteJSON(b, x.S, o.ascii)
	case *List:
		if x.Kind != "" && x.Kind != "list" && x.Kind != "tuple" {
			fail("TypeError", "Object of type %s is not JSON serializable", typeName(x))
		}
		if len(x.Items) == 0 {
			b.WriteString("[]")
			return
		}
		b.WriteByte('[')
		for i, e := range x.Items {
			if i > 0 {
				b.WriteString(o.item)
			}
			newline(depth + 1)
			writeJSON(b, e, o, depth+1)
		}
		newline(depth)
		b.WriteByte(']')
	case *Dict:
		if len(x.Keys) == 0 {
			b.WriteString("{}")
			return
		}
		order := make([]int, len(x.Keys))
		for i := range order {
			order[i] = i
		}
		if o.sort {
			sortBy(order, func(a, c int) bool { return less(x.Keys[a], x.Keys[c], "<") })
		}
		b.WriteByte('{')
		for n, i := range order {
			if n > 0 {
				b.WriteString(o.item)
			}
			newline(depth + 1)
			quoteJSON(b, jsonKey(x.Keys[i]), o.ascii)
			b.WriteString(o.key)
			writeJSON(b, x.values[i], o, depth+1)
		}
		newline(depth)
		b.WriteByte('}')
	default:
		fail("TypeError", "Object of type %s is not JSON serializable", typeName(v))
	}
}

func jsonKey(v Value) string {
	switch x := v.(type) {
	case Str:
		return x.S
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(x)
	case int64, float64:
		return repr(x).S
	}
	fail("TypeError", "keys must be str, int, float, bool or None, not %s", typeName(v))
	return ""
}

func quoteJSON(b *strings.Builder, s string, ascii bool) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\b':
			b.WriteString(`\b`)
		case r < 0x20 || ascii && r > 0x7e && r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		case ascii && r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
