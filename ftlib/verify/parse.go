package verify

import (
	"math/big"
	"strings"
)

// node is a part of an expression. Its op is one of
//
//	n number   v variable   w word (a unit, a name)   c constant (pi, e, i, inf)
//	+ sum   * product   / quotient   ^ power   - negation   ! factorial   f function
type node struct {
	op     byte
	num    *big.Rat // of n
	places int      // of n: decimals as written
	name   string   // of v, w, c, f
	kids   []*node
}

const (
	maxDepth = 60
	maxNodes = 2000
)

// parser reads an expression from tokens; it fails by setting bad.
type parser struct {
	in    []token
	at    int
	depth int
	nodes int
	inAbs int
	sign  int // +1 or -1: how ± is read
	bad   bool
}

// parse reads the whole of a tidy formula; nil where it is none.
func parse(s string, sign int) *node {
	if len(s) > maxAnswer {
		return nil
	}
	p := &parser{in: tokens(s), sign: sign}
	if len(p.in) == 0 {
		return nil
	}
	n := p.sum()
	if p.bad || p.at != len(p.in) {
		return nil
	}
	return n
}

func (p *parser) peek() token {
	if p.at < len(p.in) {
		return p.in[p.at]
	}
	return token{}
}

func (p *parser) is(text string) bool {
	t := p.peek()
	return t.kind != 0 && t.kind != 'n' && t.text == text
}

func (p *parser) take(text string) bool {
	if p.is(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) fail() *node {
	p.bad = true
	return &node{op: 'n', num: new(big.Rat)}
}

func (p *parser) new(op byte, kids ...*node) *node {
	if p.nodes++; p.nodes > maxNodes {
		p.bad = true
	}
	return &node{op: op, kids: kids}
}

// enter bounds nesting; every enter has its leave.
func (p *parser) enter() bool { p.depth++; return p.depth < maxDepth && !p.bad }
func (p *parser) leave()      { p.depth-- }

func (p *parser) sum() *node {
	defer p.leave()
	if !p.enter() {
		return p.fail()
	}
	n := p.product()
	for !p.bad {
		switch {
		case p.take("+"):
			n = p.new('+', n, p.product())
		case p.take("-"):
			n = p.new('+', n, p.new('-', p.product()))
		case p.is("±"), p.is("∓"):
			n = p.new('+', n, p.product())
		default:
			return n
		}
	}
	return n
}

func (p *parser) product() *node {
	neg := false
	for {
		switch {
		case p.take("-"):
			neg = !neg
			continue
		case p.take("+"):
			continue
		case p.take("±"):
			neg = neg != (p.sign < 0)
			continue
		case p.take("∓"):
			neg = neg != (p.sign > 0)
			continue
		}
		break
	}
	n := p.power()
	for !p.bad {
		switch {
		case p.take("*"):
			n = p.new('*', n, p.signed())
		case p.take("/"):
			n = p.new('/', n, p.signed())
		case p.begins():
			mixed := p.mixed(n)
			next := p.power()
			if mixed && next.op == '/' {
				n = p.new('+', n, next)
			} else if mixed && p.take("/") { // 3 1/2
				n = p.new('+', n, p.new('/', next, p.power()))
			} else {
				n = p.new('*', n, next)
			}
		default:
			if neg {
				n = p.new('-', n)
			}
			return n
		}
	}
	return n
}

// signed is a factor that may have a sign: 2*-3.
func (p *parser) signed() *node {
	if p.take("-") {
		return p.new('-', p.power())
	}
	p.take("+")
	return p.power()
}

// mixed says that an integer is followed by a proper fraction of integers: a mixed
// number, 3\frac{1}{2} or 3 1/2.
func (p *parser) mixed(n *node) bool {
	if n.op != 'n' || !n.num.IsInt() || n.places > 0 || n.num.Sign() == 0 {
		return false
	}
	text := func(i int) string {
		if p.at+i < len(p.in) {
			return p.in[p.at+i].text
		}
		return ""
	}
	integer := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	less := func(a, b string) bool {
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(b, 10)
		return x.Cmp(y) < 0
	}
	if integer(text(0)) && text(1) == "/" && integer(text(2)) {
		return less(text(0), text(2))
	}
	if text(0) != "frac" {
		return false
	}
	if text(1) == "{" && integer(text(2)) && text(3) == "}" && text(4) == "{" && integer(text(5)) && text(6) == "}" {
		return less(text(2), text(5))
	}
	return integer(text(1)) && len(text(1)) == 2 && less(text(1)[:1], text(1)[1:])
}

// begins says that a factor starts here, written without a sign of multiplication.
func (p *parser) begins() bool {
	t := p.peek()
	switch t.kind {
	case 'n', 'a':
		return true
	case 's':
		return strings.Contains("({[√∞"+floorOpen+ceilOpen, t.text) || t.text == "|" && p.inAbs == 0
	}
	return false
}

func (p *parser) power() *node {
	defer p.leave()
	if !p.enter() {
		return p.fail()
	}
	n := p.primary()
	for !p.bad {
		switch {
		case p.take("!"):
			n = p.new('!', n)
		case p.take("^"):
			if p.take("-") {
				n = p.new('^', n, p.new('-', p.power()))
			} else {
				n = p.new('^', n, p.power())
			}
		default:
			return n
		}
	}
	return n
}

// group is a sum up to its closing sign.
func (p *parser) group(end string) *node {
	abs := p.inAbs
	p.inAbs = 0
	if end == "|" {
		p.inAbs = 1
	}
	n := p.sum()
	p.inAbs = abs
	if !p.take(end) {
		return p.fail()
	}
	return n
}

func (p *parser) primary() *node {
	t := p.peek()
	p.at++
	switch t.kind {
	case 'n':
		return p.number(t.text)
	case 'a':
		return p.named(t.text)
	case 's':
		switch t.text {
		case "(":
			return p.group(")")
		case "{":
			return p.group("}")
		case "[":
			return p.group("]")
		case "|":
			return p.function("abs", p.group("|"))
		case floorOpen:
			return p.function("floor", p.group(floorClose))
		case ceilOpen:
			return p.function("ceil", p.group(ceilClose))
		case "∞":
			return p.constant("inf")
		}
	}
	return p.fail()
}

func (p *parser) function(name string, args ...*node) *node {
	n := p.new('f', args...)
	n.name = name
	return n
}

func (p *parser) constant(name string) *node {
	n := p.new('c')
	n.name = name
	return n
}

func (p *parser) number(text string) *node {
	r := decimal(strings.TrimSuffix(text, "."))
	if r == nil {
		return p.fail()
	}
	n := p.new('n')
	n.num = r
	if _, places, ok := strings.Cut(text, "."); ok {
		n.places = len(places)
		if p.is("overline") { // 0.1\overline{3}: the digits come again for ever
			at := p.at + 1
			if at+2 < len(p.in) && p.in[at].text == "{" && p.in[at+1].kind == 'n' && p.in[at+2].text == "}" {
				again := p.in[at+1].text
				if part := decimal(again); part != nil && strings.Trim(again, "0123456789") == "" && len(again) < 20 && len(places) < 20 {
					p.at = at + 3
					nines := decimal(strings.Repeat("9", len(again)) + strings.Repeat("0", len(places)))
					n.num.Add(n.num, part.Quo(part, nines))
					n.places = 0
				}
			}
		}
	}
	return n
}

// argument is a group, one digit of a number, or one factor: \frac12, \sqrt x.
func (p *parser) argument(oneDigit bool) *node {
	if t := p.peek(); oneDigit && t.kind == 'n' && len(t.text) > 1 {
		p.in[p.at].text = t.text[1:]
		return p.number(t.text[:1])
	}
	if p.take("-") {
		return p.new('-', p.primary())
	}
	return p.primary()
}

func (p *parser) named(name string) *node {
	switch name {
	case "frac":
		a := p.argument(true)
		return p.new('/', a, p.argument(true))
	case "binom":
		a := p.argument(true)
		return p.function("binom", a, p.argument(true))
	case "sqrt":
		if p.take("[") {
			root := p.group("]")
			return p.new('^', p.argument(false), p.new('/', p.number("1"), root))
		}
		return p.function("sqrt", p.argument(false))
	case "overline":
		n := p.argument(false)
		return p.function("overline", n)
	case "pi":
		return p.constant("pi")
	case "infty", "infinity":
		return p.constant("inf")
	case "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "lg", "exp", "abs":
		return p.applied(name)
	}
	n := p.new('v')
	n.name = name
	if p.take("_") {
		t := p.peek()
		p.at++
		if t.text == "{" {
			for !p.is("}") && p.peek().kind != 0 {
				n.name += "_" + p.peek().text
				p.at++
			}
			if !p.take("}") {
				return p.fail()
			}
		} else {
			n.name += "_" + t.text
		}
	}
	for p.take("'") {
		n.name += "'"
	}
	switch {
	case n.name == "e" || n.name == "i":
		return p.constant(n.name)
	case len(name) >= 4 && !isGreek(name):
		n.op = 'w'
	}
	return n
}

// applied is a function with its argument, and the power or base between them.
func (p *parser) applied(name string) *node {
	defer p.leave()
	if !p.enter() {
		return p.fail()
	}
	var power, base *node
	for p.is("^") || p.is("_") {
		if p.take("^") {
			power = p.argument(true)
			if power.op == '-' { // sin^{-1}
				name, power = "arc"+name, nil
			}
		} else if p.take("_") {
			base = p.argument(true)
		}
		if p.bad {
			return p.fail()
		}
	}
	var arg *node
	if p.is("(") || p.is("{") || p.is("|") {
		arg = p.primary()
	} else {
		arg = p.power()
		for t := p.peek(); !p.bad && (t.kind == 'n' || t.kind == 'a' && (len(t.text) == 1 || isGreek(t.text) || t.text == "pi")); t = p.peek() {
			arg = p.new('*', arg, p.power())
		}
	}
	n := p.function(name, arg)
	if base != nil {
		n = p.new('/', p.function("ln", arg), p.function("ln", base))
	}
	if power != nil {
		n = p.new('^', n, power)
	}
	return n
}

func isGreek(name string) bool {
	for _, g := range greek {
		if g == name {
			return true
		}
	}
	return false
}
