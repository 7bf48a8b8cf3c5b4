package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// WriteRows writes rows to a .parquet or .jsonl file (also .jsonl.gz and
// .jsonl.zst), whose columns are those of the rows. The file appears whole or not
// at all. For parquet the rows are ranged over twice: their schema is found first.
// An error among the rows ends the writing.
func WriteRows(path string, rows iter.Seq2[Row, error]) error {
	format, ok := formatOf(path)
	switch {
	case ok && format == "parquet":
		return writeParquet(path, rows)
	case ok && format == "jsonl":
		return writeJSONL(path, rows)
	}
	return fileError(path, "cannot be written", nil, "name it .parquet or .jsonl")
}

// atomically lets fill write a temporary file beside path and then gives it that name.
func atomically(path string, fill func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fileError(path, "cannot be written", err, "")
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fileError(path, "cannot be written", err, "")
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	for _, step := range []func() error{w.Flush, f.Sync, func() error { return f.Chmod(0o644) }, f.Close, func() error { return os.Rename(f.Name(), path) }} {
		if err := step(); err != nil {
			return fileError(path, "cannot be written", err, "is the disk full?")
		}
	}
	if d, err := os.Open(dir); err == nil { // the new name must survive a crash too
		d.Sync()
		d.Close()
	}
	return nil
}

func writeJSONL(path string, rows iter.Seq2[Row, error]) error {
	return atomically(path, func(w io.Writer) error {
		done := func() error { return nil }
		switch filepath.Ext(path) {
		case ".gz":
			z := gzip.NewWriter(w)
			w, done = z, z.Close
		case ".zst":
			z, err := zstd.NewWriter(w)
			if err != nil {
				return err
			}
			w, done = z, z.Close
		}
		var buf bytes.Buffer
		for row, err := range rows {
			if err != nil {
				return err
			}
			buf.Reset()
			if err := jsonLine(&buf, row); err != nil {
				return &RowError{File: row.File, Row: row.Num, What: "has no JSON form", Err: err}
			}
			if _, err := w.Write(buf.Bytes()); err != nil {
				return err
			}
		}
		return done()
	})
}

// jsonLine writes a row as one line, its columns in order.
func jsonLine(buf *bytes.Buffer, row Row) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	buf.WriteByte('{')
	for i, c := range row.Columns {
		if i > 0 {
			buf.WriteString(", ")
		}
		if err := enc.Encode(c); err != nil {
			return err
		}
		buf.Truncate(buf.Len() - 1) // the encoder's newline
		buf.WriteString(": ")
		if err := enc.Encode(row.Values[c]); err != nil {
			return fmt.Errorf("column %q: %s", c, strings.TrimPrefix(err.Error(), "json: "))
		}
		buf.Truncate(buf.Len() - 1)
	}
	buf.WriteString("}\n")
	return nil
}
