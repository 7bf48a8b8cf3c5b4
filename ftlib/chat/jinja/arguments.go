package jinja

// arguments binds the arguments of a built-in to its parameters, in order.
type arguments struct {
	fn string
	c  call
}

func newArgs(fn string, c call) *arguments { return &arguments{fn, c} }

// opt is the next parameter, by position or by name.
func (a *arguments) opt(name string) (Value, bool) {
	if len(a.c.args) > 0 {
		v := a.c.args[0]
		a.c.args = a.c.args[1:]
		return v, true
	}
	for i, n := range a.c.names {
		if n == name {
			v := a.c.named[i]
			a.c.names = append(append([]string{}, a.c.names[:i]...), a.c.names[i+1:]...)
			a.c.named = append(append([]Value{}, a.c.named[:i]...), a.c.named[i+1:]...)
			return v, true
		}
	}
	return nil, false
}

func (a *arguments) need(name string) Value {
	v, ok := a.opt(name)
	if !ok {
		fail("TypeError", "%s() missing 1 required positional argument: '%s'", a.fn, name)
	}
	return v
}

func (a *arguments) str(name string) Str {
	v := a.need(name)
	s, ok := v.(Str)
	if !ok {
		a.wrong(name, v, "str")
	}
	return s
}

func (a *arguments) wrong(name string, v Value, want string) {
	if u, ok := v.(*undefined); ok {
		u.raise()
	}
	fail("TypeError", "%s() argument '%s' must be %s, not %s", a.fn, name, want, typeName(v))
}

// optStr is a string that may be missing or none.
func (a *arguments) optStr(name string) *string {
	v, ok := a.opt(name)
	if !ok || v == nil {
		return nil
	}
	s, ok := v.(Str)
	if !ok {
		a.wrong(name, v, "str or None")
	}
	return &s.S
}

func (a *arguments) int(name string, def int) int {
	v, ok := a.opt(name)
	if !ok {
		return def
	}
	n, ok := integer(v)
	if !ok {
		a.wrong(name, v, "int")
	}
	return int(n)
}

func (a *arguments) bool(name string, def bool) bool {
	v, ok := a.opt(name)
	if !ok {
		return def
	}
	return truth(v)
}

// end refuses what no parameter took.
func (a *arguments) end() {
	if len(a.c.args) > 0 {
		fail("TypeError", "%s() takes fewer positional arguments (%d left over)", a.fn, len(a.c.args))
	}
	if len(a.c.names) > 0 {
		fail("TypeError", "%s() got an unexpected keyword argument '%s'", a.fn, a.c.names[0])
	}
}
