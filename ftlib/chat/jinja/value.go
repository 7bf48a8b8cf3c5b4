package jinja

import (
	"encoding/json"
	"math"
	"sort"
)

// Value is a template value: nil (none), bool, int64, float64, Str, *List, *Dict or
// what only templates make (undefined, functions, namespaces, loops).
type Value any

// List is a Python list, tuple or another sequence.
type List struct {
	Items []Value
	Kind  string // "list", "tuple", "generator", "dict_items", "dict_keys", "dict_values", "range"; "" is list
	spent bool   // a generator that has been read
	note  string // how a range prints

	fields []string // names of the items of a named tuple
}

// Dict is a Python dict: keys keep their order.
type Dict struct {
	Keys   []Value
	values []Value
	index  map[any]int
	Tag    int // of the message that this is; 0: none
}

// NewDict is an empty dict. A tag above 0 says that it is message number tag: what is
// printed while a loop stands on it belongs to that message.
func NewDict(tag int) *Dict { return &Dict{index: map[any]int{}, Tag: tag} }

// Set adds or replaces a key.
func (d *Dict) Set(key, v Value) {
	k := hash(key)
	if i, ok := d.index[k]; ok {
		d.values[i] = v
		return
	}
	d.index[k] = len(d.Keys)
	d.Keys = append(d.Keys, key)
	d.values = append(d.values, v)
}

// Get is the value of a key.
func (d *Dict) Get(key Value) (Value, bool) {
	switch key.(type) {
	case *List, *Dict:
		return nil, false
	}
	i, ok := d.index[hash(key)]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// Field is one key of an Object.
type Field struct {
	Key   string
	Value any
}

// Object is a JSON object that keeps the order of its keys, which a plain map loses.
type Object []Field

// MarshalJSON writes the fields in their order.
func (o Object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, f := range o {
		k, err := json.Marshal(f.Key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(f.Value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, k...), ':'), v...)
	}
	return append(b, '}'), nil
}

// From turns a Go value into a template value: nil, bool, numbers, string, []any,
// map[string]any (keys sorted), Object and []Object. Every string inside is marked with
// the tag and the kind; tag 0 marks nothing. Another type becomes its type's name, as
// transformers does.
func From(v any, tag int, kind Kind) Value {
	switch x := v.(type) {
	case nil, bool, int64, float64, *List, *Dict, *undefined:
		return x
	case int:
		return int64(x)
	case int32:
		return int64(x)
	case float32:
		return float64(x)
	case string:
		return Mark(x, tag, kind)
	case Str:
		return x
	case []any:
		l := &List{Items: make([]Value, len(x))}
		for i, e := range x {
			l.Items[i] = From(e, tag, kind)
		}
		return l
	case []string:
		l := &List{Items: make([]Value, len(x))}
		for i, e := range x {
			l.Items[i] = From(e, tag, kind)
		}
		return l
	case []Object:
		l := &List{Items: make([]Value, len(x))}
		for i, e := range x {
			l.Items[i] = From(e, tag, kind)
		}
		return l
	case []map[string]any:
		l := &List{Items: make([]Value, len(x))}
		for i, e := range x {
			l.Items[i] = From(e, tag, kind)
		}
		return l
	case Object:
		d := NewDict(0)
		for _, f := range x {
			d.Set(Str{S: f.Key}, From(f.Value, tag, kind))
		}
		return d
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		d := NewDict(0)
		for _, k := range keys {
			d.Set(Str{S: k}, From(x[k], tag, kind))
		}
		return d
	}
	return Str{S: "<" + typeName(v) + ">"}
}

// undefined is what a missing name or key gives.
type undefined struct{ msg, kind string }

func (u *undefined) raise() {
	kind := u.kind
	if kind == "" {
		kind = "UndefinedError"
	}
	fail(kind, "%s", u.msg)
}

// function is anything that can be called.
type function struct {
	name string
	call func(s *state, c call) Value
}

// call holds the evaluated arguments of a call.
type call struct {
	args  []Value
	names []string
	named []Value
}

// namespace is what namespace(...) makes: attributes that outlive scopes.
type namespace struct{ d *Dict }

// hash is the key under which a value stands in a dict: Python's 1, 1.0 and True are one.
func hash(v Value) any {
	switch x := v.(type) {
	case nil, int64:
		return x
	case bool:
		if x {
			return int64(1)
		}
		return int64(0)
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1e15 {
			return int64(x)
		}
		return x
	case Str:
		return x.S
	case *List:
		if x.Kind == "tuple" {
			return "tuple" + repr(x).S
		}
	}
	if _, ok := v.(*Dict); ok || typeName(v) == "list" {
		fail("TypeError", "unhashable type: '%s'", typeName(v))
	}
	return v
}

func typeName(v Value) string {
	switch x := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, int:
		return "int"
	case float64:
		return "float"
	case Str, string:
		return "str"
	case *List:
		if x.Kind == "" {
			return "list"
		}
		return x.Kind
	case *Dict:
		return "dict"
	case *undefined:
		return "Undefined"
	case *namespace:
		return "TemplateNamespace"
	case *loop:
		return "LoopContext"
	case *macro:
		return "Macro"
	case *function:
		return "function"
	}
	return "object"
}

func truth(v Value) bool {
	switch x := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return x
	case int64:
		return x != 0
	case float64:
		return x != 0
	case Str:
		return x.S != ""
	case *List:
		return x.Kind == "generator" || len(x.Items) > 0
	case *Dict:
		return len(x.Keys) > 0
	}
	return true
}

func number(v Value) (float64, bool) {
	switch x := v.(type) {
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// integer is a bool or an int as an int.
func integer(v Value) (int64, bool) {
	switch x := v.(type) {
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case int64:
		return x, true
	}
	return 0, false
}

func equal(a, b Value) bool {
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return x == y
		}
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case Str:
		y, ok := b.(Str)
		return ok && x.S == y.S
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case *List:
		y, ok := b.(*List)
		if !ok || typeName(x) != typeName(y) || len(x.Items) != len(y.Items) || x.Kind == "generator" && x != y {
			return false
		}
		for i := range x.Items {
			if !equal(x.Items[i], y.Items[i]) {
				return false
			}
		}
		return true
	case *Dict:
		y, ok := b.(*Dict)
		if !ok || len(x.Keys) != len(y.Keys) {
			return false
		}
		for i, k := range x.Keys {
			if v, ok := y.Get(k); !ok || !equal(x.values[i], v) {
				return false
			}
		}
		return true
	}
	if _, ok := b.(Str); ok {
		return false
	}
	return a == b
}

// less orders two values as Python's < does.
func less(a, b Value, op string) bool {
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x < y
		}
	}
	switch x := a.(type) {
	case Str:
		if y, ok := b.(Str); ok {
			return x.S < y.S
		}
	case *undefined:
		x.raise()
	case *List:
		if y, ok := b.(*List); ok && typeName(x) == typeName(y) {
			for i := 0; i < len(x.Items) && i < len(y.Items); i++ {
				if !equal(x.Items[i], y.Items[i]) {
					return less(x.Items[i], y.Items[i], op)
				}
			}
			return len(x.Items) < len(y.Items)
		}
	}
	if u, ok := b.(*undefined); ok {
		u.raise()
	}
	fail("TypeError", "'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	return false
}

// items is what iterating over a value gives; a generator can be read once.
func items(v Value) []Value {
	switch x := v.(type) {
	case *List:
		if x.Kind == "generator" {
			if x.spent {
				return nil
			}
			x.spent = true
		}
		return x.Items
	case *Dict:
		return x.Keys
	case Str:
		return x.chars()
	case *undefined:
		return nil
	}
	fail("TypeError", "'%s' object is not iterable", typeName(v))
	return nil
}

func length(v Value) int {
	switch x := v.(type) {
	case Str:
		return x.runes()
	case *List:
		if x.Kind != "generator" {
			return len(x.Items)
		}
	case *Dict:
		return len(x.Keys)
	case *undefined:
		return 0
	}
	fail("TypeError", "object of type '%s' has no len()", typeName(v))
	return 0
}

func contains(seq, v Value) bool {
	switch x := seq.(type) {
	case Str:
		s, ok := v.(Str)
		if !ok {
			fail("TypeError", "'in <string>' requires string as left operand, not %s", typeName(v))
		}
		return x.contains(s.S)
	case *Dict:
		hash(v)
		_, ok := x.Get(v)
		return ok
	case *List, *undefined:
		for _, e := range items(x) {
			if equal(e, v) {
				return true
			}
		}
		return false
	}
	fail("TypeError", "argument of type '%s' is not iterable", typeName(seq))
	return false
}
