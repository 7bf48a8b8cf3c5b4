package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestConvertRoundTrip writes every form with canonical columns, to both formats,
// and reads back records of the same meaning.
func TestConvertRoundTrip(t *testing.T) {
	for i, c := range formCases {
		path := put(t, c.name, c.data)
		rows := Open(path, OpenOptions{})
		m, err := Recognise(rows, Want{})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for row := range rows {
			recs, err := Records(row, m)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range recs {
				r.Prompt = Content{Text: r.Prompt.Plain()}
				if r.Kind == KindReasoning { // prompt and problem say the same
					r.Prompt = Content{}
				}
				want = append(want, strings.TrimSpace(brief(r)))
			}
		}
		exts := []string{".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst"}
		if i > 3 {
			exts = exts[:2] // the packing knows nothing of forms
		}
		for _, ext := range exts {
			out := filepath.Join(t.TempDir(), "out"+ext)
			res, err := Convert(rows, m, "", out)
			if err != nil || res.Records != len(want) || res.Left != 0 {
				t.Fatalf("%d %s%s: %+v, %v", i, c.form, ext, res, err)
			}
			m2, recs, err := Read(out, OpenOptions{}, Want{})
			if err != nil || m2.Kind != m.Kind {
				t.Fatalf("%d %s%s: read back as %s: %v", i, c.form, ext, m2.Kind, err)
			}
			var got []string
			for r, err := range recs {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, brief(r))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d %s%s:\n got %q\nwant %q", i, c.form, ext, got, want)
			}
		}
	}
}

func TestTo(t *testing.T) {
	yes, no := true, false
	text := func(s string) Content { return Content{Text: s} }
	pref := Record{Kind: KindPreference, Prompt: text("Q"), Chosen: text("A"), Rejected: text("B")}
	reason := Record{Kind: KindReasoning, Problem: "P", Rationale: "R", Answer: "7", Correct: &yes}
	wrong := reason
	wrong.Correct = &no
	boxed := Record{Kind: KindReasoning, Problem: "P", Rationale: `R \boxed{7}`, Answer: "7"}
	rank := Record{Kind: KindRanking, Prompt: text("Q"), Responses: []Response{{"a", 1}, {"b", 2}, {"c", 3}}}
	steps := Record{Kind: KindSteps, Problem: "P", Steps: []Step{{"one", 1}, {"two", 0.9}}}
	code := Record{Kind: KindCode, Problem: "P", Rationale: "R", Code: "x\n"}
	human := Record{Kind: KindCode, Problem: "def f():\n", Code: "  return\n", Tests: map[string]any{"entry_point": "f"}}
	for _, c := range []struct {
		rec  Record
		kind Kind
		want []string
	}{
		{pref, KindChat, []string{`user="Q" assistant="A"`}},
		{pref, KindUnpaired, []string{`prompt="Q" completion="A" label=true`, `prompt="Q" completion="B" label=false`}},
		{pref, KindPrompt, []string{`prompt="Q"`}},
		{reason, KindCompletion, []string{`prompt="P" completion="\nR\n#### 7"`}},
		{reason, KindChat, []string{`user="P" assistant="R\n#### 7"`}},
		{boxed, KindChat, []string{`user="P" assistant="R \\boxed{7}"`}},
		{wrong, KindUnpaired, []string{`prompt="P" completion="R\n#### 7" label=false`}},
		{rank, KindPreference, []string{`prompt="Q" chosen="a" rejected="b" margin=1`, `prompt="Q" chosen="a" rejected="c" margin=2`, `prompt="Q" chosen="b" rejected="c" margin=1`}},
		{steps, KindText, nil},
		{steps, KindChat, []string{`user="P" assistant="one\ntwo"`}},
		{code, KindChat, []string{"user=\"P\" assistant=\"R\\n\\n```\\nx\\n```\""}},
		{human, KindText, []string{`text="def f():\n  return\n"`}},
		{wrong, KindChat, nil},
		{Record{Kind: KindText, Text: "x"}, KindChat, nil},
	} {
		recs, err := To(c.rec, c.kind)
		var got []string
		for _, r := range recs {
			if r.Kind != c.kind {
				t.Errorf("%s to %s gives %s", c.rec.Kind, c.kind, r.Kind)
			}
			got = append(got, brief(r))
		}
		if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s to %s:\n got %q, %v\nwant %q", c.rec.Kind, c.kind, got, err, c.want)
		}
	}
}

func TestConvertSaysWhatIsLeftOut(t *testing.T) {
	path := put(t, "a.jsonl", `{"problem":"P","reasoning":"R","answer":"1","is_correct":true}`+"\n"+`{"problem":"P","reasoning":"R","answer":"2","is_correct":false}`+"\n{\n")
	rows := Open(path, OpenOptions{})
	m, err := Recognise(rows, Want{})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "o.jsonl")
	res, err := Convert(rows, m, KindChat, out)
	if err != nil || res.Records != 1 || res.Left != 2 || len(res.Reasons) != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := Convert(rows, m, KindPreference, out); err == nil || !strings.Contains(err.Error(), "it can become chat") {
		t.Errorf("got %v", err)
	}
}

// TestWriteIsAtomic: a writing that fails leaves the old file and nothing else.
func TestWriteIsAtomic(t *testing.T) {
	for _, ext := range []string{".jsonl", ".parquet"} {
		path := put(t, "x"+ext, "old")
		fault := errors.New("stop")
		n := 0
		err := WriteRows(path, func(yield func(Row, error) bool) {
			n++
			if !yield(Row{Columns: []string{"a"}, Values: vals{"a": "b"}}, nil) {
				return
			}
			if ext == ".jsonl" || n == 2 { // parquet ranges over the rows once before it writes
				yield(Row{}, fault)
			}
		})
		if !errors.Is(err, fault) {
			t.Errorf("%s: got %v", ext, err)
		}
		data, _ := os.ReadFile(path)
		entries, _ := os.ReadDir(filepath.Dir(path))
		if string(data) != "old" || len(entries) != 1 {
			t.Errorf("%s: holds %q beside %d files", ext, data, len(entries)-1)
		}
	}
	if err := WriteRows(filepath.Join(t.TempDir(), "x.csv"), Open(put(t, "a.jsonl", `{"a":1}`), OpenOptions{})); err == nil {
		t.Error("csv was written")
	}
}

func TestJSONLineKeepsOrderAndCharacters(t *testing.T) {
	var buf bytes.Buffer
	row := Row{Columns: []string{"z", "a"}, Values: vals{"z": "<b> é \u2028", "a": []any{int64(9007199254740993), nil}}}
	if err := jsonLine(&buf, row); err != nil {
		t.Fatal(err)
	}
	if want := "{\"z\": \"<b> é \\u2028\", \"a\": [9007199254740993,null]}\n"; buf.String() != want {
		t.Errorf("got %s", buf.String())
	}
	back, rerr := jsonRow("f", 1, bytes.TrimSpace(buf.Bytes()))
	if rerr != nil || !reflect.DeepEqual(back.Values, row.Values) || !reflect.DeepEqual(back.Columns, row.Columns) {
		t.Errorf("back %v %v", back, rerr)
	}
}

// fuzzFormats are read by the fuzz tests under every name.
var fuzzFormats = []string{"a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet"}

// readEverything drives a file through all of the package and fails when a row is
// dropped without a word. It must never panic.
func readEverything(t *testing.T, path string) {
	rows := Open(path, OpenOptions{})
	n := 0
	for row, err := range rows {
		if n++; n > 5000 {
			break
		}
		if err == nil && row.Values == nil {
			t.Fatalf("row %d has neither values nor an error", row.Num)
		}
		if err != nil {
			re := asRowError(err)
			if re.File == "" || re.What == "" || strings.Contains(re.Error(), "\n") {
				t.Fatalf("an error without file or words: %q", err)
			}
			if strings.Contains(re.What, "unreadable from here on") {
				t.Fatalf("a reader panicked: %v", err)
			}
		}
	}
	if n == 0 {
		t.Fatal("neither a row nor an error")
	}
	m, err := Recognise(rows, Want{})
	if err != nil {
		return
	}
	if m.Fits+m.Misfits+m.Broken != m.Rows {
		t.Fatalf("%d + %d + %d rows of %d", m.Fits, m.Misfits, m.Broken, m.Rows)
	}
	if _, err := Check(rows, m, CheckOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(Describe(rows)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.parquet")
	if res, err := Convert(rows, m, "", out); err == nil {
		back := 0
		for _, err := range Open(out, OpenOptions{}) {
			if err != nil {
				t.Fatalf("what was written does not read: %v", err)
			}
			back++
		}
		if back != res.Records {
			t.Fatalf("%d records written, %d read", res.Records, back)
		}
	}
}

func FuzzReaders(f *testing.F) {
	for _, c := range formCases {
		f.Add([]byte(c.data), uint8(slices.Index(fuzzFormats, c.name)))
	}
	f.Add([]byte("\x1f\x8b\x08\x00"), uint8(0))
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"), uint8(5))
	f.Add([]byte("\xff\xfea\x00"), uint8(2))
	f.Add([]byte(`{"messages":[null,{"role":1}],"chosen":{},"rejected":[[]]}`), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		name := fuzzFormats[int(kind)%len(fuzzFormats)]
		readEverything(t, put(t, name, string(data)))
	})
}

// TestDamagedFiles flips and cuts bytes of real small files in every format, the
// same way in every run.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	var samples []string
	for i, c := range formCases[:12] {
		path := put(t, c.name, c.data)
		samples = append(samples, path)
		m, err := Recognise(Open(path, OpenOptions{}), Want{})
		if err != nil {
			t.Fatal(err)
		}
		for _, ext := range []string{".parquet", ".jsonl.gz", ".jsonl.zst"} {
			out := filepath.Join(dir, fmt.Sprint(i, ext))
			if _, err := Convert(Open(path, OpenOptions{}), m, "", out); err != nil {
				t.Fatal(err)
			}
			samples = append(samples, out)
		}
	}
	state := uint64(1)
	next := func(n int) int {
		state = mix(state + 0x9e3779b97f4a7c15)
		return int(state % uint64(n))
	}
	for _, path := range samples {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 8 {
			bad := bytes.Clone(data)
			for range 1 + round/2 {
				bad[next(len(bad))] ^= byte(1 << next(8))
			}
			if round%4 == 3 {
				bad = bad[:next(len(bad))]
			}
			readEverything(t, put(t, filepath.Base(path), string(bad)))
		}
	}
}
