package token

import (
	"strings"
	"unicode/utf8"
)

// spmStep decodes as SentencePiece does. Bytes that are not UTF-8 become one U+FFFD
// each; the space at the start of the text goes.
type spmStep struct {
	f     *spmFile
	run   []byte
	begun bool // the start of the text is over
}

func (d *spmStep) push(s string, out func(string)) {
	if b, ok := hexByte(s); ok && d.f.byteFallback {
		d.run = append(d.run, b)
		n := len(d.run) - incomplete(d.run)
		d.bytes(n, out)
		return
	}
	d.end(out)
	if s == d.f.unk {
		d.begun = true
		out(d.f.unkSurface)
		return
	}
	if !d.begun && (d.f.dummyPrefix || d.f.removeExtra) {
		rest, found := strings.CutPrefix(s, string(metaspace))
		d.begun = found && !d.f.removeExtra || rest != ""
		s = rest
	}
	if s != "" {
		d.begun = true
		out(strings.ReplaceAll(s, string(metaspace), " "))
	}
}

// bytes passes on the first n bytes of the run.
func (d *spmStep) bytes(n int, out func(string)) {
	for i := 0; i < n; {
		r, w := utf8.DecodeRune(d.run[i:n])
		out(string(r))
		d.begun = true
		i += w
	}
	d.run = append(d.run[:0], d.run[n:]...)
}

func (d *spmStep) end(out func(string)) { d.bytes(len(d.run), out) }
