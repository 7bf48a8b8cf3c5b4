package corpus

import (
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// TestRecogniseLooksAtAllRows has rows of one form behind a thousand of which the
// first alone would say something else.
func TestRecogniseLooksAtAllRows(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"question":"q0","answer":"plain"}` + "\n")
	for i := range 1500 {
		fmt.Fprintf(&b, "{\"question\":\"q%d\",\"answer\":\"so\\n#### %d\"}\n", i, i)
	}
	b.WriteString(`{"question":"q0"}` + "\n{broken\n")
	m, err := Recognise(Open(put(t, "a.jsonl", b.String()), OpenOptions{}), Want{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Form != "gsm8k" || m.Rows != 1503 || m.Fits != 1500 || m.Misfits != 2 || m.Broken != 1 {
		t.Errorf("%s: %d rows, %d fit, %d do not, %d broken", m.Form, m.Rows, m.Fits, m.Misfits, m.Broken)
	}
	total := 0
	for _, r := range m.Reasons {
		total += r.Count
		if r.File == "" || r.Row == 0 {
			t.Errorf("reason without a place: %+v", r)
		}
	}
	if total != m.Misfits+m.Broken {
		t.Errorf("reasons count %d rows, want %d", total, m.Misfits+m.Broken)
	}
	if len(m.Others) == 0 || m.Others[0].Form != "instruction" {
		t.Errorf("alternatives %+v", m.Others)
	}
}

func TestRecogniseColumnThatComesLate(t *testing.T) {
	data := strings.Repeat("{\"instruction\":\"a\",\"output\":\"b\"}\n", 50) + `{"instruction":"a","input":"x","output":"b"}`
	m, err := Recognise(Open(put(t, "a.jsonl", data), OpenOptions{}), Want{})
	if err != nil || m.Columns["input"] != "input" || m.Fits != 51 {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestRecogniseTurnsUnderOtherNames: messages without an object around them, roles beside
// values, and inputs with targets.
func TestRecogniseTurnsUnderOtherNames(t *testing.T) {
	for data, form := range map[string]string{
		`[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]`:              "messages",
		`{"conversation":[{"role":"user","value":"a"},{"role":"assistant","value":"b"}]}`: "sharegpt",
		`{"dialog":[{"speaker":"user","text":"a"},{"speaker":"bot","text":"b"}]}`:         "sharegpt",
		`{"inputs":"a","targets":"b"}`:                                                    "instruction",
	} {
		m, recs, err := Read(put(t, "a.jsonl", data+"\n"), OpenOptions{}, Want{})
		if err != nil || m.Form != form || m.Fits != 1 {
			t.Errorf("%s: %v, %+v", data, err, m)
			continue
		}
		for rec, err := range recs {
			if err != nil || len(rec.Messages) != 2 || rec.Messages[0].Content != "a" || rec.Messages[1].Role != "assistant" || rec.Messages[1].Content != "b" {
				t.Errorf("%s: %v, %+v", data, err, rec)
			}
		}
	}
}

// TestListsInSeparatedValues: lists stand as JSON in the values of a csv file.
func TestListsInSeparatedValues(t *testing.T) {
	for data, form := range map[string]string{
		"id,messages\n1,\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"a\"\"},{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"b\"\"}]\"\n": "messages",
		"problem,steps\np q,\"[{\"\"step\"\":\"\"a\"\",\"\"reward\"\":1},{\"\"step\"\":\"\"b\"\",\"\"reward\"\":-1}]\"\n":                         "steps",
		"prompt,completion\na b,[1]\n": "prompt-completion",
	} {
		m, err := Recognise(Open(put(t, "a.csv", data), OpenOptions{}), Want{})
		if err != nil || m.Form != form || m.Fits != 1 {
			t.Errorf("%s: %v, %+v", data, err, m)
		}
	}
}

// TestMissingAnswersAreNoPromptData: where half of the answers are missing the rows
// are not taken for prompts without an answer.
func TestMissingAnswersAreNoPromptData(t *testing.T) {
	data := strings.Repeat("{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"a\"}\n", 5)
	m, err := Recognise(Open(put(t, "a.jsonl", data), OpenOptions{}), Want{})
	if err != nil || m.Form != "prompt-completion" || m.Misfits != 5 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRecogniseNeedsRepeatableRows(t *testing.T) {
	done := false
	once := func(yield func(Row, error) bool) {
		if !done {
			done = true
			yield(Row{Num: 1, Columns: []string{"text"}, Values: vals{"text": "x"}}, nil)
		}
	}
	if _, err := Recognise(once, Want{}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"data/train-00001-of-00002.jsonl", "data/train-00000-of-00002.jsonl", "data/test.jsonl", "README.md", "LICENSE", ".hidden.jsonl", "dataset_infos.json"} {
		write(t, filepath.Join(dir, name), "{\"text\":\""+filepath.Base(name)+"\"}\n")
	}
	base := func(files []File) (out []string) {
		for _, f := range files {
			out = append(out, filepath.Base(f.Path))
		}
		return out
	}
	for _, c := range []struct {
		path, split string
		files, left []string
	}{
		{dir, "", []string{"train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"}, []string{"test.jsonl"}},
		{dir, "test", []string{"test.jsonl"}, []string{"train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"}},
		{dir, "all", []string{"test.jsonl", "train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"}, nil},
		{filepath.Join(dir, "data", "train-*"), "", []string{"train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"}, nil},
		{filepath.Join(dir, "data", "test.jsonl"), "train", []string{"test.jsonl"}, nil},
	} {
		src, err := Resolve(c.path, OpenOptions{Split: c.split})
		if err != nil || !reflect.DeepEqual(base(src.Files), c.files) || !reflect.DeepEqual(base(src.Left), c.left) {
			t.Errorf("%s %q: %v left %v, %v", c.path, c.split, base(src.Files), base(src.Left), err)
		}
	}
	write(t, filepath.Join(dir, "data", "train.csv"), "text\nx\n")
	write(t, filepath.Join(dir, "README.md"), "# Data\n")
	for _, c := range []struct{ path, split, want string }{
		{dir, "", "files of several formats: csv (train.csv), jsonl (train-00000-of-00002.jsonl)"},
		{dir, "validation", `no file of split "validation"; splits found by name: test, train`},
		{filepath.Join(dir, "nothing"), "", "no such file or directory"},
		{filepath.Join(dir, "data", "train"), "", "there is train-00000-of-00002.jsonl"},
		{filepath.Join(dir, "*.parquet"), "", "no file matches"},
		{filepath.Join(dir, "README.md"), "", "not a data file by its name"},
		{t.TempDir(), "", "no data files in this directory"},
	} {
		if _, err := Resolve(c.path, OpenOptions{Split: c.split}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.path, err, c.want)
		}
	}
}

func TestHubCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	t.Setenv("HF_HUB_OFFLINE", "1")
	repo := filepath.Join(cache, "datasets--owner--name")
	write(t, filepath.Join(repo, "refs", "main"), "abc123\n")
	write(t, filepath.Join(repo, "snapshots", "abc123", "data", "train.jsonl"), `{"text":"new"}`)
	write(t, filepath.Join(repo, "snapshots", "old", "data", "train.jsonl"), `{"text":"old"}`)
	for path, want := range map[string]string{"owner/name": "new", "owner/name@old": "old"} {
		rows, faults := readAll(path, OpenOptions{})
		if faults != nil || len(rows) != 1 || rows[0]["text"] != want {
			t.Errorf("%s: %v %v", path, rows, faults)
		}
	}
	write(t, filepath.Join(cache, "datasets--o--n", "snapshots", "x", "en", "train.jsonl"), `{"text":"en"}`)
	write(t, filepath.Join(cache, "datasets--o--n", "snapshots", "x", "de", "train.jsonl"), `{"text":"de"}`)
	if rows, faults := readAll("o/n:de", OpenOptions{}); faults != nil || rows[0]["text"] != "de" {
		t.Errorf("configuration: %v %v", rows, faults)
	}
	for path, want := range map[string]string{
		"o/n":        "one of: de, en",
		"some/other": "working offline",
	} {
		if _, err := Resolve(path, OpenOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := atomically(path, func(w io.Writer) error {
		_, err := w.Write([]byte(data))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRealFiles recognises every real data set.
func TestRealFiles(t *testing.T) {
	for _, c := range []struct {
		path, form string
		rows, fits int
	}{
		{"gsm8k/train.jsonl", "gsm8k", 7473, 7473},
		{"gsm8k/test.parquet", "gsm8k", 1319, 1319},
		{"math/train_verl.parquet", "verl", 7500, 7498}, // two have an empty \boxed{}
		{"chat/oa_guanaco_generations_gpt35.jsonl", "turns+output", 953, 953},
		{"chat/fastchat_dummy_conversation.json", "sharegpt", 500, 500},
		{"hh-rlhf/harmless-base_test.jsonl.gz", "hh-rlhf", 2312, 2308}, // four end with an empty answer
		{"imdb_sentences/imdb_labelled.txt", "classification", 1000, 1000},
		{"prm/samples_prm800k.jsonl", "prm800k", 6, 6},
		{"prm/samples_math-shepherd.jsonl", "math-shepherd", 7, 7},
		{"prm/samples_math-aps.jsonl", "math-aps", 3, 3},
		{"prm/samples_math-aps-tree.jsonl", "math-aps", 3, 3},
		{"humaneval/HumanEval.jsonl.gz", "humaneval", 164, 164},
		{"preference/stack_exchange_paired_tiny.json", "preference", 25, 25},
		{"dolly/dolly_fixture_litgpt.json", "instruction", 12, 12},
		{"tinystories/sample.txt", "text", 1065, 1065},
	} {
		t.Run(c.path, func(t *testing.T) {
			m, err := Recognise(Open(testkit.SharedData(t, c.path), OpenOptions{}), Want{})
			if err != nil || m.Form != c.form || m.Rows != c.rows || m.Fits != c.fits {
				t.Errorf("%s, %d of %d rows: %v", m.Form, m.Fits, m.Rows, err)
			}
		})
	}
}

// TestRealGuanaco: every conversation ends with the assistant and alternates.
func TestRealGuanaco(t *testing.T) {
	_, recs, err := Read(testkit.SharedData(t, "chat/oa_guanaco_generations_gpt35.jsonl"), OpenOptions{}, Want{})
	if err != nil {
		t.Fatal(err)
	}
	turns := map[int]int{}
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range rec.Messages {
			if m.Role != []string{"user", "assistant"}[i%2] {
				t.Errorf("row %d turn %d is by %s", rec.Num, i+1, m.Role)
			}
			if strings.Contains(m.Content, "### Human:") {
				t.Errorf("row %d turn %d still holds a mark", rec.Num, i+1)
			}
		}
		turns[len(rec.Messages)]++
	}
	// 517 prompts have one answer before the last question, and so on.
	if want := map[int]int{2: 517, 4: 414, 6: 22}; !reflect.DeepEqual(turns, want) {
		t.Errorf("turns %v, want %v", turns, want)
	}
}

// TestRealHH: prompt and answers put together again are the file's dialogues.
func TestRealHH(t *testing.T) {
	path := testkit.SharedData(t, "hh-rlhf/harmless-base_test.jsonl.gz")
	m, err := Recognise(Open(path, OpenOptions{}), Want{})
	if err != nil {
		t.Fatal(err)
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for row, err := range Open(path, OpenOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := Format(row, m)
		if err != nil {
			continue
		}
		for name, side := range map[string]Content{"chosen": rec.Chosen, "rejected": rec.Rejected} {
			var b strings.Builder
			for _, msg := range slices.Concat(rec.Prompt.Messages, side.Messages) {
				b.WriteString("\n\n" + map[string]string{"user": "Human", "assistant": "Assistant"}[msg.Role] + ": " + msg.Content)
			}
			if got, want := squeeze(b.String()), squeeze(row.Values[name].(string)); got != want {
				t.Fatalf("row %d %s:\n got %q\nwant %q", row.Num, name, got, want)
			}
		}
	}
}
