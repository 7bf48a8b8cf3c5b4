package token

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a piece before it is cut.
type normalizer interface {
	normalize(p *piece, track bool)
}

// chain applies several normalizers in turn.
type chain []normalizer

func (c chain) normalize(p *piece, track bool) {
	for _, n := range c {
		n.normalize(p, track)
	}
}

// prependNorm puts a string before a text that is not empty.
type prependNorm string

func (n prependNorm) normalize(p *piece, track bool) { p.prepend(string(n), track) }

// replaceNorm replaces what a pattern matches.
type replaceNorm struct {
	m       matcher
	content string
}

func (n replaceNorm) normalize(p *piece, track bool) { p.replace(n.m, n.content, track) }

// stripNorm removes white space at the ends.
type stripNorm struct{ left, right bool }

func (n stripNorm) normalize(p *piece, track bool) {
	lo, hi := 0, len(p.s)
	if n.left {
		lo = hi - len(strings.TrimLeftFunc(p.s, isSpace))
	}
	if n.right {
		hi = max(lo, len(strings.TrimRightFunc(p.s, isSpace)))
	}
	if lo == 0 && hi == len(p.s) {
		return
	}
	if track {
		p.al = p.alignments()[lo:hi]
	}
	p.s = p.s[lo:hi]
}

// formNorm is one of the four Unicode normal forms.
type formNorm struct {
	form    norm.Form
	compat  bool // NFKC, NFKD
	compose bool // NFC, NFKC
}

// normalize goes over the stretches around characters that are not ASCII. No ASCII
// character joins what stands before it, so that a text can be cut before each.
func (n formNorm) normalize(p *piece, track bool) {
	var buf []byte
	var al, old []span
	done := 0 // of p.s that is in buf, once something has changed
	for i := 0; i < len(p.s); {
		if p.s[i] < utf8.RuneSelf {
			i++
			continue
		}
		from := max(i-1, 0)
		for i < len(p.s) && p.s[i] >= utf8.RuneSelf {
			i++
		}
		part := p.slice(from, i)
		if n.form.IsNormalString(part.s) && !strings.ContainsFunc(part.s, isLater) {
			continue
		}
		edits, changed := normalForm(part.s, n.compat, n.compose)
		if !changed {
			continue
		}
		part.rewrite(edits, 0, track)
		buf = append(append(buf, p.s[done:from]...), part.s...)
		if track {
			if old == nil {
				old = p.alignments()
			}
			al = append(append(al, old[done:from]...), part.al...)
		}
		done = i
	}
	if done == 0 {
		return
	}
	buf = append(buf, p.s[done:]...)
	if track {
		al = append(al, old[done:]...)
	}
	p.s, p.al = string(buf), al
}

// mapNorm replaces every character by any number of others.
type mapNorm func(r rune, out []rune) []rune

func (n mapNorm) normalize(p *piece, track bool) {
	var edits []edit
	var buf [4]rune
	drop, removed := 0, 0
	changed := false
	for _, r := range p.s {
		to := n(r, buf[:0])
		if len(to) == 0 {
			if len(edits) == 0 {
				drop++
			} else {
				removed++
				last := len(edits) - 1
				edits[last].change-- // of the character before
			}
			changed = true
			continue
		}
		for i, r := range to {
			e := edit{r: r}
			if i > 0 {
				e.change = 1
			}
			edits = append(edits, e)
		}
		changed = changed || len(to) > 1 || to[0] != r
	}
	if changed {
		p.rewrite(edits, drop, track)
	}
}

// lower is Rust's to_lowercase of a character.
func lower(r rune, out []rune) []rune {
	if r == 0x130 {
		return append(out, 'i', 0x307)
	}
	if to, ok := newLower[r]; ok {
		return append(out, to)
	}
	return append(out, unicode.ToLower(r))
}

// newLower are lower cases that are younger than Go's tables.
var newLower = func() map[rune]rune {
	m := map[rune]rune{0x1C89: 0x1C8A, 0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3,
		0xA7D4: 0xA7D5, 0xA7DA: 0xA7DB, 0xA7DC: 0x19B}
	for r := rune(0x10D50); r <= 0x10D65; r++ {
		m[r] = r + 0x20
	}
	for r := rune(0x16EA0); r <= 0x16EB8; r++ {
		m[r] = r + 0x1B
	}
	return m
}()

// stripMarks drops combining marks.
func stripMarks(r rune, out []rune) []rune {
	if rustMarks.has(r) {
		return out
	}
	return append(out, r)
}

// byteLevelNorm writes every byte as its visible character.
type byteLevelNorm struct{}

func (byteLevelNorm) normalize(p *piece, track bool) { p.toByteChars(track) }

// nmt is the cleaning of SentencePiece's nmt rules.
func nmt(r rune, out []rune) []rune {
	switch {
	case 1 <= r && r <= 8, r == 0xB, 0xE <= r && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return out
	case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, 0x200B <= r && r <= 0x200F,
		r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		return append(out, ' ')
	}
	return append(out, r)
}

// bertNormalizer is the cleaning of BERT.
func (c *component) bertNormalizer() normalizer {
	var seq chain
	if c.CleanText {
		seq = append(seq, mapNorm(func(r rune, out []rune) []rune {
			switch {
			case r == 0 || r == 0xFFFD || rustOthers.has(r):
				return out
			case isSpace(r):
				return append(out, ' ')
			}
			return append(out, r)
		}))
	}
	if c.HandleChineseChars {
		seq = append(seq, mapNorm(func(r rune, out []rune) []rune {
			if isChinese(r) {
				return append(out, ' ', r, ' ')
			}
			return append(out, r)
		}))
	}
	if c.StripAccents != nil && *c.StripAccents || c.StripAccents == nil && c.Lowercase {
		seq = append(seq, formNorm{norm.NFD, false, false}, mapNorm(func(r rune, out []rune) []rune {
			if rustNonspacing.has(r) {
				return out
			}
			return append(out, r)
		}))
	}
	if c.Lowercase {
		seq = append(seq, mapNorm(lower))
	}
	return seq
}

// isChinese says whether r is in a block of Chinese ideographs, as BERT counts them.
func isChinese(r rune) bool {
	return 0x4E00 <= r && r <= 0x9FFF || 0x3400 <= r && r <= 0x4DBF || 0x20000 <= r && r <= 0x2A6DF ||
		0x2A700 <= r && r <= 0x2B73F || 0x2B740 <= r && r <= 0x2B81F || 0x2B920 <= r && r <= 0x2CEAF ||
		0xF900 <= r && r <= 0xFAFF || 0x2F800 <= r && r <= 0x2FA1F
}
