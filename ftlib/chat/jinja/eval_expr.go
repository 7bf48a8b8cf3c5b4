package jinja

func (s *state) eval(e expr) Value {
	s.step(e.at())
	switch x := e.(type) {
	case *constExpr:
		return x.v
	case *nameExpr:
		if v, ok := s.lookup(x.name); ok {
			return v
		}
		return &undefined{msg: reprText(x.name) + " is undefined"}
	case *listExpr:
		l := &List{Items: make([]Value, len(x.items))}
		if x.tuple {
			l.Kind = "tuple"
		}
		for i, it := range x.items {
			l.Items[i] = s.eval(it)
		}
		return l
	case *dictExpr:
		d := NewDict(0)
		for i, k := range x.keys {
			d.Set(s.eval(k), s.eval(x.values[i]))
		}
		return d
	case *attrExpr:
		v := s.eval(x.x)
		s.line = x.at()
		return getAttr(v, x.name)
	case *itemExpr:
		v := s.eval(x.x)
		if sl, ok := x.i.(*sliceExpr); ok {
			return s.slice(v, sl)
		}
		i := s.eval(x.i)
		s.line = x.at()
		return getItem(v, i)
	case *sliceExpr:
		fail("TypeError", "a slice cannot stand here")
	case *callExpr:
		f := s.eval(x.f)
		c := s.args(x.args)
		s.line = x.at()
		return s.invoke(f, c)
	case *filterExpr:
		v := s.eval(x.x)
		c := s.args(x.args)
		s.line = x.at()
		return s.apply(x.name, v, c)
	case *testExpr:
		v := s.eval(x.x)
		c := s.args(x.args)
		s.line = x.at()
		return s.test(x.name, v, c)
	case *notExpr:
		return !truth(s.eval(x.x))
	case *signExpr:
		return sign(s.eval(x.x), x.neg)
	case *logicExpr:
		a := s.eval(x.a)
		if truth(a) == x.or {
			return a
		}
		return s.eval(x.b)
	case *binExpr:
		a, b := s.eval(x.a), s.eval(x.b)
		s.line = x.at()
		return binary(x.op, a, b)
	case *concatExpr:
		var b builder
		for _, p := range x.parts {
			b.add(text(s.eval(p)))
		}
		return b.str()
	case *compareExpr:
		a := s.eval(x.first)
		for i, op := range x.ops {
			b := s.eval(x.rest[i])
			s.line = x.at()
			if !compare(op, a, b) {
				return false
			}
			a = b
		}
		return true
	case *condExpr:
		if truth(s.eval(x.test)) {
			return s.eval(x.a)
		}
		if x.b == nil {
			return &undefined{msg: "the inline if-expression on line " + repr(int64(x.at())).S + " evaluated to false and no else section was defined."}
		}
		return s.eval(x.b)
	}
	fail("RuntimeError", "unknown expression %T", e)
	return nil
}

func (s *state) args(a args) call {
	var c call
	for _, e := range a.list {
		c.args = append(c.args, s.eval(e))
	}
	if a.star != nil {
		c.args = append(c.args, items(s.eval(a.star))...)
	}
	c.names = append(c.names, a.names...)
	for _, e := range a.named {
		c.named = append(c.named, s.eval(e))
	}
	if a.kw != nil {
		d, ok := s.eval(a.kw).(*Dict)
		if !ok {
			fail("TypeError", "argument after ** must be a mapping")
		}
		for i, k := range d.Keys {
			c.names, c.named = append(c.names, text(k).S), append(c.named, d.values[i])
		}
	}
	return c
}

func (s *state) invoke(f Value, c call) Value {
	switch x := f.(type) {
	case *macro:
		return x.call(s, c)
	case *function:
		return x.call(s, c)
	case *undefined:
		x.raise()
	case *loop:
		if len(c.args) != 1 || !x.stmt.recursive {
			fail("TypeError", "The loop must have the 'recursive' marker to be called recursively.")
		}
		out := s.out
		s.out = &builder{}
		s.forLoop(x.stmt, c.args[0], x.depth+1)
		text := s.out.str()
		s.out = out
		return text
	}
	fail("TypeError", "'%s' object is not callable", typeName(f))
	return nil
}

// unsafe are the methods that change a value in place, which the sandbox forbids.
func unsafe(v Value, name string) bool {
	switch v.(type) {
	case *List:
		switch name {
		case "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort":
			return true
		}
	case *Dict:
		switch name {
		case "clear", "pop", "popitem", "setdefault", "update":
			return true
		}
	}
	return false
}

// getAttr is x.name: a method or attribute first, then the key.
func getAttr(v Value, name string) Value {
	if u, ok := v.(*undefined); ok {
		u.raise()
	}
	if m := attribute(v, name); m != nil {
		return m
	}
	if d, ok := v.(*Dict); ok {
		if r, ok := d.Get(Str{S: name}); ok {
			return r
		}
	}
	return missing(v, Str{S: name})
}

// getItem is x[i]: the key or position first, then a method or attribute.
func getItem(v, i Value) Value {
	switch x := v.(type) {
	case *undefined:
		x.raise()
	case *Dict:
		if r, ok := x.Get(i); ok {
			return r
		}
	case *List:
		if n, ok := integer(i); ok && (x.Kind == "" || x.Kind == "list" || x.Kind == "tuple" || x.Kind == "range") {
			if n < 0 {
				n += int64(len(x.Items))
			}
			if n >= 0 && n < int64(len(x.Items)) {
				return x.Items[n]
			}
		}
	case Str:
		if n, ok := integer(i); ok {
			chars := int64(x.runes())
			if n < 0 {
				n += chars
			}
			if n >= 0 && n < chars {
				at := x.offset(int(n))
				return x.cut(at, x.offset(int(n)+1))
			}
		}
	}
	if name, ok := i.(Str); ok {
		if m := attribute(v, name.S); m != nil {
			return m
		}
	}
	return missing(v, i)
}

func objectName(v Value) string {
	if v == nil {
		return "None"
	}
	return typeName(v) + " object"
}

func missing(v, key Value) Value {
	if name, ok := key.(Str); ok {
		return &undefined{msg: reprText(objectName(v)) + " has no attribute " + reprText(name.S)}
	}
	return &undefined{msg: objectName(v) + " has no element " + repr(key).S}
}

// attribute is what Python's getattr finds on a value, nil when nothing.
func attribute(v Value, name string) Value {
	if unsafe(v, name) {
		return &undefined{kind: "SecurityError", msg: "access to attribute " + reprText(name) + " of " + reprText(typeName(v)) + " object is unsafe."}
	}
	switch x := v.(type) {
	case Str:
		if m := strMethod(name); m != nil {
			return &function{name, func(s *state, c call) Value { return m(x, newArgs(name, c)) }}
		}
	case *Dict:
		if m := dictMethod(name); m != nil {
			return &function{name, func(s *state, c call) Value { return m(x, newArgs(name, c)) }}
		}
	case *List:
		for i, f := range x.fields {
			if f == name {
				return x.Items[i]
			}
		}
		if m := listMethod(name); m != nil && (x.Kind == "" || x.Kind == "list" || x.Kind == "tuple") {
			return &function{name, func(s *state, c call) Value { return m(x, newArgs(name, c)) }}
		}
	case *namespace:
		if r, ok := x.d.Get(Str{S: name}); ok {
			return r
		}
	case *loop:
		return x.attribute(name)
	case *macro:
		if name == "name" {
			return Str{S: x.def.name}
		}
	}
	return nil
}

func (l *loop) attribute(name string) Value {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.i + 1)
	case "index0":
		return int64(l.i)
	case "revindex":
		return int64(n - l.i)
	case "revindex0":
		return int64(n - l.i - 1)
	case "first":
		return l.i == 0
	case "last":
		return l.i == n-1
	case "length":
		return int64(n)
	case "depth":
		return int64(l.depth + 1)
	case "depth0":
		return int64(l.depth)
	case "previtem":
		if l.i == 0 {
			return &undefined{msg: "there is no previous item"}
		}
		return l.items[l.i-1]
	case "nextitem":
		if l.i == n-1 {
			return &undefined{msg: "there is no next item"}
		}
		return l.items[l.i+1]
	case "cycle":
		return &function{"cycle", func(s *state, c call) Value {
			if len(c.args) == 0 {
				fail("TypeError", "no items for cycling given")
			}
			return c.args[l.i%len(c.args)]
		}}
	case "changed":
		return &function{"changed", func(s *state, c call) Value {
			now := &List{Items: c.args, Kind: "tuple"}
			if l.asked && equal(l.changed, now) {
				return false
			}
			l.changed, l.asked = now, true
			return true
		}}
	}
	return nil
}

// slice is v[from:to:step].
func (s *state) slice(v Value, x *sliceExpr) Value {
	part := func(e expr) (int64, bool) {
		if e == nil {
			return 0, false
		}
		p := s.eval(e)
		if p == nil {
			return 0, false
		}
		n, ok := integer(p)
		if !ok {
			fail("TypeError", "slice indices must be integers or None or have an __index__ method")
		}
		return n, true
	}
	from, hasFrom := part(x.from)
	to, hasTo := part(x.to)
	step, hasStep := part(x.step)
	if !hasStep {
		step = 1
	}
	if step == 0 {
		fail("ValueError", "slice step cannot be zero")
	}
	var n int64
	switch t := v.(type) {
	case Str:
		n = int64(t.runes())
	case *List:
		if t.Kind == "generator" || len(t.Kind) > 5 {
			return missing(v, &List{Kind: "tuple"})
		}
		n = int64(len(t.Items))
	case *undefined:
		t.raise()
	default:
		return missing(v, Str{S: "slice"})
	}
	low, high := int64(0), n
	if step < 0 {
		low, high = -1, n-1
	}
	bound := func(i int64, has bool, whole int64) int64 {
		if !has {
			return whole
		}
		if i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	if step > 0 {
		from, to = bound(from, hasFrom, low), bound(to, hasTo, high)
	} else {
		from, to = bound(from, hasFrom, high), bound(to, hasTo, low)
	}
	if t, ok := v.(Str); ok && step == 1 {
		i := t.offset(int(from))
		return t.cut(i, max(i, t.offset(int(to))))
	}
	all := items(v)
	r := &List{Kind: typeKind(v), Items: []Value{}}
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		r.Items = append(r.Items, all[i])
	}
	if _, ok := v.(Str); ok {
		return Str{}.join(r.Items)
	}
	return r
}

func typeKind(v Value) string {
	if l, ok := v.(*List); ok {
		return l.Kind
	}
	return ""
}
