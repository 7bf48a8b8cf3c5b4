package token

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// trainingTexts are random texts with words that come again and again.
func trainingTexts(n int) []string {
	r := newRandomText(11)
	texts := make([]string, n)
	for i := range texts {
		texts[i] = r.text() + " " + strings.Repeat(r.of(randomWords)+" ", r.IntN(4)) + r.text()
	}
	return texts
}

func TestTrain(t *testing.T) {
	texts := trainingTexts(400)
	o := TrainOptions{VocabSize: 700, SpecialTokens: []string{"<pad>", "<s>", "</s>"}, SplitDigits: true,
		BOS: "<s>", EOS: "</s>", PAD: "<pad>", AddBOS: true, ModelMaxLength: 512, ChatTemplate: "{{ bos_token }}\n"}
	tok, err := Train(slices.Values(texts), o)
	if err != nil {
		t.Fatal(err)
	}
	if tok.Size() != 700 {
		t.Errorf("size %d, want 700", tok.Size())
	}
	if got, want := tok.Special(), (Special{BOS: 1, EOS: 2, PAD: 0, UNK: -1}); got != want {
		t.Errorf("special tokens %v, want %v", got, want)
	}
	if !tok.AddsBOS() || tok.AddsEOS() {
		t.Error("want a BOS added and no EOS")
	}
	bytesIn, tokens := 0, 0
	for _, s := range texts {
		ids := tok.Encode(s, false)
		bytesIn, tokens = bytesIn+len(s), tokens+len(ids)
		if got := tok.Decode(ids, false); got != s {
			t.Fatalf("%q comes back as %q", s, got)
		}
		for _, id := range ids {
			form, _ := tok.Token(id)
			if raw, ok := bytesOf(form); ok && len([]rune(string(raw))) > 1 && strings.ContainsAny(string(raw), "0123456789") {
				t.Fatalf("token %q holds a digit and more", form)
			}
		}
	}
	if tokens*5 > bytesIn*4 {
		t.Errorf("%d tokens for %d bytes: nothing was learned", tokens, bytesIn)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != tok.Hash() || again.Special() != tok.Special() || !reflect.DeepEqual(again.Config(), tok.Config()) {
		t.Errorf("saved and loaded: %v %v, want %v %v", again.Special(), again.Config(), tok.Special(), tok.Config())
	}
	if again.Config().ChatTemplate != o.ChatTemplate || again.Config().ModelMaxLength != 512 {
		t.Errorf("configuration lost: %+v", again.Config())
	}
	// The same texts make the same tokenizer.
	if twin, err := Train(slices.Values(texts), o); err != nil || twin.Hash() != tok.Hash() {
		t.Errorf("trained twice: different (%v)", err)
	}
}

func TestTrainErrors(t *testing.T) {
	for want, o := range map[string]TrainOptions{
		"BOS token":     {BOS: "<s>"},
		"at least 257":  {VocabSize: 100, SpecialTokens: []string{"<s>"}},
		"without a BOS": {AddBOS: true},
	} {
		if _, err := Train(slices.Values([]string{"a"}), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", o, err, want)
		}
	}
}

// TestTrainPeer compares with the vocabulary and merges that the tokenizers library
// makes of the same texts, and with the ids that transformers gives after Save.
func TestTrainPeer(t *testing.T) {
	needPeer(t)
	texts := trainingTexts(2000)
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, s := range texts {
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, digits := range []bool{false, true} {
		o := TrainOptions{VocabSize: 3000, SpecialTokens: []string{"<pad>", "<|im_start|>", "<|im_end|>"}, SplitDigits: digits,
			MinFrequency: 2, EOS: "<|im_end|>", PAD: "<pad>", AddEOS: digits}
		tok, err := Train(slices.Values(texts), o)
		if err != nil {
			t.Fatal(err)
		}
		opt, _ := json.Marshal(map[string]any{"vocab_size": o.VocabSize, "special_tokens": o.SpecialTokens,
			"split_digits": digits, "min_frequency": o.MinFrequency})
		out := runPython(t, in.Bytes(), "peer_train.py", string(opt))
		type trained struct {
			Model struct {
				Vocab  map[string]int32
				Merges mergesJSON
			}
		}
		var want, got trained
		if err := json.Unmarshal(out, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(tok.source.tokenizer, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("digits %v: %d tokens and %d merges, want %d and %d, or others", digits,
				len(got.Model.Vocab), len(got.Model.Merges), len(want.Model.Vocab), len(want.Model.Merges))
		}
		dir := t.TempDir()
		if err := tok.Save(dir); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(runPython(t, in.Bytes(), "peer_load.py", dir)), []byte("\n"))
		var head struct{ BOS, EOS, PAD, UNK, Length *int32 }
		if err := json.Unmarshal(lines[0], &head); err != nil {
			t.Fatal(err)
		}
		if head.BOS != nil || *head.EOS != 2 || *head.PAD != 0 || int(*head.Length) != tok.Size() {
			t.Errorf("transformers reads %s", lines[0])
		}
		for i, line := range lines[1:] {
			var ids []int32
			if err := json.Unmarshal(line, &ids); err != nil {
				t.Fatal(err)
			}
			if got := tok.Encode(texts[i], true); !slices.Equal(got, ids) {
				t.Errorf("%q: %v, want %v", texts[i], got, ids)
			}
		}
	}
}

// runPython runs a script of testdata.
func runPython(t *testing.T, in []byte, script string, args ...string) []byte {
	cmd := exec.Command(os.Getenv("FTLAB_PYTHON"), append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out
}
