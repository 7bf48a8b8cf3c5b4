package token

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// configCases are files beside a tokenizer.json whose own tokens are "<s>" and
// "</s>" (ids 0 and 1) and 256 bytes, and what they make of it.
var configCases = []struct {
	name    string
	files   map[string]string
	special Special
	size    int
	ids     map[string][]int32 // of texts, special tokens included
	skipped string             // texts decode to this, special tokens left out
	eos     []int32
}{
	{"nothing beside it", nil, Special{-1, -1, -1, -1}, 258, map[string][]int32{"a</s>": {66, 1}}, "a", nil},
	{"names as strings", map[string]string{"tokenizer_config.json": `{"bos_token": "<s>", "eos_token": "</s>", "pad_token": null}`},
		Special{0, 1, -1, -1}, 258, map[string][]int32{"a</s>": {66, 1}}, "a", []int32{1}},
	{"version 4", map[string]string{"tokenizer_config.json": `{"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": true, "add_eos_token": true,
		"added_tokens_decoder": {"0": {"content": "<s>", "lstrip": false, "normalized": false, "rstrip": false, "single_word": false, "special": true},
		"258": {"content": "<|im_end|>", "lstrip": false, "normalized": false, "rstrip": true, "single_word": false, "special": true}},
		"bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": false, "normalized": false, "rstrip": false, "single_word": false},
		"eos_token": "<|im_end|>", "pad_token": "<pad>", "additional_special_tokens": ["<|x|>"]}`,
		"generation_config.json": `{"eos_token_id": [258, 1]}`},
		Special{0, 258, 259, -1}, 261, map[string][]int32{"a<|im_end|> \nb": {66, 258, 67}, "<pad><|x|>": {259, 260}}, "ab", []int32{258, 1}},
	{"special_tokens_map", map[string]string{"special_tokens_map.json": `{"bos_token": "<s>", "unk_token": {"content": "<s>", "lstrip": false, "normalized": false,
		"rstrip": false, "single_word": false}}`, "config.json": `{"eos_token_id": 1}`}, Special{0, -1, -1, 0}, 258, map[string][]int32{"<s>a": {0, 66}}, "a", []int32{1}},
	{"version 5", map[string]string{"tokenizer_config.json": `{"backend": "tokenizers", "tokenizer_class": "TokenizersBackend", "eos_token": "</s>",
		"extra_special_tokens": ["<|y|>", "<|z|>"], "add_bos_token": false, "model_max_length": 1000000000000000019884624838656}`},
		Special{-1, 1, -1, -1}, 260, map[string][]int32{"<|z|>a<|y|>": {259, 66, 258}}, "a", []int32{1}},
	{"a word made special", map[string]string{"tokenizer_config.json": `{"eos_token": "a", "bos_token": "<s>", "add_bos_token": true}`},
		Special{0, 66, -1, -1}, 258, map[string][]int32{"bab": {67, 66, 67}}, "bb", []int32{66}},
}

// configDir writes the files of a case.
func configDir(t *testing.T, files map[string]string) string {
	tok, err := Train(slices.Values([]string{""}), TrainOptions{VocabSize: 258, SpecialTokens: []string{"<s>", "</s>"}})
	if err != nil {
		t.Fatal(err)
	}
	tok.source.config = nil
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConfig(t *testing.T) {
	for _, c := range configCases {
		t.Run(c.name, func(t *testing.T) {
			dir := configDir(t, c.files)
			tok, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if tok.Special() != c.special || tok.Size() != c.size || !slices.Equal(tok.Config().EOS, c.eos) || tok.Config().ModelMaxLength != 0 {
				t.Errorf("special %v, size %d, ends %v, longest %d; want %v, %d, %v, 0", tok.Special(), tok.Size(), tok.Config().EOS,
					tok.Config().ModelMaxLength, c.special, c.size, c.eos)
			}
			for text, want := range c.ids {
				if got := tok.Encode(text, true); !slices.Equal(got, want) {
					t.Errorf("%q: %v, want %v", text, got, want)
				}
			}
			text := slices.Sorted(maps.Keys(c.ids))[len(c.ids)-1]
			if got := tok.Decode(tok.Encode(text, true), true); got != c.skipped {
				t.Errorf("%q without special tokens: %q, want %q", text, got, c.skipped)
			}
			if os.Getenv("FTLAB_PYTHON") == "" || c.files == nil {
				return // transformers wants to know the class
			}
			var in bytes.Buffer
			texts := slices.Sorted(maps.Keys(c.ids))
			for _, s := range texts {
				if err := json.NewEncoder(&in).Encode(s); err != nil {
					t.Fatal(err)
				}
			}
			if !strings.Contains(c.files["tokenizer_config.json"], "tokenizer_class") {
				return
			}
			lines := strings.Split(strings.TrimSpace(string(runPython(t, in.Bytes(), "peer_load.py", dir))), "\n")
			for i, s := range texts {
				var ids []int32
				if err := json.Unmarshal([]byte(lines[i+1]), &ids); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(ids, c.ids[s]) {
					t.Errorf("transformers gives %q the ids %v, not %v", s, ids, c.ids[s])
				}
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"tokenizer.json", `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}`, `tokenizer.json: model: merge 0, "a" with "b"`},
		{"tokenizer.json", `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]}}`, `merge 0, "ab", is not two parts`},
		{"tokenizer.json", `{"model": {"type": "BPE", "vocab": {}, "merges": [], "unk_token": "?"}}`, `unk_token "?"`},
		{"tokenizer.json", `{"model": {"type": "Strange", "vocab": {}}}`, `model of type "Strange" is not supported`},
		{"tokenizer.json", `{"model": null}`, `model: is missing`},
		{"tokenizer.json", `{"normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled"}]}, "model": {"type": "BPE", "vocab": {}}}`, `normalizer: normalizers[0]: normalizer of type "Precompiled"`},
		{"tokenizer.json", `{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}, "model": {"type": "BPE", "vocab": {}}}`, `pre_tokenizer: regular expression "("`},
		{"tokenizer.json", `{"decoder": {"type": "CTC"}, "model": {"type": "BPE", "vocab": {}}}`, `decoder of type "CTC"`},
		{"tokenizer.json", `{"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]}, "model": {"type": "BPE", "vocab": {}}}`, `post_processor: template names "x"`},
		{"tokenizer.json", `{"model"`, "tokenizer.json: unexpected end"},
		{"tokenizer.model", "\x0a\xff", "broken protocol buffer"},
		{"tokenizer.model", "", "holds no pieces"},
		{"nothing", "", "holds neither tokenizer.json nor tokenizer.model"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.name), []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.HasPrefix(err.Error(), "token: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.60s: error %v, want one with %q", c.name, c.text, err, c.want)
		}
	}
	dir := configDir(t, map[string]string{"tokenizer_config.json": `{"added_tokens_decoder": {"one": {}}}`})
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), `the key "one"`) {
		t.Errorf("error %v, want one about the key", err)
	}
}

func TestNotes(t *testing.T) {
	tok, err := parse([]byte(`{"truncation": {"max_length": 3}, "padding": {}, "model": {"type": "WordLevel", "vocab": {"a": 0}}}`), side{})
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(tok.Config().Notes, "\n"); !strings.Contains(notes, "truncation") || !strings.Contains(notes, "padding") {
		t.Errorf("notes %q", notes)
	}
}
