package token

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// pieceBPE is the BPE of SentencePiece: of all pairs of neighbours that make a piece,
// the one of the best score is joined, the leftmost of several.
type pieceBPE struct {
	f       *spmFile
	symbols map[string]int32 // pieces, and single characters that are none (ids from len(pieces) on)
	merges  mergeTable
	cuts    *cutTable
	frozen  *finder // user-defined symbols, which never join their neighbours
	bytes   [256]int32
	unk     int32
	unused  map[int32][]int32 // what to put in place of pieces that must not come out
}

func newPieceBPE(f *spmFile) *pieceBPE {
	m := &pieceBPE{f: f, symbols: map[string]int32{}, unk: -1}
	var tokens []string
	var order []int32 // of pieces that merges make
	for b := range m.bytes {
		m.bytes[b] = -1
	}
	for id, p := range f.pieces {
		switch p.kind {
		case pieceUnknown:
			m.unk = int32(id)
		case pieceByte:
			if b, ok := hexByte(p.text); ok {
				m.bytes[b] = int32(id)
			}
		case pieceUserDefined:
			m.frozen = m.frozen.with(p.text, &added{id: int32(id)})
			fallthrough
		case pieceNormal, pieceUnused:
			m.symbols[p.text] = int32(id)
			tokens = append(tokens, p.text)
			order = append(order, int32(id))
		}
	}
	next := int32(len(f.pieces))
	for _, t := range tokens {
		for _, r := range t {
			if _, ok := m.symbols[string(r)]; !ok {
				m.symbols[string(r)] = next
				next++
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(f.pieces[b].score, f.pieces[a].score) })
	m.merges = newMergeTable(4 * len(order))
	m.addMerges(order)
	m.cuts = newCutTable(tokens)
	m.unused = m.resegment()
	return m
}

// addMerges enters every way to make each piece out of two symbols, under the rank
// of the piece's score: equal scores have equal ranks, and the place decides.
func (m *pieceBPE) addMerges(order []int32) {
	rank := int32(0)
	for i, id := range order {
		p := m.f.pieces[id]
		if i > 0 && p.score != m.f.pieces[order[i-1]].score {
			rank++
		}
		for at := range p.text {
			if at == 0 {
				continue
			}
			a, ok := m.symbols[p.text[:at]]
			b, ok2 := m.symbols[p.text[at:]]
			if ok && ok2 {
				if 2*m.merges.n > len(m.merges.slots) {
					m.merges.grow()
				}
				m.merges.put(a, b, rank, id)
			}
		}
	}
}

// resegment finds what stands for each unused piece: the parts that it was last made
// of, if these are unused too, their parts.
func (m *pieceBPE) resegment() map[int32][]int32 {
	out := map[int32][]int32{}
	var parts func(id int32) []int32
	parts = func(id int32) []int32 {
		if int(id) >= len(m.f.pieces) || m.f.pieces[id].kind != pieceUnused {
			return []int32{id}
		}
		text := m.f.pieces[id].text
		syms := m.characters(nil, text)
		for n := len(syms); n > 2; n = len(syms) {
			if syms = m.merges.joinOnce(syms); len(syms) == n {
				break
			}
		}
		if len(syms) < 2 {
			return []int32{id}
		}
		var ids []int32
		for _, s := range syms {
			ids = append(ids, parts(s.id)...)
		}
		return ids
	}
	for id, p := range m.f.pieces {
		if p.kind == pieceUnused {
			out[int32(id)] = parts(int32(id))
		}
	}
	return out
}

func (m *pieceBPE) size() int { return len(m.f.pieces) }

// strange is the id of a character that is in no piece.
const strange = 1 << 30

// characters appends the symbols of the characters of s.
func (m *pieceBPE) characters(syms []tok, s string) []tok {
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		id, ok := m.symbols[s[i:i+n]]
		if !ok {
			id = strange
		}
		syms = append(syms, tok{id, int32(n)})
		i += n
	}
	return syms
}

// encode cuts out the user-defined symbols and encodes what is between.
func (m *pieceBPE) encode(out []tok, s string, w *worker) []tok {
	first := len(out)
	from := 0
	if m.frozen != nil {
		for i := 0; i < len(s); {
			if t, n := m.frozen.longest(s[i:]); t != nil {
				out = m.stretch(out, s[from:i], w)
				out = append(out, tok{t.id, int32(n)})
				i += n
				from = i
				continue
			}
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
		}
	}
	out = m.stretch(out, s[from:], w)
	if m.f.byteFallback {
		return out
	}
	kept := out[:first] // neighbouring unknowns are one
	for _, k := range out[first:] {
		if n := len(kept); n > first && k.id == m.unk && kept[n-1].id == m.unk {
			kept[n-1].n += k.n
			continue
		}
		kept = append(kept, k)
	}
	return kept
}

// stretch cuts the text where no merge can join and encodes the parts.
func (m *pieceBPE) stretch(out []tok, s string, w *worker) []tok {
	from := 0
	before := rune(-1)
	for i, r := range s {
		if i > 0 && !m.cuts.joined(before, r) {
			out = m.word(out, s[from:i], w)
			from = i
		}
		before = r
	}
	if from < len(s) {
		out = m.word(out, s[from:], w)
	}
	return out
}

// word encodes a part of the text, or finds it among those encoded before.
func (m *pieceBPE) word(out []tok, s string, w *worker) []tok {
	if toks, ok := w.words.get(s); ok {
		return append(out, toks...)
	}
	start := len(out)
	w.syms = m.characters(w.syms[:0], s)
	at := 0
	for _, k := range m.merges.join(w.syms, w) {
		out = m.emit(out, k, s[at:at+int(k.n)])
		at += int(k.n)
	}
	w.words.put(s, out[start:])
	return out
}

// emit appends a symbol as ids of the vocabulary.
func (m *pieceBPE) emit(out []tok, k tok, text string) []tok {
	if int(k.id) < len(m.f.pieces) {
		parts, ok := m.unused[k.id]
		if !ok {
			return append(out, k)
		}
		at := 0
		for _, id := range parts {
			n := len(m.textOf(id, text[at:]))
			out = m.emitKnown(out, id, text[at:at+n])
			at += n
		}
		return out
	}
	return m.unknown(out, text)
}

// textOf is the text of a symbol that stands at the start of rest.
func (m *pieceBPE) textOf(id int32, rest string) string {
	if int(id) < len(m.f.pieces) {
		return m.f.pieces[id].text
	}
	_, n := utf8.DecodeRuneInString(rest)
	return rest[:n]
}

func (m *pieceBPE) emitKnown(out []tok, id int32, text string) []tok {
	if int(id) < len(m.f.pieces) {
		return append(out, tok{id, int32(len(text))})
	}
	return m.unknown(out, text)
}

// unknown appends what stands for text that is in no piece: its bytes, or unk.
func (m *pieceBPE) unknown(out []tok, text string) []tok {
	if !m.f.byteFallback {
		return append(out, tok{m.unk, int32(len(text))})
	}
	for i := range len(text) {
		out = append(out, tok{m.bytes[text[i]], 1})
	}
	return out
}
