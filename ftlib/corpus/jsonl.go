package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// readJSONL reads a JSON object a line. A line that is broken is an error value
// and the next line is read; empty lines count but are no rows.
func readJSONL(path string, yield yieldFunc) {
	s, ferr := openStream(path)
	if ferr != nil {
		yield(Row{File: path}, ferr)
		return
	}
	defer s.close()
	var buf []byte
	for num := 1; ; num++ {
		line, err := s.line(buf)
		if err == io.EOF {
			return
		}
		if err == errLongLine {
			if !yield(Row{File: path, Num: num}, &RowError{File: path, Row: num, What: "line " + err.Error(), Hint: "is it JSON Lines?"}) {
				return
			}
			continue
		}
		if err != nil {
			yield(Row{File: path, Num: num}, cutError(path, num, err))
			return
		}
		buf = line[:0:cap(line)]
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		row, rerr := jsonRow(path, num, line)
		if rerr != nil {
			if !yield(row, rerr) {
				return
			}
			continue
		}
		if !yield(row, nil) {
			return
		}
	}
}

// jsonRow decodes one object. Invalid UTF-8 is repaired with U+FFFD and told.
func jsonRow(path string, num int, data []byte) (Row, *RowError) {
	row := Row{File: path, Num: num}
	var bad *RowError
	if !utf8.Valid(data) {
		at := firstInvalid(data)
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
		bad = &RowError{File: path, Row: num, What: "not valid UTF-8", Hint: fmt.Sprintf("byte %d of the line; save the file as UTF-8", at+1)}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := jsonObject(dec, &row); err != nil {
		var whole json.RawMessage
		if serr, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(data, &whole)); ok { // says more than the decoder
			err.Err, err.Hint = plainJSON(serr), fmt.Sprintf("character %d", serr.Offset)
		}
		if err.Column == "" && bad != nil {
			err.Hint = bad.Hint
		}
		err.File, err.Row = path, num
		row.Values, row.Columns = nil, nil
		return row, err
	}
	if _, err := dec.Token(); err != io.EOF {
		row.Values, row.Columns = nil, nil
		return row, &RowError{File: path, Row: num, What: "more text after the JSON object", Hint: "one object a line"}
	}
	if bad != nil {
		for _, c := range row.Columns {
			if holds(row.Values[c], "\uFFFD") {
				bad.Column = c
				break
			}
		}
		return row, bad
	}
	return row, nil
}

// jsonObject decodes the object that comes next into row, keeping the order of
// its keys.
func jsonObject(dec *json.Decoder, row *Row) *RowError {
	tok, err := dec.Token()
	if err != nil {
		return &RowError{What: "broken JSON", Err: plainJSON(err)}
	}
	if tok == json.Delim('[') {
		return jsonMessages(dec, row)
	}
	if tok != json.Delim('{') {
		return &RowError{What: "a JSON object is expected, here is " + jsonName(tok)}
	}
	return jsonFields(dec, row)
}

// jsonMessages decodes a list whose bracket has been read: messages without an object
// around them become the column messages.
func jsonMessages(dec *json.Decoder, row *Row) *RowError {
	var list []any
	spoken := true
	for dec.More() {
		var v any
		if err := dec.Decode(&v); err != nil {
			return &RowError{What: "broken JSON", Err: plainJSON(err)}
		}
		obj, _ := v.(map[string]any)
		_, ok := firstOf(obj, "role", "from")
		spoken = spoken && ok
		list = append(list, plainNumbers(v))
	}
	if _, err := dec.Token(); err != nil {
		return &RowError{What: "broken JSON", Err: plainJSON(err)}
	}
	if len(list) == 0 || !spoken {
		return &RowError{What: "a JSON object is expected, here is a list"}
	}
	row.Columns, row.Values = []string{"messages"}, map[string]any{"messages": list}
	return nil
}

// jsonFields decodes the fields of an object whose brace has been read.
func jsonFields(dec *json.Decoder, row *Row) *RowError {
	row.Values = map[string]any{}
	var twice string
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return &RowError{What: "broken JSON", Err: plainJSON(err)}
		}
		key, _ := tok.(string)
		var v any
		if err := dec.Decode(&v); err != nil {
			return &RowError{Column: key, What: "broken JSON", Err: plainJSON(err)}
		}
		if _, dup := row.Values[key]; dup {
			twice = key
		} else {
			row.Columns = append(row.Columns, key)
		}
		row.Values[key] = plainNumbers(v)
	}
	if _, err := dec.Token(); err != nil {
		return &RowError{What: "broken JSON", Err: plainJSON(err)}
	}
	if twice != "" {
		return &RowError{Column: twice, What: "the key stands there twice"}
	}
	return nil
}

// plainJSON words the decoder's errors for people and without offsets, so that
// equal faults have equal texts.
func plainJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.HasPrefix(err.Error(), "unexpected end") {
		return errors.New("it ends in the middle")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func jsonName(tok json.Token) string {
	switch v := tok.(type) {
	case json.Delim:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case nil:
		return "null"
	default:
		return fmt.Sprintf("the number %v", v)
	}
}

// plainNumbers turns json.Number into int64 where it is a whole number that fits,
// else float64.
func plainNumbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i
		}
		f, err := x.Float64()
		if err != nil {
			return x.String()
		}
		return f
	case []any:
		for i := range x {
			x[i] = plainNumbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = plainNumbers(x[k])
		}
	}
	return v
}

// firstInvalid is the index of the first byte that is not UTF-8.
func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// holds says whether some string inside v contains sub.
func holds(v any, sub string) bool {
	switch x := v.(type) {
	case string:
		return strings.Contains(x, sub)
	case []any:
		for _, e := range x {
			if holds(e, sub) {
				return true
			}
		}
	case map[string]any:
		for _, e := range x {
			if holds(e, sub) {
				return true
			}
		}
	}
	return false
}
