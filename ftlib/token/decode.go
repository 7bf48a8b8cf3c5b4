package token

import (
	"strings"
	"unicode/utf8"
)

// A decoder turns tokens back into text. Every step is written for streaming: it is
// given one string at a time and passes on what can no longer change. Decoding a
// whole sequence is the same thing with the end right after, so that the two agree.

// step is one decoder of the chain, at work.
type step interface {
	push(s string, out func(string)) // one more token, or piece of the fused text
	end(out func(string))            // nothing more comes
}

// decoder makes the steps of one decoding.
type decoder func() []step

// flow runs strings through the steps of a chain.
type flow struct {
	steps []step
	out   strings.Builder
	push  []func(string)
}

func newFlow(steps []step) *flow {
	f := &flow{steps: steps}
	f.push = make([]func(string), len(steps)+1)
	f.push[len(steps)] = func(s string) { f.out.WriteString(s) }
	for i := len(steps) - 1; i >= 0; i-- {
		st, next := steps[i], f.push[i+1]
		f.push[i] = func(s string) { st.push(s, next) }
	}
	return f
}

// add gives a token to the chain.
func (f *flow) add(token string) { f.push[0](token) }

// finish tells every step, in order, that nothing more comes.
func (f *flow) finish() {
	for i, st := range f.steps {
		st.end(f.push[i+1])
	}
}

// take is the text that has come out since the last call.
func (f *flow) take() string {
	s := f.out.String()
	f.out.Reset()
	return s
}

// spaced joins tokens with spaces: what happens without a decoder.
type spaced struct{ begun bool }

func (d *spaced) push(s string, out func(string)) {
	if d.begun {
		out(" ")
	}
	d.begun = true
	out(s)
}
func (d *spaced) end(func(string)) {}

// replaceStep replaces what a pattern matches within each token.
type replaceStep struct {
	m       matcher
	content string
}

func (d replaceStep) push(s string, out func(string)) {
	if old, ok := d.m.(literal); ok {
		out(strings.ReplaceAll(s, string(old), d.content))
		return
	}
	p := piece{s: s, id: -1}
	p.replace(d.m, d.content, false)
	out(p.s)
}
func (d replaceStep) end(func(string)) {}

// byteFallbackStep turns runs of <0x..> tokens into text; a run that is not UTF-8 as
// a whole gives one U+FFFD a byte. Nothing of a run is certain before its end.
type byteFallbackStep struct{ run []byte }

func (d *byteFallbackStep) push(s string, out func(string)) {
	if b, ok := hexByte(s); ok {
		d.run = append(d.run, b)
		return
	}
	d.end(out)
	out(s)
}

func (d *byteFallbackStep) end(out func(string)) {
	if len(d.run) == 0 {
		return
	}
	if utf8.Valid(d.run) {
		out(string(d.run))
	} else {
		for range d.run {
			out("\uFFFD")
		}
	}
	d.run = d.run[:0]
}

// hexByte is the byte of a token like <0x0A>.
func hexByte(s string) (byte, bool) {
	if !isByteToken(s) {
		return 0, false
	}
	if s[3] == '+' { // a sign is read as one, so <0x+5> is a byte as well
		lo, ok := hexDigit(s[4])
		return lo, ok
	}
	hi, ok := hexDigit(s[3])
	lo, ok2 := hexDigit(s[4])
	return hi<<4 | lo, ok && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// stripStep removes up to start leading and stop trailing characters c of each
// token; after fusing, of the whole text.
type stripStep struct {
	c           rune
	start, stop int
	fused       bool
	cut         int    // leading characters removed so far
	begun       bool   // some other character has come
	held        string // trailing characters that may have to go
}

func (d *stripStep) push(s string, out func(string)) {
	c := string(d.c)
	if !d.fused {
		for i := 0; i < d.start && strings.HasPrefix(s, c); i++ {
			s = s[len(c):]
		}
		for i := 0; i < d.stop && strings.HasSuffix(s, c); i++ {
			s = s[:len(s)-len(c)]
		}
		out(s)
		return
	}
	for !d.begun && d.cut < d.start && strings.HasPrefix(s, c) {
		s = s[len(c):]
		d.cut++
	}
	d.begun = d.begun || s != "" || d.cut >= d.start
	s = d.held + s
	keep := len(s)
	for i := 0; i < d.stop && strings.HasSuffix(s[:keep], c); i++ {
		keep -= len(c)
	}
	d.held = s[keep:]
	if keep > 0 {
		out(s[:keep])
	}
}
func (d *stripStep) end(func(string)) {}

// byteStep turns visible characters back into bytes and these into text; what is
// not UTF-8 becomes U+FFFD.
type byteStep struct{ buf []byte }

func (d *byteStep) push(s string, out func(string)) {
	mark := len(d.buf)
	for _, r := range s {
		if int(r) >= len(charBytes) || charBytes[r] < 0 {
			d.buf = append(d.buf[:mark], s...)
			break
		}
		d.buf = append(d.buf, byte(charBytes[r]))
	}
	n := len(d.buf) - incomplete(d.buf)
	if n > 0 {
		out(lossy(d.buf[:n]))
		d.buf = append(d.buf[:0], d.buf[n:]...)
	}
}

func (d *byteStep) end(out func(string)) {
	if len(d.buf) > 0 {
		out(lossy(d.buf))
		d.buf = d.buf[:0]
	}
}

// incomplete is the number of bytes at the end of b that begin a character whose
// rest may still come.
func incomplete(b []byte) int {
	for n := 1; n <= min(3, len(b)); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// lossy is b as text. A maximal beginning of a character that breaks off counts as
// one U+FFFD, as in Rust's from_utf8_lossy.
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r != utf8.RuneError || n > 1 {
			out.Write(b[:n])
			b = b[n:]
			continue
		}
		out.WriteString("\uFFFD")
		b = b[brokenLength(b):]
	}
	return out.String()
}

// brokenLength is the length of the longest beginning of a character at the start
// of b, which holds no whole one; at least 1.
func brokenLength(b []byte) int {
	for n := min(3, len(b)); n > 1; n-- {
		if !utf8.FullRune(b[:n]) {
			return n
		}
	}
	return 1
}

// metaspaceStep turns marks into spaces; those of the first token vanish if the
// tokenizer put one there.
type metaspaceStep struct {
	mark  string
	strip bool
	fused bool
	begun bool
}

func (d *metaspaceStep) push(s string, out func(string)) {
	space := " "
	if d.strip && (!d.begun || d.fused) {
		space = ""
	}
	d.begun = true
	out(strings.ReplaceAll(s, d.mark, space))
}
func (d *metaspaceStep) end(func(string)) {}

// wordPieceStep puts spaces between tokens that do not continue a word.
type wordPieceStep struct {
	prefix  string
	cleanup bool
	begun   bool
}

func (d *wordPieceStep) push(s string, out func(string)) {
	if d.begun {
		if rest, ok := strings.CutPrefix(s, d.prefix); ok {
			s = rest
		} else {
			s = " " + s
		}
	}
	d.begun = true
	if d.cleanup {
		for i := 0; i < len(cleanups); i += 2 {
			s = strings.ReplaceAll(s, cleanups[i], cleanups[i+1])
		}
	}
	out(s)
}
func (d *wordPieceStep) end(func(string)) {}

var cleanups = []string{" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m",
	" do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re"}

// suffixStep turns an end-of-word suffix into a space, that of the last token into nothing.
type suffixStep struct {
	suffix string
	held   string
	begun  bool
}

func (d *suffixStep) push(s string, out func(string)) {
	if d.begun {
		out(strings.ReplaceAll(d.held, d.suffix, " "))
	}
	d.held, d.begun = s, true
}

func (d *suffixStep) end(out func(string)) {
	if d.begun {
		out(strings.ReplaceAll(d.held, d.suffix, ""))
	}
	d.begun = false
}

// collectStep waits for the whole text: for steps that cannot take it in pieces.
type collectStep struct{ text strings.Builder }

func (d *collectStep) push(s string, _ func(string)) { d.text.WriteString(s) }
func (d *collectStep) end(out func(string)) {
	out(d.text.String())
	d.text.Reset()
}
