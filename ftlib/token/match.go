package token

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// matcher finds the matches of a pattern, left to right, without overlap. Empty
// matches are reported too.
type matcher interface {
	find(s string, yield func(lo, hi int))
}

// literal matches a fixed string.
type literal string

func (m literal) find(s string, yield func(lo, hi int)) {
	if m == "" {
		return
	}
	for at := 0; ; {
		i := strings.Index(s[at:], string(m))
		if i < 0 {
			return
		}
		yield(at+i, at+i+len(m))
		at += i + len(m)
	}
}

// oneRune matches every character for which it is true.
type oneRune func(rune) bool

func (m oneRune) find(s string, yield func(lo, hi int)) {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if m(r) {
			yield(i, i+n)
		}
		i += n
	}
}

// scanner is a hand-written pattern: the length of the match at the start of
// s[at:]. It must match everywhere (the patterns of GPT-2 and its followers do).
type scanner func(s string, at int) int

func (m scanner) find(s string, yield func(lo, hi int)) {
	for at := 0; at < len(s); {
		end := m(s, at)
		yield(at, end)
		at = end
	}
}

// behaviour says what becomes of the text that a Split pattern matches.
type behaviour int

const (
	isolated behaviour = iota
	removed
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviours = map[string]behaviour{
	"Isolated": isolated, "Removed": removed, "MergedWithPrevious": mergedWithPrevious,
	"MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

// part is one stretch of a split text.
type part struct {
	lo, hi int
	match  bool
}

// split cuts p where m matches (or, inverted, where it does not) and passes the
// parts that are not empty to next.
func split(p *piece, m matcher, how behaviour, invert bool, next func(piece)) {
	emit := func(lo, hi int, match bool) {
		if lo < hi && (how == isolated || match == invert) {
			next(p.slice(lo, hi))
		}
	}
	last := 0
	if how == isolated || how == removed {
		m.find(p.s, func(lo, hi int) {
			emit(last, lo, false)
			emit(lo, hi, true)
			last = hi
		})
		emit(last, len(p.s), false)
		return
	}
	var parts []part
	add := func(lo, hi int, match bool) {
		if lo < hi || match {
			parts = append(parts, part{lo, hi, match != invert})
		}
	}
	m.find(p.s, func(lo, hi int) {
		add(last, lo, false)
		add(lo, hi, true)
		last = hi
	})
	add(last, len(p.s), false)
	for _, q := range regroup(parts, how) {
		if q.lo < q.hi {
			next(p.slice(q.lo, q.hi))
		}
	}
}

// regroup joins matches to their neighbours.
func regroup(parts []part, how behaviour) []part {
	out := parts[:0:0]
	before := false
	joins := func(match bool) bool {
		if how == contiguous {
			return match == before
		}
		return match && !before
	}
	if how != mergedWithNext {
		for _, q := range parts {
			if n := len(out); n > 0 && joins(q.match) {
				out[n-1].hi = q.hi
			} else {
				out = append(out, q)
			}
			before = q.match
		}
		return out
	}
	for _, q := range slices.Backward(parts) {
		if n := len(out); n > 0 && joins(q.match) {
			out[n-1].lo = q.lo
		} else {
			out = append(out, q)
		}
		before = q.match
	}
	slices.Reverse(out)
	return out
}
