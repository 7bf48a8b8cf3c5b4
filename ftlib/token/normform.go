package token

import (
	"sort"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The peer's normal forms are those of Unicode 9. Characters that came later have no
// combining class and no decomposition there; these are the ones that have in Go's tables.
var laterThan9 = [][2]rune{
	{0x7FD, 0x7FD}, {0x898, 0x89F}, {0x8CA, 0x8D3}, {0x9FE, 0x9FE}, {0xC3C, 0xC3C}, {0xD3B, 0xD3C},
	{0xEBA, 0xEBA}, {0x1715, 0x1715}, {0x1ABF, 0x1ACE}, {0x1DF6, 0x1DFA}, {0x32FF, 0x32FF}, {0xA7F2, 0xA7F4},
	{0xA82C, 0xA82C}, {0xAB69, 0xAB69}, {0x10781, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27},
	{0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
	{0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
	{0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
	{0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
	{0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
}

func isLater(r rune) bool {
	i := sort.Search(len(laterThan9), func(i int) bool { return laterThan9[i][1] >= r })
	return i < len(laterThan9) && laterThan9[i][0] <= r
}

// combining is the canonical combining class of r in Unicode 9.
func combining(r rune) uint8 {
	if r < 0x300 || isHangul(r) {
		return 0
	}
	if isLater(r) {
		return 0
	}
	var b [4]byte
	return norm.NFD.Properties(b[:utf8.EncodeRune(b[:], r)]).CCC()
}

// Hangul syllables are composed by arithmetic.
const (
	hangulS, hangulL, hangulV, hangulT = 0xAC00, 0x1100, 0x1161, 0x11A7
	countL, countV, countT             = 19, 21, 28
)

func isHangul(r rune) bool { return hangulS <= r && r < hangulS+countL*countV*countT }

// decomposition is the full decomposition of r, or nil.
func decomposition(r rune, compat bool) []rune {
	if r < 0xA0 || isHangul(r) || isLater(r) {
		return nil
	}
	form := norm.NFD
	if compat {
		form = norm.NFKD
	}
	var b [4]byte
	d := form.Properties(b[:utf8.EncodeRune(b[:], r)]).Decomposition()
	if d == nil {
		return nil
	}
	return []rune(string(d))
}

// composites maps a pair of characters to the one that they compose.
var composites = sync.OnceValue(func() map[[2]rune]rune {
	m := map[[2]rune]rune{}
	add := func(lo, hi rune) {
		for r := lo; r <= hi; r++ {
			d := decomposition(r, false)
			if len(d) < 2 || norm.NFC.String(string(d)) != string(r) {
				continue
			}
			// The pair: the composed first part and the last mark.
			first := []rune(norm.NFC.String(string(d[:len(d)-1])))
			if len(first) == 1 {
				m[[2]rune{first[0], d[len(d)-1]}] = r
			}
		}
	}
	add(0xA0, 0x33FF)
	add(0xF900, 0xFFFF)
	add(0x10000, 0x1FFFF)
	add(0x2F800, 0x2FA1F)
	return m
})

func compose(a, b rune) (rune, bool) {
	switch {
	case hangulL <= a && a < hangulL+countL && hangulV <= b && b < hangulV+countV:
		return hangulS + ((a-hangulL)*countV+b-hangulV)*countT, true
	case isHangul(a) && (a-hangulS)%countT == 0 && hangulT < b && b < hangulT+countT:
		return a + b - hangulT, true
	}
	r, ok := composites()[[2]rune{a, b}]
	return r, ok
}

// classed is an edit with its combining class.
type classed struct {
	edit
	class uint8
}

// normalForm is the normal form of s as edits; false: s is in that form.
func normalForm(s string, compat, composed bool) ([]edit, bool) {
	out := make([]classed, 0, len(s))
	changed := false
	sorted := 0 // out[:sorted] is in canonical order
	settle := func() {
		sort.SliceStable(out[sorted:], func(i, j int) bool { return out[sorted+i].class < out[sorted+j].class })
		sorted = len(out)
	}
	push := func(r rune, first bool) {
		c := classed{edit{r: r}, combining(r)}
		if !first {
			c.change = 1
		}
		if c.class == 0 {
			settle()
		}
		out = append(out, c)
	}
	for _, r := range s {
		if isHangul(r) {
			i := r - hangulS
			push(hangulL+i/(countV*countT), true)
			push(hangulV+i%(countV*countT)/countT, false)
			if t := i % countT; t > 0 {
				push(hangulT+t, false)
			}
			continue
		}
		d := decomposition(r, compat)
		if d == nil {
			push(r, true)
			continue
		}
		for i, r := range d {
			push(r, i == 0)
		}
	}
	settle()
	var edits []edit
	if composed {
		edits = recompose(out)
	} else {
		edits = make([]edit, len(out))
		for i, c := range out {
			edits[i] = c.edit
		}
	}
	i := 0
	for _, r := range s {
		if i >= len(edits) || edits[i] != (edit{r: r}) {
			changed = true
			break
		}
		i++
	}
	return edits, changed || i != len(edits)
}

// recompose joins marks to the character that they follow.
func recompose(in []classed) []edit {
	out := make([]edit, 0, len(in))
	var waiting []edit // marks behind the starter that did not compose
	starter := -1      // index in out; -1: none yet
	last := -1         // class of the last mark waiting; -1: none
	flush := func() {
		out = append(out, waiting...)
		waiting, last = waiting[:0], -1
	}
	for _, c := range in {
		if starter < 0 {
			out = append(out, c.edit)
			if c.class == 0 {
				starter = len(out) - 1
			}
			continue
		}
		if last < int(c.class) { // not blocked
			if r, ok := compose(out[starter].r, c.r); ok {
				out[starter] = edit{r, out[starter].change + c.change - 1}
				continue
			}
		}
		if c.class == 0 {
			flush()
			out = append(out, c.edit)
			starter = len(out) - 1
			continue
		}
		waiting = append(waiting, c.edit)
		last = int(c.class)
	}
	flush()
	return out
}
