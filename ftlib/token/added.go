package token

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// added is a token that lies outside the model: it is looked for in the text before
// anything else.
type added struct {
	content    string
	form       string // what it looks like after normalization, if that is looked for
	id         int32
	special    bool
	singleWord bool // only where no word character touches it
	lstrip     bool // takes the white space before it
	rstrip     bool // takes the white space behind it
	normalized bool // looked for in the normalized text
}

// addedVocab holds the added tokens and finds them.
type addedVocab struct {
	byID     map[int32]*added
	ids      map[string]int32
	special  map[string]bool // contents of special tokens
	plain    *finder         // tokens looked for in the text as it is
	afterAll *finder         // tokens looked for in the normalized text
}

func newAddedVocab() *addedVocab {
	return &addedVocab{byID: map[int32]*added{}, ids: map[string]int32{}, special: map[string]bool{}}
}

// add takes in tokens in order. A token that the model has keeps its id; others are
// numbered from the end of the vocabulary on, whatever the file says.
func (v *addedVocab) add(tokens []added, vocab map[string]int32, norm normalizer) {
	next := int32(len(vocab))
	for id := range v.byID {
		next = max(next, id+1)
	}
	for _, t := range tokens {
		if t.content == "" {
			continue
		}
		id, ok := v.ids[t.content]
		if !ok {
			id, ok = vocab[t.content]
		}
		if !ok {
			id = next
			next++
		}
		t.id, t.form = id, t.content
		if t.normalized && norm != nil {
			p := piece{s: t.content, id: -1}
			norm.normalize(&p, false)
			t.form = p.s
		}
		v.ids[t.content] = id
		if t.special {
			v.special[t.content] = true
		}
		v.byID[id] = &t
	}
	v.plain, v.afterAll = nil, nil
	for _, id := range slices.Sorted(maps.Keys(v.byID)) {
		t := v.byID[id]
		switch {
		case t.normalized && t.form != "":
			v.afterAll = v.afterAll.with(t.form, t)
		case !t.normalized:
			v.plain = v.plain.with(t.content, t)
		}
	}
}

// finder finds the longest of several strings at the leftmost place.
type finder struct {
	first [256]bool
	nodes []trieNode
}

type trieNode struct {
	next  map[byte]int32
	token *added
}

func (f *finder) with(s string, t *added) *finder {
	if f == nil {
		f = &finder{nodes: []trieNode{{next: map[byte]int32{}}}}
	}
	f.first[s[0]] = true
	at := int32(0)
	for i := range len(s) {
		to, ok := f.nodes[at].next[s[i]]
		if !ok {
			to = int32(len(f.nodes))
			f.nodes = append(f.nodes, trieNode{next: map[byte]int32{}})
			f.nodes[at].next[s[i]] = to
		}
		at = to
	}
	f.nodes[at].token = t
	return f
}

// longest is the longest token at the start of s, and its length; nil: none.
func (f *finder) longest(s string) (t *added, n int) {
	at := int32(0)
	for i := range len(s) {
		to, ok := f.nodes[at].next[s[i]]
		if !ok {
			break
		}
		at = to
		if f.nodes[at].token != nil {
			t, n = f.nodes[at].token, i+1
		}
	}
	return t, n
}

// extract cuts the added tokens out of p and passes everything, in order, to next.
func (f *finder) extract(p piece, next func(piece)) {
	if f == nil {
		if p.s != "" {
			next(p)
		}
		return
	}
	done := 0
	for i := 0; i < len(p.s); {
		if !f.first[p.s[i]] {
			i++
			continue
		}
		t, n := f.longest(p.s[i:])
		if t == nil {
			i++
			continue
		}
		lo, hi := i, i+n
		i = hi
		if t.singleWord && (wordBefore(p.s[:lo]) || wordAt(p.s[hi:])) {
			continue
		}
		if t.lstrip {
			lo = max(len(strings.TrimRightFunc(p.s[:lo], isSpace)), done)
		}
		if t.rstrip {
			hi = len(p.s) - len(strings.TrimLeftFunc(p.s[hi:], isSpace))
		}
		if lo > hi {
			continue
		}
		if done < lo {
			next(p.slice(done, lo))
		}
		q := p.slice(lo, hi)
		q.id = t.id
		next(q)
		done = hi
	}
	if done < len(p.s) {
		next(p.slice(done, len(p.s)))
	}
}

func wordBefore(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && rustWords.has(r)
}

func wordAt(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && rustWords.has(r)
}
