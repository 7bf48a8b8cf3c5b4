package corpus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/unicode"
)

// put writes a file below a fresh folder and returns its path.
func put(t testing.TB, name string, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads rows as values, and errors as "row N column C: reason".
func readAll(path string, opts OpenOptions) (rows []map[string]any, faults []string) {
	for row, err := range Open(path, opts) {
		if err != nil {
			re := asRowError(err)
			faults = append(faults, fmt.Sprintf("%d %s: %s", re.Row, re.Column, re.Reason()))
		}
		if row.Values != nil {
			rows = append(rows, row.Values)
		}
	}
	return rows, faults
}

func packed(t testing.TB, name, data string) string {
	var buf bytes.Buffer
	switch filepath.Ext(name) {
	case ".gz":
		z := gzip.NewWriter(&buf)
		z.Write([]byte(data))
		z.Close()
	case ".zst":
		z, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		z.Write([]byte(data))
		z.Close()
	default:
		return data
	}
	return buf.String()
}

// row is a shorthand for values.
type vals = map[string]any

func TestOpen(t *testing.T) {
	utf16, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("q,a\nä,ö\n")
	for _, c := range []struct {
		name, data string
		want       []vals
		faults     []string
	}{
		{"a.jsonl", "{\"a\":1,\"b\":[true,null,{\"c\":2.5}]}\n\n{\"a\":\"x\"}", []vals{{"a": int64(1), "b": []any{true, nil, vals{"c": 2.5}}}, {"a": "x"}}, nil},
		{"crlf.jsonl", "{\"a\":1}\r\n{\"a\":2}\r\n", []vals{{"a": int64(1)}, {"a": int64(2)}}, nil},
		{"bom.jsonl.gz", "\ufeff{\"a\":1}", []vals{{"a": int64(1)}}, nil},
		{"big.jsonl.zst", `{"n":9007199254740993,"f":1e400,"g":12345678901234567890}`, []vals{{"n": int64(9007199254740993), "f": "1e400", "g": 1.2345678901234567e19}}, nil},
		{"broken.jsonl", "{\"a\":1}\n{\"a\":\n[1]\n{\"a\":1} x\n{\"a\":2,\"a\":3}\n7\n{\"a\":4}\n", []vals{{"a": int64(1)}, {"a": int64(4)}},
			[]string{"2 a: broken JSON: it ends in the middle", "3 : a JSON object is expected, here is a list", "4 : more text after the JSON object", "5 a: the key stands there twice", "6 : a JSON object is expected, here is the number 7"}},
		{"latin1.jsonl", "{\"a\":\"caf\xe9\",\"b\":\"ok\"}\n", []vals{{"a": "caf\uFFFD", "b": "ok"}}, []string{"1 a: not valid UTF-8"}},

		{"list.json", `[{"a":1}, {"a":2}]`, []vals{{"a": int64(1)}, {"a": int64(2)}}, nil},
		{"nested.json", `{"version": 3, "data": [{"a": 1}], "licence": "x"}`, []vals{{"a": int64(1)}}, nil},
		{"two.json", `{"a": [{"x": 1}], "b": [{"x": 2}]}`, []vals{{"x": int64(1)}}, []string{`0 b: a second list of rows is left out (read: "a")`}},
		{"splits.json", `{"test": [{"a": 1}], "train": [{"a": 2}]}`, []vals{{"a": int64(2)}}, nil},
		{"testonly.json", `{"test": [{"a": 1}]}`, []vals{{"a": int64(1)}}, nil},
		{"one.json", `{"messages": [{"role": "user", "content": "hi"}]}`, []vals{{"messages": []any{vals{"role": "user", "content": "hi"}}}}, nil},
		{"several.json", "{\n \"a\": 1\n}\n{\n \"a\": 2\n}", []vals{{"a": int64(1)}, {"a": int64(2)}}, nil},
		{"lines.json", "{\"a\":1}\n{\"a\":2}\n", []vals{{"a": int64(1)}, {"a": int64(2)}}, nil},
		{"cut.json", `[{"a":1},{"a":`, []vals{{"a": int64(1)}}, []string{"2 : broken JSON: it ends in the middle"}},
		{"unclosed.json", `[{"a":1}`, []vals{{"a": int64(1)}}, []string{"2 : broken JSON: it ends in the middle"}},
		{"mixed.json", `[{"a":1}, 5, {"a":2}]`, []vals{{"a": int64(1)}, {"a": int64(2)}}, []string{"2 : a JSON object is expected, here is the number 5"}},
		{"latin1.json", "[{\"a\":\"\xe9\"},{\"a\":\"b\"}]", []vals{{"a": "\uFFFD"}, {"a": "b"}}, []string{"1 a: not valid UTF-8"}},

		{"h.csv", "q,a\n\"x, \"\"y\"\"\nz\",1\n", []vals{{"q": "x, \"y\"\nz", "a": "1"}}, nil},
		{"semi.csv", "prompt;completion\na,b;c\n", []vals{{"prompt": "a,b", "completion": "c"}}, nil},
		{"bom.csv", "\ufefftext,label\na b,0\n", []vals{{"text": "a b", "label": "0"}}, nil},
		{"utf16.csv", utf16, []vals{{"q": "ä", "a": "ö"}}, nil},
		{"ragged.csv", "text,label\na,1\nb,2,3\nc\nd,4\n", []vals{{"text": "a", "label": "1"}, {"text": "d", "label": "4"}}, []string{"2 : 3 values, 2 columns", "3 : 1 values, 2 columns"}},
		{"nohead.csv", "I like it a lot.,1\nI do not.,0\n", []vals{{"column_1": "I like it a lot.", "column_2": "1"}, {"column_1": "I do not.", "column_2": "0"}}, nil},
		{"twice.csv", "text,text\na,b\n", []vals{{"text": "a", "text_2": "b"}}, nil},
		{"quotes.tsv", "\"A\" was good\t1\nnot \"so\" bad\t0\n", []vals{{"column_1": "\"A\" was good", "column_2": "1"}, {"column_1": "not \"so\" bad", "column_2": "0"}}, nil},
		{"excel.tsv", "text\tlabel\n\"two\nlines\"\t1\n", []vals{{"text": "two\nlines", "label": "1"}}, nil},
		{"bare.jsonl", "[{\"role\":\"user\",\"content\":\"a\"}]\n[{\"role\":\"user\"},3]\n[]\n[{\"from\":\"human\",\"value\":\"b\"}\n",
			[]vals{{"messages": []any{vals{"role": "user", "content": "a"}}}},
			[]string{"2 : a JSON object is expected, here is a list", "3 : a JSON object is expected, here is a list", "4 : broken JSON: it ends in the middle"}},
		{"open.csv", "text,label\n\"a,1\nc,2\n\nd,3\n", []vals{{"text": "c", "label": "2"}, {"text": "d", "label": "3"}}, []string{"1 : broken quoting: extraneous or missing \" in quoted-field"}},
		{"open2.csv", "text,label\n\n\"a,1\nc,2\n\"d\",3\n\"e,4\n\"f\ng\",5\n", []vals{{"text": "c", "label": "2"}, {"text": "d", "label": "3"}, {"text": "f\ng", "label": "5"}},
			[]string{"1 : broken quoting: extraneous or missing \" in quoted-field", "4 : broken quoting: extraneous or missing \" in quoted-field"}},
		{"badquote.csv", "text,label\na\"b,1\nc,2\n", []vals{{"text": "c", "label": "2"}}, []string{"1 : broken quoting: bare \" in non-quoted-field"}},

		{"blank.txt", "a\nb\n\n\n c\n\n", []vals{{"text": "a\nb"}, {"text": " c"}}, nil},
		{"eot.txt", "a\n\nb\n<|endoftext|>\nc<|endoftext|>d", []vals{{"text": "a\n\nb"}, {"text": "c"}, {"text": "d"}}, nil},
		{"table.txt", "So good.\t1\nSo bad.\t0\n", []vals{{"column_1": "So good.", "column_2": "1"}, {"column_1": "So bad.", "column_2": "0"}}, nil},
		{"empty.txt", " \n\n", nil, []string{"0 : no rows in it"}},
		{"empty.jsonl", "", nil, []string{"0 : no rows in it"}},
		{"zip.jsonl", "PK\x03\x04xxxx", nil, []string{"0 : a zip archive"}},
		{"nogzip.jsonl", "\x1f\x8b\x00\x00", nil, []string{"0 : broken gzip header: unexpected EOF"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := put(t, c.name, packed(t, c.name, c.data))
			rows, faults := readAll(path, OpenOptions{})
			if !reflect.DeepEqual(rows, c.want) {
				t.Errorf("rows\n got %v\nwant %v", rows, c.want)
			}
			if !reflect.DeepEqual(faults, c.faults) {
				t.Errorf("faults\n got %q\nwant %q", faults, c.faults)
			}
		})
	}
}

func TestCutGzipKeepsTheRowsBefore(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "{\"text\":\"row %d %d\"}\n", i, i*i*7919)
	}
	data := packed(t, "x.jsonl.gz", b.String())
	rows, faults := readAll(put(t, "x.jsonl.gz", data[:len(data)/2]), OpenOptions{})
	if len(rows) < 1000 || len(rows) >= 5000 {
		t.Errorf("%d rows before the cut", len(rows))
	}
	if want := fmt.Sprintf("%d : the packed file ends in the middle: unexpected EOF", len(rows)+1); len(faults) != 1 || faults[0] != want {
		t.Errorf("faults %q, want %q", faults, want)
	}
}

func TestRowNumbersAreLines(t *testing.T) {
	path := put(t, "a.jsonl", "\n{\"a\":1}\n\n{\"a\":2}\n")
	var nums []int
	for row := range Open(path, OpenOptions{}) {
		nums = append(nums, row.Num)
	}
	if !reflect.DeepEqual(nums, []int{2, 4}) {
		t.Errorf("rows %v, want lines 2 and 4", nums)
	}
}

func TestLimitAndRepeat(t *testing.T) {
	path := put(t, "a.jsonl", strings.Repeat("{\"a\":1}\n", 10))
	rows := Open(path, OpenOptions{Limit: 4})
	for range 2 { // a sequence may be ranged over again
		n := 0
		for range rows {
			n++
		}
		if n != 4 {
			t.Errorf("%d rows, want 4", n)
		}
	}
}

func TestErrorText(t *testing.T) {
	err := &RowError{File: "reviews.parquet", Row: 812, Column: "output", What: "empty", Hint: "see ft data check"}
	if got, want := err.Error(), `corpus: reviews.parquet row 812, column "output": empty; see ft data check`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	cause := errors.New("why")
	if wrapped := (&RowError{File: "f", What: "bad", Err: cause}); !errors.Is(wrapped, cause) || wrapped.Error() != "corpus: f: bad: why" {
		t.Errorf("got %v", wrapped)
	}
}

func TestConsumerPanicIsNotSwallowed(t *testing.T) {
	path := put(t, "a.jsonl", "{\"a\":1}\n{\"a\":2}\n")
	defer func() {
		if recover() != "mine" {
			t.Error("a panic in the loop body was turned into something else")
		}
	}()
	for range Open(path, OpenOptions{}) {
		panic("mine")
	}
}
