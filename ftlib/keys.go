package ftlib

import (
	"fmt"
	"reflect"
	"strings"
)

// Keys are the paths of all fields of a [Run] as YAML and --set write them, in the
// order of the struct: "name", ..., "optim.learning_rate", ....
func Keys() []string { return keysOf(reflect.TypeFor[Run](), "") }

func keysOf(t reflect.Type, path string) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, keysOf(f.Type, join(path, yamlName(f)))...)
	}
	return keys
}

// fieldsOf are the fields of a struct as a file has them: those of an embedded struct
// are its own.
func fieldsOf(t reflect.Type) []reflect.StructField {
	var out []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			out = append(out, f)
		}
	}
	return out
}

// Settings are the fields that are set, as path and value in the order of [Keys].
// They are what two runs are compared by.
func (r Run) Settings() [][2]string {
	var out [][2]string
	walk(reflect.ValueOf(r), "", func(path string, v reflect.Value) {
		if !v.IsZero() {
			out = append(out, [2]string{path, format(v)})
		}
	})
	return out
}

func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		visit(path, v)
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		walk(v.FieldByIndex(f.Index), join(path, yamlName(f)), visit)
	}
}

func format(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		items := make([]string, v.Len())
		for i := range items {
			items[i] = format(v.Index(i))
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprint(v.Interface())
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, yamlName(f))
	}
	return names
}

func fieldByName(v reflect.Value, name string) (reflect.Value, bool) {
	for _, f := range fieldsOf(v.Type()) {
		if yamlName(f) == name {
			return v.FieldByIndex(f.Index), true
		}
	}
	return reflect.Value{}, false
}

// suggestKey ends an error about an unknown key with the one that was probably
// meant: the same last name elsewhere in the tree, or the nearest spelling.
func suggestKey(path string) string {
	keys := Keys()
	for i := range keys { // sections are keys too
		for p := keys[i]; strings.Contains(p, "."); {
			p = p[:strings.LastIndex(p, ".")]
			keys = append(keys, p)
		}
	}
	last := path[strings.LastIndex(path, ".")+1:]
	best, cost := "", 1+len(path)/2
	for _, key := range keys {
		keyLast := key[strings.LastIndex(key, ".")+1:]
		c := distance(path, key)
		// A right name in the wrong section is the commonest slip.
		if d := distance(last, keyLast); d <= len(last)/3 {
			c = min(c, d+1)
		} else if len(last) >= 3 && (strings.Contains(keyLast, last) || strings.Contains(last, keyLast) && len(keyLast) >= 3) {
			if c = min(c, 3); path[:len(path)-len(last)] == key[:len(key)-len(keyLast)] {
				c = 0 // in its own section even a part of a name is nearer than the same name elsewhere
			}
		}
		if c < cost {
			best, cost = key, c
		}
	}
	if best == "" {
		return "; ft train --keys lists all"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// suggest is the candidate nearest to text, in the words of an error message.
func suggest(text string, candidates []string) string {
	best, cost := "", 1+len(text)/2
	for _, c := range candidates {
		if d := distance(strings.ToLower(text), c); d < cost {
			best, cost = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of letters to insert, remove, replace or swap with a
// neighbour that makes b out of a (restricted Damerau-Levenshtein).
func distance(a, b string) int {
	var before, row, next []int
	for j := range len(b) + 1 {
		row = append(row, j)
	}
	for i := 1; i <= len(a); i++ {
		next = append(next[:0:0], i)
		for j := 1; j <= len(b); j++ {
			c := row[j-1]
			if a[i-1] != b[j-1] {
				c++
			}
			c = min(c, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				c = min(c, before[j-2]+1)
			}
			next = append(next, c)
		}
		before, row = row, next
	}
	return row[len(b)]
}
