package token

import (
	"encoding/base64"
	"sync"
	"unicode"
)

// class is a set of characters, decoded on first use.
type class struct {
	ranges string
	once   sync.Once
	table  *unicode.RangeTable
}

var (
	letters      = &class{ranges: letterRanges}
	numbers      = &class{ranges: numberRanges}
	marks        = &class{ranges: markRanges}
	uppers       = &class{ranges: upperRanges}
	lowers       = &class{ranges: lowerRanges}
	titles       = &class{ranges: titleRanges}
	modifiers    = &class{ranges: modifierRanges}
	otherLetters = &class{ranges: otherLetterRanges}
	digits       = &class{ranges: digitRanges}
	punctuation  = &class{ranges: punctuationRanges}
	symbols      = &class{ranges: symbolRanges}
	wordChars    = &class{ranges: wordRanges}
	han          = &class{ranges: hanRanges}
	rustWords    = &class{ranges: rustWordRanges}
	rustNumerics = &class{ranges: rustNumericRanges}
	rustPuncts   = &class{ranges: rustPunctRanges}
	rustMarks    = &class{ranges: rustMarkRanges}

	rustOthers     = &class{ranges: rustOtherRanges}
	rustNonspacing = &class{ranges: rustNonspacingRanges}
)

// has says whether r is in the class.
func (c *class) has(r rune) bool { return unicode.Is(c.load(), r) }

// load decodes the ranges.
func (c *class) load() *unicode.RangeTable {
	c.once.Do(func() {
		data, err := base64.StdEncoding.DecodeString(c.ranges)
		if err != nil {
			panic("token: broken character table: " + err.Error())
		}
		next := func() (v uint32) {
			for shift := 0; ; shift += 7 {
				b := data[0]
				data = data[1:]
				v |= uint32(b&127) << shift
				if b < 128 {
					return v
				}
			}
		}
		c.table = &unicode.RangeTable{}
		last := uint32(0)
		for len(data) > 0 {
			lo := last + next()
			last = lo + next()
			switch {
			case last < 0x10000:
				c.table.R16 = append(c.table.R16, unicode.Range16{Lo: uint16(lo), Hi: uint16(last), Stride: 1})
				if last < 256 {
					c.table.LatinOffset++
				}
			case lo < 0x10000:
				c.table.R16 = append(c.table.R16, unicode.Range16{Lo: uint16(lo), Hi: 0xFFFF, Stride: 1})
				lo = 0x10000
				fallthrough
			default:
				c.table.R32 = append(c.table.R32, unicode.Range32{Lo: lo, Hi: last, Stride: 1})
			}
		}
	})
	return c.table
}

// isSpace is White_Space, on which all the peers agree.
func isSpace(r rune) bool {
	if r < 128 {
		return r == ' ' || '\t' <= r && r <= '\r'
	}
	return r == 0x85 || r == 0xA0 || r == 0x1680 || 0x2000 <= r && r <= 0x200A ||
		r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F || r == 0x3000
}

// What a character is, as the patterns of tokenizers ask.
const (
	isLetter  = 1 << iota // \p{L}
	isNumber              // \p{N}
	isWhite               // \s
	isMark                // \p{M}
	isUpperly             // \p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}
	isLowerly             // \p{Ll}\p{Lm}\p{Lo}\p{M}
)

const kindsEnd = 0x20000

var (
	kindsOnce  sync.Once
	kindsTable [kindsEnd]uint8
)

// loadKinds fills the table behind kindOf; a scanner must be built after it.
func loadKinds() {
	kindsOnce.Do(func() {
		fill := func(c *class, bits uint8) {
			for _, r := range c.load().R16 {
				for i := int(r.Lo); i <= int(r.Hi); i++ {
					kindsTable[i] |= bits
				}
			}
			for _, r := range c.load().R32 {
				for i := r.Lo; i <= r.Hi && i < kindsEnd; i++ {
					kindsTable[i] |= bits
				}
			}
		}
		fill(letters, isLetter)
		fill(numbers, isNumber)
		fill(marks, isMark|isUpperly|isLowerly)
		fill(uppers, isUpperly)
		fill(titles, isUpperly)
		fill(modifiers, isUpperly|isLowerly)
		fill(otherLetters, isUpperly|isLowerly)
		fill(lowers, isLowerly)
		for r := range rune(0x3001) {
			if isSpace(r) {
				kindsTable[r] |= isWhite
			}
		}
	})
}

// kindOf is what r is.
func kindOf(r rune) uint8 {
	if r < kindsEnd {
		return kindsTable[r]
	}
	switch { // above: ideographs (Lo) and variation selectors (Mn)
	case letters.has(r):
		return isLetter | isUpperly | isLowerly
	case marks.has(r):
		return isMark | isUpperly | isLowerly
	}
	return 0
}
