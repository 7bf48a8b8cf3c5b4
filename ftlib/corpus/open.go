package corpus

import (
	"iter"
	"math"
	"path/filepath"
	"strings"
)

// OpenOptions says what to read. The zero value reads every row of the training
// files.
type OpenOptions struct {
	Split   string // "train", "validation", "test" or "all", by file name; zero: train where names tell splits apart, else all
	Limit   int    // rows; zero: all
	Offline bool   // never ask the network for a data set name (HF_HUB_OFFLINE does the same)
	Header  string // csv and tsv: "yes", "no"; zero: seen from the first rows
	Comma   rune   // csv and tsv: the separator; zero: seen from the first rows
}

// Open reads the rows of path one after the other: a file, a directory, a glob or
// the name of a data set ("owner/name"). See [Resolve] for what path may be and
// the package comment for the formats.
//
// A fault is an error value beside its row: a [*RowError] with file, row and
// column. Where the row could be read in spite of it (text that is not valid
// UTF-8) its repaired values come with the error; otherwise Values is nil.
// Iteration goes on after an error unless nothing more can be read. The sequence
// may be ranged over again: it opens the files anew.
func Open(path string, opts OpenOptions) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		src, err := Resolve(path, opts)
		if err != nil {
			yield(Row{File: path}, err)
			return
		}
		src.Rows(opts)(yield)
	}
}

// Rows reads the rows of all files of the source, in their order.
func (s Source) Rows(opts OpenOptions) iter.Seq2[Row, error] {
	left := opts.Limit
	if left <= 0 {
		left = math.MaxInt
	}
	return func(yield func(Row, error) bool) {
		left, none := left, true
		for _, f := range s.Files {
			for row, err := range f.rows(opts) {
				none = false
				if !yield(row, err) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
		}
		if none {
			yield(Row{File: s.Path}, fileError(s.Path, "no rows in it", nil, ""))
		}
	}
}

// rows reads one file by its format.
func (f File) rows(opts OpenOptions) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		last, inConsumer, stopped := 0, false, false
		send := func(r Row, err error) bool {
			last = max(last, r.Num)
			inConsumer = true
			more := yield(r, err)
			inConsumer, stopped = false, !more
			return more
		}
		// A reader that panics on a malformed file must not take the program down.
		defer func() {
			if inConsumer {
				return // the panic is the caller's own
			}
			if p := recover(); p != nil && !stopped {
				send(Row{File: f.Path, Num: last + 1}, &RowError{File: f.Path, Row: last + 1, Stops: true,
					What: "unreadable from here on: " + oneLine(p)})
			}
		}()
		switch f.Format {
		case "parquet":
			readParquet(f.Path, send)
		case "jsonl":
			readJSONL(f.Path, send)
		case "json":
			readJSON(f.Path, opts.Split, send)
		case "csv", "tsv":
			readCSV(f.Path, f.Format, opts, send)
		case "txt":
			readText(f.Path, opts, send)
		default:
			send(Row{File: f.Path}, fileError(f.Path, "no reader for this file", nil, "known: "+strings.Join(formatNames, ", ")))
		}
	}
}

// yieldFunc receives rows and errors; false ends the reading.
type yieldFunc = func(Row, error) bool

// formatNames are the file formats that Open reads.
var formatNames = []string{"parquet", "jsonl", "json", "csv", "tsv", "txt"}

// formatOf tells the format from a file name; ok is false for other files.
func formatOf(path string) (format string, ok bool) {
	name := strings.ToLower(filepath.Base(path))
	for _, packed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch filepath.Ext(name) {
	case ".parquet", ".pq":
		return "parquet", true
	case ".jsonl", ".ndjson":
		return "jsonl", true
	case ".json":
		return "json", true
	case ".csv":
		return "csv", true
	case ".tsv", ".tab":
		return "tsv", true
	case ".txt", ".text":
		return "txt", true
	}
	return "", false
}
