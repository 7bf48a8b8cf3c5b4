package jinja

import (
	"strings"
	"unicode/utf8"
)

// Kind says how a byte of the output came there.
type Kind uint8

const (
	Literal    Kind = iota + 1 // written by the template while a loop stood on the message
	Property                   // read from another key of the message than its text
	Content                    // read from the text of the message
	Generation                 // stands in a {% generation %} block
)

// Marked is a byte range [From, To) with the message it belongs to. An empty message
// text leaves an empty range.
type Marked struct {
	From, To int
	Tag      int
	Kind     Kind
}

// Str is a string that knows where its bytes came from.
type Str struct {
	S     string
	marks []Marked
	safe  bool // marked with |safe: what is joined to it gets escaped, as Jinja2's Markup
}

// maxText bounds the text that a template can build.
const maxText = 1 << 28

// Mark is a string that was read from message number tag; tag 0 is plain text.
func Mark(s string, tag int, kind Kind) Str {
	if tag == 0 {
		return Str{S: s}
	}
	return Str{S: s, marks: []Marked{{0, len(s), tag, kind}}}
}

// builder joins strings and keeps their marks.
type builder struct {
	b     strings.Builder
	marks []Marked
}

func (b *builder) text(s string) {
	if b.b.Len()+len(s) > maxText {
		fail("MemoryError", "the output is larger than %d bytes", maxText)
	}
	b.b.WriteString(s)
}

func (b *builder) add(s Str) {
	at := b.b.Len()
	b.text(s.S)
	for _, m := range s.marks {
		b.marks = append(b.marks, Marked{m.From + at, m.To + at, m.Tag, m.Kind})
	}
}

func (b *builder) str() Str { return Str{S: b.b.String(), marks: b.marks} }

func concat(a, b Str) Str {
	if a.safe != b.safe {
		a, b = a.escaped(), b.escaped()
	}
	if len(a.S)+len(b.S) > maxText {
		fail("MemoryError", "the text is larger than %d bytes", maxText)
	}
	r := Str{S: a.S + b.S, safe: a.safe}
	if len(a.marks)+len(b.marks) == 0 {
		return r
	}
	r.marks = make([]Marked, 0, len(a.marks)+len(b.marks))
	r.marks = append(r.marks, a.marks...)
	for _, m := range b.marks {
		r.marks = append(r.marks, Marked{m.From + len(a.S), m.To + len(a.S), m.Tag, m.Kind})
	}
	return r
}

// cut is s[i:j] in bytes. When nothing of a marked text is left, an empty mark is.
func (s Str) cut(i, j int) Str {
	r := Str{S: s.S[i:j], safe: s.safe}
	for _, m := range s.marks {
		from, to := max(m.From, i), min(m.To, j)
		if from < to || from == to && m.From == m.To {
			r.marks = append(r.marks, Marked{from - i, to - i, m.Tag, m.Kind})
		}
	}
	if len(r.marks) == 0 && len(s.marks) > 0 && i == j {
		m := s.marks[0]
		r.marks = []Marked{{0, 0, m.Tag, m.Kind}}
	}
	return r
}

// mapped is the string after a change of letters (case): each mark keeps its letters.
func (s Str) mapped(f func(string) string) Str {
	r := Str{S: f(s.S), safe: s.safe}
	same := len(r.S) == len(s.S)
	for _, m := range s.marks {
		if !same {
			m.From, m.To = min(len(f(s.S[:m.From])), len(r.S)), min(len(f(s.S[:m.To])), len(r.S))
		}
		r.marks = append(r.marks, m)
	}
	return r
}

// covered marks all of a text made from values (JSON, repr) like the first mark in them.
func covered(text string, from Value) Str {
	if m, ok := firstMark(from); ok {
		return Mark(text, m.Tag, m.Kind)
	}
	return Str{S: text}
}

func firstMark(v Value) (Marked, bool) {
	switch x := v.(type) {
	case Str:
		if len(x.marks) > 0 {
			return x.marks[0], true
		}
	case *List:
		for _, e := range x.Items {
			if m, ok := firstMark(e); ok {
				return m, true
			}
		}
	case *Dict:
		for _, e := range x.values {
			if m, ok := firstMark(e); ok {
				return m, true
			}
		}
	}
	return Marked{}, false
}

func (s Str) runes() int { return utf8.RuneCountInString(s.S) }

func (s Str) contains(t string) bool { return strings.Contains(s.S, t) }

func (s Str) chars() []Value {
	out := make([]Value, 0, len(s.S))
	for i := 0; i < len(s.S); {
		_, n := utf8.DecodeRuneInString(s.S[i:])
		out = append(out, s.cut(i, i+n))
		i += n
	}
	return out
}

// offset is the byte position of character n.
func (s Str) offset(n int) int {
	at := 0
	for ; n > 0 && at < len(s.S); n-- {
		_, w := utf8.DecodeRuneInString(s.S[at:])
		at += w
	}
	return at
}

// trim takes characters away from the left or right; chars nil is white space.
func (s Str) trim(left, right bool, chars *string) Str {
	in := isSpace
	if chars != nil {
		in = func(r rune) bool { return strings.ContainsRune(*chars, r) }
	}
	i, j := 0, len(s.S)
	if left {
		i = len(s.S) - len(strings.TrimLeftFunc(s.S, in))
	}
	if right {
		j = max(i, len(strings.TrimRightFunc(s.S, in)))
	}
	return s.cut(i, j)
}

func (s Str) replace(old, with Str, n int) Str {
	var b builder
	at := 0
	for ; n != 0; n-- {
		i := strings.Index(s.S[at:], old.S)
		if old.S == "" { // before every character and at the end
			if at >= len(s.S) {
				if at == len(s.S) {
					b.add(with)
				}
				break
			}
			_, w := utf8.DecodeRuneInString(s.S[at:])
			b.add(with)
			b.add(s.cut(at, at+w))
			at += w
			continue
		}
		if i < 0 {
			break
		}
		b.add(s.cut(at, at+i))
		b.add(with)
		at += i + len(old.S)
	}
	if at <= len(s.S) {
		rest := s.cut(at, len(s.S))
		if at == len(s.S) && at > 0 {
			rest.marks = nil
		}
		b.add(rest)
	}
	r := b.str()
	if len(r.marks) == 0 && len(s.marks) > 0 {
		r.marks = []Marked{{0, len(r.S), s.marks[0].Tag, s.marks[0].Kind}}
	}
	return r
}

// split is Python's str.split: on white space when sep is nil; limit < 0 is no limit.
func (s Str) split(sep *string, limit int) []Value {
	out := []Value{}
	if sep == nil {
		at := 0
		for {
			start := at + len(s.S[at:]) - len(strings.TrimLeftFunc(s.S[at:], isSpace))
			if start == len(s.S) {
				return out
			}
			if limit >= 0 && len(out) == limit {
				return append(out, s.cut(start, len(strings.TrimRightFunc(s.S, isSpace))))
			}
			n := strings.IndexFunc(s.S[start:], isSpace)
			if n < 0 {
				return append(out, s.cut(start, len(s.S)))
			}
			out = append(out, s.cut(start, start+n))
			at = start + n
		}
	}
	if *sep == "" {
		fail("ValueError", "empty separator")
	}
	at := 0
	for limit < 0 || len(out) < limit {
		i := strings.Index(s.S[at:], *sep)
		if i < 0 {
			break
		}
		out = append(out, s.cut(at, at+i))
		at += i + len(*sep)
	}
	return append(out, s.cut(at, len(s.S)))
}

func (s Str) rsplit(sep *string, limit int) []Value {
	if limit < 0 {
		return s.split(sep, -1)
	}
	var rev []Value
	end := len(s.S)
	for len(rev) < limit {
		if sep == nil {
			end = len(strings.TrimRightFunc(s.S[:end], isSpace))
			i := strings.LastIndexFunc(s.S[:end], isSpace)
			if i < 0 {
				break
			}
			_, w := utf8.DecodeRuneInString(s.S[i:])
			rev = append(rev, s.cut(i+w, end))
			end = i
			continue
		}
		if *sep == "" {
			fail("ValueError", "empty separator")
		}
		i := strings.LastIndex(s.S[:end], *sep)
		if i < 0 {
			break
		}
		rev = append(rev, s.cut(i+len(*sep), end))
		end = i
	}
	start := 0
	if sep == nil {
		end = len(strings.TrimRightFunc(s.S[:end], isSpace))
	}
	if sep != nil || end > start {
		rev = append(rev, s.cut(start, end))
	}
	out := make([]Value, 0, len(rev))
	for i := len(rev) - 1; i >= 0; i-- {
		out = append(out, rev[i])
	}
	return out
}

// lines is Python's str.splitlines.
func (s Str) lines(keep bool) []Value {
	out := []Value{}
	at := 0
	for i := 0; i < len(s.S); {
		r, w := utf8.DecodeRuneInString(s.S[i:])
		if !strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) {
			i += w
			continue
		}
		end := i
		i += w
		if r == '\r' && i < len(s.S) && s.S[i] == '\n' {
			i++
		}
		if keep {
			end = i
		}
		out = append(out, s.cut(at, end))
		at = i
	}
	if at < len(s.S) {
		out = append(out, s.cut(at, len(s.S)))
	}
	return out
}

// join puts the separator between the parts.
func (s Str) join(parts []Value) Str {
	var b builder
	for i, p := range parts {
		t, ok := p.(Str)
		if !ok {
			fail("TypeError", "sequence item %d: expected str instance, %s found", i, typeName(p))
		}
		if i > 0 {
			b.add(s)
		}
		b.add(t)
	}
	return b.str()
}

func (s Str) escaped() Str {
	if s.safe {
		return s
	}
	for _, e := range [][2]string{{"&", "&amp;"}, {">", "&gt;"}, {"<", "&lt;"}, {"'", "&#39;"}, {"\"", "&#34;"}} {
		if s.contains(e[0]) {
			s = s.replace(Str{S: e[0]}, Str{S: e[1]}, -1)
		}
	}
	s.safe = true
	return s
}
