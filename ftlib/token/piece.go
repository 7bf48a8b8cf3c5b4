package token

import "unicode/utf8"

// span is a half-open byte range [lo, hi) of the original text.
type span struct{ lo, hi int32 }

// piece is a part of the text on its way through the pipeline: its present form
// and, when offsets are wanted, where each byte of it came from.
type piece struct {
	s  string
	al []span // one original range a byte of s; nil: s is the original text from at on
	at int    // where the piece begins in the original text
	id int32  // an added token's id; -1: text still to be tokenized
}

// slice is the part [i, j) of the piece's present form.
func (p *piece) slice(i, j int) piece {
	q := piece{s: p.s[i:j], at: p.at + i, id: -1}
	if p.al != nil {
		q.al = p.al[i:j]
		if i < j {
			q.at = int(q.al[0].lo)
		}
	}
	return q
}

// original is the byte range of the original text behind the bytes [i, j) of the
// piece. Ranges always cover whole characters.
func (p *piece) original(i, j int) (lo, hi int) {
	if i >= j {
		return p.at + i, p.at + i
	}
	if p.al != nil {
		return int(p.al[i].lo), int(p.al[j-1].hi)
	}
	for i > 0 && !utf8.RuneStart(p.s[i]) {
		i--
	}
	for j < len(p.s) && !utf8.RuneStart(p.s[j]) {
		j++
	}
	return p.at + i, p.at + j
}

// alignments are the original ranges of all bytes of the piece, made if there are none.
func (p *piece) alignments() []span {
	if p.al != nil || p.s == "" {
		return p.al
	}
	al := make([]span, len(p.s))
	for i := 0; i < len(p.s); {
		_, n := utf8.DecodeRuneInString(p.s[i:])
		sp := span{int32(p.at + i), int32(p.at + i + n)}
		for k := range n {
			al[i+k] = sp
		}
		i += n
	}
	return al
}

// edit is one character of a rewritten piece. Change says what it stands for: 0
// replaces the next old character; n > 0 was inserted after the one before; n < 0
// replaces the next one and removes -n more.
type edit struct {
	r      rune
	change int
}

// rewrite replaces the whole text of the piece. The first drop characters of the
// old text go without a trace. Alignments are kept only when track is set.
func (p *piece) rewrite(edits []edit, drop int, track bool) {
	buf := make([]byte, 0, len(p.s)+len(p.s)/4+8)
	if !track {
		for _, e := range edits {
			buf = utf8.AppendRune(buf, e.r)
		}
		p.s, p.al = string(buf), nil
		return
	}
	old := p.alignments()
	al := make([]span, 0, len(old)+8)
	at := 0
	next := func(n int) {
		for ; n > 0 && at < len(p.s); n-- {
			_, w := utf8.DecodeRuneInString(p.s[at:])
			at += w
		}
	}
	next(drop)
	for _, e := range edits {
		var sp span
		switch {
		case e.change > 0 && at == 0:
			sp = span{int32(p.at), int32(p.at)}
		case e.change > 0:
			sp = old[at-1]
		default:
			sp = old[min(at, len(old)-1)]
			next(1 - e.change)
		}
		n := len(buf)
		buf = utf8.AppendRune(buf, e.r)
		for range len(buf) - n {
			al = append(al, sp)
		}
	}
	p.s, p.al = string(buf), al
}

// prepend puts s before the text; it gets the original range of the first character.
func (p *piece) prepend(s string, track bool) {
	if p.s == "" || s == "" {
		return
	}
	if track {
		old := p.alignments()
		al := make([]span, 0, len(s)+len(old))
		for range len(s) {
			al = append(al, old[0])
		}
		p.al = append(al, old...)
	}
	p.s = s + p.s
}

// replace puts content in place of every match of m; it gets the original range
// of the last character that it replaces.
func (p *piece) replace(m matcher, content string, track bool) {
	var buf []byte
	var al, old []span
	last := 0
	m.find(p.s, func(lo, hi int) {
		if buf == nil {
			buf = make([]byte, 0, len(p.s)+len(p.s)/2+len(content))
			if track {
				old = p.alignments()
				al = make([]span, 0, cap(buf))
			}
		}
		buf = append(append(buf, p.s[last:lo]...), content...)
		if track {
			al = append(al, old[last:lo]...)
			sp := span{int32(p.at), int32(p.at)}
			if hi > 0 {
				sp = old[hi-1]
			}
			for range len(content) {
				al = append(al, sp)
			}
		}
		last = hi
	})
	if buf == nil {
		return
	}
	buf = append(buf, p.s[last:]...)
	if track {
		p.al = append(al, old[last:]...)
	}
	p.s = string(buf)
	if !track {
		p.al = nil
	}
}
