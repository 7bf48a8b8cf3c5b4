//go:build !ftlab_session

package corpus

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"ftlab/internal/testkit"
)

type inner struct {
	A *int64   `parquet:"a,optional"`
	B []string `parquet:"b,list"`
}

// everything has a column of every type that the reader knows.
type everything struct {
	Flag   bool             `parquet:"flag"`
	Small  int32            `parquet:"small"`
	Dict   string           `parquet:"dict,dict,snappy"`
	Gz     string           `parquet:"gz,gzip"`
	Zst    string           `parquet:"zst,zstd"`
	F32    float32          `parquet:"f32"`
	F64    *float64         `parquet:"f64,optional"`
	Unsign uint64           `parquet:"unsign"`
	Day    int32            `parquet:"day,date"`
	Stamp  time.Time        `parquet:"stamp,timestamp(microsecond)"`
	Price  int64            `parquet:"price,decimal(2:10)"`
	ID     [16]byte         `parquet:"id,uuid"`
	Raw    []byte           `parquet:"raw"`
	List   []int64          `parquet:"list,list"`
	Bare   []string         `parquet:"bare"`
	Nested []inner          `parquet:"nested,list"`
	Map    map[string]int64 `parquet:"map"`
	Struct inner            `parquet:"struct"`
	Maybe  *inner           `parquet:"maybe,optional"`
}

func TestParquetTypes(t *testing.T) {
	one, half := int64(1), 0.5
	rows := []everything{
		{Flag: true, Small: -3, Dict: "d", Gz: "g", Zst: "z", F32: 1.5, F64: &half, Unsign: 1<<63 + 4, Day: 19782, Stamp: time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC),
			Price: -5, ID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Raw: []byte{0xff, 0}, List: []int64{1, 2}, Bare: []string{"x", "y"},
			Nested: []inner{{A: &one, B: []string{"p", "q"}}, {}}, Map: map[string]int64{"k": 7}, Struct: inner{A: &one}, Maybe: &inner{B: []string{"m"}}},
		{Stamp: time.Unix(0, 0), Raw: []byte("text")},
	}
	path := filepath.Join(t.TempDir(), "all.parquet")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	got, faults := readAll(path, OpenOptions{})
	if len(got) != 2 || faults != nil {
		t.Fatalf("%d rows, faults %v", len(got), faults)
	}
	want := vals{"flag": true, "small": int64(-3), "dict": "d", "gz": "g", "zst": "z", "f32": 1.5, "f64": 0.5, "unsign": float64(1<<63 + 4),
		"day": "2024-02-29", "stamp": "2024-02-29T01:02:03.000004Z", "price": -0.05, "id": "01020304-0506-0708-090a-0b0c0d0e0f10", "raw": []byte{0xff, 0},
		"list": []any{int64(1), int64(2)}, "bare": []any{"x", "y"}, "nested": []any{vals{"a": int64(1), "b": []any{"p", "q"}}, vals{"a": nil, "b": []any{}}},
		"map": vals{"k": int64(7)}, "struct": vals{"a": int64(1), "b": []any{}}, "maybe": vals{"a": nil, "b": []any{"m"}}}
	for name, w := range want {
		if !reflect.DeepEqual(got[0][name], w) {
			t.Errorf("%s: got %#v, want %#v", name, got[0][name], w)
		}
	}
	second := map[string]any{"f64": nil, "maybe": nil, "list": []any{}, "bare": []any{}, "raw": "text", "map": map[string]any{}, "stamp": "1970-01-01T00:00:00Z"}
	for name, w := range second {
		if !reflect.DeepEqual(got[1][name], w) {
			t.Errorf("row 2, %s: got %#v, want %#v", name, got[1][name], w)
		}
	}
}

// twoLevel is a list as old writers made it: the repeated node is the element.
type twoLevel struct{ parquet.Group }

func (twoLevel) Type() parquet.Type { return parquet.List(parquet.String()).Type() }

func TestParquetTwoLevelList(t *testing.T) {
	schema := parquet.NewSchema("s", parquet.Group{"l": parquet.Optional(twoLevel{parquet.Group{"array": parquet.Repeated(parquet.String())}})})
	var buf bytes.Buffer
	w := parquet.NewWriter(&buf, schema)
	for _, row := range []parquet.Row{
		{parquet.ValueOf("a").Level(0, 2, 0), parquet.ValueOf("b").Level(1, 2, 0)},
		{parquet.NullValue().Level(0, 1, 0)}, // empty
		{parquet.NullValue().Level(0, 0, 0)}, // null
	} {
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rows, faults := readAll(put(t, "two.parquet", buf.String()), OpenOptions{})
	if want := []vals{{"l": []any{"a", "b"}}, {"l": []any{}}, {"l": nil}}; faults != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v %v, want %v", rows, faults, want)
	}
}

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		unscaled         string
		scale, precision int32
		want             any
	}{
		{"1234", 2, 10, 12.34}, {"-5", 2, 10, -0.05}, {"7", 0, 10, int64(7)}, {"123456789012345678925", 2, 30, "1234567890123456789.25"}, {"-1", 3, 30, "-0.001"},
	} {
		n, _ := new(big.Int).SetString(c.unscaled, 10)
		if got := decimal(n, &format.DecimalType{Scale: c.scale, Precision: c.precision}); got != c.want {
			t.Errorf("%s scale %d: got %v, want %v", c.unscaled, c.scale, got, c.want)
		}
	}
}

// TestParquetDamagedGroup overwrites the pages of one row group: its rows are told
// as lost, all others are read.
func TestParquetDamagedGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	rows := func(yield func(Row, error) bool) {
		for i := range 3 * rowsPerGroup {
			if !yield(Row{Columns: []string{"text", "n"}, Values: vals{"text": fmt.Sprint("row ", i, " ", i*7919), "n": int64(i)}}, nil) {
				return
			}
		}
	}
	if err := WriteRows(path, rows); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.Metadata().RowGroups); n != 3 {
		t.Fatalf("%d row groups, want 3", n)
	}
	at := f.Metadata().RowGroups[1].Columns[0].MetaData.DataPageOffset
	for i := range int64(3000) {
		data[at+i] ^= 0x5a
	}
	got, faults := 0, []*RowError{}
	for row, err := range Open(put(t, "damaged.parquet", string(data)), OpenOptions{}) {
		if err != nil {
			faults = append(faults, asRowError(err))
			continue
		}
		if want := int64(row.Num - 1); row.Values["n"] != want {
			t.Fatalf("row %d holds %v", row.Num, row.Values["n"])
		}
		got++
	}
	if len(faults) != 1 || faults[0].Last != 2*rowsPerGroup || faults[0].Column != "text" {
		t.Fatalf("faults %v", faults)
	}
	if lost := faults[0].lost(); got+lost != 3*rowsPerGroup || got < 2*rowsPerGroup {
		t.Errorf("%d rows read and %d lost", got, lost)
	}
	for _, cut := range []int{0, 3, 11, 100, len(data) / 2, len(data) - 1} {
		if rows, faults := readAll(put(t, "cut.parquet", string(data[:cut])), OpenOptions{}); rows != nil || len(faults) != 1 {
			t.Errorf("cut at %d: %d rows, faults %v", cut, len(rows), faults)
		}
	}
}

// TestParquetEmptyGroups reads files of pyarrow: a table without rows, and one with an
// empty row group in the middle, whose footer gives no place to its pages.
func TestParquetEmptyGroups(t *testing.T) {
	rows, faults := readAll("testdata/no_rows.parquet", OpenOptions{})
	if rows != nil || len(faults) != 1 || !strings.HasSuffix(fmt.Sprint(faults[0]), "no rows in it") {
		t.Errorf("no rows: %v, faults %v", rows, faults)
	}
	rows, faults = readAll("testdata/empty_group.parquet", OpenOptions{})
	if len(rows) != 2 || faults != nil || rows[1]["prompt"] != "c" {
		t.Errorf("rows %v, faults %v", rows, faults)
	}
}

// randomValue makes a value by a type that is fixed by the seed of the column.
func randomValue(typ, r *rand.Rand, depth int) any {
	kind := typ.IntN(9)
	if depth > 3 {
		kind = typ.IntN(6)
	}
	null := r.IntN(4) == 0
	var v any
	switch kind {
	case 0:
		v = r.IntN(2) == 0
	case 1:
		v = r.Int64() >> r.IntN(60)
	case 2:
		v = r.NormFloat64()
	case 3:
		v = []byte{byte(r.IntN(256)), 0xff}
	case 4, 5:
		v = strings.Repeat("é☃x", r.IntN(4))
	case 6, 7: // the element has one type: its seed is drawn once
		s1, s2 := typ.Uint64(), typ.Uint64()
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomValue(rand.New(rand.NewPCG(s1, s2)), r, depth+1))
		}
		v = list
	case 8:
		obj := vals{}
		for _, k := range []string{"b", "a", "c"} {
			s1, s2 := typ.Uint64(), typ.Uint64()
			obj[k] = randomValue(rand.New(rand.NewPCG(s1, s2)), r, depth+1)
		}
		v = obj
	}
	if null {
		return nil
	}
	return v
}

// TestParquetRoundTrip writes random nested rows and reads them back.
func TestParquetRoundTrip(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		var rows []Row
		columns := []string{"z", "y", "x", "w"}
		for range 1 + r.IntN(80) {
			row := Row{Columns: columns, Values: vals{}}
			for i, c := range columns {
				row.Values[c] = randomValue(rand.New(rand.NewPCG(seed, uint64(i))), r, 0)
			}
			rows = append(rows, row)
		}
		path := filepath.Join(t.TempDir(), "r.parquet")
		err := WriteRows(path, func(yield func(Row, error) bool) {
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		i := 0
		for row, err := range Open(path, OpenOptions{}) {
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !reflect.DeepEqual(row.Columns, columns) {
				t.Fatalf("seed %d: columns %v", seed, row.Columns)
			}
			if !reflect.DeepEqual(row.Values, rows[i].Values) {
				t.Fatalf("seed %d row %d:\n got %#v\nwant %#v", seed, i+1, row.Values, rows[i].Values)
			}
			i++
		}
		if i != len(rows) {
			t.Fatalf("seed %d: %d rows, want %d", seed, i, len(rows))
		}
	}
}

func TestMixedColumnIsWrittenAsJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.parquet")
	in := []any{int64(1), "two", []any{"three"}, vals{"four": 4.5}, nil, vals{}}
	err := WriteRows(path, func(yield func(Row, error) bool) {
		for _, v := range in {
			if !yield(Row{Columns: []string{"v", "n"}, Values: vals{"v": v, "n": 1.0}}, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := readAll(path, OpenOptions{})
	for i, want := range in {
		if !reflect.DeepEqual(rows[i]["v"], want) {
			t.Errorf("row %d: got %#v, want %#v", i+1, rows[i]["v"], want)
		}
	}
}

// TestParquetReal reads the same rows from parquet and jsonl.
func TestParquetReal(t *testing.T) {
	a, faultsA := readAll(testkit.SharedData(t, "gsm8k/train.parquet"), OpenOptions{})
	b, faultsB := readAll(testkit.SharedData(t, "gsm8k/train.jsonl"), OpenOptions{})
	if len(a) == 0 || faultsA != nil || faultsB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%d and %d rows, faults %v %v: they should be the same", len(a), len(b), faultsA, faultsB)
	}
}
