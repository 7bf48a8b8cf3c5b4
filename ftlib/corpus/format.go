package corpus

import (
	"fmt"
	"strconv"
	"strings"

	"ftlab/ftlib/chat"
)

// Format turns a row into a record by a mapping from [Recognise]. A row that does
// not fit is a [*RowError] that names file, row and column.
//
// A row that holds several records (a tree of solutions, steps with several
// labelled attempts) gives its main one; [Records] gives all.
func Format(row Row, m Mapping) (Record, error) {
	recs, err := Records(row, m)
	if err != nil {
		return Record{Kind: m.Kind, File: row.File, Num: row.Num}, err
	}
	return recs[0], nil
}

// Records turns a row into all the records it holds: one for nearly all forms, a
// record for every path of a solution tree. The first one is Format's.
func Records(row Row, m Mapping) ([]Record, error) {
	f := formNamed(m.Form)
	if f == nil {
		return nil, &RowError{File: row.File, Row: row.Num, What: fmt.Sprintf("unknown form %q", m.Form), Hint: "known: " + strings.Join(formList(), ", ")}
	}
	in := &input{row: row, m: &m}
	recs, err := f.make(in)
	if err == nil {
		err = in.err
	}
	if err != nil {
		err.File, err.Row = row.File, row.Num
		return nil, err
	}
	for i := range recs {
		recs[i].Kind, recs[i].File, recs[i].Num = f.kind, row.File, row.Num
	}
	return recs, nil
}

// input gives a form the values of a row by the names of the form's fields. The
// first fault is kept in err; after it, values are empty.
type input struct {
	row Row
	m   *Mapping
	err *RowError
}

func (in *input) fail(field, what string) {
	if in.err == nil {
		in.err = &RowError{Column: in.m.Columns[field], What: what}
		if in.err.Column == "" {
			in.err.What = fmt.Sprintf("no column for %q: %s", field, what)
		}
	}
}

// has says whether the field has a column and the row a value there.
func (in *input) has(field string) bool { return in.any(field) != nil }

// any is the raw value of a field; nil where there is none.
func (in *input) any(field string) any {
	col, ok := in.m.Columns[field]
	if !ok {
		return nil
	}
	return lookup(in.row.Values, col)
}

// lookup finds a column, or a value nested in one: "a.b". A column whose own name
// has a dot comes first.
func lookup(values map[string]any, path string) any {
	if v, ok := values[path]; ok {
		return v
	}
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		return nil
	}
	inner, ok := values[head].(map[string]any)
	if !ok {
		return nil
	}
	return lookup(inner, rest)
}

// text is the string in a field, which must be there and not be empty.
func (in *input) text(field string) string {
	v := in.any(field)
	s, ok := scalarText(v)
	switch {
	case v == nil:
		in.fail(field, "missing")
	case !ok:
		in.fail(field, "text is expected, here is "+typeName(v))
	case strings.TrimSpace(s) == "":
		in.fail(field, "empty")
	}
	return s
}

// optional is the string in a field that may be missing or empty.
func (in *input) optional(field string) string {
	v := in.any(field)
	s, ok := scalarText(v)
	if v != nil && !ok {
		in.fail(field, "text is expected, here is "+typeName(v))
	}
	return s
}

// scalarText is a string, number or truth value as text.
func scalarText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case int64:
		return strconv.FormatInt(x, 10), true
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), true
	case bool:
		return strconv.FormatBool(x), true
	}
	return "", false
}

// number is the number in a field, nil where there is none.
func (in *input) number(field string) *float64 {
	v := in.any(field)
	if v == nil {
		return nil
	}
	f, ok := asNumber(v)
	if !ok {
		in.fail(field, "a number is expected, here is "+typeName(v))
		return nil
	}
	return &f
}

func asNumber(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		return f, err == nil
	}
	return 0, false
}

// truth is the truth value in a field, nil where there is none.
func (in *input) truth(field string) *bool {
	v := in.any(field)
	if v == nil {
		return nil
	}
	b, ok := asTruth(v)
	if !ok {
		in.fail(field, "true or false (or 1 and 0) is expected, here is "+typeName(v))
		return nil
	}
	return &b
}

func asTruth(v any) (b, ok bool) {
	switch x := v.(type) {
	case bool:
		return x, true
	case int64:
		return x == 1, x == 0 || x == 1 || x == -1
	case float64:
		return x == 1, x == 0 || x == 1 || x == -1
	case string:
		switch strings.ToLower(strings.TrimSpace(x)) {
		case "true", "yes", "1", "+", "good", "correct", "desirable":
			return true, true
		case "false", "no", "0", "-1", "-", "bad", "incorrect", "undesirable":
			return false, true
		}
	}
	return false, false
}

// list is the list in a field, which must be there and hold something.
func (in *input) list(field string) []any {
	v := in.any(field)
	l, ok := v.([]any)
	switch {
	case v == nil:
		in.fail(field, "missing")
	case !ok:
		in.fail(field, "a list is expected, here is "+typeName(v))
	case len(l) == 0:
		in.fail(field, "an empty list")
	}
	return l
}

// content is text or a list of messages, which must be there and not be empty.
func (in *input) content(field string) Content {
	v := in.any(field)
	switch x := v.(type) {
	case []any:
		msgs, err := messages(x)
		if err != "" {
			in.fail(field, err)
		}
		return Content{Messages: msgs}
	case map[string]any: // one message
		msgs, err := messages([]any{x})
		if err != "" {
			in.fail(field, err)
		}
		return Content{Messages: msgs}
	}
	return Content{Text: in.text(field)}
}

// typeName says for people what kind of value v is.
func typeName(v any) string {
	switch x := v.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case []byte:
		return "bytes"
	case []any:
		if len(x) > 0 {
			return "a list of " + strings.TrimPrefix(strings.TrimPrefix(typeName(x[0]), "a "), "an ")
		}
		return "an empty list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

// Empty says whether the content holds nothing.
func (c Content) Empty() bool { return len(c.Messages) == 0 && strings.TrimSpace(c.Text) == "" }

// Plain is the content as one text: messages are joined as "role: text".
func (c Content) Plain() string {
	if c.Messages == nil {
		return c.Text
	}
	return plainMessages(c.Messages)
}

// asMessages is the content as messages; text becomes one message of that role.
func (c Content) asMessages(role string) []chat.Message {
	if c.Messages != nil {
		return c.Messages
	}
	if c.Text == "" {
		return nil
	}
	return []chat.Message{{Role: role, Content: c.Text}}
}

func plainMessages(msgs []chat.Message) string {
	var b strings.Builder
	for i, m := range msgs {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(m.Role + ": " + m.Content)
	}
	return b.String()
}
