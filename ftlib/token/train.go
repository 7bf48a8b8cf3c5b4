package token

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// TrainOptions say what vocabulary Train makes.
type TrainOptions struct {
	VocabSize      int      // tokens in all, special ones included; zero: 2048
	SpecialTokens  []string // they get the first ids, in this order
	SplitDigits    bool     // every digit is a token of its own
	MinFrequency   int      // merges seen less often are not made; zero: all
	BOS, EOS       string   // among SpecialTokens; "": none
	PAD, UNK       string   // among SpecialTokens; "": none
	AddBOS, AddEOS bool     // Encode(text, true) adds them
	ModelMaxLength int      // longest input in tokens, for tokenizer_config.json; zero: not stated
	ChatTemplate   string   // for tokenizer_config.json; "": none
}

// Train learns a byte-level BPE vocabulary from texts (Sennrich et al. 2016): all 256
// bytes, then the most frequent pair of neighbours joined to a token, again and again.
// Words are cut by the pattern of GPT-2, after single digits if SplitDigits is set.
// The result depends on the texts and options alone: of pairs that are equally
// frequent the one of lower ids is joined, as in the tokenizers library, which makes
// the same vocabulary of the same texts.
func Train(texts iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	if o.VocabSize == 0 {
		o.VocabSize = 2048
	}
	for what, name := range map[string]string{"BOS": o.BOS, "EOS": o.EOS, "PAD": o.PAD, "UNK": o.UNK} {
		if name != "" && !slices.Contains(o.SpecialTokens, name) {
			return nil, fmt.Errorf("token: %s token %q is not among SpecialTokens", what, name)
		}
	}
	if o.AddBOS && o.BOS == "" || o.AddEOS && o.EOS == "" {
		return nil, errors.New("token: AddBOS or AddEOS without a BOS or EOS token")
	}
	tr := newTrainer(o)
	if o.VocabSize < len(tr.names) {
		return nil, fmt.Errorf("token: VocabSize %d is less than 256 bytes and the special tokens: need at least %d", o.VocabSize, len(tr.names))
	}
	words, err := countWords(texts, o.SplitDigits)
	if err != nil {
		return nil, err
	}
	tr.load(words)
	tr.run(o.VocabSize, max(1, o.MinFrequency))
	tokenizer, config, err := trainedFiles(tr, o)
	if err != nil {
		return nil, err
	}
	return parseSaved(tokenizer, config)
}

// countWords cuts the texts into words and counts them.
func countWords(texts iter.Seq[string], splitDigits bool) (map[string]int, error) {
	gpt2, err := compile(patternGPT2)
	if err != nil {
		return nil, err
	}
	stages := []stage{byteStage{pattern: gpt2, raw: true}}
	if splitDigits {
		stages = []stage{splitStage{oneRune(rustNumerics.has), isolated, false}, stages[0]}
	}
	words := map[string]int{}
	sink := func(p piece) { words[p.s]++ }
	for _, st := range slices.Backward(stages) {
		next := sink
		sink = func(p piece) { st.run(p, false, next) }
	}
	for text := range texts {
		if p := textPiece(text, false); p.s != "" {
			sink(p)
		}
	}
	return words, nil
}

// pair is two neighbouring tokens.
type pair struct{ a, b int32 }

// trainer holds the state of training.
type trainer struct {
	names  []string         // tokens by id
	ids    map[string]int32 // and back
	bytes  [256]int32       // ids of the bytes
	words  [][]int32        // tokens of each word
	counts []int            // how often each word occurs
	pairs  map[pair]int     // how often each pair occurs
	fresh  map[pair][]int32 // words in which a pair has appeared since it was last queued
	queue  candidates
	merges [][2]string
}

func newTrainer(o TrainOptions) *trainer {
	tr := &trainer{ids: map[string]int32{}, pairs: map[pair]int{}, fresh: map[pair][]int32{}}
	for _, s := range o.SpecialTokens {
		tr.intern(s)
	}
	chars := slices.Clone(byteChars[:])
	slices.Sort(chars)
	for _, r := range chars {
		tr.bytes[charBytes[r]] = tr.intern(string(r))
	}
	return tr
}

// intern is the id of a token, which is new or not.
func (tr *trainer) intern(s string) int32 {
	if id, ok := tr.ids[s]; ok {
		return id
	}
	id := int32(len(tr.names))
	tr.names, tr.ids[s] = append(tr.names, s), id
	return id
}

// load takes in the words and queues their pairs.
func (tr *trainer) load(words map[string]int) {
	order := make([]string, 0, len(words))
	for w := range words {
		order = append(order, w)
	}
	slices.Sort(order)
	for i, w := range order {
		toks := make([]int32, len(w))
		for j := range len(w) {
			toks[j] = tr.bytes[w[j]]
		}
		tr.words, tr.counts = append(tr.words, toks), append(tr.counts, words[w])
		for j := range len(toks) - 1 {
			tr.change(pair{toks[j], toks[j+1]}, 1, int32(i))
		}
	}
	tr.enqueue()
}

// change counts a pair that appeared in (by 1) or left (by -1) word i.
func (tr *trainer) change(p pair, by int, i int32) {
	tr.pairs[p] += by * tr.counts[i]
	if by > 0 {
		if f := tr.fresh[p]; len(f) == 0 || f[len(f)-1] != i {
			tr.fresh[p] = append(f, i)
		}
	}
}

// enqueue makes candidates of the pairs that have appeared.
func (tr *trainer) enqueue() {
	for p, where := range tr.fresh {
		if n := tr.pairs[p]; n > 0 {
			tr.queue.push(candidate{p, n, where})
		}
		delete(tr.fresh, p)
	}
}

// run merges until the vocabulary has the size, or no pair occurs often enough.
func (tr *trainer) run(size, minFrequency int) {
	for len(tr.names) < size && len(tr.queue) > 0 {
		top := tr.queue.pop()
		if n := tr.pairs[top.pair]; n != top.count {
			top.count = n // stale: back into the queue at its place
			tr.queue.push(top)
			continue
		}
		if top.count < minFrequency {
			return
		}
		a, b := tr.names[top.a], tr.names[top.b]
		tr.merges = append(tr.merges, [2]string{a, b})
		id := tr.intern(a + b)
		for _, i := range top.words {
			tr.merge(i, top.pair, id)
		}
		tr.enqueue()
	}
}

// merge joins the pair in word i and counts what that changes around it.
func (tr *trainer) merge(i int32, p pair, id int32) {
	w := tr.words[i]
	for j := 0; j+1 < len(w); j++ {
		if w[j] != p.a || w[j+1] != p.b {
			continue
		}
		w = slices.Delete(w, j+1, j+2)
		w[j] = id
		if j > 0 {
			tr.change(pair{w[j-1], p.a}, -1, i)
			tr.change(pair{w[j-1], id}, 1, i)
		}
		if j+1 < len(w) {
			tr.change(pair{p.b, w[j+1]}, -1, i)
			tr.change(pair{id, w[j+1]}, 1, i)
		}
	}
	tr.words[i] = w
}

// candidate is a pair that may be merged next.
type candidate struct {
	pair
	count int
	words []int32 // in which it occurs
}

// before says whether c is merged before d.
func (c *candidate) before(d *candidate) bool {
	switch {
	case c.count != d.count:
		return c.count > d.count
	case c.a != d.a:
		return c.a < d.a
	}
	return c.b < d.b
}

// candidates is a binary heap, the next merge first.
type candidates []candidate

func (h *candidates) push(c candidate) {
	*h = append(*h, c)
	q := *h
	for i := len(q) - 1; i > 0; {
		p := (i - 1) / 2
		if !q[i].before(&q[p]) {
			return
		}
		q[i], q[p] = q[p], q[i]
		i = p
	}
}

func (h *candidates) pop() candidate {
	q := *h
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = candidate{}
	q = q[:last]
	*h = q
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return top
		}
		if c+1 < last && q[c+1].before(&q[c]) {
			c++
		}
		if !q[c].before(&q[i]) {
			return top
		}
		q[i], q[c] = q[c], q[i]
		i = c
	}
}
