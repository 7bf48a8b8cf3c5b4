package jinja

import (
	"fmt"
	"strings"
	"time"
)

// global is a function that every template can call.
func global(name string) (Value, bool) {
	var f func(s *state, c call) Value
	switch name {
	case "raise_exception":
		f = func(s *state, c call) Value {
			panic(&Error{Line: s.line, Kind: "TemplateError", Msg: text(newArgs(name, c).need("message")).S, Raised: true})
		}
	case "strftime_now":
		f = func(s *state, c call) Value {
			now := s.now
			if now.IsZero() {
				now = time.Now()
			}
			return Str{S: strftime(now, newArgs(name, c).str("format").S)}
		}
	case "namespace":
		f = func(s *state, c call) Value {
			n := &namespace{NewDict(0)}
			for k, v := range dictOf(c).fields {
				n.set(k, v)
			}
			return n
		}
	case "dict":
		f = func(s *state, c call) Value {
			d := NewDict(0)
			for k, v := range dictOf(c).fields {
				d.Set(k, v)
			}
			return d
		}
	case "range":
		f = func(s *state, c call) Value { return rangeOf(c) }
	case "joiner":
		f = func(s *state, c call) Value {
			sep := Str{S: ", "}
			if v, ok := newArgs(name, c).opt("sep"); ok {
				sep = text(v)
			}
			used := false
			return &function{"joiner", func(s *state, c call) Value {
				if !used {
					used = true
					return Str{}
				}
				return sep
			}}
		}
	default:
		return nil, false
	}
	return &function{name, f}, true
}

type keyed struct{ names, values []Value }

// fields yields the keys in order.
func (k keyed) fields(yield func(Str, Value) bool) {
	for i := range k.names {
		if !yield(text(k.names[i]), k.values[i]) {
			return
		}
	}
}

// dictOf reads the arguments of dict(...) and namespace(...): a mapping or pairs, then names.
func dictOf(c call) keyed {
	var k keyed
	if len(c.args) > 1 {
		fail("TypeError", "dict expected at most 1 argument, got %d", len(c.args))
	}
	if len(c.args) == 1 {
		pairs := items(c.args[0])
		if d, ok := c.args[0].(*Dict); ok {
			pairs = d.pairs()
		}
		for _, p := range pairs {
			kv := items(p)
			if len(kv) != 2 {
				fail("ValueError", "dictionary update sequence element has length %d; 2 is required", len(kv))
			}
			k.names, k.values = append(k.names, kv[0]), append(k.values, kv[1])
		}
	}
	for i, n := range c.names {
		k.names, k.values = append(k.names, Str{S: n}), append(k.values, c.named[i])
	}
	return k
}

// maxRange is the sandbox's limit on range(...).
const maxRange = 100000

func rangeOf(c call) Value {
	n := make([]int64, len(c.args))
	for i, v := range c.args {
		k, ok := integer(v)
		if !ok {
			if u, ok := v.(*undefined); ok {
				u.raise()
			}
			fail("TypeError", "'%s' object cannot be interpreted as an integer", typeName(v))
		}
		n[i] = k
	}
	from, to, step := int64(0), int64(0), int64(1)
	switch len(n) {
	case 1:
		to = n[0]
	case 2:
		from, to = n[0], n[1]
	case 3:
		from, to, step = n[0], n[1], n[2]
	default:
		fail("TypeError", "range expected 1 to 3 arguments, got %d", len(n))
	}
	if step == 0 {
		fail("ValueError", "range() arg 3 must not be zero")
	}
	r := &List{Kind: "range", Items: []Value{}, note: fmt.Sprintf("range(%d, %d)", from, to)}
	if step != 1 {
		r.note = fmt.Sprintf("range(%d, %d, %d)", from, to, step)
	}
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if len(r.Items) == maxRange {
			fail("OverflowError", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", maxRange)
		}
		r.Items = append(r.Items, i)
	}
	return r
}

// strftime formats a time as C's strftime does in the C locale.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		plain := false
		if format[i] == '-' && i+1 < len(format) { // glibc: no leading zero
			plain = true
			i++
		}
		num := func(width, n int) {
			if plain {
				width = 0
			}
			fmt.Fprintf(&b, "%0*d", width, n)
		}
		switch c := format[i]; c {
		case 'd':
			num(2, t.Day())
		case 'e':
			fmt.Fprintf(&b, "%2d", t.Day())
		case 'm':
			num(2, int(t.Month()))
		case 'y':
			num(2, t.Year()%100)
		case 'Y':
			fmt.Fprintf(&b, "%d", t.Year())
		case 'H':
			num(2, t.Hour())
		case 'I':
			num(2, (t.Hour()+11)%12+1)
		case 'M':
			num(2, t.Minute())
		case 'S':
			num(2, t.Second())
		case 'f':
			fmt.Fprintf(&b, "%06d", t.Nanosecond()/1000)
		case 'j':
			num(3, t.YearDay())
		case 'b', 'h':
			b.WriteString(t.Format("Jan"))
		case 'B':
			b.WriteString(t.Format("January"))
		case 'a':
			b.WriteString(t.Format("Mon"))
		case 'A':
			b.WriteString(t.Format("Monday"))
		case 'p':
			b.WriteString(t.Format("PM"))
		case 'u':
			num(1, int(t.Weekday()+6)%7+1)
		case 'w':
			num(1, int(t.Weekday()))
		case 'T', 'X':
			b.WriteString(t.Format("15:04:05"))
		case 'R':
			b.WriteString(t.Format("15:04"))
		case 'F':
			b.WriteString(t.Format("2006-01-02"))
		case 'D', 'x':
			b.WriteString(t.Format("01/02/06"))
		case 'c':
			b.WriteString(t.Format("Mon Jan _2 15:04:05 2006"))
		case 's':
			fmt.Fprintf(&b, "%d", t.Unix())
		case 'z', 'Z': // datetime.now() has no zone
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '%':
			b.WriteByte('%')
		default:
			b.WriteByte('%')
			if plain {
				b.WriteByte('-')
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}
