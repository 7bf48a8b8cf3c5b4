package ftlib

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// ReadFile reads a specification from a YAML or JSON file. Zero fields stay zero;
// see [Run.Resolve].
func ReadFile(path string) (Run, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Run{}, fmt.Errorf("ftlib: %w", err)
	}
	return Decode(data, filepath.Base(path))
}

// Decode reads a specification from YAML, of which JSON is a part. The name
// stands in error messages. A key that does not exist, a value of the wrong type
// and a key given twice are errors with their line; all of them are reported.
func Decode(data []byte, name string) (Run, error) {
	var r Run
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return r, fmt.Errorf("ftlib: %s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return r, fmt.Errorf("ftlib: %s: empty; a run needs at least model.path and data.train", name)
	}
	d := decoder{name: name}
	d.decode(doc.Content[0], reflect.ValueOf(&r).Elem(), "")
	return r, errors.Join(d.errs...)
}

// Encode writes the specification as YAML, which [Decode] reads back equal.
func (r Run) Encode() ([]byte, error) {
	var doc yaml.Node
	data, err := json.Marshal(r) // the same keys, in the same order
	if err == nil {
		err = yaml.Unmarshal(data, &doc)
	}
	if err == nil {
		plain(&doc)
		data, err = yaml.Marshal(&doc)
	}
	if err != nil {
		return nil, fmt.Errorf("ftlib: %w", err)
	}
	return data, nil
}

// plain takes JSON's style off a document, but for strings that begin with white space: as a
// block the encoder writes these without their first line.
func plain(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Value == "" || !strings.ContainsAny(n.Value[:1], " \t\r\n") {
		n.Style = 0
	}
	for _, child := range n.Content {
		plain(child)
	}
}

// Set changes one field by its path in the YAML file, as --set does on the command
// line: "optim.learning_rate=1e-4", "lora.target_modules=[q_proj,v_proj]",
// "lora=null". The value is YAML; a list of names may also be written "a,b".
func (r *Run) Set(assignment string) error {
	path, text, ok := strings.Cut(assignment, "=")
	path = strings.TrimSpace(path)
	if !ok || path == "" {
		return fmt.Errorf("ftlib: %q: write it as key=value, for example optim.learning_rate=1e-4", assignment)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return fmt.Errorf("ftlib: %s: %s", assignment, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"} // "lora=" is "lora:", the defaults
	if len(doc.Content) > 0 {
		value = doc.Content[0]
	}
	// One mapping a level around the value makes it a document like any other.
	keys := strings.Split(path, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		value = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: keys[i]}, value}}
	}
	d := decoder{name: assignment}
	d.decode(value, reflect.ValueOf(r).Elem(), "")
	return errors.Join(d.errs...)
}

type decoder struct {
	name string
	errs []error
}

func (d *decoder) errorf(n *yaml.Node, format string, args ...any) {
	where := d.name
	if n.Line > 0 && !strings.Contains(d.name, "=") {
		where += " line " + strconv.Itoa(n.Line)
	}
	d.errs = append(d.errs, fmt.Errorf("ftlib: %s: %s", where, fmt.Sprintf(format, args...)))
}

// decode sets v from n. The path of v is "" for the whole run, else its keys
// joined with dots.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		// "lora:" with nothing behind it asks for the defaults; "lora: null" for none.
		if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && n.Value == "" {
			v.Set(reflect.New(v.Type().Elem()))
			return
		}
		v.SetZero()
		return
	}
	if m, ok := v.Addr().Interface().(*Method); ok && n.Kind == yaml.ScalarNode {
		d.decodeMethod(n, m)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(n, v.Elem(), path)
	case reflect.Struct:
		d.decodeStruct(n, v, path)
	case reflect.Map:
		d.decodeMap(n, v, path)
	case reflect.Slice:
		d.decodeList(n, v, path)
	default:
		d.decodeScalar(n, v, path)
	}
}

func (d *decoder) decodeStruct(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "%s: %s where keys are expected: %s", orRun(path), describe(n), strings.Join(fieldNames(v.Type()), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		full := join(path, key.Value)
		if line, twice := seen[key.Value]; twice {
			d.errorf(key, "%s: given before on line %d", full, line)
			continue
		}
		seen[key.Value] = key.Line
		f, ok := fieldByName(v, key.Value)
		if !ok {
			d.errorf(key, "unknown key %q%s", full, suggestKey(full))
			continue
		}
		d.decode(value, f, full)
	}
}

// decodeMethod sets the method that a single word names, with its defaults.
func (d *decoder) decodeMethod(n *yaml.Node, m *Method) {
	v := reflect.ValueOf(m).Elem()
	v.SetZero()
	f, ok := fieldByName(v, n.Value)
	if !ok {
		names := fieldNames(v.Type())
		d.errorf(n, "method: %q is not one of %s%s", n.Value, strings.Join(names, ", "), suggest(n.Value, names))
		return
	}
	f.Set(reflect.New(f.Type().Elem()))
}

func (d *decoder) decodeMap(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "%s: %s where \"name: value\" pairs are expected", path, describe(n))
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(n.Content[i+1], value, join(path, n.Content[i].Value))
		v.SetMapIndex(reflect.ValueOf(n.Content[i].Value), value)
	}
}

func (d *decoder) decodeList(n *yaml.Node, v reflect.Value, path string) {
	items := n.Content
	switch n.Kind {
	case yaml.SequenceNode:
	case yaml.ScalarNode: // "all-linear", or "q_proj,v_proj" on the command line
		for _, s := range strings.Split(n.Value, ",") {
			items = append(items, &yaml.Node{Kind: yaml.ScalarNode, Tag: n.Tag, Value: strings.TrimSpace(s), Line: n.Line})
		}
	default:
		d.errorf(n, "%s: %s where a list is expected", path, describe(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

func (d *decoder) decodeScalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.errorf(n, "%s: %s where a %s is expected", path, describe(n), kindName(v))
		return
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(strings.ToLower(n.Value)); err == nil {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int64:
		var i int64
		if i, err = strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64); err == nil {
			v.SetInt(i)
		}
	case reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64); err == nil {
			v.SetFloat(f)
		}
	default:
		panic("ftlib: field " + path + " has a type that the decoder does not know: " + v.Type().String())
	}
	if err != nil {
		d.errorf(n, "%s: %q is not a %s", path, n.Value, kindName(v))
	}
}

func kindName(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "truth value (true or false)"
	case reflect.Int, reflect.Int64:
		return "whole number"
	}
	return "number"
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}

func orRun(path string) string {
	if path == "" {
		return "the run"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
