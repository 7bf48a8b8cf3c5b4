package token

import (
	"sync"
	"unicode/utf8"
)

// Tokenizer turns text into token ids and back. It is safe for use by several
// goroutines at once.
type Tokenizer struct {
	model   model
	vocab   map[string]int32 // of the model
	names   []string         // token of an id, of the model; "" where there is none
	has     []bool           // whether names holds a token at this id
	added   *addedVocab
	norm    normalizer // nil: none
	stages  []stage
	post    postProcessor
	decoder decoder
	special Special
	size    int
	hash    string
	config  Config
	source  source
	side    side // what lay beside the tokenizer, to build another from it
	// firstOnly: Metaspace looks at where a piece began, so that alignments are
	// needed even where no offsets are asked for.
	firstOnly bool
	workers   sync.Pool
}

// Encode turns text into ids. With special set, the tokens that the tokenizer's
// post-processor adds (such as a BOS) are added. Special tokens written out in the
// text are recognised either way. Bytes that are not UTF-8 are read as U+FFFD.
func (t *Tokenizer) Encode(text string, special bool) []int32 {
	ids, _ := t.encode(text, special, false)
	return ids
}

// EncodeOffsets is Encode with, for each id, the half-open byte range of the text
// that it stands for: {-1, -1} for a token that was added around the text. Ranges
// cover whole characters: tokens that are parts of one character share its range.
func (t *Tokenizer) EncodeOffsets(text string, special bool) (ids []int32, spans [][2]int) {
	return t.encode(text, special, true)
}

func (t *Tokenizer) encode(text string, special, offsets bool) ([]int32, [][2]int) {
	w, _ := t.workers.Get().(*worker)
	if w == nil {
		w = &worker{}
	}
	defer t.workers.Put(w)

	ids := make([]int32, 0, len(text)/4+8)
	var spans [][2]int
	if special {
		ids = append(ids, t.post.before...)
	}
	first := len(ids)
	track := offsets || t.firstOnly
	trim := offsets && len(t.post.trims) > 0
	var forms []string // what each token looks like, to trim it
	sink := func(p piece) {
		if p.id >= 0 {
			ids = append(ids, p.id)
			if offsets {
				lo, hi := p.original(0, len(p.s))
				spans = append(spans, [2]int{lo, hi})
			}
			if trim {
				forms = append(forms, p.s)
			}
			return
		}
		w.toks = t.model.encode(w.toks[:0], p.s, w)
		at := 0
		for _, k := range w.toks {
			ids = append(ids, k.id)
			if offsets {
				n := int(k.n)
				lo, hi := p.original(at, at+max(n, -n))
				spans = append(spans, [2]int{lo, hi})
				at += max(n, 0)
			}
			if trim {
				forms = append(forms, t.names[k.id])
			}
		}
	}
	for i := len(t.stages) - 1; i >= 0; i-- {
		st, next := t.stages[i], sink
		sink = func(p piece) {
			if p.id >= 0 {
				next(p)
				return
			}
			st.run(p, track, next)
		}
	}
	t.added.plain.extract(textPiece(text, track), func(p piece) {
		if p.id >= 0 {
			sink(p)
			return
		}
		if t.norm != nil {
			t.norm.normalize(&p, track)
		}
		if p.al != nil && p.s != "" {
			p.at = int(p.al[0].lo)
		}
		t.added.afterAll.extract(p, sink)
	})
	if trim {
		t.post.trim(text, forms, spans)
	}
	if special {
		ids = append(ids, t.post.after...)
	}
	if offsets {
		all := make([][2]int, 0, len(ids))
		for range first {
			all = append(all, [2]int{-1, -1})
		}
		all = append(all, spans...)
		for len(all) < len(ids) {
			all = append(all, [2]int{-1, -1})
		}
		spans = all
	}
	return ids, spans
}

// textPiece is the text as one piece. What is not UTF-8 becomes U+FFFD.
func textPiece(text string, track bool) piece {
	if utf8.ValidString(text) {
		return piece{s: text, id: -1}
	}
	p := piece{id: -1}
	var buf []byte
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			n = brokenLength([]byte(text[i:min(i+4, len(text))]))
		}
		mark := len(buf)
		buf = utf8.AppendRune(buf, r)
		if track {
			for range len(buf) - mark {
				p.al = append(p.al, span{int32(i), int32(i + n)})
			}
		}
		i += n
	}
	p.s = string(buf)
	return p
}

// Decode turns ids into text. With skipSpecial set, special tokens are left out.
// Ids that the tokenizer does not have are passed over.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	f := newFlow(t.decoder())
	for _, id := range ids {
		if s, ok := t.visible(id, skipSpecial); ok {
			f.add(s)
		}
	}
	f.finish()
	return f.take()
}

// visible is the token of an id as the decoder is to see it; false: not at all.
func (t *Tokenizer) visible(id int32, skipSpecial bool) (string, bool) {
	s, ok := t.form(id)
	if !ok || skipSpecial && t.added.special[s] {
		return "", false
	}
	return s, true
}

// form is the token of an id; of an added token that is looked for in normalized
// text, its normalized form.
func (t *Tokenizer) form(id int32) (string, bool) {
	if a, ok := t.added.byID[id]; ok {
		return a.form, true
	}
	if id < 0 || int(id) >= len(t.names) || !t.has[id] {
		return "", false
	}
	return t.names[id], true
}

// Token is the token of an id as the vocabulary writes it (" the" may be "Ġthe" or
// "▁the"); false: there is none.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if a, ok := t.added.byID[id]; ok {
		return a.content, true
	}
	return t.form(id)
}

// ID is the id of a token as the vocabulary writes it; false: there is none.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added.ids[token]; ok {
		return id, true
	}
	id, ok := t.vocab[token]
	return id, ok
}

// IsSpecial says whether the id is that of a special token, which
// Decode can leave out.
func (t *Tokenizer) IsSpecial(id int32) bool {
	s, ok := t.form(id)
	return ok && t.added.special[s]
}

// Size is the largest id plus one: the rows that an embedding needs at least.
func (t *Tokenizer) Size() int { return t.size }

// Special are the ids of the tokens with a meaning; -1 where there is none.
func (t *Tokenizer) Special() Special { return t.special }

// AddsBOS says whether Encode(text, true) begins with the BOS token.
func (t *Tokenizer) AddsBOS() bool {
	return t.special.BOS >= 0 && len(t.post.before) > 0 && t.post.before[0] == t.special.BOS
}

// AddsEOS says whether Encode(text, true) ends with the EOS token.
func (t *Tokenizer) AddsEOS() bool {
	n := len(t.post.after)
	return t.special.EOS >= 0 && n > 0 && t.post.after[n-1] == t.special.EOS
}

// Hash is a hash, in hexadecimal, of everything that decides the ids of a text and
// the text of ids: the same hash means the same tokenizer.
func (t *Tokenizer) Hash() string { return t.hash }

// Config is what tokenizer_config.json and its neighbours say.
func (t *Tokenizer) Config() Config { return t.config }

// index fills what is derived from the vocabulary and the added tokens.
func (t *Tokenizer) index() {
	for _, id := range t.vocab {
		t.size = max(t.size, int(id)+1)
	}
	t.names, t.has = make([]string, t.size), make([]bool, t.size)
	for s, id := range t.vocab {
		if id >= 0 {
			t.names[id], t.has[id] = s, true
		}
	}
	for id := range t.added.byID {
		t.size = max(t.size, int(id)+1)
	}
	for _, st := range t.stages {
		if m, ok := st.(metaspaceStage); ok && m.scheme == "first" {
			t.firstOnly = t.norm != nil || len(t.stages) > 1
		}
	}
}
