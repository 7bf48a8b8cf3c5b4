package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// stream is a text file being read: unpacked, in UTF-8, without its byte order mark.
type stream struct {
	*bufio.Reader
	close func()
}

const (
	sniffBytes  = 256 << 10 // looked at to tell separators and headers
	longestLine = 256 << 20 // a longer line or document is an error, not memory
)

// openStream opens a file that may be packed with gzip or zstandard (told by its
// first bytes, not by its name) and may be UTF-16.
func openStream(path string) (*stream, *RowError) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, "cannot be opened", err, "")
	}
	raw := bufio.NewReaderSize(f, 64<<10)
	head, _ := raw.Peek(8)
	var in io.Reader = raw
	done := func() { f.Close() }
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(raw)
		if err != nil {
			f.Close()
			return nil, fileError(path, "broken gzip header", err, "download or pack it again")
		}
		in = z
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
		if err != nil {
			f.Close()
			return nil, fileError(path, "broken zstandard header", err, "download or pack it again")
		}
		in, done = z, func() { z.Close(); f.Close() }
	default:
		if what := foreign(head); what != "" {
			f.Close()
			return nil, fileError(path, what, nil, "unpack or convert it first")
		}
	}
	r := bufio.NewReaderSize(in, sniffBytes)
	mark, _ := r.Peek(4)
	switch {
	case bytes.HasPrefix(mark, []byte{0xef, 0xbb, 0xbf}):
		r.Discard(3)
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}), bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
		r = bufio.NewReaderSize(transform.NewReader(r, utf16.NewDecoder()), sniffBytes)
	case bytes.HasPrefix(mark, []byte("PAR1")):
		done()
		return nil, fileError(path, "a parquet file by its content", nil, "unpack it and name it .parquet")
	}
	return &stream{Reader: r, close: done}, nil
}

// foreign names well-known files that are no text.
func foreign(head []byte) string {
	for _, k := range []struct{ magic, what string }{
		{"PK\x03\x04", "a zip archive"}, {"BZh", "packed with bzip2"}, {"\xfd7zXZ\x00", "packed with xz"},
		{"\x89PNG", "a picture"}, {"%PDF", "a PDF document"}, {"ARROW1", "an Arrow file"}, {"SQLite f", "a SQLite database"},
	} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.what
		}
	}
	return ""
}

var errLongLine = fmt.Errorf("longer than %d MiB", longestLine>>20)

// line reads up to the next newline, without it and without a carriage return.
// The slice is valid until the next call. At the end of the file it is empty with
// io.EOF; an error after some bytes comes together with them.
func (s *stream) line(buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		part, err := s.ReadSlice('\n')
		if len(buf)+len(part) <= longestLine {
			buf = append(buf, part...)
		} else if err == nil {
			return buf[:0], errLongLine // the rest of the line is behind us
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == io.EOF && len(buf) > 0 {
			err = nil
		}
		buf = bytes.TrimSuffix(buf, []byte("\n"))
		return bytes.TrimSuffix(buf, []byte("\r")), err
	}
}

// cutError is the error of a packed file that ends too early or is damaged.
func cutError(path string, row int, err error) *RowError {
	what := "cannot be read further"
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "the packed file ends in the middle"
	}
	return &RowError{File: path, Row: row, What: what, Err: err, Stops: true, Hint: "the rows before are whole; download or pack it again"}
}

// sniffFormat guesses the format of a file whose name does not tell it.
func sniffFormat(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	head := make([]byte, 4)
	n, _ := io.ReadFull(f, head)
	f.Close()
	if string(head[:n]) == "PAR1" {
		return "parquet"
	}
	s, rerr := openStream(path)
	if rerr != nil {
		return ""
	}
	defer s.close()
	text, _ := s.Peek(sniffBytes)
	text = bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(text) == 0:
		return ""
	case text[0] == '[':
		return "json"
	case text[0] == '{':
		if jsonLines(text) {
			return "jsonl"
		}
		return "json"
	}
	return ""
}

// oneLine is a value as text without line breaks, cut to a readable length.
func oneLine(v any) string {
	s := strings.Join(strings.Fields(fmt.Sprint(v)), " ")
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "…"
	}
	return s
}
