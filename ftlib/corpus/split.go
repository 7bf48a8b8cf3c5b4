package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Split says which rows belong to the validation part, from their hashes (see
// [SplitHash]): fraction of the rows, rounded, and of two different rows at least one on
// either side. Rows of one hash stay together. The smallest hashes are validation: the
// sides do not depend on the order of the rows, and few of them change when rows are
// added. A fraction of 0 is none, 1 is all.
func Split(hashes []uint64, fraction float64) []bool {
	held := make([]bool, len(hashes))
	order := slices.Clone(hashes)
	slices.Sort(order)
	want := 0
	if fraction > 0 {
		want = min(len(order), max(1, int(math.Round(fraction*float64(len(order))))))
	}
	if fraction < 1 && len(order) > 0 {
		for want > 0 && order[want-1] == order[len(order)-1] { // the last hash is left to training
			want--
		}
	}
	if want == 0 {
		return held
	}
	for i, h := range hashes {
		held[i] = h <= order[want-1]
	}
	return held
}

// SplitHash is the place of a row in the order that [Split] takes: another seed gives
// another order. Use [SplitKey] for the key.
func SplitHash(key string, seed int64) uint64 {
	h := fnv.New64a()
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], uint64(seed))
	h.Write(s[:])
	h.Write([]byte(key))
	return mix(h.Sum64())
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
	var hashes []uint64
	var why reasons
	for row, err := range rows {
		if err != nil && row.Values == nil {
			rerr := asRowError(err)
			why.add(rerr, row.File, row.Num)
			res.Broken += rerr.lost()
			continue
		}
		hashes = append(hashes, SplitHash(rowKey(row, m), seed))
	}
	res.Reasons = why.sorted()
	sides := Split(hashes, fraction)
	for _, s := range sides {
		if s {
			res.Held++
		} else {
			res.Train++
		}
	}
	for path, n := range map[string]int{train: res.Train, held: res.Held} {
		if n == 0 {
			return res, &RowError{File: path, What: fmt.Sprintf("none of %d rows falls to this side", len(sides)), Hint: "rows that ask the same stay together: other rows are needed"}
		}
	}
	side := func(want bool) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			i := 0
			for row, err := range rows {
				if err != nil && row.Values == nil {
					continue
				}
				if i++; i <= len(sides) && sides[i-1] == want && !yield(row, nil) {
					return
				}
			}
		}
	}
	if err := WriteRows(train, side(false)); err != nil {
		return res, err
	}
	return res, WriteRows(held, side(true))
}

func rowKey(row Row, m Mapping) string {
	if rec, err := Format(row, m); err == nil {
		return SplitKey(rec)
	}
	var buf bytes.Buffer
	jsonLine(&buf, row)
	return normalKey(buf.String())
}
