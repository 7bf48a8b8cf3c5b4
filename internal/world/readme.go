package world

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"text/template"
)

//go:embed datasets.md.tmpl
var datasetsPage string

// readme collects what datasets/README.md says of each data set, so that its
// figures are always those of the files.
type readme struct{ sets []section }

type section struct {
	Name              string
	Train, Validation int
	Columns           string
	Sample            string
}

func (r *readme) add(name string, train, validation int, first any) error {
	row, err := json.MarshalIndent(columns(reflect.ValueOf(first)), "", "  ")
	if err != nil {
		return fmt.Errorf("world: sample row of %s: %w", name, err)
	}
	var names []string
	for i := range reflect.TypeOf(first).NumField() {
		names = append(names, "`"+describe(reflect.TypeOf(first).Field(i))+"`")
	}
	r.sets = append(r.sets, section{name, train, validation, strings.Join(names, ", "), string(row)})
	return nil
}

func (r *readme) text(w *World) ([]byte, error) {
	page, err := template.New("datasets.md.tmpl").Option("missingkey=error").Parse(datasetsPage)
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	sets := map[string]section{}
	for _, s := range r.sets {
		sets[s.Name] = s
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"World": w, "Sets": r.sets, "Set": sets, "Alike": int(100 * Alike)})
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	return out.Bytes(), nil
}

// column is the name that a field has in parquet.
func column(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
	return name
}

// describe is a column with what is inside it: messages[{role,content}].
func describe(f reflect.StructField) string {
	if f.Type.Kind() != reflect.Slice {
		return column(f)
	}
	var inner []string
	for i := range f.Type.Elem().NumField() {
		inner = append(inner, column(f.Type.Elem().Field(i)))
	}
	return column(f) + "[{" + strings.Join(inner, ",") + "}]"
}

// field keeps the order of the columns in JSON, which a map would lose.
type field struct {
	name  string
	value any
}

type object []field

// MarshalJSON writes the fields in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		value := new(bytes.Buffer)
		e := json.NewEncoder(value)
		e.SetEscapeHTML(false)
		if err := e.Encode(f.value); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", f.name, bytes.TrimSpace(value.Bytes()))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// columns is a row as JSON has it, under the names of the columns.
func columns(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Struct:
		var out object
		for i := range v.NumField() {
			out = append(out, field{column(v.Type().Field(i)), columns(v.Field(i))})
		}
		return out
	case reflect.Slice:
		out := []any{}
		for i := range v.Len() {
			out = append(out, columns(v.Index(i)))
		}
		return out
	default:
		return v.Interface()
	}
}
