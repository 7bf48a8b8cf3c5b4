package jinja

// test answers "v is name(args)".
func (s *state) test(name string, v Value, c call) Value {
	a := newArgs(name, c)
	arg := func() Value { return a.need("other") }
	mod := func(n int64) int64 {
		r := binary("%", v, n)
		m, ok := integer(r)
		if !ok {
			if f, isF := r.(float64); isF {
				return int64(f)
			}
			fail("TypeError", "not all arguments converted during string formatting")
		}
		return m
	}
	switch name {
	case "defined":
		_, u := v.(*undefined)
		return !u
	case "undefined":
		_, u := v.(*undefined)
		return u
	case "none":
		return v == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "true":
		return v == true
	case "false":
		return v == false
	case "integer":
		_, ok := v.(int64)
		return ok
	case "float":
		_, ok := v.(float64)
		return ok
	case "number":
		_, ok := number(v)
		return ok
	case "string":
		_, ok := v.(Str)
		return ok
	case "mapping":
		_, ok := v.(*Dict)
		return ok
	case "sequence":
		switch x := v.(type) {
		case Str, *Dict, *undefined:
			return true
		case *List:
			return x.Kind == "" || x.Kind == "list" || x.Kind == "tuple" || x.Kind == "range"
		}
		return false
	case "iterable":
		switch v.(type) {
		case Str, *Dict, *List, *undefined, *loop:
			return true
		}
		return false
	case "callable":
		switch v.(type) {
		case *macro, *function, *loop, *undefined:
			return true
		}
		return false
	case "escaped":
		t, ok := v.(Str)
		return ok && t.safe
	case "odd":
		return mod(2) == 1
	case "even":
		return mod(2) == 0
	case "divisibleby":
		n, ok := integer(a.need("num"))
		if !ok {
			fail("TypeError", "divisibleby needs a number")
		}
		return mod(n) == 0
	case "lower":
		return cased(text(v).S, isLower, isUpper)
	case "upper":
		return cased(text(v).S, isUpper, isLower)
	case "sameas":
		o := arg()
		switch v.(type) {
		case *List, *Dict, *macro, *function, *namespace:
			return v == o
		}
		return typeName(v) == typeName(o) && equal(v, o)
	case "filter":
		return filterFor(text(v).S) != nil
	case "test":
		return isTest(text(v).S)
	case "in":
		return contains(a.need("seq"), v)
	case "==", "eq", "equalto":
		return equal(v, arg())
	case "!=", "ne":
		return !equal(v, arg())
	case ">", "gt", "greaterthan":
		return compare(">", v, arg())
	case ">=", "ge":
		return compare(">=", v, arg())
	case "<", "lt", "lessthan":
		return compare("<", v, arg())
	case "<=", "le":
		return compare("<=", v, arg())
	}
	fail("TemplateAssertionError", "No test named %s.", reprText(name))
	return nil
}

func isTest(name string) bool {
	switch name {
	case "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string",
		"mapping", "sequence", "iterable", "callable", "escaped", "odd", "even", "divisibleby", "lower", "upper",
		"sameas", "filter", "test", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", ">=", "ge",
		"<", "lt", "lessthan", "<=", "le":
		return true
	}
	return false
}
