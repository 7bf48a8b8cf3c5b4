package corpus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"ftlab/internal/testkit"
)

// checked runs Check on a file and returns the report and its findings as
// "severity: what (count)".
func checked(t *testing.T, path string, opts CheckOptions) (Report, []string) {
	t.Helper()
	rows := Open(path, OpenOptions{})
	m, err := Recognise(rows, Want{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Check(rows, m, opts)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s: %s (%d)", f.Severity, f.What, f.Count))
	}
	return r, out
}

func TestCheck(t *testing.T) {
	chatRow := func(turns ...string) string {
		var b strings.Builder
		for i, turn := range turns {
			role, text, _ := strings.Cut(turn, ":")
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, `{"role":%q,"content":%q}`, role, text)
		}
		return `{"messages":[` + b.String() + "]}\n"
	}
	good := chatRow("user:hi", "assistant:yo") + chatRow("user:one", "assistant:two")
	for _, c := range []struct {
		name, data string
		opts       CheckOptions
		want       []string
	}{
		{"a.jsonl", good, CheckOptions{}, nil},
		{"a.jsonl", good + chatRow("user:alone"), CheckOptions{}, []string{"refused: one-sided: no assistant turn, nothing to train (1)"}},
		{"a.jsonl", good + chatRow("user:q", "assistant: "), CheckOptions{}, []string{"refused: one-sided: all assistant turns are empty (1)", "warning: an empty turn of the assistant (1)"}},
		{"a.jsonl", good + chatRow("user:a", "user:b", "assistant:c"), CheckOptions{}, []string{"warning: two turns of the user in a row (1)"}},
		{"a.jsonl", good + chatRow("user:a", "assistant:b", "user:c"), CheckOptions{}, []string{"warning: does not end with the assistant (1)"}},
		{"a.jsonl", good + chatRow("assistant:a", "user:b", "assistant:c"), CheckOptions{}, []string{"warning: begins with the assistant (1)"}},
		{"a.jsonl", good + chatRow("user:a", "system:s", "assistant:c"), CheckOptions{}, []string{"warning: a system message that is not the first (1)"}},
		{"a.jsonl", good + chatRow("user:HI ", "assistant:  yo"), CheckOptions{}, []string{"warning: the same as an earlier row (1)"}},
		{"a.jsonl", good + "{\"messages\":[]}\n{\n", CheckOptions{}, []string{"refused: an empty list (1)", "refused: cannot be read: broken JSON: it ends in the middle (1)"}},
		{"a.jsonl", `{"prompt":"a","completion":"b"}` + "\n" + `{"prompt":"c","completion":""}`, CheckOptions{}, []string{"refused: one-sided: empty (1)"}},
		{"a.jsonl", `{"text":"cafÃ© is nice"}` + "\n" + `{"text":"b\u0000c"}` + "\n" + `{"text":"d\uFFFDe"}`, CheckOptions{},
			[]string{"warning: wrong encoding: mojibake (1)", "warning: wrong encoding: control characters (1)", "warning: wrong encoding: replacement characters (1)"}},
		{"a.jsonl", `{"text":"a b c d"}` + "\n" + `{"text":"x"}`, CheckOptions{MaxLength: 3}, []string{"note: longer than 3 words: become several sequences (1)"}},
		{"a.jsonl", `{"prompt":"a b","completion":"c d"}` + "\n" + `{"prompt":"x","completion":"y"}`, CheckOptions{MaxLength: 3}, []string{"refused: longer than 3 words: would be cut (1)"}},
		{"a.jsonl", `{"prompt":"a b","completion":"c d"}` + "\n" + `{"prompt":"x","completion":"y"}`, CheckOptions{MaxLength: 3, MaxCut: 0.6}, []string{"warning: longer than 3 words: would be cut (1)"}},
		{"f.csv", "text,label\n" + strings.Repeat("so %d nice,1\n", 9) + "so bad,0\n", CheckOptions{}, []string{"warning: imbalance: 1 9, 0 1 (9)"}},
		{"f.csv", "text,label\nso it is,1\nSo it  is,0\nnot it,0\n", CheckOptions{}, []string{"warning: the same text as an earlier row with another class (1)"}},
	} {
		data := c.data
		for i := 0; strings.Contains(data, "%d"); i++ {
			data = strings.Replace(data, "%d", fmt.Sprint(i), 1)
		}
		r, got := checked(t, put(t, c.name, data), c.opts)
		if !slices.Equal(got, c.want) {
			t.Errorf("%.80s\n got %q\nwant %q", c.data, got, c.want)
		}
		if refused := len(c.want) > 0 && strings.HasPrefix(c.want[0], "refused"); r.Refused() != refused {
			t.Errorf("%.80s: Refused() = %v", c.data, r.Refused())
		}
		for _, f := range r.Findings {
			for _, p := range f.Places {
				if p.File == "" || p.Row == 0 {
					t.Errorf("%.80s: %s has a place without row", c.data, f.What)
				}
			}
		}
	}
}

func TestCheckEncode(t *testing.T) {
	path := put(t, "a.jsonl", `{"prompt":"a","completion":"b"}`+"\n"+`{"prompt":"c","completion":"d"}`)
	encode := func(r Record) (Example, error) {
		if r.Num == 2 {
			return Example{}, &Refusal{Reason: MissingEOS, Detail: "no end", Hint: "add one"}
		}
		return Example{IDs: make([]int32, 5), Cut: 2}, nil
	}
	r, got := checked(t, path, CheckOptions{Encode: encode, Unit: "tokens"})
	if want := []string{"refused: missing EOS (1)"}; !slices.Equal(got, want) || r.Lengths.Max != 7 || r.Lengths.Unit != "tokens" {
		t.Errorf("got %q, lengths %+v", got, r.Lengths)
	}
}

func TestLeakage(t *testing.T) {
	long := "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
	train := put(t, "train.jsonl", `{"prompt":"What is it?","completion":"a"}`+"\n"+fmt.Sprintf(`{"prompt":%q,"completion":"b"}`, long))
	held := put(t, "val.jsonl", `{"prompt":"what  is it?","completion":"z"}`+"\n"+fmt.Sprintf(`{"prompt":%q,"completion":"b"}`, long+" more")+"\n"+`{"prompt":"new","completion":"b"}`)
	r, got := checked(t, train, CheckOptions{Validation: Open(held, OpenOptions{})})
	want := []string{"warning: leakage: a validation row that is in the training data (1)", "warning: leakage: a validation row that is nearly in the training data (1)"}
	if !slices.Equal(got, want) || r.Compared != 3 {
		t.Errorf("got %q after %d rows", got, r.Compared)
	}
}

func TestFinder(t *testing.T) {
	var f Finder
	base := "The quick brown fox jumps over the lazy dog while seven wizards brew a potion of strength in the tall tower by the sea, singing old songs of home"
	if m := f.Add(base); m.Number != -1 {
		t.Errorf("a first text matches %+v", m)
	}
	if m := f.Add("  the QUICK " + base[len("The quick "):]); !m.Exact || m.Number != 0 {
		t.Errorf("case and space: %+v", m)
	}
	if m := f.Add(strings.Replace(base, "songs", "tales", 1)); m.Exact || m.Number != 0 || m.Share < 0.75 {
		t.Errorf("one word changed: %+v", m)
	}
	if m := f.Add("Something else entirely, about boats and the people who build them by hand in the north of the country"); m.Number != -1 {
		t.Errorf("another text: %+v", m)
	}
	sum := "Anna has %d apples and buys %d more at the market before she walks home along the river; how many apples does Anna have now?"
	f.Add(fmt.Sprintf(sum, 3, 4))
	if m := f.Add(fmt.Sprintf(sum, 5, 4)); m.Number != -1 {
		t.Errorf("other numbers make another exercise: %+v", m)
	}
	if m := f.Find(base); !m.Exact {
		t.Errorf("find: %+v", m)
	}
	small := Finder{NearLimit: 1}
	small.Add("a b c d")
	if small.Full() {
		t.Error("one text of one is too many")
	}
	if small.Add("e f g h"); !small.Full() {
		t.Error("the limit is not kept")
	}
	exact := Finder{NearLimit: -1}
	exact.Add(base)
	if m := exact.Add(strings.Replace(base, "songs", "tales", 1)); m.Number != -1 || !exact.Find(base).Exact {
		t.Errorf("equal ones only: %+v", m)
	}
}

func TestLengths(t *testing.T) {
	var l Lengths
	for i := 1; i <= 100; i++ {
		l.add(i)
	}
	l.add(5000)
	l.settle("words")
	if l.Min != 1 || l.Max != 5000 || l.Median != 51 || l.P90 != 91 || l.P99 != 100 {
		t.Errorf("%+v", l)
	}
	n := 0
	for i, b := range l.Bins {
		n += b.Count
		if b.From > b.To || i > 0 && b.From != l.Bins[i-1].To+1 {
			t.Errorf("bins do not touch: %+v", l.Bins)
		}
	}
	if n != 101 {
		t.Errorf("the bins hold %d of 101", n)
	}
}

// TestCheckAllMended: a file in another encoding has no whole row, and still a report.
func TestCheckAllMended(t *testing.T) {
	rows := Open(put(t, "latin1.jsonl", strings.Repeat("{\"prompt\":\"caf\xe9\",\"completion\":\"o\xf9\"}\n", 7)), OpenOptions{})
	m, err := Recognise(rows, Want{})
	if err != nil || m.Form != "prompt-completion" || m.Rows != 7 || m.Broken != 7 || m.Fits != 0 || m.Misfits != 0 {
		t.Fatalf("%v: %+v", err, m)
	}
	r, err := Check(rows, m, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Findings[0]; r.Rows != 7 || len(r.Findings) != 2 || f.Severity != Refused || f.What != "not valid UTF-8" || f.Column != "prompt" || f.Count != 7 {
		t.Errorf("%d rows, first finding %+v", r.Rows, f)
	}
}

func TestSplit(t *testing.T) {
	hashes := func(from, n int) (h []uint64) {
		for i := range n {
			h = append(h, SplitHash(fmt.Sprint("row ", from+i), 42))
		}
		return h
	}
	count := func(sides []bool) (n int) {
		for _, s := range sides {
			if s {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		n    int
		part float64
		want int
	}{{20000, 0.1, 2000}, {101, 0.1, 10}, {4, 0.1, 1}, {2, 0.9, 1}, {1, 0.1, 0}, {0, 0.1, 0}, {10, 0, 0}, {10, 1, 10}, {10, 0.99, 9}} {
		if got := count(Split(hashes(0, c.n), c.part)); got != c.want {
			t.Errorf("%g of %d rows: %d are validation, want %d", c.part, c.n, got, c.want)
		}
	}
	all := hashes(0, 1000)
	small, large := Split(all, 0.1), Split(all, 0.2)
	slices.Reverse(all)
	turned := Split(all, 0.1)
	more := Split(append(hashes(0, 1000), hashes(1000, 10)...), 0.1)
	moved := 0
	for i, s := range small {
		if s && !large[i] {
			t.Fatal("a larger fraction must keep what a smaller one took")
		}
		if s != turned[len(turned)-1-i] {
			t.Fatal("the side of a row depends on the order")
		}
		if s != more[i] {
			moved++
		}
	}
	if moved > 10 {
		t.Errorf("10 new rows move %d others", moved)
	}
	twice := append(hashes(0, 50), hashes(0, 50)...)
	for i, s := range Split(twice, 0.11) {
		if s != Split(twice, 0.11)[(i+50)%100] {
			t.Fatal("equal rows stand on both sides")
		}
	}
	// The side of a row is part of what is promised: it must not change.
	if a, b := SplitHash("a", 42), SplitHash("a", 43); a != splitPromise || a == b {
		t.Errorf("hash %d (with another seed %d), want %d", a, b, uint64(splitPromise))
	}
}

const splitPromise = 14639002321611380908

func TestWriteSplit(t *testing.T) {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "{\"question\":\"Q%d?\",\"answer\":\"a%d\",\"n\":%d}\n", i%200, i, i) // each question twice
	}
	b.WriteString("{broken\n")
	path := put(t, "a.jsonl", b.String())
	rows := Open(path, OpenOptions{})
	m, err := Recognise(rows, Want{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, ext := range []string{".parquet", ".jsonl"} {
		train, held := dir+"/train"+ext, dir+"/validation"+ext
		res, err := WriteSplit(rows, m, 0.2, 1, train, held)
		if err != nil {
			t.Fatal(err)
		}
		if res.Train+res.Held != 400 || res.Broken != 1 || res.Held != 80 {
			t.Errorf("%+v", res)
		}
		side := map[string]string{}
		n := 0
		for _, f := range []string{train, held} {
			for row, err := range Open(f, OpenOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				q := row.Values["question"].(string)
				if was := side[q]; was != "" && was != f {
					t.Errorf("%s stands on both sides", q)
				}
				side[q] = f
				n++
				if !slices.Equal(row.Columns, []string{"question", "answer", "n"}) {
					t.Errorf("columns %v", row.Columns)
				}
			}
		}
		if n != 400 {
			t.Errorf("%d rows written", n)
		}
	}
	same := Open(put(t, "b.jsonl", strings.Repeat("{\"question\":\"Q?\",\"answer\":\"a\"}\n", 9)), OpenOptions{})
	if _, err := WriteSplit(same, m, 0.5, 1, dir+"/t.jsonl", dir+"/v.jsonl"); err == nil || !strings.Contains(err.Error(), "falls to this side") {
		t.Errorf("an empty side: %v", err)
	}
}

func TestRealLeakage(t *testing.T) {
	rows := Open(testkit.SharedData(t, "gsm8k/train.parquet"), OpenOptions{})
	m, err := Recognise(rows, Want{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Check(rows, m, CheckOptions{Validation: Open(testkit.SharedData(t, "gsm8k/test.parquet"), OpenOptions{})})
	if err != nil || r.Refused() || r.Compared != 1319 || r.Records != 7473 {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestClassNames: parquet files of the hub name their classes in the metadata.
func TestClassNames(t *testing.T) {
	type row struct {
		Text  string `parquet:"text"`
		Label int64  `parquet:"label"`
	}
	path := filepath.Join(t.TempDir(), "x.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[row](f, parquet.KeyValueMetadata("huggingface", `{"info":{"features":{"label":{"names":["neg","pos"],"_type":"ClassLabel"},"text":{"dtype":"string","_type":"Value"}}}}`))
	if _, err := w.Write([]row{{"It is good", 1}, {"It is bad", 0}, {"So it is", 1}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for want, columns := range map[string]map[string]string{" pos": nil, " yes": {"label.1": "yes"}} {
		m, recs, err := Read(path, OpenOptions{}, Want{Columns: columns})
		if err != nil || m.Labels["0"] != "neg" {
			t.Fatalf("%v %v", m.Labels, err)
		}
		for rec := range recs {
			if rec.Completion.Text != want {
				t.Errorf("class 1 is %q, want %q", rec.Completion.Text, want)
			}
			break
		}
	}
}

func TestDescribe(t *testing.T) {
	s := Describe(Open(put(t, "a.jsonl", `{"a":"Das ist nicht der Weg und auch nicht die Lösung für uns","n":3,"l":[{"k":"x"},{"k":"yy"}]}`+"\n"+`{"a":"","n":2.5,"z":true}`+"\n{"), OpenOptions{}))
	if s.Rows != 3 || s.Broken != 1 || s.Charset != "Latin-1" || len(s.Langs) != 1 || s.Langs[0].Name != "German" {
		t.Errorf("%+v", s)
	}
	got := map[string]string{}
	for _, c := range s.Columns {
		got[c.Name] = fmt.Sprintf("%d %d %g %g %d", c.Null, c.Empty, c.Min, c.Max, c.Distinct)
	}
	for name, want := range map[string]string{"a": "0 1 0 55 2", "n": "0 0 2.5 3 2", "l": "1 0 2 2 0", "l[].k": "0 0 1 2 2", "z": "1 0 0 0 1"} {
		if got[name] != want {
			t.Errorf("%s: null, empty, min, max, distinct %s, want %s", name, got[name], want)
		}
	}
}
