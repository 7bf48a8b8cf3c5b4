package token_test

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"ftlab/ftlib/token"
)

// small is a tokenizer of 300 tokens, trained on a sentence.
func small() *token.Tokenizer {
	text := "the cat sat on the mat, the hat sat on the cat; " + strings.Repeat("hello there ", 5)
	t, err := token.Train(slices.Values([]string{text}), token.TrainOptions{
		VocabSize: 300, SpecialTokens: []string{"<s>", "</s>"}, SplitDigits: true, BOS: "<s>", EOS: "</s>", AddBOS: true})
	if err != nil {
		panic(err)
	}
	return t
}

func ExampleTrain() {
	t := small()
	for _, id := range t.Encode("the cat sat at 10</s>", true) {
		name, _ := t.Token(id)
		fmt.Printf("%d %s\n", id, name)
	}
	// Output:
	// 0 <s>
	// 259 the
	// 271 Ġcat
	// 273 Ġsat
	// 222 Ġ
	// 261 at
	// 222 Ġ
	// 18 1
	// 17 0
	// 1 </s>
}

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "tokenizer")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := small().Save(dir); err != nil {
		panic(err)
	}
	t, err := token.Load(dir)
	if err != nil {
		panic(err)
	}
	ids := t.Encode("hello cat", true)
	fmt.Println(t.Decode(ids, false))
	fmt.Println(t.Decode(ids, true))
	// Output:
	// <s>hello cat
	// hello cat
}

func ExampleTokenizer_EncodeOffsets() {
	text := "the café"
	ids, spans := small().EncodeOffsets(text, true)
	for i, s := range spans {
		if s[0] < 0 {
			fmt.Println(ids[i], "added")
			continue
		}
		fmt.Printf("%d %q\n", ids[i], text[s[0]:s[1]])
	}
	// Output:
	// 0 added
	// 259 "the"
	// 222 " "
	// 68 "c"
	// 66 "a"
	// 71 "f"
	// 129 "é"
	// 104 "é"
}

func ExampleTokenizer_NewStream() {
	t := small()
	s := t.NewStream()
	for _, id := range t.Encode("ok 👍", false) {
		fmt.Printf("%q ", s.Add(id))
	}
	fmt.Printf("%q\n", s.Flush())
	// Output:
	// "o" "k" " " "" "" "" "👍" ""
}
