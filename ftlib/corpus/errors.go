package corpus

import (
	"errors"
	"fmt"
	"strings"
)

// RowError says what is wrong with one place in the data: a file, a row of it, a
// column of that row. It is a value that travels beside the rows: reading goes on
// after it wherever the file allows.
type RowError struct {
	File   string
	Row    int    // from 1; 0: the file as a whole
	Last   int    // last row of a group that could not be read; 0: only Row
	Column string // "": the row as a whole
	What   string // one clause: "empty", "not valid UTF-8"
	Hint   string // what to do about it; may be empty
	Stops  bool   // nothing more can be read from this file
	Err    error  // the cause; may be nil
}

// Error is "corpus: FILE row N, column "C": WHAT; HINT".
func (e *RowError) Error() string {
	var b strings.Builder
	b.WriteString("corpus: ")
	b.WriteString(e.File)
	if place := e.Place(); place != "" {
		b.WriteString(" " + place)
	}
	b.WriteString(": " + e.Reason())
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Place is "row 12, column "output"", as far as it is known.
func (e *RowError) Place() string {
	var parts []string
	switch {
	case e.Last > e.Row && e.Row > 0:
		parts = append(parts, fmt.Sprintf("rows %d-%d", e.Row, e.Last))
	case e.Row > 0:
		parts = append(parts, fmt.Sprintf("row %d", e.Row))
	}
	if e.Column != "" {
		parts = append(parts, fmt.Sprintf("column %q", e.Column))
	}
	return strings.Join(parts, ", ")
}

// Reason is the error without its place, the same text for every row that has the
// same fault, so that reports can count by it.
func (e *RowError) Reason() string {
	if e.Err != nil {
		return e.What + ": " + e.Err.Error()
	}
	return e.What
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// lost is the number of rows that the error took away.
func (e *RowError) lost() int {
	if e.Last > e.Row {
		return e.Last - e.Row + 1
	}
	return 1
}

// fileError is about a file as a whole.
func fileError(file, what string, err error, hint string) *RowError {
	return &RowError{File: file, What: what, Err: err, Hint: hint, Stops: true}
}

// asRowError returns err as a RowError, wrapping what is none.
func asRowError(err error) *RowError {
	if re, ok := errors.AsType[*RowError](err); ok {
		return re
	}
	return &RowError{What: err.Error()}
}
