package token

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// randomText makes texts out of everything that tokenizers disagree about.
type randomText struct{ *rand.Rand }

func newRandomText(seed uint64) randomText { return randomText{rand.New(rand.NewPCG(seed, 7))} }

var (
	randomWords = strings.Fields(`the of and to in is you that it he was for on are as with his they I at be this
		have from or one had by word but not what all were we when your can said there use an each which she do how
		their if will up other about out many then them these so some her would make like him into time has look two
		more write go see number no way could people my than first water been call who oil its now find Hello World
		don't I'm we'll THEY'RE it's IT'S can’t ’s 'S 'Re 'lL O'Brien naïve café Straße ſ 'ſ 'ſt Ǆ İstanbul`)
	randomSpecials = strings.Fields(`<s> </s> <unk> <|endoftext|> <|im_start|> <|im_end|> <|user|> <|assistant|>
		<|system|> <|end|> [INST] <0x0A> <0xE4> <pad> <|begin_of_text|> <|eot_id|>`)
	randomSpaces = []string{" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u3000", "\u2003", "\u200b",
		"\u2028", "\x0b", "\x0c", "\u0085", "\u1680", strings.Repeat(" ", 31), "       ", "\t\t\t", " \n \n ", "\r\n\r\n"}
	randomOddities = []string{"👨\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "👍🏽", "🇩🇪", "é", "e\u0301", "a\u0323\u0308", "ạ\u0308",
		"각", "\u1100\u1161\u11a8", "ﬁ", "№", "①", "½", "٣٤", "१२३", "Ⅷ", "\ufffd", "\ufeff", "\u202e", "\x00", "ab\x00cd", "▁",
		"▁▁", "a▁b", "Ġ", "Ċ", "<0x41>", "\u0344", "\u0f71\u0f72", "\u11935\u11930", "שלום", "مرحبا", "สวัสดี", "你好", "こんにちは"}
	randomBlocks = [][2]rune{{0x20, 0x7e}, {0xa0, 0x24f}, {0x300, 0x36f}, {0x370, 0x3ff}, {0x400, 0x52f}, {0x590, 0x5ff},
		{0x600, 0x6ff}, {0x900, 0x97f}, {0xe00, 0xe7f}, {0x1100, 0x11ff}, {0x3040, 0x30ff}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3},
		{0x2000, 0x206f}, {0x2070, 0x218f}, {0x2460, 0x24ff}, {0xe000, 0xf8ff}, {0xfb00, 0xfb4f}, {0xff00, 0xffef},
		{0x1f300, 0x1faff}, {0x1d400, 0x1d7ff}, {0x10000, 0x1ffff}, {0x20000, 0x2ffff}, {0x30000, 0x3ffff}, {0xe0000, 0xe01ff},
		{0, 0x1f}, {0x7f, 0x9f}, {0x1ab0, 0x1aff}, {0x660, 0x669}, {0x966, 0x96f}, {0x2580, 0x259f}, {0x8a0, 0x8ff}, {0, 0x10ffff}}
)

func (r randomText) of(list []string) string { return list[r.IntN(len(list))] }

// char is a character of some block; surrogates become U+FFFD.
func (r randomText) char(block [2]rune) rune {
	c := block[0] + r.Int32N(block[1]-block[0]+1)
	if 0xD800 <= c && c < 0xE000 {
		return 0xFFFD
	}
	return c
}

func (r randomText) block() [2]rune { return randomBlocks[r.IntN(len(randomBlocks))] }

func (r randomText) atom() string {
	switch x := r.Float64(); {
	case x < .35:
		return r.of(randomWords)
	case x < .55:
		return r.of(randomSpaces)
	case x < .62:
		return r.of(randomSpecials)
	case x < .70:
		return r.of(randomOddities)
	case x < .76:
		return strconv.Itoa(r.IntN([]int{10, 100, 1000, 1e5, 1e9}[r.IntN(5)]))
	case x < .80:
		marks := `'.,;:!?-_()[]{}<>|/\"@#$%^&*+=~` + "`"
		return strings.Repeat(string(marks[r.IntN(len(marks))]), 1+r.IntN(4))
	case x < .82:
		return strings.Repeat(string(r.char(r.block())), 1+r.IntN(60))
	}
	var out strings.Builder
	block := r.block()
	for range 1 + r.IntN(6) {
		out.WriteRune(r.char(block))
	}
	return out.String()
}

// text is one random text of up to some hundred characters.
func (r randomText) text() string {
	n := []int{0, 1, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20}[r.IntN(12)]
	var out strings.Builder
	if r.Float64() < .2 {
		for range 3 * n {
			out.WriteRune(r.char(r.block()))
		}
		return out.String()
	}
	space := r.IntN(2) == 0
	for i := range n {
		if space && i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(r.atom())
	}
	return out.String()
}
