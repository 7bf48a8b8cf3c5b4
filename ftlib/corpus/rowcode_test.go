package corpus

import (
	"bytes"
	"errors"
	"iter"
	"math"
	"reflect"
	"testing"
)

func rowsOf(rows []Row, errs map[int]error) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i, r := range rows {
			if !yield(r, errs[i]) {
				return
			}
		}
	}
}

// Rows and their errors arrive as they were.
func TestRowsGoThroughAStream(t *testing.T) {
	rows := []Row{
		{File: "a.parquet", Num: 1, Columns: []string{"z", "a", "n"}, Values: map[string]any{
			"z": nil, "a": []any{int64(math.MinInt64), 0.1, math.Inf(-1), "é\x00", []byte{0, 255}, []any{}, map[string]any{"k": true, "j": nil}}, "n": false}},
		{File: "a.parquet", Num: 2},
		{File: "b.parquet", Num: 7, Columns: []string{"x"}, Values: map[string]any{"x": "y"}},
	}
	bad := &RowError{File: "a.parquet", Row: 2, Last: 9, Column: "c", What: "cannot be decoded", Hint: "do it again", Stops: true, Err: errors.New("cause")}
	var buf bytes.Buffer
	if err := EncodeRows(&buf, rowsOf(rows, map[int]error{1: bad})); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	i := 0
	for row, err := range DecodeRows(bytes.NewReader(whole)) {
		if i == 1 {
			if e, ok := err.(*RowError); !ok || e.Error() != bad.Error() || e.Last != 9 || !e.Stops {
				t.Errorf("error %v, want %v", err, bad)
			}
		} else if err != nil || !reflect.DeepEqual(row, rows[i]) {
			t.Errorf("row %d: %v, %+v, want %+v", i, err, row, rows[i])
		}
		i++
	}
	if i != 3 {
		t.Errorf("%d rows of 3", i)
	}
	for n := range whole { // a stream that breaks off is noticed wherever it does
		last := error(nil)
		for _, err := range DecodeRows(bytes.NewReader(whole[:n])) {
			last = err
		}
		if last == nil {
			t.Fatalf("%d bytes of %d are read as if they were all", n, len(whole))
		}
	}
}

func FuzzDecodeRows(f *testing.F) {
	var buf bytes.Buffer
	if err := EncodeRows(&buf, rowsOf([]Row{{File: "f", Num: 1, Columns: []string{"a"}, Values: map[string]any{"a": []any{int64(1), "x"}}}}, nil)); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte{codeRow, 2, 'f'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		for _, err := range DecodeRows(bytes.NewReader(data)) {
			if err != nil {
				if _, ok := err.(*RowError); !ok {
					return
				}
			}
		}
	})
}
