package token

import "strings"

// worker is the memory of one goroutine's encoding, kept between calls.
type worker struct {
	words      wordCache
	syms       []tok
	prev, next []int32
	heap       mergeHeap
	toks       []tok
}

// Limits of the word cache.
const (
	maxCachedWord  = 128     // bytes; longer words are not kept
	maxCachedWords = 1 << 16 // when full it is emptied
)

// wordCache remembers the tokens of words.
type wordCache struct {
	at    map[string][2]uint32 // begin and end in arena
	arena []tok
}

func (c *wordCache) get(s string) ([]tok, bool) {
	if len(s) > maxCachedWord {
		return nil, false
	}
	e, ok := c.at[s]
	if !ok {
		return nil, false
	}
	return c.arena[e[0]:e[1]], true
}

func (c *wordCache) put(s string, toks []tok) {
	if len(s) > maxCachedWord {
		return
	}
	if c.at == nil || len(c.at) >= maxCachedWords {
		c.at = make(map[string][2]uint32, 1024)
		c.arena = c.arena[:0]
	}
	begin := len(c.arena)
	c.arena = append(c.arena, toks...)
	c.at[strings.Clone(s)] = [2]uint32{uint32(begin), uint32(len(c.arena))}
}
