package token

import "unicode/utf8"

// rx is a compiled pattern: a function that is given the text and a place and gives
// back where the match that begins there ends, or -1. Every part is compiled
// together with what comes after it, so that going back is returning -1.
type rx struct{ run rxFunc }

type rxFunc func(s string, i int) int

// compileRx compiles a pattern in the syntax of Oniguruma.
func compileRx(pattern string) (*rx, error) {
	n, err := parseRx(pattern)
	if err != nil {
		return nil, err
	}
	run, err := n.compile(func(_ string, i int) int { return i })
	if err != nil {
		return nil, err
	}
	return &rx{run}, nil
}

func (m *rx) find(s string, yield func(lo, hi int)) {
	last := -1
	for at := 0; at <= len(s); {
		end := -1
		begin := at
		for ; begin <= len(s); begin++ {
			if begin < len(s) && !utf8.RuneStart(s[begin]) {
				continue
			}
			if end = m.run(s, begin); end >= 0 {
				break
			}
		}
		if end < 0 {
			return
		}
		if end == begin && last == end { // an empty match right after one does not count
			_, n := utf8.DecodeRuneInString(s[at:])
			at += max(n, 1)
			continue
		}
		at, last = end, end
		yield(begin, end)
	}
}

// compile makes the function of a node that next comes after.
func (n *rxNode) compile(next rxFunc) (rxFunc, error) {
	switch n.kind {
	case rxOne:
		set := newRxChars(n.set)
		return func(s string, i int) int {
			if i = set.step(s, i); i < 0 {
				return -1
			}
			return next(s, i)
		}, nil
	case rxAll:
		var err error
		for i := len(n.parts) - 1; i >= 0 && err == nil; i-- {
			next, err = n.parts[i].compile(next)
		}
		return next, err
	case rxAny:
		return n.compileAny(next)
	case rxRepeat:
		return n.compileRepeat(next)
	case rxAtomic:
		body, err := n.parts[0].compile(func(_ string, i int) int { return i })
		return func(s string, i int) int {
			if i = body(s, i); i < 0 {
				return -1
			}
			return next(s, i)
		}, err
	case rxLook:
		return n.compileLook(next)
	}
	return n.compileAnchor(next), nil
}

func (n *rxNode) compileAny(next rxFunc) (rxFunc, error) {
	var runs []rxFunc
	for _, p := range n.parts {
		run, err := p.compile(next)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return func(s string, i int) int {
		for _, run := range runs {
			if end := run(s, i); end >= 0 {
				return end
			}
		}
		return -1
	}, nil
}

func (n *rxNode) compileRepeat(next rxFunc) (rxFunc, error) {
	body := n.parts[0]
	for body.kind == rxAll && len(body.parts) == 1 {
		body = body.parts[0]
	}
	if body.kind == rxOne {
		return n.compileRun(newRxChars(body.set), next), nil
	}
	if n.max < 0 && body.canBeEmpty() {
		return nil, errSyntax
	}
	// (x){2,4} is x x (x (x)?)?, and (x)* is a loop.
	rest := next
	var err error
	if n.max < 0 {
		var loop rxFunc
		var again rxFunc
		if again, err = body.compile(func(s string, i int) int { return loop(s, i) }); err != nil {
			return nil, err
		}
		loop = optional(again, next, n.lazy)
		rest = loop
	}
	for range n.max - n.min {
		var once rxFunc
		if once, err = body.compile(rest); err != nil {
			return nil, err
		}
		rest = optional(once, next, n.lazy)
	}
	for range n.min {
		if rest, err = body.compile(rest); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// optional tries once before next, or after it.
func optional(once, next rxFunc, lazy bool) rxFunc {
	if lazy {
		once, next = next, once
	}
	return func(s string, i int) int {
		if end := once(s, i); end >= 0 {
			return end
		}
		return next(s, i)
	}
}

// compileRun repeats one character of a set, without recursion.
func (n *rxNode) compileRun(set *rxChars, next rxFunc) rxFunc {
	most := n.max
	if most < 0 {
		most = int(^uint(0) >> 1)
	}
	least, lazy := n.min, n.lazy
	return func(s string, i int) int {
		count := 0
		for ; count < least; count++ {
			if i = set.step(s, i); i < 0 {
				return -1
			}
		}
		floor := i
		if lazy {
			for {
				if end := next(s, i); end >= 0 || count == most {
					return end
				}
				count++
				if i = set.step(s, i); i < 0 {
					return -1
				}
			}
		}
		for ; count < most; count++ {
			to := set.step(s, i)
			if to < 0 {
				break
			}
			i = to
		}
		for {
			if end := next(s, i); end >= 0 {
				return end
			}
			if i == floor {
				return -1
			}
			for i--; !utf8.RuneStart(s[i]); i-- {
			}
		}
	}
}

// canBeEmpty says whether the node can match nothing.
func (n *rxNode) canBeEmpty() bool {
	switch n.kind {
	case rxOne:
		return false
	case rxAll:
		for _, p := range n.parts {
			if !p.canBeEmpty() {
				return false
			}
		}
		return true
	case rxAny:
		for _, p := range n.parts {
			if p.canBeEmpty() {
				return true
			}
		}
		return false
	case rxRepeat:
		return n.min == 0 || n.parts[0].canBeEmpty()
	case rxAtomic:
		return n.parts[0].canBeEmpty()
	}
	return true
}

// compileLook looks ahead, or behind at one character.
func (n *rxNode) compileLook(next rxFunc) (rxFunc, error) {
	negative := n.negative
	if n.behind {
		one := n.parts[0]
		for one.kind == rxAll && len(one.parts) == 1 {
			one = one.parts[0]
		}
		if one.kind != rxOne {
			return nil, errSyntax
		}
		set := newRxChars(one.set)
		return func(s string, i int) int {
			_, w := utf8.DecodeLastRuneInString(s[:i])
			if fits := w > 0 && set.step(s, i-w) == i; fits == negative {
				return -1
			}
			return next(s, i)
		}, nil
	}
	body, err := n.parts[0].compile(func(_ string, i int) int { return i })
	return func(s string, i int) int {
		if fits := body(s, i) >= 0; fits == negative {
			return -1
		}
		return next(s, i)
	}, err
}

func (n *rxNode) compileAnchor(next rxFunc) rxFunc {
	kind, negative := n.kind, n.negative
	return func(s string, i int) int {
		fits := false
		switch kind {
		case rxBegin: // not after a line end that ends the text
			fits = i == 0 || s[i-1] == '\n' && i < len(s)
		case rxEnd:
			fits = i == len(s) || s[i] == '\n'
		case rxStart:
			fits = i == 0
		case rxStop:
			fits = i == len(s)
		case rxEdge:
			r, _ := utf8.DecodeRuneInString(s[i:])
			l, _ := utf8.DecodeLastRuneInString(s[:i])
			fits = (i < len(s) && wordChars.has(r)) != (i > 0 && wordChars.has(l)) != negative
		}
		if !fits {
			return -1
		}
		return next(s, i)
	}
}
