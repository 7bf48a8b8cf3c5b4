package jinja

// tuple reads one expression, or several with commas between. Empty parentheses are a
// tuple too.
func (p *parser) tuple(cond bool, ends []string, parens bool) expr {
	return p.list(ends, parens, func() expr { return p.expression(cond) })
}

// list reads items with commas between: one alone is itself, several are a tuple, and
// none at all is one where empty is allowed.
func (p *parser) list(ends []string, empty bool, item func() expr) expr {
	line := p.cur().line
	var items []expr
	tuple := false
	for {
		if len(items) > 0 {
			p.expect(",")
		}
		if p.is("var_end") || p.is("block_end") || p.is(")") || p.isName(ends...) {
			break
		}
		items = append(items, item())
		if !p.is(",") {
			break
		}
		tuple = true
	}
	if !tuple {
		if len(items) > 0 {
			return items[0]
		}
		if !empty {
			p.fail("Expected an expression, got '%s'", p.cur().describe())
		}
	}
	return &listExpr{pos(line), items, true}
}

func (p *parser) expression(cond bool) expr {
	p.enter()
	defer func() { p.depth-- }()
	if cond {
		return p.condition()
	}
	return p.or()
}

func (p *parser) condition() expr {
	x := p.or()
	for p.isName("if") {
		at := pos(p.next().line)
		c := &condExpr{pos: at, a: x, test: p.or()}
		if p.skipName("else") {
			p.enter()
			c.b = p.condition()
			p.depth--
		}
		x = c
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for p.isName("or") {
		at := pos(p.next().line)
		x = &logicExpr{at, x, p.and(), true}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.isName("and") {
		at := pos(p.next().line)
		x = &logicExpr{at, x, p.not(), false}
	}
	return x
}

func (p *parser) not() expr {
	if p.isName("not") {
		at := pos(p.next().line)
		p.enter()
		defer func() { p.depth-- }()
		return &notExpr{at, p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	line := p.cur().line
	c := &compareExpr{pos: pos(line), first: p.sum()}
	for {
		op := ""
		switch t := p.cur(); {
		case t.kind == "==" || t.kind == "!=" || t.kind == "<" || t.kind == "<=" || t.kind == ">" || t.kind == ">=":
			op = t.kind
		case p.isName("in"):
			op = "in"
		case p.isName("not") && p.look().kind == "name" && p.look().text == "in":
			op = "notin"
			p.next()
		}
		if op == "" {
			break
		}
		p.next()
		c.ops, c.rest = append(c.ops, op), append(c.rest, p.sum())
	}
	if len(c.ops) == 0 {
		return c.first
	}
	return c
}

func (p *parser) sum() expr {
	x := p.concat()
	for p.is("+") || p.is("-") {
		t := p.next()
		x = &binExpr{pos(t.line), t.kind, x, p.concat()}
	}
	return x
}

func (p *parser) concat() expr {
	line := p.cur().line
	parts := []expr{p.product()}
	for p.skip("~") {
		parts = append(parts, p.product())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &concatExpr{pos(line), parts}
}

func (p *parser) product() expr {
	x := p.power()
	for p.is("*") || p.is("/") || p.is("//") || p.is("%") {
		t := p.next()
		x = &binExpr{pos(t.line), t.kind, x, p.power()}
	}
	return x
}

func (p *parser) power() expr {
	x := p.unary(true)
	for p.is("**") {
		t := p.next()
		x = &binExpr{pos(t.line), t.kind, x, p.unary(true)}
	}
	return x
}

func (p *parser) unary(filters bool) expr {
	p.enter()
	defer func() { p.depth-- }()
	t := p.cur()
	var x expr
	switch t.kind {
	case "-", "+":
		p.next()
		x = &signExpr{pos(t.line), p.unary(false), t.kind == "-"}
	default:
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filterChain(x)
	}
	return x
}

func (p *parser) primary() expr {
	t := p.cur()
	at := pos(t.line)
	switch t.kind {
	case "name":
		p.next()
		switch t.text {
		case "true", "True":
			return &constExpr{at, true}
		case "false", "False":
			return &constExpr{at, false}
		case "none", "None":
			return &constExpr{at, nil}
		}
		if p.seen != nil {
			p.seen[t.text] = true
		}
		return &nameExpr{at, t.text}
	case "string":
		s := ""
		for p.is("string") {
			s += p.next().text
		}
		return &constExpr{at, Str{S: s}}
	case "integer", "float":
		p.next()
		return &constExpr{at, t.num}
	case "(":
		p.next()
		x := p.tuple(true, nil, true)
		p.expect(")")
		return x
	case "[":
		p.next()
		l := &listExpr{pos: at}
		for !p.is("]") {
			if len(l.items) > 0 {
				p.expect(",")
			}
			if p.is("]") {
				break
			}
			l.items = append(l.items, p.expression(true))
		}
		p.expect("]")
		return l
	case "{":
		p.next()
		d := &dictExpr{pos: at}
		for !p.is("}") {
			if len(d.keys) > 0 {
				p.expect(",")
			}
			if p.is("}") {
				break
			}
			d.keys = append(d.keys, p.expression(true))
			p.expect(":")
			d.values = append(d.values, p.expression(true))
		}
		p.expect("}")
		return d
	}
	p.fail("unexpected '%s'", t.describe())
	return nil
}

// postfix reads .name, [index] and (call), as many as follow.
func (p *parser) postfix(x expr) expr {
	for {
		t := p.cur()
		switch t.kind {
		case ".":
			p.next()
			switch a := p.next(); a.kind {
			case "name":
				x = &attrExpr{pos(t.line), x, a.text}
			case "integer":
				x = &itemExpr{pos(t.line), x, &constExpr{pos(a.line), a.num}}
			default:
				failAt(a.line, "TemplateSyntaxError", "expected name or number")
			}
		case "[":
			p.next()
			x = &itemExpr{pos(t.line), x, p.index()}
			p.expect("]")
		case "(":
			x = &callExpr{pos(t.line), x, p.args()}
		default:
			return x
		}
	}
}

func (p *parser) index() expr {
	line := p.cur().line
	var items []expr
	for !p.is("]") {
		if len(items) > 0 {
			p.expect(",")
		}
		items = append(items, p.subscript())
	}
	if len(items) == 1 {
		return items[0]
	}
	return &listExpr{pos(line), items, true}
}

func (p *parser) subscript() expr {
	s := &sliceExpr{pos: pos(p.cur().line)}
	if !p.is(":") {
		x := p.expression(true)
		if !p.is(":") {
			return x
		}
		s.from = x
	}
	p.expect(":")
	if !p.is(":") && !p.is("]") && !p.is(",") {
		s.to = p.expression(true)
	}
	if p.skip(":") && !p.is("]") && !p.is(",") {
		s.step = p.expression(true)
	}
	return s
}

func (p *parser) args() args {
	var a args
	open := p.expect("(")
	bad := func() { failAt(open.line, "TemplateSyntaxError", "invalid syntax for function call expression") }
	for n := 0; !p.is(")"); n++ {
		if n > 0 {
			p.expect(",")
			if p.is(")") {
				break
			}
		}
		switch {
		case p.is("*"):
			if a.star != nil || a.kw != nil {
				bad()
			}
			p.next()
			a.star = p.expression(true)
		case p.is("**"):
			if a.kw != nil {
				bad()
			}
			p.next()
			a.kw = p.expression(true)
		case p.is("name") && p.look().kind == "=":
			if a.kw != nil {
				bad()
			}
			a.names = append(a.names, p.next().text)
			p.next()
			a.named = append(a.named, p.expression(true))
		default:
			if a.star != nil || a.kw != nil || len(a.names) > 0 {
				bad()
			}
			a.list = append(a.list, p.expression(true))
		}
	}
	p.expect(")")
	return a
}

// filterChain reads |filter, is test and calls behind them.
func (p *parser) filterChain(x expr) expr {
	for {
		switch {
		case p.is("|"):
			x = p.filters(x, false)
		case p.isName("is"):
			x = p.test(x)
		case p.is("("):
			x = &callExpr{pos(p.cur().line), x, p.args()}
		default:
			return x
		}
	}
}

func (p *parser) dotted() string {
	name := p.expect("name").text
	for p.skip(".") {
		name += "." + p.expect("name").text
	}
	return name
}

// filters reads one filter after another; inline means that the first has no bar.
func (p *parser) filters(x expr, inline bool) expr {
	for inline || p.is("|") {
		if !inline {
			p.next()
		}
		inline = false
		line := p.cur().line
		f := &filterExpr{pos: pos(line), x: x, name: p.dotted()}
		if p.is("(") {
			f.args = p.args()
		}
		x = f
	}
	return x
}

func (p *parser) test(x expr) expr {
	line := p.next().line
	negated := p.skipName("not")
	t := &testExpr{pos: pos(line), x: x, name: p.dotted()}
	switch p.cur().kind {
	case "(":
		t.args = p.args()
	case "name", "string", "integer", "float", "[", "{":
		if p.isName("else", "or", "and") {
			break
		}
		if p.isName("is") {
			p.fail("You cannot chain multiple tests with is")
		}
		t.args.list = []expr{p.postfix(p.primary())}
	}
	if negated {
		return &notExpr{pos(line), t}
	}
	return t
}
