package corpus

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// endOfText separates documents in plain text files.
const endOfText = "<|endoftext|>"

// readText reads documents from plain text, as rows with the one column "text".
// Where <|endoftext|> occurs in the first 256 KiB it separates documents, else
// blank lines do. A file whose lines all have the same number of tabs is a table
// without a header and is read as one.
func readText(path string, opts OpenOptions, yield yieldFunc) {
	s, ferr := openStream(path)
	if ferr != nil {
		yield(Row{File: path}, ferr)
		return
	}
	head, _ := s.Peek(sniffBytes)
	if len(bytes.TrimSpace(head)) == 0 {
		s.close()
		return
	}
	if isTable(wholeLines(head)) {
		s.close()
		readCSV(path, "tsv", opts, yield)
		return
	}
	defer s.close()
	t := &textReader{path: path, yield: yield, blank: !bytes.Contains(head, []byte(endOfText))}
	t.read(s)
}

// isTable says whether every line has the same number of tabs, one at least.
func isTable(lines []string) bool {
	tabs := strings.Count(lines[0], "\t")
	if tabs == 0 || len(lines) < 2 {
		return false
	}
	for _, l := range lines {
		if l != "" && strings.Count(l, "\t") != tabs {
			return false
		}
	}
	return true
}

type textReader struct {
	path  string
	yield yieldFunc
	blank bool // a blank line ends a document
	num   int
	doc   []byte
	large bool
}

func (t *textReader) read(s *stream) {
	var buf []byte
	for {
		line, err := s.line(buf)
		if err == io.EOF {
			t.flush()
			return
		}
		if err != nil && err != errLongLine {
			if t.flush() {
				t.yield(Row{File: t.path, Num: t.num + 1}, cutError(t.path, t.num+1, err))
			}
			return
		}
		buf = line[:0:cap(line)]
		if err == errLongLine {
			t.large = true
			continue
		}
		for {
			before, after, cut := bytes.Cut(line, []byte(endOfText))
			t.add(before)
			if !cut {
				break
			}
			if !t.flush() {
				return
			}
			line = after
		}
		if t.blank && len(bytes.TrimSpace(line)) == 0 && !t.flush() {
			return
		}
		t.add([]byte("\n"))
	}
}

func (t *textReader) add(text []byte) {
	if len(t.doc)+len(text) > longestLine {
		t.large = true
		return
	}
	t.doc = append(t.doc, text...)
}

// flush hands the document on; false ends the reading.
func (t *textReader) flush() bool {
	text := bytes.Trim(t.doc, "\r\n")
	large := t.large
	t.doc, t.large = t.doc[:0], false
	if len(bytes.TrimSpace(text)) == 0 && !large {
		return true
	}
	t.num++
	row := Row{File: t.path, Num: t.num}
	if large {
		return t.yield(row, &RowError{File: t.path, Row: t.num, What: fmt.Sprintf("document longer than %d MiB", longestLine>>20),
			Hint: "separate documents by a blank line or " + endOfText})
	}
	row.Columns = []string{"text"}
	if !utf8.Valid(text) {
		row.Values = map[string]any{"text": string(bytes.ToValidUTF8(text, []byte("\uFFFD")))}
		return t.yield(row, &RowError{File: t.path, Row: t.num, Column: "text", What: "not valid UTF-8",
			Hint: fmt.Sprintf("byte %d of the document; save the file as UTF-8", firstInvalid(text)+1)})
	}
	row.Values = map[string]any{"text": string(text)}
	return t.yield(row, nil)
}

func newBytesReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }
