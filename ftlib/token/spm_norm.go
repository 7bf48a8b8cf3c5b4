package token

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// spmNorm is the normalization of SentencePiece: its character map, then spaces:
// extra ones removed, one put before the text, all written as U+2581.
type spmNorm struct {
	f         *spmFile
	frozen    *finder // user-defined symbols are left as they are
	firstOnly bool    // a space is put only before the start of the whole text
	chars     *charsMap
}

// prefix is what the start of s becomes, and how many bytes of s that takes.
func (n *spmNorm) prefix(s string) (to string, taken int) {
	if n.frozen != nil {
		if t, k := n.frozen.longest(s); t != nil {
			return s[:k], k
		}
	}
	if to, k := n.chars.longest(s); k > 0 {
		return to, k
	}
	_, k := utf8.DecodeRuneInString(s)
	return s[:k], k
}

func (n *spmNorm) normalize(p *piece, track bool) {
	text, base := p.s, 0
	if n.f.removeExtra {
		for base < len(text) {
			to, k := n.prefix(text[base:])
			if to != " " {
				break
			}
			base += k
		}
	}
	var old []span
	if track {
		old = p.alignments()
	}
	if base == len(text) {
		p.s, p.al = "", nil
		return
	}
	buf := make([]byte, 0, len(text)+len(text)/2+8)
	var al []span
	put := func(s string, at, taken int) {
		buf = append(buf, s...)
		if track {
			sp := span{old[at].lo, old[at+taken-1].hi}
			for range len(s) {
				al = append(al, sp)
			}
		}
	}
	space := " "
	if n.f.escapeSpaces {
		space = string(metaspace)
	}
	dummy := n.f.dummyPrefix && (!n.firstOnly || p.at == 0)
	if dummy && !n.f.suffixSpace {
		_, k := utf8.DecodeRuneInString(text[base:])
		put(space, base, k)
	}
	afterSpace := n.f.removeExtra
	for at := base; at < len(text); {
		to, k := n.prefix(text[at:])
		if afterSpace {
			to = strings.TrimLeft(to, " ")
		}
		if to != "" {
			afterSpace = n.f.removeExtra && strings.HasSuffix(to, " ")
			if space != " " && strings.Contains(to, " ") {
				to = strings.ReplaceAll(to, " ", space)
			}
			put(to, at, k)
		}
		at += k
	}
	if n.f.removeExtra {
		for strings.HasSuffix(string(buf[max(0, len(buf)-len(space)):]), space) && len(buf) > 0 {
			buf = buf[:len(buf)-len(space)]
		}
		if track {
			al = al[:len(buf)]
		}
	}
	if dummy && n.f.suffixSpace {
		_, k := utf8.DecodeLastRuneInString(text)
		put(space, len(text)-k, k)
	}
	p.s, p.al = string(buf), nil
	if track {
		p.al = al
	}
}

// charsMap is a precompiled character map: a double-array trie of strings and what
// becomes of each.
type charsMap struct {
	units []uint32
	text  string // the targets, each ended by a NUL
}

func newCharsMap(data []byte) *charsMap {
	if len(data) < 4 {
		return nil
	}
	size := int(binary.LittleEndian.Uint32(data))
	if size > len(data)-4 {
		return nil
	}
	m := &charsMap{units: make([]uint32, size/4), text: string(data[4+size:])}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(data[4+4*i:])
	}
	return m
}

// longest is the target of the longest string of the map at the start of s, and that
// string's length; 0: none.
func (m *charsMap) longest(s string) (to string, n int) {
	if m == nil || len(m.units) == 0 {
		return "", 0
	}
	offset := func(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }
	at := offset(m.units[0])
	value := uint32(0)
	for i := range len(s) {
		at ^= uint32(s[i])
		if int(at) >= len(m.units) {
			break
		}
		u := m.units[at]
		if u&(1<<31|0xFF) != uint32(s[i]) {
			break
		}
		at ^= offset(u)
		if u>>8&1 == 1 && int(at) < len(m.units) {
			value, n = m.units[at]&(1<<31-1), i+1
		}
	}
	if n == 0 || int(value) >= len(m.text) {
		return "", 0
	}
	to = m.text[value:]
	if end := strings.IndexByte(to, 0); end >= 0 {
		to = to[:end]
	}
	return to, n
}
