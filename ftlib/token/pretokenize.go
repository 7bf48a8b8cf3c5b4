package token

import (
	"strings"
	"unicode/utf8"
)

// stage is a pre-tokenizer: it cuts a piece into pieces and may rewrite them.
type stage interface {
	// run passes the parts of p, none of them empty, to next.
	run(p piece, track bool, next func(piece))
}

// splitStage cuts where a pattern matches (Split, Digits, Punctuation, Whitespace, ...).
type splitStage struct {
	m      matcher
	how    behaviour
	invert bool
}

func (st splitStage) run(p piece, _ bool, next func(piece)) {
	split(&p, st.m, st.how, st.invert, next)
}

// metaspaceStage writes spaces as a visible character and cuts before each.
type metaspaceStage struct {
	mark   string // the visible character, U+2581
	scheme string // "always", "first" or "never": where one is put before the text
	split  bool
}

func (st metaspaceStage) run(p piece, track bool, next func(piece)) {
	p.replace(literal(" "), st.mark, track)
	if st.scheme != "never" && !strings.HasPrefix(p.s, st.mark) && (st.scheme == "always" || p.at == 0) {
		p.prepend(st.mark, track)
	}
	if !st.split {
		next(p)
		return
	}
	for from := 0; from < len(p.s); { // before every mark but one at the start
		end := len(p.s)
		skip := 0
		if strings.HasPrefix(p.s[from:], st.mark) {
			skip = len(st.mark)
		}
		if i := strings.Index(p.s[from+skip:], st.mark); i >= 0 {
			end = from + skip + i
		}
		next(p.slice(from, end))
		from = end
	}
}

// byteStage is ByteLevel: the pattern of GPT-2, then every byte as a visible
// character.
type byteStage struct {
	prefixSpace bool
	pattern     matcher // nil: no cutting
	raw         bool    // leave the bytes alone: the model reads them as they are
}

func (st byteStage) run(p piece, track bool, next func(piece)) {
	if st.prefixSpace && !strings.HasPrefix(p.s, " ") {
		p.prepend(" ", track)
	}
	emit := next
	if !st.raw {
		emit = func(q piece) { q.toByteChars(track); next(q) }
	}
	if st.pattern == nil {
		emit(p)
		return
	}
	split(&p, st.pattern, isolated, false, emit)
}

// toByteChars writes every byte of the piece as its visible character.
func (p *piece) toByteChars(track bool) {
	edits := make([]edit, 0, len(p.s))
	for i := range len(p.s) {
		e := edit{r: byteChars[p.s[i]]}
		if !utf8.RuneStart(p.s[i]) {
			e.change = 1
		}
		edits = append(edits, e)
	}
	p.rewrite(edits, 0, track)
}

// fixedStage cuts into runs of n characters.
type fixedStage struct{ n int }

func (st fixedStage) run(p piece, _ bool, next func(piece)) {
	from, count := 0, 0
	for i := range p.s {
		if count == st.n {
			next(p.slice(from, i))
			from, count = i, 0
		}
		count++
	}
	next(p.slice(from, len(p.s)))
}

// byteChars are the visible characters that stand for bytes in the vocabularies of
// GPT-2 and its followers: printable Latin-1 stands for itself, the other bytes for
// U+0100 and up.
var byteChars = func() (t [256]rune) {
	n := rune(256)
	for b := range rune(256) {
		if '!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b {
			t[b] = b
		} else {
			t[b] = n
			n++
		}
	}
	return t
}()

// charBytes is the inverse of byteChars; -1: stands for no byte.
var charBytes = func() (t [324]int16) {
	for i := range t {
		t[i] = -1
	}
	for b, r := range byteChars {
		t[r] = int16(b)
	}
	return t
}()

// bytesOf are the bytes that the characters of s stand for; false: some stands for none.
func bytesOf(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if int(r) >= len(charBytes) || charBytes[r] < 0 {
			return nil, false
		}
		out = append(out, byte(charBytes[r]))
	}
	return out, true
}
