package token

import (
	"path/filepath"
	"slices"
	"testing"

	"ftlab/internal/testkit"
)

// New tokens are found whole, written again, saved, and read back; the rest of the
// vocabulary is what it was.
func TestWith(t *testing.T) {
	old, err := Load(filepath.Dir(testkit.Golden(t, "tokenizers/qwen_chatml/tokenizer.json")))
	if err != nil {
		t.Fatal(err)
	}
	known, _ := old.Token(5)
	tok, ids, err := old.With("<think>", "</think>", known, "<think>")
	if err != nil {
		t.Fatal(err)
	}
	n := int32(old.Size())
	if want := []int32{n, n + 1, 5, n}; !slices.Equal(ids, want) || tok.Size() != int(n)+2 {
		t.Fatalf("ids %v of %d, want %v", ids, tok.Size(), want)
	}
	const text = "Well <think>one and two</think> three."
	got := tok.Encode(text, false)
	if !slices.Contains(got, n) || !slices.Contains(got, n+1) || tok.Decode(got, true) != text {
		t.Errorf("%q is %v, %q", text, got, tok.Decode(got, true))
	}
	if a, b := tok.Encode("Well, no.", true), old.Encode("Well, no.", true); !slices.Equal(a, b) {
		t.Errorf("a text without them is %v and was %v", a, b)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Encode(text, false), got) || again.Hash() != tok.Hash() {
		t.Errorf("read back, %q is %v", text, again.Encode(text, false))
	}
	if same, _, err := old.With(known); err != nil || same != old {
		t.Errorf("nothing new made another tokenizer (%v)", err)
	}
	if _, _, err := old.With(""); err == nil {
		t.Error("an empty token was taken")
	}
}
