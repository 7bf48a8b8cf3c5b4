package ftlib

import (
	_ "embed"
	"reflect"
	"regexp"
	"strings"
	"sync"
)

// The comments of the fields are the documentation of the keys: they are read from
// the source, so that help cannot say something else.
//
//go:embed run.go
var runSource string

//go:embed method.go
var methodSource string

var (
	typeLine  = regexp.MustCompile(`^type (\w+) struct`)
	fieldLine = regexp.MustCompile("^\t\\w+ .*yaml:\"(\\w+)[^`]*`\\s*// (.*)$")
	keyDocs   = sync.OnceValue(func() map[string]string {
		fields := map[string]string{} // "Type.key" -> comment
		name := ""
		for _, line := range strings.Split(runSource+methodSource, "\n") {
			if m := typeLine.FindStringSubmatch(line); m != nil {
				name = m[1]
			} else if m := fieldLine.FindStringSubmatch(line); m != nil {
				fields[name+"."+m[1]] = m[2]
			}
		}
		docs := map[string]string{}
		var visit func(t reflect.Type, path string)
		visit = func(t reflect.Type, path string) {
			for t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			if t.Kind() != reflect.Struct {
				return
			}
			for _, f := range fieldsOf(t) {
				owner := t // or the struct that is embedded in it
				for _, i := range f.Index[:len(f.Index)-1] {
					owner = owner.Field(i).Type
				}
				key := yamlName(f)
				docs[join(path, key)] = fields[owner.Name()+"."+key]
				visit(f.Type, join(path, key))
			}
		}
		visit(reflect.TypeFor[Run](), "")
		return docs
	})
)

// KeyDoc says what a key of [Keys] means and what leaving it out means.
func KeyDoc(key string) string { return keyDocs()[key] }
