package corpus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ftlab/ftlib/corpus"
)

// exampleFile writes a small data file and returns its path.
func exampleFile(name, data string) string {
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		panic(err)
	}
	return path
}

func ExampleOpen() {
	path := exampleFile("reviews.csv", "text,label\n\"Fine, really\",1\nDull,0\nmissing\n")
	defer os.RemoveAll(filepath.Dir(path))
	for row, err := range corpus.Open(path, corpus.OpenOptions{}) {
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), path, "reviews.csv"))
			continue
		}
		fmt.Println(row.Num, row.Values["text"], row.Values["label"])
	}
	// Output:
	// 1 Fine, really 1
	// 2 Dull 0
	// corpus: reviews.csv row 3: 1 values, 2 columns; is the separator inside a value that is not quoted?
}

func ExampleRecognise() {
	path := exampleFile("math.jsonl", `{"question": "2+3?", "answer": "2+3=5\n#### 5"}
{"question": "7?", "answer": "no result"}
`+strings.Repeat(`{"question": "1+1?", "answer": "#### 2"}`+"\n", 40))
	defer os.RemoveAll(filepath.Dir(path))
	m, err := corpus.Recognise(corpus.Open(path, corpus.OpenOptions{}), corpus.Want{})
	fmt.Println(err, m.Kind, m.Form, m.Columns)
	fmt.Printf("%d of %d rows fit; row %d: %s\n", m.Fits, m.Rows, m.Reasons[0].Row, m.Reasons[0].What)
	// Output:
	// <nil> reasoning gsm8k map[answer:answer problem:question]
	// 41 of 42 rows fit; row 2: no #### and result at its end
}

func ExampleRead() {
	path := exampleFile("chat.json", `[{"conversations": [
		{"from": "human", "value": "Who are you?"}, {"from": "gpt", "value": "A model."}]}]`)
	defer os.RemoveAll(filepath.Dir(path))
	m, records, err := corpus.Read(path, corpus.OpenOptions{}, corpus.Want{})
	fmt.Println(m.Form, err)
	for rec, err := range records {
		if err != nil {
			fmt.Println(err)
			continue
		}
		for _, msg := range rec.Messages {
			fmt.Printf("%s: %s\n", msg.Role, msg.Content)
		}
	}
	// Output:
	// sharegpt <nil>
	// user: Who are you?
	// assistant: A model.
}

func ExampleSplit() {
	var hashes []uint64
	for _, text := range []string{"a film", "a book", "A  FILM", "a song"} {
		key := corpus.SplitKey(corpus.Record{Kind: corpus.KindText, Text: text})
		hashes = append(hashes, corpus.SplitHash(key, 42))
	}
	fmt.Println(corpus.Split(hashes, 0.25))
	// Output:
	// [false false false true]
}

func ExampleTo() {
	ranked := corpus.Record{Kind: corpus.KindRanking, Prompt: corpus.Content{Text: "Q"},
		Responses: []corpus.Response{{Text: "best", Rank: 1}, {Text: "worse", Rank: 2}, {Text: "worst", Rank: 3}}}
	pairs, err := corpus.To(ranked, corpus.KindPreference)
	for _, p := range pairs {
		fmt.Println(p.Chosen.Text, ">", p.Rejected.Text)
	}
	fmt.Println(err)
	// Output:
	// best > worse
	// best > worst
	// worse > worst
	// <nil>
}
