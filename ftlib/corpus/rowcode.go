package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
)

// Rows between a cell and the ft program, exactly as they are: a cell is built without the
// parquet library, which would make every build slower, and lets ft read for it.

const (
	codeNil = iota
	codeFalse
	codeTrue
	codeInt
	codeFloat
	codeString
	codeBytes
	codeList
	codeMap
	codeRow
	codeError
	codeEnd
)

// maxCode bounds one value, so that a broken stream cannot ask for all memory.
const maxCode = 1 << 30

// EncodeRows writes rows and errors for [DecodeRows].
func EncodeRows(w io.Writer, rows iter.Seq2[Row, error]) error {
	e := &rowEncoder{w: bufio.NewWriterSize(w, 1<<16)}
	for row, err := range rows {
		if err != nil {
			e.rowError(row, asRowError(err))
		} else {
			e.row(row)
		}
		if e.err != nil {
			return e.err
		}
	}
	e.byte(codeEnd)
	return errors.Join(e.err, e.w.Flush())
}

type rowEncoder struct {
	w   *bufio.Writer
	err error
}

func (e *rowEncoder) byte(b byte) {
	if err := e.w.WriteByte(b); err != nil {
		e.err = err
	}
}

func (e *rowEncoder) int(n int) {
	if _, err := e.w.Write(binary.AppendVarint(nil, int64(n))); err != nil {
		e.err = err
	}
}

func (e *rowEncoder) string(s string) {
	e.int(len(s))
	if _, err := e.w.WriteString(s); err != nil {
		e.err = err
	}
}

func (e *rowEncoder) row(r Row) {
	e.byte(codeRow)
	e.string(r.File)
	e.int(r.Num)
	e.int(len(r.Columns))
	for _, c := range r.Columns {
		e.string(c)
		e.value(r.Values[c])
	}
}

func (e *rowEncoder) rowError(r Row, err *RowError) {
	e.byte(codeError)
	e.string(r.File)
	e.int(r.Num)
	cause := ""
	if err.Err != nil {
		cause = err.Err.Error()
	}
	for _, s := range []string{err.File, err.Column, err.What, err.Hint, cause} {
		e.string(s)
	}
	e.int(err.Row)
	e.int(err.Last)
	if err.Stops {
		e.byte(codeTrue)
	} else {
		e.byte(codeFalse)
	}
}

func (e *rowEncoder) value(v any) {
	switch x := v.(type) {
	case nil:
		e.byte(codeNil)
	case bool:
		if x {
			e.byte(codeTrue)
		} else {
			e.byte(codeFalse)
		}
	case int64:
		e.byte(codeInt)
		e.int(int(x))
	case float64:
		e.byte(codeFloat)
		if err := binary.Write(e.w, binary.LittleEndian, x); err != nil {
			e.err = err
		}
	case string:
		e.byte(codeString)
		e.string(x)
	case []byte:
		e.byte(codeBytes)
		e.string(string(x))
	case []any:
		e.byte(codeList)
		e.int(len(x))
		for _, item := range x {
			e.value(item)
		}
	case map[string]any:
		e.byte(codeMap)
		e.int(len(x))
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			e.string(k)
			e.value(x[k])
		}
	default:
		e.err = fmt.Errorf("corpus: a value of type %T is none that rows hold", v)
	}
}

// DecodeRows reads what [EncodeRows] wrote. A stream that breaks off is an error at its end.
func DecodeRows(r io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		d := &rowDecoder{r: bufio.NewReaderSize(r, 1<<16)}
		for {
			kind := d.byte()
			var row Row
			var rerr *RowError
			switch {
			case d.err != nil:
			case kind == codeEnd:
				return
			case kind == codeRow:
				row = d.row()
			case kind == codeError:
				row, rerr = d.rowError()
			default:
				d.err = fmt.Errorf("corpus: a stream of rows has a mark %d", kind)
			}
			if d.err != nil {
				yield(Row{}, fmt.Errorf("corpus: the rows broke off: %w", d.err))
				return
			}
			if rerr != nil {
				if !yield(row, rerr) {
					return
				}
			} else if !yield(row, nil) {
				return
			}
		}
	}
}

type rowDecoder struct {
	r   *bufio.Reader
	err error
}

func (d *rowDecoder) byte() byte {
	b, err := d.r.ReadByte()
	if err != nil && d.err == nil {
		d.err = err
	}
	return b
}

func (d *rowDecoder) int() int {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadVarint(d.r)
	if err != nil {
		d.err = err
	}
	return int(n)
}

func (d *rowDecoder) length() int {
	n := d.int()
	if n < 0 || n > maxCode {
		d.err = fmt.Errorf("corpus: a stream of rows has a length of %d", n)
		return 0
	}
	return n
}

func (d *rowDecoder) string() string {
	n := d.length()
	if d.err != nil {
		return ""
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(d.r, buf); err != nil {
		d.err = err
	}
	return string(buf)
}

func (d *rowDecoder) row() Row {
	r := Row{File: d.string(), Num: d.int(), Values: map[string]any{}}
	for range d.length() {
		if d.err != nil {
			break
		}
		c := d.string()
		r.Columns = append(r.Columns, c)
		r.Values[c] = d.value()
	}
	return r
}

func (d *rowDecoder) rowError() (Row, *RowError) {
	r := Row{File: d.string(), Num: d.int()}
	var cause string
	e := &RowError{}
	for _, s := range []*string{&e.File, &e.Column, &e.What, &e.Hint, &cause} {
		*s = d.string()
	}
	e.Row, e.Last = d.int(), d.int()
	e.Stops = d.byte() == codeTrue
	if cause != "" {
		e.Err = errors.New(cause)
	}
	return r, e
}

func (d *rowDecoder) value() any {
	if d.err != nil {
		return nil
	}
	switch kind := d.byte(); kind {
	case codeNil:
		return nil
	case codeFalse:
		return false
	case codeTrue:
		return true
	case codeInt:
		return int64(d.int())
	case codeFloat:
		var buf [8]byte
		if _, err := io.ReadFull(d.r, buf[:]); err != nil {
			d.err = err
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(buf[:]))
	case codeString:
		return d.string()
	case codeBytes:
		return []byte(d.string())
	case codeList:
		list := []any{}
		for range d.length() {
			if d.err != nil {
				break
			}
			list = append(list, d.value())
		}
		return list
	case codeMap:
		m := map[string]any{}
		for range d.length() {
			if d.err != nil {
				break
			}
			k := d.string()
			m[k] = d.value()
		}
		return m
	default:
		if d.err == nil {
			d.err = fmt.Errorf("corpus: a stream of rows has a value of mark %d", kind)
		}
		return nil
	}
}
