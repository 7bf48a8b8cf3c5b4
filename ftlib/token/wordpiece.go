package token

import "unicode/utf8"

// wordPiece takes the longest token at the start of a word, then the longest that
// continues it, and so on; a word that cannot be covered is unknown as a whole.
type wordPiece struct {
	vocab   map[string]int32
	unk     int32
	prefix  string // of tokens that continue a word
	maxWord int    // longer words, in characters, are unknown
}

func (m *wordPiece) size() int { return len(m.vocab) }

func (m *wordPiece) encode(out []tok, s string, _ *worker) []tok {
	start := len(out)
	whole := func() []tok {
		if m.unk < 0 {
			return out[:start]
		}
		return append(out[:start], tok{m.unk, int32(len(s))})
	}
	if utf8.RuneCountInString(s) > m.maxWord {
		return whole()
	}
	for at := 0; at < len(s); {
		end := len(s)
		id, found := int32(0), false
		for end > at {
			part := s[at:end]
			if at > 0 {
				part = m.prefix + part
			}
			if id, found = m.vocab[part]; found {
				break
			}
			_, n := utf8.DecodeLastRuneInString(s[at:end])
			end -= n
		}
		if !found {
			return whole()
		}
		out = append(out, tok{id, int32(end - at)})
		at = end
	}
	return out
}

// wordLevel has a token for every word that it knows.
type wordLevel struct {
	vocab map[string]int32
	unk   int32
}

func (m *wordLevel) size() int { return len(m.vocab) }

func (m *wordLevel) encode(out []tok, s string, _ *worker) []tok {
	id, ok := m.vocab[s]
	if !ok {
		id = m.unk
	}
	if id < 0 {
		return out
	}
	return append(out, tok{id, int32(len(s))})
}
