package jinja

import (
	"math"
	"strconv"
	"strings"
)

func sign(v Value, neg bool) Value {
	if u, ok := v.(*undefined); ok {
		u.raise()
	}
	n, isInt := integer(v)
	f, ok := number(v)
	switch {
	case !ok:
		op := "+"
		if neg {
			op = "-"
		}
		fail("TypeError", "bad operand type for unary %s: '%s'", op, typeName(v))
	case isInt && neg:
		return -n
	case isInt:
		return n
	case neg:
		return -f
	}
	return f
}

func compare(op string, a, b Value) bool {
	switch op {
	case "==":
		return equal(a, b)
	case "!=":
		return !equal(a, b)
	case "<":
		return less(a, b, op)
	case ">":
		return less(b, a, op)
	case "<=", ">=":
		if equal(a, b) && comparable(a, b) {
			return true
		}
		if op == "<=" {
			return less(a, b, op)
		}
		return less(b, a, op)
	case "in":
		return contains(b, a)
	}
	return !contains(b, a)
}

// comparable says that equal values also have an order.
func comparable(a, b Value) bool {
	_, an := number(a)
	_, bn := number(b)
	_, as := a.(Str)
	_, al := a.(*List)
	return an && bn || as || al
}

func binary(op string, a, b Value) Value {
	if u, ok := a.(*undefined); ok {
		u.raise()
	}
	if s, ok := a.(Str); ok && op == "%" {
		return formatPercent(s, b)
	}
	if u, ok := b.(*undefined); ok {
		u.raise()
	}
	switch op {
	case "+":
		switch x := a.(type) {
		case Str:
			if y, ok := b.(Str); ok {
				return concat(x, y)
			}
			fail("TypeError", "can only concatenate str (not \"%s\") to str", typeName(b))
		case *List:
			if y, ok := b.(*List); ok && typeName(x) == typeName(y) && (typeName(x) == "list" || typeName(x) == "tuple") {
				return &List{Items: append(append([]Value{}, x.Items...), y.Items...), Kind: x.Kind}
			}
			if typeName(x) == "list" || typeName(x) == "tuple" {
				fail("TypeError", "can only concatenate %s (not \"%s\") to %s", typeName(x), typeName(b), typeName(x))
			}
		}
	case "*":
		if n, ok := integer(a); ok {
			if r, ok := repeat(b, n); ok {
				return r
			}
		}
		if n, ok := integer(b); ok {
			if r, ok := repeat(a, n); ok {
				return r
			}
		}
	}
	x, ok1 := number(a)
	y, ok2 := number(b)
	if !ok1 || !ok2 {
		name := op
		if op == "**" {
			name = "** or pow()"
		}
		fail("TypeError", "unsupported operand type(s) for %s: '%s' and '%s'", name, typeName(a), typeName(b))
	}
	m, int1 := integer(a)
	n, int2 := integer(b)
	if int1 && int2 {
		return integers(op, m, n)
	}
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	}
	if y == 0 {
		fail("ZeroDivisionError", "division by zero")
	}
	switch op {
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	}
	r := math.Mod(x, y)
	if r != 0 && (r < 0) != (y < 0) {
		r += y
	}
	return r
}

func integers(op string, m, n int64) Value {
	overflow := func(ok bool) {
		if !ok {
			fail("OverflowError", "integer larger than 64 bits")
		}
	}
	switch op {
	case "+":
		overflow((m+n > m) == (n > 0))
		return m + n
	case "-":
		overflow((m-n < m) == (n > 0))
		return m - n
	case "*":
		r := m * n
		overflow(m == 0 || r/m == n && !(m == -1 && n == math.MinInt64))
		return r
	case "**":
		if n < 0 {
			if m == 0 {
				fail("ZeroDivisionError", "0.0 cannot be raised to a negative power")
			}
			return math.Pow(float64(m), float64(n))
		}
		f := math.Pow(float64(m), float64(n))
		overflow(math.Abs(f) < 1<<62)
		r := int64(1)
		for ; n > 0; n >>= 1 { // by squaring; the bound above keeps the result exact
			if n&1 == 1 {
				r *= m
			}
			m *= m
		}
		return r
	}
	if n == 0 {
		if op == "/" {
			fail("ZeroDivisionError", "division by zero")
		}
		if op == "%" {
			fail("ZeroDivisionError", "integer modulo by zero")
		}
		fail("ZeroDivisionError", "integer division or modulo by zero")
	}
	switch op {
	case "/":
		return float64(m) / float64(n)
	case "//":
		q := m / n
		if m%n != 0 && (m < 0) != (n < 0) {
			q--
		}
		return q
	}
	r := m % n
	if r != 0 && (r < 0) != (n < 0) {
		r += n
	}
	return r
}

func repeat(v Value, n int64) (Value, bool) {
	n = max(n, 0)
	switch x := v.(type) {
	case Str:
		if n > 0 && int64(len(x.S)) > maxText/n {
			fail("MemoryError", "the text is larger than %d bytes", maxText)
		}
		var b builder
		for ; n > 0 && x.S != ""; n-- {
			b.add(x)
		}
		return b.str(), true
	case *List:
		if x.Kind != "" && x.Kind != "list" && x.Kind != "tuple" {
			return nil, false
		}
		if n > 0 && int64(len(x.Items)) > (1<<20)/n {
			fail("MemoryError", "the list is too long")
		}
		r := &List{Kind: x.Kind, Items: []Value{}}
		for ; n > 0; n-- {
			r.Items = append(r.Items, x.Items...)
		}
		return r, true
	}
	return nil, false
}

// formatPercent is Python's "..." % values, with the conversions that templates use.
func formatPercent(s Str, v Value) Value {
	args, used := []Value{v}, 0
	if l, ok := v.(*List); ok && l.Kind == "tuple" {
		args = l.Items
	}
	next := func() Value {
		if used >= len(args) {
			fail("TypeError", "not enough arguments for format string")
		}
		used++
		return args[used-1]
	}
	var b builder
	f := s.S
	named := false
	for at := 0; at < len(f); {
		i := strings.IndexByte(f[at:], '%')
		if i < 0 {
			b.add(s.cut(at, len(f)))
			break
		}
		b.add(s.cut(at, at+i))
		at += i + 1
		key := ""
		hasKey := false
		if at < len(f) && f[at] == '(' {
			end := strings.IndexByte(f[at:], ')')
			if end < 0 {
				fail("ValueError", "incomplete format key")
			}
			key, hasKey, named = f[at+1:at+end], true, true
			at += end + 1
		}
		start := at
		for at < len(f) && strings.IndexByte("#0- +.123456789", f[at]) >= 0 {
			at++
		}
		if at == len(f) {
			fail("ValueError", "incomplete format")
		}
		spec, conv := f[start:at], f[at]
		at++
		if conv == '%' {
			b.text("%")
			continue
		}
		var arg Value
		if hasKey {
			d, ok := v.(*Dict)
			if !ok {
				fail("TypeError", "format requires a mapping")
			}
			if arg, ok = d.Get(Str{S: key}); !ok {
				fail("KeyError", "%s", reprText(key))
			}
		} else {
			arg = next()
		}
		b.add(convert(arg, spec, conv))
	}
	if _, isDict := v.(*Dict); used < len(args) && !named && !isDict {
		fail("TypeError", "not all arguments converted during string formatting")
	}
	return b.str()
}

func convert(arg Value, spec string, conv byte) Str {
	var r Str
	precision := -1
	width, minus, zero, plus := 0, strings.Contains(spec, "-"), false, strings.Contains(spec, "+")
	w, p, dot := strings.Cut(strings.TrimLeft(spec, "-+ #"), ".")
	zero = strings.HasPrefix(w, "0")
	width, _ = strconv.Atoi(w)
	if dot {
		precision, _ = strconv.Atoi(p)
	}
	if width > 1<<16 || precision > 1<<10 {
		fail("MemoryError", "the format is too wide")
	}
	switch conv {
	case 's':
		r = text(arg)
	case 'r', 'a':
		r = repr(arg)
	case 'd', 'i', 'u', 'x', 'X', 'o':
		f, ok := number(arg)
		if !ok {
			fail("TypeError", "%%%c format: a real number is required, not %s", conv, typeName(arg))
		}
		n, ok := integer(arg)
		if !ok {
			n = int64(f)
		}
		base := map[byte]int{'x': 16, 'X': 16, 'o': 8}[conv]
		if base == 0 {
			base = 10
		}
		r.S = strconv.FormatInt(n, base)
		if conv == 'X' {
			r.S = strings.ToUpper(r.S)
		}
		if plus && n >= 0 {
			r.S = "+" + r.S
		}
	case 'f', 'F', 'e', 'g', 'E', 'G':
		f, ok := number(arg)
		if !ok {
			fail("TypeError", "must be real number, not %s", typeName(arg))
		}
		if precision < 0 {
			precision = 6
		}
		r.S = strconv.FormatFloat(f, conv|0x20, precision, 64)
		if plus && f >= 0 {
			r.S = "+" + r.S
		}
	default:
		fail("ValueError", "unsupported format character '%c'", conv)
	}
	if conv == 's' || conv == 'r' {
		if precision >= 0 {
			r = r.cut(0, r.offset(precision))
		}
		zero = false
	}
	if pad := width - r.runes(); pad > 0 {
		switch {
		case minus:
			r = concat(r, Str{S: strings.Repeat(" ", pad)})
		case zero && strings.HasPrefix(r.S, "-"):
			r.S = "-" + strings.Repeat("0", pad) + r.S[1:]
		case zero:
			r.S = strings.Repeat("0", pad) + r.S
		default:
			r = concat(Str{S: strings.Repeat(" ", pad)}, r)
		}
	}
	return r
}
