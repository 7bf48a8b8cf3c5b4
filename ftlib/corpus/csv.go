package corpus

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readCSV reads separated values. Separator, quoting and header are seen from the
// first 256 KiB: a file whose first row is data gets columns column_1, column_2, ...
// All values are strings, but for JSON lists of messages or steps; recognition reads
// numbers and truth values from them.
func readCSV(path, format string, opts OpenOptions, yield yieldFunc) {
	s, ferr := openStream(path)
	if ferr != nil {
		yield(Row{File: path}, ferr)
		return
	}
	defer s.close()
	head, _ := s.Peek(sniffBytes)
	if len(bytes.TrimSpace(head)) == 0 {
		return
	}
	form := sniffCSV(head, format, opts)
	var next func() ([]string, error)
	if form.quoted {
		next = newQuotedRecords(s, form.comma).next
	} else {
		next = plainRecords(s, form.comma)
	}
	c := &csvReader{path: path, yield: yield, columns: form.columns}
	if form.header {
		next() // the names are in form.columns
	}
	c.read(next)
}

type csvReader struct {
	path    string
	yield   yieldFunc
	columns []string
	num     int
}

func (c *csvReader) read(next func() ([]string, error)) {
	for {
		rec, err := next()
		if err == io.EOF {
			return
		}
		c.num++
		row := Row{File: c.path, Num: c.num}
		pe, isParse := errors.AsType[*csv.ParseError](err)
		switch {
		case err == errLongLine:
			if !c.yield(row, &RowError{File: c.path, Row: c.num, What: err.Error()}) {
				return
			}
			continue
		case isParse:
			hint := fmt.Sprintf("line %d; a quote inside a quoted value is written twice", pe.StartLine)
			if !c.yield(row, &RowError{File: c.path, Row: c.num, What: "broken quoting", Err: pe.Err, Hint: hint}) {
				return
			}
			continue
		case err != nil:
			c.yield(row, cutError(c.path, c.num, err))
			return
		}
		var bad *RowError
		row, bad = c.row(rec)
		if bad != nil {
			if !c.yield(row, bad) {
				return
			}
		} else if !c.yield(row, nil) {
			return
		}
	}
}

// row names the values of one record.
func (c *csvReader) row(rec []string) (Row, *RowError) {
	row := Row{File: c.path, Num: c.num}
	if len(rec) != len(c.columns) {
		return row, &RowError{File: c.path, Row: c.num,
			What: fmt.Sprintf("%d values, %d columns", len(rec), len(c.columns)), Hint: "is the separator inside a value that is not quoted?"}
	}
	row.Columns, row.Values = c.columns, make(map[string]any, len(rec))
	var bad *RowError
	for i, v := range rec {
		if !utf8.ValidString(v) {
			v = strings.ToValidUTF8(v, "\uFFFD")
			bad = &RowError{File: c.path, Row: c.num, Column: c.columns[i], What: "not valid UTF-8", Hint: "save the file as UTF-8"}
		}
		row.Values[c.columns[i]] = v
		if list := jsonCell(v); list != nil {
			row.Values[c.columns[i]] = list
		}
	}
	return row, bad
}

// jsonCell is the list that a value holds as JSON: turns, steps or ranked responses,
// for which separated values have no other form. nil where it holds none.
func jsonCell(v string) []any {
	v = strings.TrimSpace(v)
	if !strings.HasPrefix(v, "[") || !strings.HasSuffix(v, "]") {
		return nil
	}
	var list []any
	dec := json.NewDecoder(strings.NewReader(v))
	dec.UseNumber()
	if dec.Decode(&list) != nil {
		return nil
	}
	for i, e := range list {
		obj, _ := e.(map[string]any)
		_, spoken := firstOf(obj, "role", "from")
		_, step := firstOf(obj, "step", "reward", "rank")
		if !spoken && !step {
			return nil
		}
		list[i] = plainNumbers(obj)
	}
	return list
}

// csvForm is how a separated file is written.
type csvForm struct {
	comma   rune
	quoted  bool
	header  bool
	columns []string
}

func sniffCSV(head []byte, format string, opts OpenOptions) csvForm {
	lines := wholeLines(head)
	form := csvForm{comma: opts.Comma}
	if form.comma == 0 {
		form.comma = ','
		if format != "csv" {
			form.comma = '\t'
		} else if commaScore(head, ',') == 0 {
			for _, c := range []rune{';', '\t', '|'} {
				if commaScore(head, c) > 0 {
					form.comma = c
					break
				}
			}
		}
	}
	form.quoted = form.comma != '\t' || tabsQuoted(lines, len(head) < sniffBytes-4)
	first, second := firstRecords(head, form)
	form.header = looksLikeHeader(first, second)
	switch opts.Header {
	case "yes":
		form.header = true
	case "no":
		form.header = false
	}
	seen := map[string]int{}
	for i, name := range first {
		name = strings.TrimSpace(name)
		if !form.header || name == "" {
			name = "column_" + strconv.Itoa(i+1)
		}
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s_%d", name, seen[name])
		}
		form.columns = append(form.columns, name)
	}
	return form
}

// wholeLines are the lines of a sample, without a last one that may be cut.
func wholeLines(head []byte) []string {
	text := string(head)
	if len(head) >= sniffBytes-4 {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	text = strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\r\n", "\n")
	return strings.Split(text, "\n")
}

// commaScore is the number of separators in each of the first records when it is
// the same in all, else 0.
func commaScore(head []byte, comma rune) int {
	r := csv.NewReader(bytes.NewReader(head))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
	n, records := 0, 0
	for ; records < 20; records++ {
		rec, err := r.Read()
		if err != nil {
			break
		}
		if records > 0 && len(rec) != n {
			return 0
		}
		n = len(rec)
	}
	return n - 1
}

// tabsQuoted says whether a tab-separated file quotes values as csv does: read so,
// it has no broken quotes and as many values in every record. In other files a
// quote is an ordinary character.
func tabsQuoted(lines []string, whole bool) bool {
	text := strings.Join(lines, "\n")
	if !strings.Contains(text, "\"") {
		return false
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma = '\t' // and as many fields as in the first record
	for {
		if _, err := r.Read(); err == io.EOF {
			return true
		} else if err != nil {
			return !whole && r.InputOffset() >= int64(len(text)) // a quoted value that goes on
		}
	}
}

func firstRecords(head []byte, form csvForm) (first, second []string) {
	next := plainRecords(&stream{Reader: newBytesReader(head)}, form.comma)
	if form.quoted {
		r := csv.NewReader(bytes.NewReader(head))
		r.Comma, r.FieldsPerRecord, r.LazyQuotes = form.comma, -1, true
		next = r.Read
	}
	first, _ = next()
	second, _ = next()
	return first, second
}

// looksLikeHeader says whether the first record names columns: short, distinct,
// not empty, no numbers, and no whole sentences.
func looksLikeHeader(first, second []string) bool {
	if len(first) == 0 {
		return false
	}
	known := 0
	seen := map[string]bool{}
	for _, v := range first {
		v = strings.TrimSpace(v)
		if knownColumn(strings.ToLower(v)) {
			known++
			continue
		}
		if _, err := strconv.ParseFloat(v, 64); err == nil || seen[v] || utf8.RuneCountInString(v) > 48 ||
			strings.ContainsAny(v, ".?!\n") && strings.Contains(v, " ") {
			return false
		}
		seen[v] = v != ""
	}
	if known > 0 || second == nil {
		return true
	}
	// Unknown names: they are names when they look like words and the next row does not.
	for i, v := range first {
		if i < len(second) && (strings.Contains(second[i], " ") != strings.Contains(v, " ") || isNumber(second[i])) {
			return true
		}
	}
	return len(strings.Fields(strings.Join(first, " "))) == len(first)
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return err == nil
}

// plainRecords splits lines at the separator and knows no quotes.
func plainRecords(s *stream, comma rune) func() ([]string, error) {
	var buf []byte
	return func() ([]string, error) {
		for {
			line, err := s.line(buf)
			if err != nil {
				return nil, err
			}
			buf = line[:0:cap(line)]
			if len(line) > 0 {
				return strings.Split(string(line), string(comma)), nil
			}
		}
	}
}
