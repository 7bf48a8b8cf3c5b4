package token

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// rxRange is a range of characters, both ends included.
type rxRange struct{ lo, hi rune }

// rxSet is a set of characters as ranges in order that do not touch.
type rxSet []rxRange

// tidy sorts and joins ranges.
func (s rxSet) tidy() rxSet {
	slices.SortFunc(s, func(a, b rxRange) int { return int(a.lo - b.lo) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
		} else {
			out = append(out, r)
		}
	}
	return out
}

func (s rxSet) not() rxSet {
	var out rxSet
	next := rune(0)
	for _, r := range s {
		if r.lo > next {
			out = append(out, rxRange{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, rxRange{next, unicode.MaxRune})
	}
	return out
}

func (s rxSet) or(t rxSet) rxSet { return append(slices.Clone(s), t...).tidy() }

func (s rxSet) and(t rxSet) rxSet { return s.not().or(t.not()).not() }

// has says whether r is in the set.
func (s rxSet) has(r rune) bool {
	i, _ := slices.BinarySearchFunc(s, r, func(x rxRange, r rune) int { return int(x.hi - r) })
	return i < len(s) && s[i].lo <= r
}

// folded adds the other cases of every character.
func (s rxSet) folded() rxSet {
	out := slices.Clone(s)
	for _, r := range s {
		for c := r.lo; c <= min(r.hi, 0x1FFFF); c++ { // beyond there are no cases
			for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
				out = append(out, rxRange{f, f})
			}
		}
	}
	return out.tidy()
}

// set is a class as ranges.
func (c *class) set() rxSet { return tableSet(c.load()) }

func tableSet(t *unicode.RangeTable) rxSet {
	var out rxSet
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			out = append(out, rxRange{lo, hi})
			return
		}
		for r := lo; r <= hi; r += stride {
			out = append(out, rxRange{r, r})
		}
	}
	for _, r := range t.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range t.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	return out.tidy()
}

// spaceSet is \s.
var spaceSet = tableSet(unicode.White_Space)

// property is the set of \p{name}; false: there is none of this name.
func property(name string) (rxSet, bool) {
	if c, ok := properties[name]; ok {
		return c.set(), true
	}
	switch name {
	case "Any":
		return rxSet{{0, unicode.MaxRune}}, true
	case "Alpha", "Alphabetic":
		return tableSet(unicode.L).or(tableSet(unicode.Nl)).or(tableSet(unicode.Other_Alphabetic)), true
	case "Space", "White_Space":
		return spaceSet, true
	case "Word":
		return wordChars.set(), true
	case "Alnum", "Digit", "Upper", "Lower", "Punct", "Cntrl", "Graph", "Print", "XDigit", "Blank":
		return nil, false // their meanings differ between engines
	}
	if t, ok := unicode.Categories[name]; ok {
		return tableSet(t), true
	}
	if t, ok := unicode.Scripts[name]; ok {
		return tableSet(t), true
	}
	return nil, false
}

// rxChars is a set made fast: a bit for each character below U+10000.
type rxChars struct {
	bits [1 << 10]uint64
	set  rxSet
}

func newRxChars(s rxSet) *rxChars {
	c := &rxChars{set: s}
	for _, r := range s {
		for i := r.lo; i <= min(r.hi, 0xFFFF); i++ {
			c.bits[i>>6] |= 1 << (i & 63)
		}
	}
	return c
}

// step is the end of the character at s[i:] if it is in the set, or -1.
func (c *rxChars) step(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	r, n := rune(s[i]), 1
	if r >= utf8.RuneSelf {
		r, n = utf8.DecodeRuneInString(s[i:])
	}
	if r < 1<<16 {
		if c.bits[r>>6]&(1<<(r&63)) == 0 {
			return -1
		}
	} else if !c.set.has(r) {
		return -1
	}
	return i + n
}
