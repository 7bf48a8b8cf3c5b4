package token

import (
	"errors"
	"math"
	"unicode/utf8"
)

// unigram picks the cut of a text whose pieces have the greatest sum of scores
// (Kudo 2018), with the score of an unknown character 10 below the least of all.
type unigram struct {
	vocab        map[string]int32
	trie         *finder
	scores       []float64
	unk          int32 // -1: none
	unkScore     float64
	byteFallback bool
	bytes        *bpe // for its byte tokens
}

// scored is a piece of a Unigram vocabulary.
type scored struct {
	text  string
	score float64
}

func newUnigram(pieces []scored, unk *int32, byteFallback bool) (*unigram, map[string]int32, error) {
	m := &unigram{vocab: map[string]int32{}, unk: -1, byteFallback: byteFallback}
	least := math.Inf(1)
	for id, p := range pieces {
		m.vocab[p.text] = int32(id)
		m.scores = append(m.scores, p.score)
		least = min(least, p.score)
	}
	for s, id := range m.vocab {
		if s != "" {
			m.trie = m.trie.with(s, &added{id: id})
		}
	}
	if m.trie == nil {
		return nil, nil, errors.New("vocab is empty")
	}
	m.unkScore = least - 10
	if unk != nil {
		if *unk < 0 || int(*unk) >= len(pieces) {
			return nil, nil, errors.New("unk_id is not in the vocabulary")
		}
		m.unk = *unk
	}
	var err error
	m.bytes, err = newBPE(m.vocab, nil, bpeOptions{})
	return m, m.vocab, err
}

func (m *unigram) size() int { return len(m.vocab) }

// best is the best way to the end of a beginning of the text.
type best struct {
	score float64
	from  int32
	id    int32
}

func (m *unigram) encode(out []tok, s string, w *worker) []tok {
	if toks, ok := w.words.get(s); ok {
		return append(out, toks...)
	}
	start := len(out)
	out = m.fuse(out, s, m.path(s))
	w.words.put(s, out[start:])
	return out
}

// path is the best path: for every place where a piece may end, how to get there.
func (m *unigram) path(s string) []best {
	ends := make([]best, len(s)+1)
	for i := range ends {
		ends[i].from = -1
	}
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		here := ends[i].score
		reach := func(end int, score float64, id int32) {
			if e := &ends[end]; e.from < 0 || score > e.score {
				*e = best{score, int32(i), id}
			}
		}
		single := false
		m.trie.each(s[i:], func(t *added, k int) {
			reach(i+k, m.scores[t.id]+here, t.id)
			single = single || k == n
		})
		if !single {
			reach(i+n, m.unkScore+here, m.unk)
		}
		i += n
	}
	return ends
}

// fuse reads the path from its end, joins neighbouring unknowns and looks the pieces up.
func (m *unigram) fuse(out []tok, s string, ends []best) []tok {
	var cuts []int // begins of pieces, from the last
	unknown := false
	for end := len(s); end > 0; {
		e := ends[end]
		if isUnk := e.id == m.unk; isUnk && unknown {
			cuts[len(cuts)-1] = int(e.from)
		} else {
			cuts = append(cuts, int(e.from))
			unknown = isUnk
		}
		end = int(e.from)
	}
	for i := len(cuts) - 1; i >= 0; i-- {
		end := len(s)
		if i > 0 {
			end = cuts[i-1]
		}
		out = m.piece(out, s[cuts[i]:end])
	}
	return out
}

// piece appends the token of a piece, its bytes, or unk.
func (m *unigram) piece(out []tok, s string) []tok {
	n := int32(len(s))
	if id, ok := m.vocab[s]; ok {
		return append(out, tok{id, n})
	}
	if m.byteFallback {
		if known := m.bytes.fallback(s); known != nil {
			for i := range known { // every byte stands for all of the piece
				known[i].n = -n
			}
			known[len(known)-1].n = n
			return append(out, known...)
		}
	}
	if m.unk < 0 {
		return out
	}
	return append(out, tok{m.unk, n})
}

// each passes every token at the start of s, the shortest first.
func (f *finder) each(s string, yield func(t *added, n int)) {
	at := int32(0)
	for i := range len(s) {
		to, ok := f.nodes[at].next[s[i]]
		if !ok {
			return
		}
		at = to
		if t := f.nodes[at].token; t != nil {
			yield(t, i+1)
		}
	}
}
