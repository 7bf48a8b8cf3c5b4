package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
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
// problem, the text to classify, a conversation up to its last answer), so that all
// answers to one question stay on one side. White space and case do not matter.
func SplitKey(rec Record) string {
	if rec.Kind == KindText {
		return normalKey(rec.Text)
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

// SplitResult is what WriteSplit did.
type SplitResult struct {
	Train, Held int // rows written
	Broken      int // rows that could not be read and are in neither file
	Reasons     []Reason
}

// WriteSplit writes rows, as they are, to a training and a validation file (.parquet
// or .jsonl). See [Split] for how sides are decided. A row that fits no record is
// kept, and its side decided by all of its values.
func WriteSplit(rows iter.Seq2[Row, error], m Mapping, fraction float64, seed int64, train, held string) (SplitResult, error) {
	var res SplitResult
	side := func(want bool, n *int) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			*n = 0
			var why reasons
			res.Broken = 0
			for row, err := range rows {
				if err != nil && row.Values == nil {
					rerr := asRowError(err)
					why.add(rerr, row.File, row.Num)
					res.Broken += rerr.lost()
					continue
				}
				if Split(rowKey(row, m), fraction, seed) != want {
					continue
				}
				*n++
				if !yield(row, nil) {
					return
				}
			}
			res.Reasons = why.sorted()
		}
	}
	trainRows, heldRows := side(false, &res.Train), side(true, &res.Held)
	for range trainRows {
	}
	for range heldRows {
	}
	for path, n := range map[string]int{train: res.Train, held: res.Held} {
		if n == 0 {
			return res, &RowError{File: path, What: fmt.Sprintf("none of %d rows falls to this side", res.Train+res.Held), Hint: "the data is small: take another fraction or seed"}
		}
	}
	if err := WriteRows(train, trainRows); err != nil {
		return res, err
	}
	return res, WriteRows(held, heldRows)
}

func rowKey(row Row, m Mapping) string {
	if rec, err := Format(row, m); err == nil {
		return SplitKey(rec)
	}
	var buf bytes.Buffer
	jsonLine(&buf, row)
	return normalKey(buf.String())
}
