package token

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ftlab/internal/testkit"
)

// goldenIO is what the peer made of a tokenizer.
type goldenIO struct {
	Encodings []struct {
		Text               string   `json:"text"`
		IDs                []int32  `json:"ids"`
		IDsWithSpecial     []int32  `json:"ids_with_special"`
		HFCallIDs          []int32  `json:"hf_call_ids"`
		Offsets            [][2]int `json:"offsets"`
		Tokens             []string `json:"tokens"`
		Decoded            string   `json:"decoded"`
		DecodedSkipSpecial string   `json:"decoded_skip_special"`
		RawDecoded         string   `json:"raw_decoded_skip_special"`
	} `json:"encodings"`
	DecodeEachID []string `json:"decode_each_id"`
	VocabSize    int      `json:"vocab_size"`
	Chat         []struct {
		Text string  `json:"text"`
		IDs  []int32 `json:"ids"`
	} `json:"chat"`
}

// TestGolden compares encodings, offsets and decodings with those of the tokenizers
// library, for every tokenizer of the golden set.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Golden(t, "tokenizers"), "*_io.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden tokenizers: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "_io.json")
		t.Run(name, func(t *testing.T) {
			var want goldenIO
			testkit.GoldenJSON(t, "tokenizers/"+name+"_io.json", &want)
			tok, err := Load(testkit.Golden(t, "tokenizers/"+name))
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, tok, &want)
		})
	}
}

func checkGolden(t *testing.T, tok *Tokenizer, want *goldenIO) {
	for _, c := range want.Encodings {
		ids, spans := tok.EncodeOffsets(c.Text, false)
		if !slices.Equal(ids, c.IDs) {
			t.Errorf("%q: ids %v, want %v", c.Text, ids, c.IDs)
			continue
		}
		if got := tok.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
			t.Errorf("%q: Encode %v differs from EncodeOffsets", c.Text, got)
		}
		if got := tok.Encode(c.Text, true); !slices.Equal(got, c.IDsWithSpecial) || !slices.Equal(got, c.HFCallIDs) {
			t.Errorf("%q with special: ids %v, want %v and %v", c.Text, got, c.IDsWithSpecial, c.HFCallIDs)
		}
		if got := inCharacters(c.Text, spans); !slices.Equal(got, c.Offsets) {
			t.Errorf("%q: offsets %v, want %v", c.Text, got, c.Offsets)
		}
		for i, id := range ids {
			if s, _ := tok.Token(id); s != c.Tokens[i] {
				t.Errorf("%q: token %d is %q, want %q", c.Text, i, s, c.Tokens[i])
			}
		}
		if got := tok.Decode(c.IDsWithSpecial, false); got != c.Decoded {
			t.Errorf("%q: decoded %q, want %q", c.Text, got, c.Decoded)
		}
		if got := tok.Decode(c.IDsWithSpecial, true); got != c.DecodedSkipSpecial || got != c.RawDecoded {
			t.Errorf("%q: decoded without special %q, want %q", c.Text, got, c.DecodedSkipSpecial)
		}
	}
	for id, s := range want.DecodeEachID {
		if got := tok.Decode([]int32{int32(id)}, false); got != s {
			t.Errorf("id %d decodes to %q, want %q", id, got, s)
		}
	}
	if want.VocabSize != 0 && tok.Size() != want.VocabSize {
		t.Errorf("size %d, want %d", tok.Size(), want.VocabSize)
	}
	for _, c := range want.Chat {
		if c.IDs == nil {
			continue
		}
		if got := tok.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
			t.Errorf("chat %q: ids %v, want %v", c.Text, got, c.IDs)
		}
	}
}

// inCharacters turns byte offsets into character offsets.
func inCharacters(text string, spans [][2]int) [][2]int {
	out := make([][2]int, len(spans))
	for i, s := range spans {
		out[i] = [2]int{utf8.RuneCountInString(text[:s[0]]), utf8.RuneCountInString(text[:s[1]])}
	}
	return out
}

// TestReferenceStrings compares with the 47 strings and ids that the llama.cpp
// project keeps for two tokenizers.
func TestReferenceStrings(t *testing.T) {
	for name, dir := range map[string]string{"llama-spm": "tinyllama", "qwen2": "qwen2.5"} {
		t.Run(name, func(t *testing.T) {
			in := readFile(t, testkit.SharedData(t, "tokenizers/ggml-vocab-"+name+".gguf.inp"))
			out := readFile(t, testkit.SharedData(t, "tokenizers/ggml-vocab-"+name+".gguf.out"))
			tok, err := Load(testkit.SharedData(t, "tokenizers/"+dir))
			if err != nil {
				t.Fatal(err)
			}
			texts := strings.Split(in, "\n__ggml_vocab_test__\n")
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if texts[len(texts)-1] == "" && len(texts) == len(lines)+1 {
				texts = texts[:len(lines)] // no line for nothing
			}
			if len(texts) != len(lines) {
				t.Fatalf("%d texts and %d lines", len(texts), len(lines))
			}
			for i, text := range texts {
				if got, want := tok.Encode(text, false), parseIDs(t, lines[i]); !slices.Equal(got, want) {
					t.Errorf("%q: %v, want %v", text, got, want)
				}
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parseIDs(t *testing.T, line string) []int32 {
	var ids []int32
	for _, f := range strings.Fields(line) {
		var id int32
		for _, c := range f {
			if c < '0' || c > '9' {
				t.Fatalf("%q is no id", f)
			}
			id = 10*id + c - '0'
		}
		ids = append(ids, id)
	}
	return ids
}
