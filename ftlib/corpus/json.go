package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// readJSON reads a JSON file as a stream: a list of objects, an object that holds
// such a list ({"data": [...]}, {"train": [...], "test": [...]}), one object, or
// objects one after the other (then it is JSON Lines by another name).
func readJSON(path, split string, yield yieldFunc) {
	s, ferr := openStream(path)
	if ferr != nil {
		yield(Row{File: path}, ferr)
		return
	}
	head, _ := s.Peek(sniffBytes)
	lines := jsonLines(head)
	if lines {
		s.close()
		readJSONL(path, yield)
		return
	}
	defer s.close()
	dec := json.NewDecoder(&validUTF8{r: s})
	dec.UseNumber()
	j := &jsonReader{path: path, split: split, dec: dec, yield: yield}
	tok, err := dec.Token()
	switch {
	case err == io.EOF:
		yield(Row{File: path}, fileError(path, "empty file", nil, ""))
	case err != nil:
		yield(Row{File: path}, j.broken(err, ""))
	case tok == json.Delim('['):
		j.list()
	case tok == json.Delim('{'):
		j.object()
	default:
		yield(Row{File: path}, fileError(path, "a list of objects is expected, here is "+jsonName(tok), nil, ""))
	}
}

// jsonLines says whether the text is objects a line: its first two lines each
// begin an object and the first is whole.
func jsonLines(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	first, rest, more := bytes.Cut(head, []byte("\n"))
	if !more || len(first) == 0 || first[0] != '{' || !json.Valid(first) {
		return false
	}
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) == 0 || rest[0] == '{'
}

type jsonReader struct {
	path, split string
	dec         *json.Decoder
	yield       yieldFunc
	num         int
}

func (j *jsonReader) broken(err error, column string) *RowError {
	return &RowError{File: j.path, Row: j.num, Column: column, What: "broken JSON", Err: plainJSON(err), Stops: true,
		Hint: fmt.Sprintf("near byte %d; what follows cannot be read", j.dec.InputOffset())}
}

// list reads the objects of a list whose bracket has been read; false ends all.
func (j *jsonReader) list() bool {
	for j.dec.More() {
		j.num++
		row := Row{File: j.path, Num: j.num}
		var raw json.RawMessage
		if err := j.dec.Decode(&raw); err != nil {
			j.yield(row, j.broken(err, ""))
			return false
		}
		row, rerr := jsonRow(j.path, j.num, raw)
		if rerr != nil {
			if !j.yield(row, rerr) {
				return false
			}
		} else if bad := markedRow(row); bad != nil {
			if !j.yield(row, bad) {
				return false
			}
		} else if !j.yield(row, nil) {
			return false
		}
	}
	if _, err := j.dec.Token(); err != nil {
		j.num++
		j.yield(Row{File: j.path, Num: j.num}, j.broken(err, ""))
		return false
	}
	return true
}

// rowLists are keys whose list of objects belongs to one row and is not the list
// of rows.
var rowLists = []string{"messages", "conversations", "conversation", "steps", "responses", "chosen", "rejected", "history", "reasoning_steps", "prompt", "completion"}

// object reads an object whose brace has been read: its list of objects are the
// rows; without one the object itself is the only row.
func (j *jsonReader) object() {
	whole := Row{File: j.path, Num: 1, Values: map[string]any{}}
	read, skipped := "", false
	want := j.split
	if want == "" {
		want = "train"
	}
	for j.dec.More() {
		tok, err := j.dec.Token()
		if err != nil {
			j.yield(Row{File: j.path}, j.broken(err, ""))
			return
		}
		key, _ := tok.(string)
		if !slices.Contains(rowLists, key) && j.listAhead() {
			named := splitOf(key)
			use := named == "" && read == "" || named != "" && (named == want || j.split == "all")
			skipped = skipped || !use && named != ""
			if !use && named == "" {
				what := fmt.Sprintf("a second list of rows is left out (read: %q)", read)
				if !j.yield(Row{File: j.path}, &RowError{File: j.path, Column: key, What: what, Hint: "keep the lists in files of their own"}) {
					return
				}
			}
			j.dec.Token() // the bracket
			if use {
				read = key
				if !j.list() {
					return
				}
			} else if !j.skipList() {
				return
			}
			continue
		}
		var v any
		if err := j.dec.Decode(&v); err != nil {
			j.yield(Row{File: j.path, Num: j.num}, j.broken(err, key))
			return
		}
		if list, ok := v.([]any); ok && !slices.Contains(rowLists, key) && len(list) > 0 && isObjects(list) && read == "" {
			read = key // its beginning was not in the decoder's buffer
			for _, e := range list {
				j.num++
				if !j.yield(objectRow(j.path, j.num, plainNumbers(e).(map[string]any)), nil) {
					return
				}
			}
			continue
		}
		whole.Columns = append(whole.Columns, key)
		whole.Values[key] = plainNumbers(v)
	}
	if _, err := j.dec.Token(); err != nil {
		j.yield(Row{File: j.path, Num: j.num}, j.broken(err, ""))
		return
	}
	if read == "" && skipped {
		if j.split != "" {
			j.yield(Row{File: j.path}, fileError(j.path, fmt.Sprintf("no list of split %q", j.split), nil, ""))
			return
		}
		readJSON(j.path, "all", j.yield)
		return
	}
	if read == "" && len(whole.Columns) > 0 {
		j.num = 1
		if bad := markedRow(whole); bad != nil {
			j.yield(whole, bad)
		} else if !j.yield(whole, nil) {
			return
		}
	}
	// More objects may follow, pretty-printed one after the other.
	for read == "" && j.dec.More() {
		j.num++
		row := Row{File: j.path, Num: j.num}
		if rerr := jsonObject(j.dec, &row); rerr != nil {
			rerr.File, rerr.Row, rerr.Stops = j.path, j.num, true
			j.yield(Row{File: j.path, Num: j.num}, rerr)
			return
		}
		if !j.yield(row, nil) {
			return
		}
	}
}

// listAhead says whether a list of objects comes next, looking only at what the
// decoder has already buffered.
func (j *jsonReader) listAhead() bool {
	j.dec.More()
	ahead, _ := io.ReadAll(io.LimitReader(j.dec.Buffered(), 512))
	ahead = bytes.TrimLeft(ahead, " \t\r\n:")
	if len(ahead) == 0 || ahead[0] != '[' {
		return false
	}
	ahead = bytes.TrimLeft(ahead[1:], " \t\r\n")
	return len(ahead) > 0 && ahead[0] == '{'
}

func isObjects(list []any) bool {
	for _, e := range list {
		if _, ok := e.(map[string]any); !ok {
			return false
		}
	}
	return true
}

// objectRow is a row whose columns are in alphabetical order.
func objectRow(path string, num int, values map[string]any) Row {
	return Row{File: path, Num: num, Columns: slices.Sorted(maps.Keys(values)), Values: values}
}

func (j *jsonReader) skipList() bool {
	for j.dec.More() {
		var raw json.RawMessage
		if err := j.dec.Decode(&raw); err != nil {
			j.yield(Row{File: j.path, Num: j.num}, j.broken(err, ""))
			return false
		}
	}
	_, err := j.dec.Token()
	return err == nil
}

// invalidMark stands for a byte that was not UTF-8 in a JSON file read as a
// stream. It is a noncharacter, which no text contains.
const invalidMark = "\uFDD0"

// markedRow turns invalid marks into U+FFFD and tells where they were.
func markedRow(row Row) *RowError {
	for _, c := range row.Columns {
		if holds(row.Values[c], invalidMark) {
			row.Values[c] = unmark(row.Values[c])
			return &RowError{File: row.File, Row: row.Num, Column: c, What: "not valid UTF-8", Hint: "save the file as UTF-8"}
		}
	}
	return nil
}

func unmark(v any) any {
	switch x := v.(type) {
	case string:
		return string(bytes.ReplaceAll([]byte(x), []byte(invalidMark), []byte("\uFFFD")))
	case []any:
		for i := range x {
			x[i] = unmark(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = unmark(x[k])
		}
	}
	return v
}

// validUTF8 replaces each invalid byte of a stream by invalidMark.
type validUTF8 struct {
	r   io.Reader
	buf [8192]byte
	n   int // bytes kept from the last read: a rune may be split
	out []byte
	err error
}

func (v *validUTF8) Read(p []byte) (int, error) {
	for len(v.out) == 0 {
		if v.err != nil {
			return 0, v.err
		}
		n, err := v.r.Read(v.buf[v.n:])
		data := v.buf[:v.n+n]
		v.err = err
		v.out = v.out[:0]
		for len(data) > 0 {
			r, size := utf8.DecodeRune(data)
			if r == utf8.RuneError && size == 1 {
				if !utf8.FullRune(data) && err == nil {
					break
				}
				v.out = append(v.out, invalidMark...)
			} else {
				v.out = append(v.out, data[:size]...)
			}
			data = data[size:]
		}
		v.n = copy(v.buf[:], data)
	}
	n := copy(p, v.out)
	v.out = v.out[n:]
	return n, nil
}
