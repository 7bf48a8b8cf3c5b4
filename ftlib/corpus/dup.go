package corpus

import (
	"hash/fnv"
	"unicode"
	"unicode/utf8"
)

// Finder finds texts that stand in a data set twice: exactly, but for case and
// white space, or nearly, with a few other words. It reads each text once and
// keeps about 700 bytes for it; nearly equal ones are looked for among the first
// NearLimit texts, equal ones among all.
//
// Nearly equal means that three quarters of their three-word sequences agree, as
// estimated by 64 min-hashes (Broder 1997), found by locality-sensitive hashing
// with 16 bands of 4. Texts with other numbers in them are never nearly equal:
// two exercises that differ in their numbers are two exercises.
type Finder struct {
	NearLimit int // texts; zero: 200,000; negative: look for equal ones only

	exact map[uint64]int32
	sigs  []signature
	bands [bandCount]map[uint64]int32 // band value -> last text in it
	next  [][bandCount]int32          // text -> the one before it in the same band
	ids   []int32                     // signature -> text
	n     int32
	full  bool // some texts were not remembered for nearly equal ones
}

const (
	bandCount = 16
	bandRows  = 4
	hashCount = bandCount * bandRows
	nearShare = 0.75
	longChain = 16 // texts looked at in one band
)

type signature struct {
	min     [hashCount]uint32
	numbers uint64
	words   int
}

// Match is what a text repeats: the text with that number, counted from 0 in the
// order of Add. Number is -1 for a text that is new.
type Match struct {
	Number int
	Exact  bool
	Share  float64 // of three-word sequences in common, estimated; 1 when exact
}

// Add looks a text up and then remembers it.
func (f *Finder) Add(text string) Match { return f.look(text, true) }

// Find looks a text up without remembering it.
func (f *Finder) Find(text string) Match { return f.look(text, false) }

// Full says whether there were more texts than nearly equal ones are looked for in.
func (f *Finder) Full() bool { return f.full }

func (f *Finder) limit() int {
	if f.NearLimit == 0 {
		return 200_000
	}
	return f.NearLimit
}

func (f *Finder) look(text string, keep bool) Match {
	if f.exact == nil {
		f.exact = map[uint64]int32{}
		for b := range f.bands {
			f.bands[b] = map[uint64]int32{}
		}
	}
	h := fnv.New64a()
	h.Write([]byte(normalKey(text)))
	key := h.Sum64()
	n := f.n
	if keep {
		f.n++
	}
	if first, ok := f.exact[key]; ok {
		return Match{Number: int(first), Exact: true, Share: 1}
	}
	if keep {
		f.exact[key] = n
	}
	if f.NearLimit < 0 {
		return Match{Number: -1}
	}
	sig := sign(text)
	match := f.near(&sig)
	switch {
	case !keep:
	case len(f.sigs) < f.limit():
		f.remember(sig, n)
	default:
		f.full = true
	}
	return match
}

func (f *Finder) near(sig *signature) Match {
	best := Match{Number: -1}
	if sig.words < 3 {
		return best
	}
	for b := range bandCount {
		at, ok := f.bands[b][bandKey(sig, b)]
		for steps := 0; ok && at >= 0 && steps < longChain; steps++ {
			other := &f.sigs[at]
			if other.numbers == sig.numbers {
				same := 0
				for i := range hashCount {
					if other.min[i] == sig.min[i] {
						same++
					}
				}
				if share := float64(same) / hashCount; share >= nearShare && share > best.Share {
					best = Match{Number: int(f.ids[at]), Share: share}
				}
			}
			at = f.next[at][b]
		}
	}
	return best
}

func (f *Finder) remember(sig signature, n int32) {
	at := int32(len(f.sigs))
	var next [bandCount]int32
	for b := range bandCount {
		key := bandKey(&sig, b)
		before, ok := f.bands[b][key]
		if !ok {
			before = -1
		}
		next[b] = before
		f.bands[b][key] = at
	}
	f.sigs = append(f.sigs, sig)
	f.next = append(f.next, next)
	f.ids = append(f.ids, n)
}

func bandKey(sig *signature, b int) uint64 {
	h := uint64(b)
	for _, v := range sig.min[b*bandRows : (b+1)*bandRows] {
		h = mix(h ^ uint64(v))
	}
	return h
}

// seeds are the 64 hash functions: h -> high half of (h * odd).
var seeds = func() (s [hashCount]uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for i := range s {
		x = mix(x + 0x9e3779b97f4a7c15)
		s[i] = x | 1
	}
	return s
}()

// sign computes the min-hashes of a text's three-word sequences. Letters and
// digits make words; in scripts without spaces every character is one.
func sign(text string) signature {
	var sig signature
	for i := range sig.min {
		sig.min[i] = ^uint32(0)
	}
	var last [3]uint64
	add := func(word uint64) {
		last[0], last[1], last[2] = last[1], last[2], word
		sig.words++
		if sig.words < 3 {
			return
		}
		h := mix(last[0]*3 ^ mix(last[1]*5^mix(last[2])))
		for i, s := range seeds {
			sig.min[i] = min(sig.min[i], uint32((h*s)>>32))
		}
	}
	const offset, prime = 14695981039346656037, 1099511628211
	word, in := uint64(offset), false
	digits, number := uint64(0), false
	for _, r := range text {
		if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z') || r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			if unicode.IsDigit(r) {
				digits = digits*31 + uint64(r)
				number = true
			}
			r = unicode.ToLower(r)
			if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) {
				if in {
					add(word)
				}
				add(uint64(r))
				word, in = offset, false
				continue
			}
			word, in = (word^uint64(r))*prime, true
			continue
		}
		if number { // 1 23 and 12 3 are other numbers
			digits, number = digits*31+1, false
		}
		if in {
			add(word)
			word, in = offset, false
		}
	}
	if in {
		add(word)
	}
	sig.numbers = digits
	return sig
}
