package token

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// tok is a token and the number of bytes of the piece that it stands for; n < 0:
// the next -n bytes, which the token after it stands for as well.
type tok struct {
	id int32
	n  int32
}

// model turns a piece into tokens.
type model interface {
	// encode appends the tokens of s, which is not empty.
	encode(out []tok, s string, w *worker) []tok
	size() int // number of entries in the vocabulary
}

// bpe is byte-pair encoding (Sennrich et al. 2016): characters, or bytes, joined
// pair by pair in the order in which training joined them.
type bpe struct {
	vocab        map[string]int32
	merges       mergeTable
	unk          int32 // -1: none, unknown characters vanish
	fuseUnk      bool
	byteFallback bool
	ignoreMerges bool
	prefix       string // continuing_subword_prefix
	suffix       string // end_of_word_suffix
	bytes        [256]int32
	allBytes     bool
	ascii        [utf8.RuneSelf]int32 // ids of one-character tokens
	raw          bool                 // pieces are bytes, not characters that stand for bytes
	rawIDs       [256]int32
	rawVocab     map[string]int32 // by bytes; only for ignoreMerges
	cuts         *cutTable        // nil: pieces must not be cut
}

// bpeOptions are the fields of a BPE model.
type bpeOptions struct {
	unk, prefix, suffix                string
	fuseUnk, byteFallback, ignoreMerge bool
}

func newBPE(vocab map[string]int32, merges [][2]string, o bpeOptions) (*bpe, error) {
	m := &bpe{vocab: vocab, unk: -1, fuseUnk: o.fuseUnk, byteFallback: o.byteFallback,
		ignoreMerges: o.ignoreMerge, prefix: o.prefix, suffix: o.suffix, allBytes: true}
	if o.unk != "" {
		id, ok := vocab[o.unk]
		if !ok {
			return nil, fmt.Errorf("unk_token %q is not in the vocabulary", o.unk)
		}
		m.unk = id
	}
	for b := range 256 {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id, m.allBytes = -1, false
		}
		m.bytes[b] = id
	}
	for r := range m.ascii {
		m.ascii[r] = -1
		if id, ok := vocab[string(rune(r))]; ok {
			m.ascii[r] = id
		}
	}
	m.merges = newMergeTable(len(merges))
	var products []string
	plain := m.prefix == "" && m.suffix == ""
	for rank, pair := range merges {
		a, ok := vocab[pair[0]]
		b, ok2 := vocab[pair[1]]
		whole := pair[0] + strings.TrimPrefix(pair[1], m.prefix)
		id, ok3 := vocab[whole]
		if !ok || !ok2 || !ok3 {
			return nil, fmt.Errorf("merge %d, %q with %q: a part or the whole is not in the vocabulary", rank, pair[0], pair[1])
		}
		m.merges.put(a, b, int32(rank), id)
		products = append(products, whole)
		if m.byteFallback && (isByteToken(pair[0]) || isByteToken(pair[1])) {
			plain = false
		}
	}
	// Unknown characters that vanish, or fuse, bring their neighbours together.
	if plain && !m.ignoreMerges && (m.byteFallback && m.allBytes || m.unk >= 0 && !m.fuseUnk) {
		m.cuts = newCutTable(products)
	}
	return m, nil
}

func (m *bpe) size() int { return len(m.vocab) }

// useBytes makes the model read bytes instead of the characters that stand for them.
func (m *bpe) useBytes() {
	m.raw = true
	for b := range 256 {
		m.rawIDs[b] = -1
		if id, ok := m.vocab[string(byteChars[b])]; ok {
			m.rawIDs[b] = id
		}
	}
	if m.ignoreMerges {
		m.rawVocab = make(map[string]int32, len(m.vocab))
		for s, id := range m.vocab {
			if b, ok := bytesOf(s); ok {
				m.rawVocab[string(b)] = id
			}
		}
	}
}

// encode cuts the text where no merge can join and encodes the parts.
func (m *bpe) encode(out []tok, s string, w *worker) []tok {
	if m.cuts == nil || m.raw {
		return m.cached(out, s, w)
	}
	from := 0
	before, n := utf8.DecodeRuneInString(s)
	for i := n; i < len(s); i += n {
		var r rune
		r, n = rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		if !m.cuts.joined(before, r) {
			out = m.cached(out, s[from:i], w)
			from = i
		}
		before = r
	}
	return m.cached(out, s[from:], w)
}

// cached encodes a word, or finds it among those encoded before.
func (m *bpe) cached(out []tok, s string, w *worker) []tok {
	if len(s) == 1 && m.raw && !m.ignoreMerges && m.suffix == "" {
		if id := m.rawIDs[s[0]]; id >= 0 {
			return append(out, tok{id, 1})
		}
	}
	if toks, ok := w.words.get(s); ok {
		return append(out, toks...)
	}
	start := len(out)
	out = m.word(out, s, w)
	w.words.put(s, out[start:])
	return out
}

// word encodes a word without the cache.
func (m *bpe) word(out []tok, s string, w *worker) []tok {
	if m.ignoreMerges {
		vocab := m.vocab
		if m.raw {
			vocab = m.rawVocab
		}
		if id, ok := vocab[s]; ok {
			return append(out, tok{id, int32(len(s))})
		}
	}
	w.syms = m.symbols(w.syms[:0], s)
	return append(out, m.merges.join(w.syms, w)...)
}

// symbols appends the tokens of the single characters of s.
func (m *bpe) symbols(syms []tok, s string) []tok {
	if m.raw && m.prefix == "" && m.suffix == "" && m.unk < 0 {
		for i := range len(s) {
			if id := m.rawIDs[s[i]]; id >= 0 {
				syms = append(syms, tok{id, 1})
			}
		}
		return syms
	}
	unk := tok{id: -1}
	for i := 0; i < len(s); {
		id, n := m.symbol(s, i)
		at := i
		i += n
		if id >= 0 {
			if unk.id >= 0 {
				syms = append(syms, unk)
				unk.id = -1
			}
			syms = append(syms, tok{id, int32(n)})
			continue
		}
		if m.byteFallback {
			part := m.decorated(s, at, n)
			if known := m.fallback(part); known != nil {
				syms = append(syms, known...)
				continue
			}
		}
		if m.unk < 0 {
			continue
		}
		if unk.id >= 0 && m.fuseUnk {
			unk.n += int32(n)
			continue
		}
		if unk.id >= 0 {
			syms = append(syms, unk)
		}
		unk = tok{m.unk, int32(n)}
	}
	if unk.id >= 0 {
		syms = append(syms, unk)
	}
	return syms
}

// symbol is the token of the character at s[i:], or -1, and the character's length.
func (m *bpe) symbol(s string, i int) (id int32, n int) {
	if m.raw {
		if m.prefix == "" && m.suffix == "" {
			return m.rawIDs[s[i]], 1
		}
		n = 1
	} else {
		if m.prefix == "" && m.suffix == "" && s[i] < utf8.RuneSelf {
			return m.ascii[s[i]], 1
		}
		_, n = utf8.DecodeRuneInString(s[i:])
	}
	if id, ok := m.vocab[m.decorated(s, i, n)]; ok {
		return id, n
	}
	return -1, n
}

// decorated is the character s[i:i+n] as the vocabulary writes it at this place.
func (m *bpe) decorated(s string, i, n int) string {
	c := s[i : i+n]
	if m.raw {
		c = string(byteChars[s[i]])
	}
	if i > 0 {
		c = m.prefix + c
	}
	if i+n == len(s) {
		c += m.suffix
	}
	return c
}

// fallback are the byte tokens of c, or nil where one is missing.
func (m *bpe) fallback(c string) []tok {
	out := make([]tok, 0, 8)
	for i := range len(c) {
		id := m.bytes[c[i]]
		if id < 0 {
			return nil
		}
		out = append(out, tok{id, 1})
	}
	return out
}

// cutTable knows which characters stand side by side inside some token. Between
// any other two no merge is possible, so that a text may be cut there.
type cutTable struct {
	near [129][129]bool // ASCII, and U+2581 as the last
	far  map[[2]rune]struct{}
}

const metaspace = '\u2581'

func newCutTable(tokens []string) *cutTable {
	c := &cutTable{far: map[[2]rune]struct{}{}}
	for _, t := range tokens {
		before := rune(-1)
		for _, r := range t {
			if before >= 0 {
				i, j := nearIndex(before), nearIndex(r)
				if i >= 0 && j >= 0 {
					c.near[i][j] = true
				} else {
					c.far[[2]rune{before, r}] = struct{}{}
				}
			}
			before = r
		}
	}
	return c
}

func nearIndex(r rune) int {
	switch {
	case r < utf8.RuneSelf:
		return int(r)
	case r == metaspace:
		return 128
	}
	return -1
}

// joined says whether a merge may join a and b.
func (c *cutTable) joined(a, b rune) bool {
	i, j := nearIndex(a), nearIndex(b)
	if i >= 0 && j >= 0 {
		return c.near[i][j]
	}
	_, ok := c.far[[2]rune{a, b}]
	return ok
}

func isByteToken(s string) bool {
	return len(s) == 6 && strings.HasPrefix(s, "<0x") && s[5] == '>'
}
