package token

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"ftlab/internal/testkit"
)

// TestPeerSentencePiece compares tokenizer.model files with the sentencepiece package.
func TestPeerSentencePiece(t *testing.T) {
	needPeer(t)
	for _, name := range []string{"tokenizers/tinyllama/tokenizer.model", "stories260K/tok512.model"} {
		t.Run(name, func(t *testing.T) {
			compareSentencePiece(t, testkit.SharedData(t, name))
		})
	}
}

// TestPeerSentencePieceKinds compares models that are trained for it, with all the
// options that change how text is read.
func TestPeerSentencePieceKinds(t *testing.T) {
	needPeer(t)
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, s := range trainingTexts(1500) {
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	for i, o := range []map[string]any{
		{"vocab_size": 900, "byte_fallback": true, "normalization_rule_name": "identity", "remove_extra_whitespaces": false},
		{"vocab_size": 900, "byte_fallback": true, "normalization_rule_name": "nmt_nfkc"},
		{"vocab_size": 900, "normalization_rule_name": "nfkc_cf"},
		{"vocab_size": 900, "add_dummy_prefix": false, "normalization_rule_name": "identity"},
		{"vocab_size": 900, "byte_fallback": true, "treat_whitespace_as_suffix": true},
		{"vocab_size": 900, "user_defined_symbols": []string{"the", "  ", "<|im_start|>", "▁he", "é"}},
		{"vocab_size": 900, "byte_fallback": true, "split_by_whitespace": false,
			"control_symbols": []string{"<|im_end|>"}, "remove_extra_whitespaces": false, "pad_id": 3},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			prefix := filepath.Join(t.TempDir(), "tokenizer")
			o["hard_vocab_limit"] = false
			opt, _ := json.Marshal(o)
			runPython(t, in.Bytes(), "peer_spm.py", prefix, string(opt))
			compareSentencePiece(t, prefix+".model")
		})
	}
}

// compareSentencePiece asks the peer and ourselves about random texts.
func compareSentencePiece(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := parseSentencePiece(data, side{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRandomText(5)
	var cases []peerCase
	for range peerTexts(t) {
		s := r.text()
		if _, n := tok.added.plain.anywhere(s); n > 0 {
			continue // SentencePiece itself knows no tokens written out
		}
		cases = append(cases, peerCase{Text: &s})
	}
	wrong := 0
	for i, a := range askPeer(t, file, cases) {
		s := *cases[i].Text
		ids, spans := tok.EncodeOffsets(s, false)
		if !slices.Equal(ids, a.IDs) {
			wrong++
			if wrong < 10 {
				t.Errorf("%q: %v, want %v", s, ids, a.IDs)
			}
		}
		if got := tok.Decode(a.IDs, false); got != a.Decoded {
			wrong++
			if wrong < 10 {
				t.Errorf("%q: decoded %q, want %q", s, got, a.Decoded)
			}
		}
		if got := streamed(tok, a.IDs); got != a.Decoded {
			t.Errorf("%q: streamed %q, want %q", s, got, a.Decoded)
		}
		for _, sp := range spans {
			if sp[0] < 0 || sp[1] > len(s) || sp[0] > sp[1] {
				t.Fatalf("%q: span %v", s, sp)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d differences in %d cases", wrong, len(cases))
	}
}

// anywhere finds the first token in s.
func (f *finder) anywhere(s string) (t *added, n int) {
	for i := range len(s) {
		if t, n = f.longest(s[i:]); n > 0 {
			return t, n
		}
	}
	return nil, 0
}

// TestModelFileEqualsJSON reads a tokenizer from both of its files: the same ids,
// special tokens in the text included.
func TestModelFileEqualsJSON(t *testing.T) {
	byJSON, err := Load(testkit.SharedData(t, "tokenizers/tinyllama/tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(testkit.SharedData(t, "tokenizers/tinyllama/tokenizer.model"))
	if err != nil {
		t.Fatal(err)
	}
	byModel, err := parseSentencePiece(data, side{})
	if err != nil {
		t.Fatal(err)
	}
	if byModel.Special() != (Special{BOS: 1, EOS: 2, PAD: -1, UNK: 0}) || !byModel.AddsBOS() || byModel.Size() != byJSON.Size() {
		t.Errorf("special tokens %v, size %d", byModel.Special(), byModel.Size())
	}
	r := newRandomText(51)
	for range 3000 {
		s := r.text()
		ids, spans := byModel.EncodeOffsets(s, true)
		want, wantSpans := byJSON.EncodeOffsets(s, true)
		if !slices.Equal(ids, want) || !slices.Equal(spans, wantSpans) {
			t.Errorf("%q: %v %v, want %v %v", s, ids, spans, want, wantSpans)
		}
		if got, want := byModel.Decode(ids[1:], true), byJSON.Decode(ids[1:], true); got != want {
			t.Errorf("%q: decoded %q, want %q", s, got, want)
		}
	}
	dir := t.TempDir()
	if err := byModel.Save(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := Load(dir); err != nil || again.Hash() != byModel.Hash() {
		t.Errorf("saved and loaded: %v", err)
	}
}
