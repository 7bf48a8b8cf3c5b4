package jinja

import "strings"

// maxDepth bounds nesting, in the source and in calls, so that a hostile template
// ends in an error and not in an exhausted stack.
const maxDepth = 200

type parser struct {
	tokens []token
	i      int
	depth  int
	loops  int
	seen   map[string]bool // names read in the macro that is being parsed
	gen    bool            // a {% generation %} block was seen
}

// Template is a parsed template. It may be rendered by several goroutines at once.
type Template struct {
	Source        string
	HasGeneration bool // it says itself, with {% generation %}, what the assistant writes
	body          []stmt
}

// Parse reads a template. The error is an *Error with the line.
func Parse(source string) (t *Template, err error) {
	defer caught(&err)
	p := &parser{tokens: lex(source)}
	body := p.body()
	if p.cur().kind != "eof" {
		p.fail("unexpected end of block")
	}
	return &Template{Source: source, HasGeneration: p.gen, body: body}, nil
}

func (p *parser) cur() token { return p.tokens[p.i] }

func (p *parser) look() token {
	if p.i+1 < len(p.tokens) {
		return p.tokens[p.i+1]
	}
	return p.tokens[p.i]
}

func (p *parser) next() token {
	t := p.tokens[p.i]
	if p.i < len(p.tokens)-1 {
		p.i++
	}
	return t
}

func (p *parser) fail(format string, args ...any) {
	failAt(p.cur().line, "TemplateSyntaxError", format, args...)
}

func (p *parser) is(kind string) bool { return p.cur().kind == kind }

func (p *parser) isName(names ...string) bool {
	if p.cur().kind != "name" {
		return false
	}
	for _, n := range names {
		if p.cur().text == n {
			return true
		}
	}
	return false
}

func (p *parser) skip(kind string) bool {
	if p.is(kind) {
		p.next()
		return true
	}
	return false
}

func (p *parser) skipName(name string) bool {
	if p.isName(name) {
		p.next()
		return true
	}
	return false
}

func (t token) describe() string {
	switch t.kind {
	case "name", "string":
		return t.text
	case "eof":
		return "end of template"
	case "block_end":
		return "end of statement block"
	case "var_end":
		return "end of print statement"
	}
	return t.kind
}

func (p *parser) expect(kind string) token {
	if !p.is(kind) {
		p.fail("expected token '%s', got '%s'", (token{kind: kind}).describe(), p.cur().describe())
	}
	return p.next()
}

func (p *parser) expectName(name string) {
	if !p.skipName(name) {
		p.fail("expected token '%s', got '%s'", name, p.cur().describe())
	}
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested deeper than %d", maxDepth)
	}
}

// body reads statements until the tag that starts with one of the end names, which
// becomes the current token; with no names until the end of the template.
func (p *parser) body(ends ...string) []stmt {
	p.enter()
	defer func() { p.depth-- }()
	var out []stmt
	for {
		t := p.cur()
		switch t.kind {
		case "eof":
			if len(ends) > 0 {
				p.fail("Unexpected end of template. Jinja was looking for the following tags: '%s'.", strings.Join(ends, "' or '"))
			}
			return out
		case "data":
			p.next()
			out = append(out, &dataStmt{pos(t.line), t.text})
		case "var_begin":
			p.next()
			x := p.tuple(true, nil, false)
			p.expect("var_end")
			out = append(out, &printStmt{pos(t.line), x})
		default:
			p.expect("block_begin")
			if p.isName(ends...) {
				return out
			}
			out = append(out, p.statement()...)
			p.expect("block_end")
		}
	}
}

// block is the body of a statement: after its opening tag, through its closing one.
func (p *parser) block(ends ...string) []stmt {
	p.skip(":")
	p.expect("block_end")
	return p.body(ends...)
}

func (p *parser) statement() []stmt {
	t := p.cur()
	if t.kind != "name" {
		p.fail("tag name expected")
	}
	at := pos(t.line)
	p.next()
	one := func(s stmt) []stmt { return []stmt{s} }
	switch t.text {
	case "if":
		return one(p.ifTag(at))
	case "for":
		return one(p.forTag(at))
	case "set":
		return one(p.setTag(at))
	case "macro":
		m := &macroStmt{pos: at, name: p.expect("name").text}
		p.signature(m)
		p.macroBody(m, "endmacro")
		p.next()
		return one(m)
	case "call":
		m := &macroStmt{pos: at, name: "caller"}
		if p.is("(") {
			p.signature(m)
		}
		call, ok := p.expression(true).(*callExpr)
		if !ok {
			failAt(t.line, "TemplateSyntaxError", "expected call")
		}
		p.macroBody(m, "endcall")
		p.next()
		return one(&callStmt{at, call, m})
	case "filter":
		f, _ := p.filters(nil, true).(*filterExpr)
		s := &filterStmt{pos: at, filter: f}
		s.body = p.block("endfilter")
		p.next()
		return one(s)
	case "with":
		s := &withStmt{pos: at}
		for !p.is("block_end") {
			if len(s.targets) > 0 {
				p.expect(",")
			}
			s.targets = append(s.targets, p.target(nil, false))
			p.expect("=")
			s.values = append(s.values, p.expression(true))
		}
		s.body = p.block("endwith")
		p.next()
		return one(s)
	case "autoescape":
		if c, ok := p.expression(true).(*constExpr); !ok || c.v != false {
			failAt(t.line, "TemplateSyntaxError", "autoescape can only be false here")
		}
		s := &scopeStmt{pos: at}
		s.body = p.block("endautoescape")
		p.next()
		return one(s)
	case "generation":
		p.gen = true
		s := &generationStmt{pos: at}
		p.inner(func() { s.body = p.block("endgeneration") })
		p.next()
		return one(s)
	case "print":
		var out []stmt
		for !p.is("block_end") {
			if len(out) > 0 {
				p.expect(",")
			}
			out = append(out, &printStmt{at, p.expression(true)})
		}
		return out
	case "break", "continue":
		if p.loops == 0 {
			failAt(t.line, "TemplateSyntaxError", "'%s' outside loop", t.text)
		}
		return one(&jumpStmt{at, t.text == "break"})
	}
	failAt(t.line, "TemplateSyntaxError", "Encountered unknown tag '%s'.", t.text)
	return nil
}

// inner reads a body that a loop around it cannot break out of.
func (p *parser) inner(read func()) {
	loops := p.loops
	p.loops = 0
	read()
	p.loops = loops
}

// macroBody reads the body of a macro and notes which of the special names it uses.
func (p *parser) macroBody(m *macroStmt, end string) {
	outer := p.seen
	p.seen = map[string]bool{}
	p.inner(func() { m.body = p.block(end) })
	m.varargs, m.kwargs = p.seen["varargs"], p.seen["kwargs"]
	p.seen = outer
}

func (p *parser) ifTag(at pos) stmt {
	s := &ifStmt{pos: at}
	for {
		s.tests = append(s.tests, p.tuple(false, nil, false))
		s.bodies = append(s.bodies, p.block("elif", "else", "endif"))
		switch p.next().text {
		case "elif":
			continue
		case "else":
			s.orElse = p.block("endif")
			p.next()
		}
		return s
	}
}

func (p *parser) forTag(at pos) stmt {
	s := &forStmt{pos: at}
	s.target = p.target([]string{"in"}, false)
	p.expectName("in")
	s.iter = p.tuple(false, []string{"recursive"}, false)
	if p.skipName("if") {
		s.test = p.expression(true)
	}
	s.recursive = p.skipName("recursive")
	p.loops++
	s.body = p.block("endfor", "else")
	p.loops--
	if p.next().text == "else" {
		s.orElse = p.block("endfor")
		p.next()
	}
	return s
}

func (p *parser) setTag(at pos) stmt {
	s := &setStmt{pos: at, target: p.target(nil, true)}
	if p.skip("=") {
		s.x = p.tuple(true, nil, false)
		return s
	}
	if p.is("|") {
		s.filter, _ = p.filters(nil, false).(*filterExpr)
	}
	s.body = p.block("endset")
	p.next()
	return s
}

func (p *parser) signature(m *macroStmt) {
	p.expect("(")
	for !p.is(")") {
		if len(m.params) > 0 {
			p.expect(",")
		}
		m.params = append(m.params, p.expect("name").text)
		if p.skip("=") {
			m.defaults = append(m.defaults, p.expression(true))
		} else if len(m.defaults) > 0 {
			p.fail("non-default argument follows default argument")
		}
	}
	p.expect(")")
}

// target is what set, for and with assign to: a name, names with commas, or ns.attr.
func (p *parser) target(ends []string, namespace bool) expr {
	return p.list(ends, false, func() expr { return p.targetItem(namespace) })
}

func (p *parser) targetItem(namespace bool) expr {
	t := p.cur()
	if p.skip("(") {
		x := p.target(nil, namespace)
		p.expect(")")
		return x
	}
	if t.kind != "name" {
		p.fail("can't assign to '%s'", t.describe())
	}
	p.next()
	switch t.text {
	case "true", "false", "none", "True", "False", "None":
		failAt(t.line, "TemplateSyntaxError", "can't assign to 'const'")
	}
	if namespace && p.skip(".") {
		return &nsExpr{pos(t.line), t.text, p.expect("name").text}
	}
	return &nameExpr{pos(t.line), t.text}
}
