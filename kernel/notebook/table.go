package notebook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"ftlab/ftlib/corpus"
)

// Table shows rows: []corpus.Row, a slice of structs (a column for each exported
// field, under its JSON name), a slice of maps, or [][]string with the names first.
// More than 50 rows are cut, and said so.
func Table(rows any) {
	t, ok := tableOf(rows)
	if !ok {
		showError(fmt.Errorf("notebook: a table of %T: give a slice of structs, maps, data rows or [][]string", rows))
		return
	}
	showView(t)
}

const (
	maxRows  = 50
	maxCell  = 600 // characters on a page
	maxPlain = 60  // characters in a terminal
)

// table is rows of cells; cells are written already.
type table struct {
	names  []string
	rows   [][]string
	number []bool // this column holds numbers only
	more   int    // rows that were cut
}

func tableOf(v any) (table, bool) {
	switch rows := v.(type) {
	case corpus.Row:
		return tableOf([]corpus.Row{rows})
	case []corpus.Row:
		var names []string
		values := make([]map[string]any, len(rows))
		for i, r := range rows {
			for _, c := range r.Columns {
				if !slices.Contains(names, c) {
					names = append(names, c)
				}
			}
			values[i] = r.Values
		}
		return fromMaps(names, values), true
	case [][]string:
		t := table{}
		if len(rows) > 0 {
			t.names, t.rows = rows[0], rows[1:]
		}
		t.number = make([]bool, len(t.names))
		return t.cut(), true
	}
	s := reflect.ValueOf(v)
	if s.Kind() != reflect.Slice {
		return table{}, false
	}
	element := s.Type().Elem()
	for element.Kind() == reflect.Pointer {
		element = element.Elem()
	}
	switch {
	case element.Kind() == reflect.Struct:
		return fromStructs(s, element), true
	case element.Kind() == reflect.Map && element.Key().Kind() == reflect.String:
		seen := map[string]bool{}
		values := make([]map[string]any, s.Len())
		for i := range values {
			values[i] = map[string]any{}
			for it := s.Index(i).MapRange(); it.Next(); {
				seen[it.Key().String()] = true
				values[i][it.Key().String()] = it.Value().Interface()
			}
		}
		names := make([]string, 0, len(seen))
		for n := range seen {
			names = append(names, n)
		}
		slices.SortFunc(names, cmp.Compare[string])
		return fromMaps(names, values), true
	}
	return table{}, false
}

func fromMaps(names []string, values []map[string]any) table {
	t := table{names: names, number: make([]bool, len(names))}
	for i := range names {
		t.number[i] = len(values) > 0
	}
	for _, v := range values {
		row := make([]string, len(names))
		for i, n := range names {
			t.put(row, i, v[n])
		}
		t.rows = append(t.rows, row)
	}
	return t.cut()
}

func fromStructs(s reflect.Value, element reflect.Type) table {
	t := table{}
	var fields [][]int
	for _, f := range reflect.VisibleFields(element) { // with those of embedded structs
		if !f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields, t.names, t.number = append(fields, f.Index), append(t.names, name), append(t.number, s.Len() > 0)
	}
	for i := range s.Len() {
		v := s.Index(i)
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		row := make([]string, len(fields))
		if v.Kind() == reflect.Struct {
			for j, f := range fields {
				if x, err := v.FieldByIndexErr(f); err == nil {
					t.put(row, j, x.Interface())
				}
			}
		}
		t.rows = append(t.rows, row)
	}
	return t.cut()
}

// put writes one cell and notes whether its column still holds numbers only.
func (t *table) put(row []string, i int, v any) {
	switch v := v.(type) {
	case nil:
	case float64:
		row[i] = fmt.Sprintf("%.5g", v)
	case float32:
		row[i] = fmt.Sprintf("%.5g", v)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		row[i] = fmt.Sprint(v)
	default:
		t.number[i] = false
		row[i] = cell(v)
	}
}

func cell(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	case fmt.Stringer:
		return v.String()
	}
	switch reflect.ValueOf(v).Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct, reflect.Pointer:
		if data, err := json.Marshal(v); err == nil {
			return string(data)
		}
	}
	return fmt.Sprint(v)
}

func (t table) cut() table {
	if len(t.rows) > maxRows {
		t.more = len(t.rows) - maxRows
		t.rows = t.rows[:maxRows]
	}
	return t
}

// HTML is the table for a page.
func (t table) HTML() (string, error) {
	var b strings.Builder
	b.WriteString(`<table><thead><tr>`)
	for i, n := range t.names {
		fmt.Fprintf(&b, `<th style="text-align:%s">%s</th>`, t.align(i), html.EscapeString(n))
	}
	b.WriteString("</tr></thead><tbody>\n")
	for _, r := range t.rows {
		b.WriteString("<tr>")
		for i, c := range r {
			fmt.Fprintf(&b, `<td style="text-align:%s;vertical-align:top;white-space:pre-wrap;max-width:44em">%s</td>`,
				t.align(i), html.EscapeString(shorten(c, maxCell)))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table>\n")
	if t.more > 0 {
		fmt.Fprintf(&b, `<div style="opacity:.7">and %s more rows</div>`, thousands(t.more))
	}
	return b.String(), nil
}

func (t table) align(i int) string {
	if i < len(t.number) && t.number[i] {
		return "right"
	}
	return "left"
}

// Text is the table for a terminal: aligned columns, long cells cut.
func (t table) Text() string {
	width := make([]int, len(t.names))
	plain := append([][]string{t.names}, t.rows...)
	for r := range plain {
		row := make([]string, len(plain[r]))
		for i, c := range plain[r] {
			row[i] = shorten(strings.Join(strings.Fields(c), " "), maxPlain)
			if i < len(width) {
				width[i] = max(width[i], utf8.RuneCountInString(row[i]))
			}
		}
		plain[r] = row
	}
	var b strings.Builder
	for _, row := range plain {
		var line strings.Builder
		for i, c := range row {
			if i >= len(width) {
				break
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if t.align(i) == "right" {
				c = pad + c
			} else {
				c += pad
			}
			line.WriteString(c + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if t.more > 0 {
		fmt.Fprintf(&b, "and %s more rows\n", thousands(t.more))
	}
	return b.String()
}

// shorten cuts s to n characters, and says so with an ellipsis.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
