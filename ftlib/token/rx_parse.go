package token

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The patterns of tokenizers are written for Oniguruma. What follows reads the part
// of its syntax that they use: classes, groups without captures, greedy, lazy and
// possessive repetition, look-around, anchors. Anything else is an error, and the
// pattern is given to regexp2.

// rxNode is a part of a pattern.
type rxNode struct {
	kind     rxKind
	set      rxSet     // of rxOne
	parts    []*rxNode // of the others
	min, max int       // of rxRepeat; max < 0: no limit
	lazy     bool
	negative bool // of rxLook
	behind   bool
}

type rxKind int

const (
	rxOne    rxKind = iota // one character of a set
	rxAll                  // parts one after the other
	rxAny                  // one of the parts, the first that fits
	rxRepeat               // parts[0] several times
	rxAtomic               // parts[0], without going back into it
	rxLook                 // parts[0] fits here, or does not
	rxBegin                // the beginning of a line
	rxEnd                  // the end of a line
	rxStart                // the beginning of the text
	rxStop                 // the end of the text
	rxEdge                 // a word begins or ends here, or does not
)

var errSyntax = errors.New("syntax that is not read here")

type rxParser struct {
	s     string
	at    int
	fold  bool // (?i)
	depth int  // of [
}

// parseRx reads a pattern.
func parseRx(pattern string) (*rxNode, error) {
	p := &rxParser{s: pattern}
	n, err := p.choice()
	if err == nil && p.at < len(p.s) {
		err = fmt.Errorf("unbalanced ) at %d", p.at)
	}
	return n, err
}

func (p *rxParser) more() bool { return p.at < len(p.s) }

// take steps over prefix if it is next.
func (p *rxParser) take(prefix string) bool {
	if strings.HasPrefix(p.s[p.at:], prefix) {
		p.at += len(prefix)
		return true
	}
	return false
}

// choice reads up to the end or a closing parenthesis.
func (p *rxParser) choice() (*rxNode, error) {
	fold := p.fold
	defer func() { p.fold = fold }()
	any := &rxNode{kind: rxAny}
	for {
		all := &rxNode{kind: rxAll}
		for p.more() && p.s[p.at] != '|' && p.s[p.at] != ')' {
			n, err := p.repeated()
			if err != nil {
				return nil, err
			}
			all.parts = append(all.parts, n)
		}
		any.parts = append(any.parts, all)
		if !p.take("|") {
			break
		}
	}
	if len(any.parts) == 1 {
		return any.parts[0], nil
	}
	return any, nil
}

// repeated reads an atom and what says how often.
func (p *rxParser) repeated() (*rxNode, error) {
	n, err := p.atom()
	for err == nil && p.more() {
		lo, hi := 0, -1
		braces := false
		switch {
		case p.take("*"):
		case p.take("+"):
			lo = 1
		case p.take("?"):
			hi = 1
		case p.s[p.at] == '{':
			end := strings.IndexByte(p.s[p.at:], '}')
			if end < 0 {
				return nil, errSyntax
			}
			if lo, hi, err = bounds(p.s[p.at+1 : p.at+end]); err != nil {
				return nil, err
			}
			p.at += end + 1
			braces = true
		default:
			return n, nil
		}
		n = &rxNode{kind: rxRepeat, parts: []*rxNode{n}, min: lo, max: hi}
		switch {
		case braces && strings.HasPrefix(p.s[p.at:], "+"): // no possessive there: repeated again
		case braces && lo == hi && strings.HasPrefix(p.s[p.at:], "?"):
			return nil, errSyntax
		case p.take("?"):
			n.lazy = true
		case p.take("+"):
			n = &rxNode{kind: rxAtomic, parts: []*rxNode{n}}
		}
	}
	return n, err
}

// bounds reads n, n, or n,m.
func bounds(s string) (lo, hi int, err error) {
	a, b, comma := strings.Cut(s, ",")
	if lo, err = strconv.Atoi(a); err != nil || lo > 100 {
		return 0, 0, errSyntax
	}
	switch {
	case !comma:
		return lo, lo, nil
	case b == "":
		return lo, -1, nil
	}
	if hi, err = strconv.Atoi(b); err != nil || hi < lo || hi > 100 {
		return 0, 0, errSyntax
	}
	return lo, hi, nil
}

// groups by how they begin.
var rxGroups = []struct {
	open string
	node rxNode
}{
	{"(?:", rxNode{kind: rxAll}},
	{"(?>", rxNode{kind: rxAtomic}},
	{"(?=", rxNode{kind: rxLook}},
	{"(?!", rxNode{kind: rxLook, negative: true}},
	{"(?<=", rxNode{kind: rxLook, behind: true}},
	{"(?<!", rxNode{kind: rxLook, behind: true, negative: true}},
}

// atom reads one character, class, group or anchor.
func (p *rxParser) atom() (*rxNode, error) {
	c := p.s[p.at]
	switch c {
	case '(':
		return p.group()
	case '[':
		set, err := p.class()
		return p.one(set), err
	case '.':
		p.at++
		return &rxNode{kind: rxOne, set: rxSet{{'\n', '\n'}}.not()}, nil
	case '^':
		p.at++
		return &rxNode{kind: rxBegin}, nil
	case '$':
		p.at++
		return &rxNode{kind: rxEnd}, nil
	case '*', '+', '?':
		return nil, fmt.Errorf("nothing to repeat at %d", p.at)
	case '\\':
		for esc, n := range map[string]rxNode{`\A`: {kind: rxStart}, `\z`: {kind: rxStop}, `\b`: {kind: rxEdge}, `\B`: {kind: rxEdge, negative: true}} {
			if p.take(esc) {
				return &n, nil
			}
		}
	}
	set, err := p.char()
	return p.one(set), err
}

// one is a character of a set, in any case if the pattern says so.
func (p *rxParser) one(set rxSet) *rxNode {
	if p.fold {
		set = set.folded()
	}
	return &rxNode{kind: rxOne, set: set}
}

func (p *rxParser) group() (*rxNode, error) {
	var n *rxNode
	fold := p.fold
	for _, g := range rxGroups {
		if p.take(g.open) {
			copied := g.node
			n = &copied
			break
		}
	}
	switch {
	case n != nil:
	case p.take("(?i:"):
		n, p.fold = &rxNode{kind: rxAll}, true
	case p.take("(?-i:"):
		n, p.fold = &rxNode{kind: rxAll}, false
	case p.take("(?i)"):
		p.fold = true // to the end of the group around it
		return &rxNode{kind: rxAll}, nil
	case strings.HasPrefix(p.s[p.at:], "(?"):
		return nil, errSyntax
	default:
		p.at++ // a group that captures matches the same
		n = &rxNode{kind: rxAll}
	}
	body, err := p.choice()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, errors.New("unbalanced (")
	}
	p.fold = fold
	n.parts = []*rxNode{body}
	return n, nil
}

// class reads [...].
func (p *rxParser) class() (rxSet, error) {
	p.at++
	p.depth++
	defer func() { p.depth-- }()
	negative := p.take("^")
	var out, whole rxSet
	first, intersect := true, false
	finish := func() {
		if intersect {
			whole = whole.and(out.tidy())
		} else {
			whole = out.tidy()
		}
		out = nil
	}
	for ; ; first = false {
		switch {
		case !p.more():
			return nil, errors.New("unbalanced [")
		case strings.HasPrefix(p.s[p.at:], "[:"):
			return nil, errSyntax
		case p.s[p.at] == '[':
			set, err := p.class()
			if err != nil {
				return nil, err
			}
			out = append(out, set...)
			continue
		case p.take("&&"):
			finish()
			intersect = true
			continue
		case p.s[p.at] == ']' && !first:
			p.at++
			finish()
			if negative {
				whole = whole.not()
			}
			return whole, nil
		}
		set, err := p.char()
		if err != nil {
			return nil, err
		}
		if rest := p.s[p.at:]; len(set) == 1 && set[0].lo == set[0].hi && len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
			p.at++
			if p.s[p.at] == '[' {
				return nil, errSyntax
			}
			end, err := p.char()
			if err != nil {
				return nil, err
			}
			if len(end) != 1 || end[0].lo != end[0].hi || end[0].lo < set[0].lo {
				return nil, errSyntax
			}
			set = rxSet{{set[0].lo, end[0].lo}}
		}
		out = append(out, set...)
	}
}

// char reads a character or an escape that stands for some.
func (p *rxParser) char() (rxSet, error) {
	if p.s[p.at] != '\\' {
		r, n := utf8.DecodeRuneInString(p.s[p.at:])
		p.at += n
		return rxSet{{r, r}}, nil
	}
	if p.at+1 >= len(p.s) {
		return nil, errors.New("a backslash at the end")
	}
	c := p.s[p.at+1]
	p.at += 2
	switch c {
	case 's':
		return spaceSet, nil
	case 'S':
		return spaceSet.not(), nil
	case 'd':
		return digits.set(), nil
	case 'D':
		return digits.set().not(), nil
	case 'w':
		return p.word(), nil
	case 'W':
		return p.word().not(), nil
	case 'p', 'P':
		return p.property(c == 'P')
	case 'x', 'u':
		return p.hex(c)
	}
	if r, ok := map[byte]rune{'n': '\n', 'r': '\r', 't': '\t', 'f': '\f', 'v': '\v', 'a': '\a', 'e': 0x1B}[c]; ok {
		return rxSet{{r, r}}, nil
	}
	if c >= utf8.RuneSelf || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
		return nil, errSyntax
	}
	return rxSet{{rune(c), rune(c)}}, nil
}

// word is \w. Inside a class it lacks the numbers of Latin-1 that are no digits.
func (p *rxParser) word() rxSet {
	set := wordChars.set()
	if p.depth > 0 {
		set = set.and(rxSet{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}}.not())
	}
	return set
}

// property reads {Name} after \p.
func (p *rxParser) property(negative bool) (rxSet, error) {
	end := strings.IndexByte(p.s[p.at:], '}')
	if !p.take("{") || end < 0 {
		return nil, errSyntax
	}
	name := p.s[p.at : p.at+end-1]
	p.at += end
	if rest, ok := strings.CutPrefix(name, "^"); ok {
		name, negative = rest, !negative
	}
	set, ok := property(name)
	if !ok {
		return nil, errSyntax
	}
	if negative {
		set = set.not()
	}
	return set, nil
}

// hex reads the number after \x or \u.
func (p *rxParser) hex(kind byte) (rxSet, error) {
	digits, bare := "", false
	switch {
	case kind == 'u' && len(p.s) >= p.at+4:
		digits = p.s[p.at : p.at+4]
		p.at += 4
	case kind == 'x' && p.take("{"):
		end := strings.IndexByte(p.s[p.at:], '}')
		if end < 0 {
			return nil, errSyntax
		}
		digits = p.s[p.at : p.at+end]
		p.at += end + 1
	case kind == 'x' && len(p.s) >= p.at+2:
		bare = true
		digits = p.s[p.at : p.at+2]
		p.at += 2
	}
	v, err := strconv.ParseUint(digits, 16, 31)
	if err != nil || bare && v >= utf8.RuneSelf {
		return nil, errSyntax // \xE9 is a byte there
	}
	return rxSet{{rune(v), rune(v)}}, nil
}
