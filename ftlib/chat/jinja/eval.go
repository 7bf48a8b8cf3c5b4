package jinja

import (
	"sort"
	"time"
)

// maxSteps bounds the work of one rendering.
const maxSteps = 50_000_000

// Options of a rendering.
type Options struct {
	Now time.Time // what strftime_now sees; zero: the clock
}

// Output is a rendered template.
type Output struct {
	Text  string
	Marks []Marked // where it came from; in the order written, ranges may nest
}

// scope holds the names that were set; blocks see the scopes around them.
type scope struct {
	names map[string]Value
	up    *scope
}

func (sc *scope) set(name string, v Value) {
	if sc.names == nil {
		sc.names = map[string]Value{}
	}
	sc.names[name] = v
}

func (sc *scope) get(name string) (Value, bool) {
	for ; sc != nil; sc = sc.up {
		if v, ok := sc.names[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// state of one rendering.
type state struct {
	sc    *scope
	out   *builder
	tag   int // of the message that the innermost loop over messages stands on
	now   time.Time
	line  int
	depth int
	steps int
}

// flow is how a list of statements ended.
type flow int

const (
	normal flow = iota
	breaks
	continues
)

// Render fills the template with the variables. The error is an *Error.
func (t *Template) Render(vars map[string]Value, o Options) (out Output, err error) {
	s := &state{sc: &scope{up: &scope{names: vars}}, out: &builder{}, now: o.Now}
	defer func() {
		if e, ok := err.(*Error); ok && e.Line == 0 {
			e.Line = s.line
		}
	}()
	defer caught(&err)
	s.run(t.body)
	text := s.out.str()
	return Output{text.S, text.marks}, nil
}

func (s *state) step(line int) {
	s.line = line
	if s.steps++; s.steps > maxSteps {
		fail("RuntimeError", "the template works without end")
	}
}

func (s *state) enter() {
	if s.depth++; s.depth > maxDepth {
		fail("RecursionError", "maximum recursion depth exceeded")
	}
}

// literal writes text that the template holds itself.
func (s *state) literal(text string) {
	at := s.out.b.Len()
	s.out.text(text)
	if s.tag != 0 && text != "" {
		s.out.marks = append(s.out.marks, Marked{at, at + len(text), s.tag, Literal})
	}
}

// print writes a value; what is not marked in it is the template's own.
func (s *state) print(v Value) {
	t := text(v)
	at := s.out.b.Len()
	if s.tag != 0 && t.S != "" {
		s.out.marks = append(s.out.marks, Marked{at, at + len(t.S), s.tag, Literal})
	}
	s.out.add(t)
}

// capture runs statements in a scope of their own and returns what they wrote.
func (s *state) capture(body []stmt) Str {
	s.enter()
	out, sc := s.out, s.sc
	s.out, s.sc = &builder{}, &scope{up: sc}
	s.run(body)
	text := s.out.str()
	s.out, s.sc = out, sc
	s.depth--
	return text
}

func (s *state) run(body []stmt) flow {
	for _, st := range body {
		s.step(st.at())
		if f := s.exec(st); f != normal {
			return f
		}
	}
	return normal
}

func (s *state) exec(st stmt) flow {
	switch x := st.(type) {
	case *dataStmt:
		s.literal(x.text)
	case *printStmt:
		s.print(s.eval(x.x))
	case *ifStmt:
		for i, test := range x.tests {
			if truth(s.eval(test)) {
				return s.run(x.bodies[i])
			}
		}
		return s.run(x.orElse)
	case *forStmt:
		s.forLoop(x, s.eval(x.iter), 0)
	case *setStmt:
		if x.x != nil {
			s.assign(s.sc, x.target, s.eval(x.x))
			break
		}
		var v Value = s.capture(x.body)
		if x.filter != nil {
			v = s.filterBody(x.filter, v)
		}
		s.assign(s.sc, x.target, v)
	case *macroStmt:
		s.sc.set(x.name, &macro{x, s.sc})
	case *callStmt:
		f := s.eval(x.call.f)
		c := s.args(x.call.args)
		c.names, c.named = append(c.names, "caller"), append(c.named, &macro{x.macro, s.sc})
		s.print(s.invoke(f, c))
	case *filterStmt:
		s.print(s.filterBody(x.filter, s.capture(x.body)))
	case *withStmt:
		values := make([]Value, len(x.values))
		for i, v := range x.values {
			values[i] = s.eval(v)
		}
		return s.scoped(func() flow {
			for i, t := range x.targets {
				s.assign(s.sc, t, values[i])
			}
			return s.run(x.body)
		})
	case *scopeStmt:
		return s.scoped(func() flow { return s.run(x.body) })
	case *generationStmt:
		at := s.out.b.Len()
		text := s.capture(x.body)
		s.out.marks = append(s.out.marks, Marked{at, at + len(text.S), s.tag, Generation})
		s.out.add(text)
	case *jumpStmt:
		if x.brk {
			return breaks
		}
		return continues
	}
	return normal
}

func (s *state) scoped(run func() flow) flow {
	sc := s.sc
	s.sc = &scope{up: sc}
	f := run()
	s.sc = sc
	return f
}

// loop is the variable of that name in a for body.
type loop struct {
	items   []Value
	i       int
	depth   int // of recursive loops, from 0
	stmt    *forStmt
	changed Value
	asked   bool
}

func (s *state) forLoop(x *forStmt, over Value, depth int) {
	s.enter()
	defer func() { s.depth-- }()
	outer, tag := s.sc, s.tag
	list := items(over)
	if x.test != nil {
		var kept []Value
		for _, v := range list {
			s.sc = &scope{up: outer}
			s.assign(s.sc, x.target, v)
			if truth(s.eval(x.test)) {
				kept = append(kept, v)
			}
		}
		list = kept
	}
	l := &loop{items: list, depth: depth, stmt: x}
	whole := false // whether a body came to its end: Jinja asks that for else
	for i, v := range list {
		l.i = i
		s.sc = &scope{up: outer, names: map[string]Value{"loop": l}}
		s.assign(s.sc, x.target, v)
		if d, ok := v.(*Dict); ok && d.Tag != 0 {
			s.tag = d.Tag
		}
		f := s.run(x.body)
		s.tag = tag
		if f == breaks {
			break
		}
		whole = whole || f == normal
	}
	s.sc = outer
	if !whole {
		s.scoped(func() flow { return s.run(x.orElse) })
	}
}

func (s *state) assign(sc *scope, target expr, v Value) {
	switch x := target.(type) {
	case *nameExpr:
		sc.set(x.name, v)
	case *nsExpr:
		o, _ := s.lookup(x.name)
		ns, ok := o.(*namespace)
		if !ok {
			fail("TemplateRuntimeError", "cannot assign attribute on non-namespace object")
		}
		ns.set(Str{S: x.attr}, v)
	case *listExpr:
		list := items(v)
		if len(list) > len(x.items) {
			fail("ValueError", "too many values to unpack (expected %d)", len(x.items))
		}
		if len(list) < len(x.items) {
			fail("ValueError", "not enough values to unpack (expected %d, got %d)", len(x.items), len(list))
		}
		for i, t := range x.items {
			s.assign(sc, t, list[i])
		}
	}
}

func (n *namespace) set(name Str, v Value) {
	if len(name.S) > 0 && name.S[0] == '_' {
		fail("SecurityError", "Chat templates cannot store underscore-prefixed attributes on a namespace, but got %s. Please rename the attribute.", reprText(name.S))
	}
	n.d.Set(name, v)
}

func (s *state) lookup(name string) (Value, bool) {
	if v, ok := s.sc.get(name); ok {
		return v, true
	}
	return global(name)
}

// macro is a macro with the scope it was defined in.
type macro struct {
	def *macroStmt
	sc  *scope
}

func (m *macro) call(s *state, c call) Value {
	def := m.def
	s.enter()
	defer func() { s.depth-- }()
	out, sc := s.out, s.sc
	s.out, s.sc = &builder{}, &scope{up: m.sc}
	if len(c.args) > len(def.params) && !def.varargs {
		fail("TypeError", "macro %s takes not more than %d argument(s)", reprText(def.name), len(def.params))
	}
	set := map[string]bool{}
	for i, v := range c.args[:min(len(c.args), len(def.params))] {
		s.sc.set(def.params[i], v)
		set[def.params[i]] = true
	}
	extra := NewDict(0)
	for i, name := range c.names {
		known := false
		for _, p := range def.params {
			known = known || p == name
		}
		switch {
		case set[name]:
			fail("TypeError", "macro %s got multiple values for argument %s", reprText(def.name), reprText(name))
		case known:
			s.sc.set(name, c.named[i])
			set[name] = true
		case name == "caller":
			s.sc.set(name, c.named[i])
		case def.kwargs:
			extra.Set(Str{S: name}, c.named[i])
		default:
			fail("TypeError", "macro %s takes no keyword argument %s", reprText(def.name), reprText(name))
		}
	}
	for i, p := range def.params {
		if set[p] {
			continue
		}
		if d := i - (len(def.params) - len(def.defaults)); d >= 0 {
			s.sc.set(p, s.eval(def.defaults[d]))
		} else {
			s.sc.set(p, &undefined{msg: "parameter " + reprText(p) + " was not provided"})
		}
	}
	if def.varargs {
		s.sc.set("varargs", &List{Items: c.args[min(len(c.args), len(def.params)):], Kind: "tuple"})
	}
	if def.kwargs {
		s.sc.set("kwargs", extra)
	}
	s.run(def.body)
	text := s.out.str()
	s.out, s.sc = out, sc
	return text
}

func sortBy(order []int, less func(a, b int) bool) {
	sort.SliceStable(order, func(i, j int) bool { return less(order[i], order[j]) })
}
