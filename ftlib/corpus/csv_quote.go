package corpus

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
)

// quotedRecords reads records with quoted values. A quote that is never closed swallows
// the lines behind it, up to the next quote or the end of the file: reading goes on at
// the line after the one with the fault, so that only this one is lost.
type quotedRecords struct {
	comma rune
	in    *replay
	csv   *csv.Reader
	lines int // of the file before the place where csv began to read
}

func newQuotedRecords(r io.Reader, comma rune) *quotedRecords {
	q := &quotedRecords{comma: comma}
	q.start(r)
	return q
}

func (q *quotedRecords) start(r io.Reader) {
	q.in = &replay{r: r}
	q.csv = csv.NewReader(q.in)
	q.csv.Comma, q.csv.FieldsPerRecord = q.comma, -1
}

func (q *quotedRecords) next() ([]string, error) {
	begin := q.csv.InputOffset()
	q.in.forget(begin)
	rec, err := q.csv.Read()
	pe, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return rec, err
	}
	// The line of the fault, behind empty lines that belong to no record.
	kept := q.in.kept(begin)
	at := 0
	for {
		end := bytes.IndexByte(kept[at:], '\n')
		if end < 0 {
			at = len(kept)
			break
		}
		line := kept[at : at+end]
		at += end + 1
		if len(bytes.TrimRight(line, "\r")) > 0 {
			break
		}
	}
	told := *pe
	told.StartLine += q.lines
	told.Line += q.lines
	if begin+int64(at) < q.csv.InputOffset() { // more than its own line is gone
		q.lines += pe.StartLine
		q.start(io.MultiReader(bytes.NewReader(bytes.Clone(kept[at:])), q.in.r))
	}
	return nil, &told
}

// replay keeps what was read from r since the last call of forget.
type replay struct {
	r    io.Reader
	buf  []byte
	from int64 // place of buf[0] in what was read
}

func (k *replay) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.buf = append(k.buf, p[:n]...)
	return n, err
}

// forget drops what was read before place at; now and then, as it moves the rest.
func (k *replay) forget(at int64) {
	if drop := at - k.from; drop > 64<<10 {
		k.buf = append(k.buf[:0], k.buf[drop:]...)
		k.from = at
	}
}

// kept is what was read from place at on.
func (k *replay) kept(at int64) []byte { return k.buf[at-k.from:] }
