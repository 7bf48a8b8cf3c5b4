package token

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// families are a tokenizer of each family, small.
func families(t testing.TB) map[string]*Tokenizer {
	t.Helper()
	out := map[string]*Tokenizer{}
	for _, v := range variants() {
		switch v.name {
		case "prepend", "metaspace-first", "llama3", "unigram", "bert", "NFKC":
			tok, err := parse(v.file(t), side{})
			if err != nil {
				t.Fatal(err)
			}
			out[v.name] = tok
		}
	}
	return out
}

// TestStreamHoldsBack looks at every step of decoding: no half characters, and what
// has come out is always the beginning of the whole.
func TestStreamHoldsBack(t *testing.T) {
	for name, tok := range families(t) {
		r := newRandomText(41)
		for range 300 {
			ids := tok.Encode(r.text(), true)
			for range r.IntN(3) { // some that do not belong there
				ids = slices.Insert(ids, r.IntN(len(ids)+1), r.Int32N(int32(tok.Size())))
			}
			for _, skip := range []bool{false, true} {
				whole := tok.Decode(ids, skip)
				s := tok.NewStream()
				if skip {
					s.SkipSpecial()
				}
				got := ""
				for _, id := range ids {
					part := s.Add(id)
					if !utf8.ValidString(part) {
						t.Fatalf("%s: %q is not UTF-8", name, part)
					}
					got += part
					if !strings.HasPrefix(whole, got) {
						t.Fatalf("%s: %v: %q does not begin %q", name, ids, got, whole)
					}
				}
				if got += s.Flush(); got != whole {
					t.Fatalf("%s: %v: streamed %q, decoded %q", name, ids, got, whole)
				}
			}
		}
	}
}

// TestStreamIsPrompt wants text as soon as it is certain.
func TestStreamIsPrompt(t *testing.T) {
	tok := families(t)["llama3"]
	s := tok.NewStream()
	var parts []string
	for _, id := range tok.Encode("a👍\n", false) {
		parts = append(parts, s.Add(id))
	}
	if n := len(parts); n < 4 || parts[0] != "a" || strings.Join(parts[1:n-2], "") != "" || parts[n-2] != "👍" || parts[n-1] != "\n" {
		t.Errorf("streamed %q: want the emoji whole, with its last token", parts)
	}
	// A stream can be used again after Flush.
	if s.Flush() != "" || s.Add(tok.Encode("b", false)[0]) != "b" {
		t.Error("the stream does not begin anew")
	}
	// Bytes of a SentencePiece vocabulary wait for the end of their run.
	tok = families(t)["prepend"]
	s = tok.NewStream()
	parts = nil
	for _, id := range tok.Encode("a\U0001F44Da", false) {
		parts = append(parts, s.Add(id))
	}
	if want := []string{"a", "", "", "", "", "\U0001F44Da"}; !slices.Equal(parts[len(parts)-6:], want) {
		t.Errorf("streamed %q, want the end %q", parts, want)
	}
}

// TestGoroutines encodes the same texts at once from several goroutines.
func TestGoroutines(t *testing.T) {
	for name, tok := range families(t) {
		r := newRandomText(42)
		var texts []string
		var want [][]int32
		for range 200 {
			texts = append(texts, r.text())
			want = append(want, tok.Encode(texts[len(texts)-1], true))
		}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range texts {
					i = (i + g*50) % len(texts)
					if got := tok.Encode(texts[i], true); !slices.Equal(got, want[i]) {
						t.Errorf("%s: %q: %v, want %v", name, texts[i], got, want[i])
					}
					tok.Decode(want[i], true)
				}
			})
		}
		wg.Wait()
	}
}

// TestLongRuns encodes up to a megabyte of one character: it takes a moment, not minutes.
func TestLongRuns(t *testing.T) {
	for name, tok := range families(t) {
		if name == "bert" { // a word of this length is unknown
			continue
		}
		for _, c := range []string{"a", " ", "ü", "\n", "th"} {
			size := 1 << 20
			if c != "a" {
				size >>= 2
			}
			text := strings.Repeat(c, size/len(c))
			ids := tok.Encode(text, false)
			if len(ids) == 0 {
				t.Errorf("%s: no tokens for %d bytes of %q", name, size, c)
			}
			if back := tok.Decode(ids, false); name == "llama3" && back != text {
				t.Errorf("%s: %d bytes of %q do not come back", name, size, c)
			}
		}
	}
}

// TestShortAndLongWords compares the two ways to join a word.
func TestShortAndLongWords(t *testing.T) {
	tok := families(t)["llama3"]
	m := tok.model.(*bpe)
	r := newRandomText(43)
	for range 2000 {
		n := 2 + r.IntN(shortWord-2)
		syms := make([]piecemeal, n)
		for i := range syms {
			syms[i] = piecemeal{m.rawIDs["the and on ate"[r.IntN(14)]], 1}
		}
		var w worker
		short := m.merges.join(slices.Clone(syms), &w)
		long := m.merges.joinLong(slices.Clone(syms), &w)
		if !slices.Equal(short, long) {
			t.Fatalf("%v: %v and %v", syms, short, long)
		}
	}
}

// piecemeal is tok, whose name the test uses for a tokenizer.
type piecemeal = tok

// TestBrokenText reads what is not UTF-8 as U+FFFD, with offsets of the original.
func TestBrokenText(t *testing.T) {
	for name, tok := range families(t) {
		if name == "bert" { // drops U+FFFD
			continue
		}
		broken := "a\xffb\xe4\xbd c\xf0\x9f\x91"
		ids, spans := tok.EncodeOffsets(broken, false)
		if want := tok.Encode("a\uFFFDb\uFFFD c\uFFFD", false); !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", name, ids, want)
		}
		last := 0
		for _, s := range spans {
			if s[0] < 0 || s[0] > s[1] || s[1] > len(broken) || s[0] < last && name != "NFKC" {
				t.Errorf("%s: spans %v", name, spans)
				break
			}
			last = s[0]
		}
		if n := spans[len(spans)-1][1]; n != len(broken) {
			t.Errorf("%s: the last span ends at %d of %d", name, n, len(broken))
		}
	}
}

func TestVocabulary(t *testing.T) {
	for name, tok := range families(t) {
		for id := range int32(tok.Size()) {
			s, ok := tok.Token(id)
			if !ok {
				continue
			}
			if back, ok := tok.ID(s); !ok || back != id {
				t.Errorf("%s: token %q of id %d has id %d", name, s, id, back)
			}
		}
		if _, ok := tok.Token(int32(tok.Size())); ok {
			t.Errorf("%s: a token at %d, beyond the last", name, tok.Size())
		}
		if _, ok := tok.Token(-1); ok || tok.IsSpecial(-1) {
			t.Errorf("%s: a token at -1", name)
		}
		if _, ok := tok.ID("no such token"); ok {
			t.Errorf("%s: an id for no token", name)
		}
	}
	a, b := families(t)["prepend"], families(t)["NFKC"]
	if a.Hash() == b.Hash() || a.Hash() != families(t)["prepend"].Hash() || len(a.Hash()) != 64 {
		t.Errorf("hashes %s and %s", a.Hash(), b.Hash())
	}
}

// FuzzEncode wants no crash, spans in order and inside the text, and ids that exist.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", " ", "Hello</s>  \n\xff", "e\u0301\u0323", "\u1100\u1161", "<0x41>'S ſ\x00"} {
		f.Add(s)
	}
	toks := families(f)
	f.Fuzz(func(t *testing.T, text string) {
		for name, tok := range toks {
			ids, spans := tok.EncodeOffsets(text, true)
			if plain := tok.Encode(text, true); !slices.Equal(plain, ids) || len(ids) != len(spans) {
				t.Fatalf("%s: Encode %v, EncodeOffsets %v with %d spans", name, plain, ids, len(spans))
			}
			for i, s := range spans {
				if _, ok := tok.Token(ids[i]); !ok {
					t.Fatalf("%s: id %d does not exist", name, ids[i])
				}
				if s != [2]int{-1, -1} && (s[0] < 0 || s[0] > s[1] || s[1] > len(text)) {
					t.Fatalf("%s: span %v of %d bytes", name, s, len(text))
				}
			}
			if streamed(tok, ids) != tok.Decode(ids, false) {
				t.Fatalf("%s: the stream differs", name)
			}
			if name == "llama3" && utf8.ValidString(text) && !strings.Contains(text, "<") && !strings.Contains(text, "Hello") && !strings.Contains(text, "  ") {
				if back := tok.Decode(tok.Encode(text, false), false); back != text && !strings.Contains(text, "\uFFFD") {
					t.Fatalf("%q comes back as %q", text, back)
				}
			}
		}
	})
}

// FuzzDecode wants no crash, and text.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 1, 2, 250, 3, 77, 255})
	toks := families(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		ids := make([]int32, len(data))
		for i, b := range data {
			ids[i] = int32(b) + 3*int32(i%200) - 2
		}
		for name, tok := range toks {
			whole := tok.Decode(ids, false)
			if !utf8.ValidString(whole) || streamed(tok, ids) != whole {
				t.Fatalf("%s: %v: %q", name, ids, whole)
			}
		}
	})
}

// FuzzSentencePiece wants no crash from files that are broken.
func FuzzSentencePiece(f *testing.F) {
	f.Add([]byte("\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0a\x05\x0a\x03abc\x12\x02\x18\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := parseSentencePiece(data, side{})
		if err != nil {
			return
		}
		tok.Decode(tok.Encode("abc d\u00e9 </s>", true), false)
	})
}
