package corpus

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"unicode"
)

// Split says whether a row belongs to the validation part: by a hash of its
// content and the seed, so that the same row always falls on the same side, in
// whatever file and order it stands, and equal rows never straddle. About fraction
// of all distinct keys are validation; 0 is none, 1 is all. Use [SplitKey] for the
// key.
func Split(key string, fraction float64, seed int64) bool {
	if fraction <= 0 {
		return false
	}
	h := fnv.New64a()
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], uint64(seed))
	h.Write(s[:])
	h.Write([]byte(key))
	return float64(mix(h.Sum64())>>11)/(1<<53) < fraction
}

// SplitKey is what decides the side of a record: what is given (the prompt, the
// problem, the text to classify), so that all answers to one question stay on one
// side; of a conversation the whole. White space and case do not matter.
func SplitKey(rec Record) string {
	switch rec.Kind {
	case KindText:
		return normalKey(rec.Text)
	case KindChat:
		return normalKey(plainMessages(rec.Messages))
	}
	return normalKey(rec.ask().Plain())
}

// normalKey is text without case, with single spaces.
func normalKey(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// mix spreads the bits of a hash (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
