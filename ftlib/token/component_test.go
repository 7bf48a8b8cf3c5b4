package token

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// variant is a tokenizer.json made of parts, to try out one of them.
type variant struct {
	name                                      string
	model                                     string // "chars", "bytes", "words", or JSON; "": chars
	normalizer, pre, post, decoder, addedList string // JSON; "": null
}

const (
	wordPieceModel = `{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 12,
		"vocab": {"[UNK]": 0, "the": 1, "t": 2, "##h": 3, "##e": 4, "H": 5, "##ello": 6, "hello": 7, "a": 8, "##a": 9, "n": 10,
		"##ai": 11, "##f": 12, "'": 13, ".": 14, ",": 15, "##s": 16, "你": 17, "1": 18, "##2": 19, "w": 20, "##o": 21, "##r": 22}}`
	wordLevelModel = `{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "the": 1, "of": 2, "and": 3, "hello": 4, " ": 5,
		"'": 6, "s": 7, ".": 8, "1": 9, "2": 10, "你好": 11, "World": 12, "don": 13, "t": 14, "'s": 15, "-": 16, "▁the": 17}}`
	unigramModel = `{"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<unk>", 0.0], ["▁", -2.0], ["▁the", -3.0], ["the", -3.5],
		["t", -5.0], ["h", -5.1], ["e", -4.9], ["he", -4.0], ["a", -4.5], ["n", -4.6], ["an", -4.7], ["and", -5.5], ["▁and", -4.0], ["o", -5.0],
		["l", -5.2], ["ll", -5.0], ["hello", -7.0], ["W", -6.0], ["or", -5.5], ["1", -6.1], ["2", -6.1], ["12", -6.5], ["é", -7.0], ["你", -8.0], ["▁▁", -4.0]]}`
	tokensStrip = `[{"id": 0, "content": "<unk>", "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false},
		{"id": 1, "content": "<s>", "special": true, "normalized": false, "single_word": false, "lstrip": true, "rstrip": false},
		{"id": 2, "content": "</s>", "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": true},
		{"id": 900, "content": "the", "special": false, "normalized": false, "single_word": true, "lstrip": false, "rstrip": false},
		{"id": 901, "content": "<|user|>", "special": true, "normalized": true, "single_word": false, "lstrip": true, "rstrip": true},
		{"id": 902, "content": "Hello", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": true},
		{"id": 903, "content": "Hello World", "special": false, "normalized": true, "single_word": true, "lstrip": true, "rstrip": false},
		{"id": 904, "content": "  ", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": false},
		{"id": 905, "content": "é", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": false},
		{"id": 906, "content": "<|end|>", "special": true, "normalized": false, "single_word": true, "lstrip": true, "rstrip": true}]`
	byteLevelDecoder = `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`
	llamaDecoder     = `{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
		{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}`
	plainByteLevel = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}`
	o200k          = `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
)

// splitOf is a pre-tokenizer that splits at a pattern.
func splitOf(kind, pattern, behavior string, invert bool) string {
	return fmt.Sprintf(`{"type": "Split", "pattern": {%q: "%s"}, "behavior": %q, "invert": %v}`, kind, pattern, behavior, invert)
}

func sequence(key string, parts ...string) string {
	return fmt.Sprintf(`{"type": "Sequence", %q: [%s]}`, key, strings.Join(parts, ", "))
}

// variants are tokenizers that between them have every component.
func variants() []variant {
	jsonText := func(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) }
	template := `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
		{"SpecialToken": {"id": "</s>", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
		"special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}`
	metaspaceOf := func(scheme string, split bool) string {
		return fmt.Sprintf(`{"type": "Metaspace", "replacement": "▁", "prepend_scheme": %q, "split": %v}`, scheme, split)
	}
	llamaNorm := sequence("normalizers", `{"type": "Prepend", "prepend": "▁"}`, `{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}`)
	out := []variant{
		{name: "prepend", normalizer: llamaNorm, addedList: tokensStrip, decoder: llamaDecoder, post: template},
		{name: "prepend-only", normalizer: `{"type": "Prepend", "prepend": "<<"}`, addedList: tokensStrip},
		{name: "replace-regex", normalizer: `{"type": "Replace", "pattern": {"Regex": "\\s+|l{2}"}, "content": " é"}`, addedList: tokensStrip},
		{name: "strip", normalizer: `{"type": "Strip", "strip_left": true, "strip_right": true}`, pre: metaspaceOf("first", true)},
		{name: "strip-left", normalizer: `{"type": "Strip", "strip_left": true, "strip_right": false}`, pre: metaspaceOf("first", false)},
		{name: "lowercase", normalizer: `{"type": "Lowercase"}`, addedList: tokensStrip, pre: metaspaceOf("always", true), decoder: metaspaceOf("always", true)},
		{name: "accents", normalizer: sequence("normalizers", `{"type": "NFD"}`, `{"type": "StripAccents"}`), addedList: tokensStrip},
		{name: "nmt", normalizer: sequence("normalizers", `{"type": "Nmt"}`, `{"type": "NFKC"}`)},
		{name: "bytelevel-norm", model: "bytes", normalizer: `{"type": "ByteLevel"}`, decoder: byteLevelDecoder},
		{name: "bert", model: wordPieceModel, normalizer: `{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}`,
			pre: `{"type": "BertPreTokenizer"}`, decoder: `{"type": "WordPiece", "prefix": "##", "cleanup": true}`,
			post: `{"type": "BertProcessing", "sep": ["w", 20], "cls": ["[UNK]", 0]}`},
		{name: "bert-plain", model: wordPieceModel, normalizer: `{"type": "BertNormalizer", "clean_text": false, "handle_chinese_chars": false, "strip_accents": true, "lowercase": false}`,
			pre: `{"type": "Whitespace"}`, decoder: `{"type": "WordPiece", "prefix": "##", "cleanup": false}`},
		{name: "wordlevel", model: wordLevelModel, pre: `{"type": "Whitespace"}`},
		{name: "wordlevel-space", model: wordLevelModel, pre: sequence("pretokenizers", `{"type": "WhitespaceSplit"}`, `{"type": "Punctuation", "behavior": "MergedWithNext"}`)},
		{name: "wordlevel-delimiter", model: wordLevelModel, pre: `{"type": "CharDelimiterSplit", "delimiter": " "}`},
		{name: "unigram", model: unigramModel, pre: metaspaceOf("always", true), decoder: metaspaceOf("always", true)},
		{name: "unigram-whole", model: unigramModel, pre: metaspaceOf("first", false), decoder: metaspaceOf("never", true)},
		{name: "digits", pre: `{"type": "Digits", "individual_digits": true}`},
		{name: "digits-runs", pre: `{"type": "Digits", "individual_digits": false}`},
		{name: "fixed", pre: `{"type": "FixedLength", "length": 3}`},
		{name: "roberta", model: "bytes", pre: `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`, decoder: byteLevelDecoder,
			post: `{"type": "RobertaProcessing", "sep": ["!", 0], "cls": ["a", 64], "trim_offsets": true, "add_prefix_space": true}`},
		{name: "bytelevel-first", model: "bytes", pre: sequence("pretokenizers", `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`,
			splitOf("String", "Ġ", "MergedWithNext", false)), decoder: byteLevelDecoder, post: sequence("processors", `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`)},
		{name: "llama3", model: "bytes", pre: sequence("pretokenizers", splitOf("Regex", jsonText(patternLlama3), "Isolated", false), plainByteLevel), decoder: byteLevelDecoder, addedList: tokensStrip,
			post: sequence("processors", plainByteLevel, strings.ReplaceAll(template, "</s>", "!"))},
		{name: "llama3-words", model: "words", pre: sequence("pretokenizers", splitOf("Regex", jsonText(patternLlama3), "Isolated", false), plainByteLevel), decoder: byteLevelDecoder},
		{name: "qwen-removed", model: "bytes", pre: sequence("pretokenizers", splitOf("Regex", jsonText(patternQwen), "Removed", true), plainByteLevel), decoder: byteLevelDecoder},
		{name: "o200k", model: "bytes", pre: sequence("pretokenizers", splitOf("Regex", o200k, "Isolated", false), plainByteLevel), decoder: byteLevelDecoder},
		{name: "deepseek", model: "bytes", pre: sequence("pretokenizers", splitOf("Regex", `[\\r\\n]`, "Isolated", false), splitOf("Regex", `\\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+`, "Isolated", false),
			splitOf("Regex", `\\s?[!-/:-~！-／：-～‘-‟　-。]+`, "Isolated", false), splitOf("Regex", `\\s+$`, "Isolated", false), splitOf("Regex", `[一-龥ࠀ-一가-퟿]+`, "Isolated", false),
			`{"type": "Digits", "individual_digits": true}`, plainByteLevel), decoder: byteLevelDecoder},
		{name: "classes", pre: splitOf("Regex", `\\d+|\\p{P}|\\p{S}+|\\p{Han}|[\\p{Lu}][^\\S\\n]?|\\P{L}{3}`, "Contiguous", false)},
		{name: "words", pre: splitOf("Regex", `\\w+|\\W`, "MergedWithPrevious", false)},
		{name: "no-decoder", pre: `{"type": "Whitespace"}`},
		{name: "suffix", model: `{"type": "BPE", "unk_token": "<unk>", "end_of_word_suffix": "</w>", "continuing_subword_prefix": "@@", "fuse_unk": false,
			"vocab": {"<unk>": 0, "t": 1, "@@h": 2, "@@e</w>": 3, "@@e": 4, "h</w>": 5, "th": 6, "the</w>": 7, "a</w>": 8, "a": 9, "@@n": 10, "@@d</w>": 11, "@@nd</w>": 12},
			"merges": ["t @@h", "th @@e</w>", "@@n @@d</w>"]}`, pre: `{"type": "WhitespaceSplit"}`, decoder: `{"type": "BPEDecoder", "suffix": "</w>"}`},
		{name: "unk-fused", model: `{"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "ignore_merges": true, "vocab": {"<unk>": 0, "t": 1, "h": 2, "e": 3, "th": 4, " ": 5, "the": 6},
			"merges": [["t", "h"]]}`, pre: splitOf("String", " ", "Isolated", false)},
		{name: "unk-none", model: `{"type": "BPE", "vocab": {"t": 0, "h": 1, "e": 2, "th": 3, " ": 4, "he": 5}, "merges": ["h e", "t h"]}`},
		{name: "fallback-decoders", decoder: sequence("decoders", `{"type": "ByteFallback"}`, metaspaceOf("always", true), `{"type": "Strip", "content": "t", "start": 2, "stop": 0}`, `{"type": "Fuse"}`,
			`{"type": "Replace", "pattern": {"Regex": "e+"}, "content": "E"}`, `{"type": "Strip", "content": "E", "start": 1, "stop": 0}`)},
	}
	for form := range map[string]bool{"NFC": true, "NFD": true, "NFKC": true, "NFKD": true} {
		out = append(out, variant{name: form, normalizer: fmt.Sprintf(`{"type": %q}`, form), addedList: tokensStrip})
	}
	for how := range behaviours {
		out = append(out,
			variant{name: "split-" + how, pre: splitOf("String", "e", how, false)},
			variant{name: "invert-" + how, pre: splitOf("Regex", "[a-zé]+", how, true)},
			variant{name: "punctuation-" + how, pre: fmt.Sprintf(`{"type": "Punctuation", "behavior": %q}`, how)})
	}
	for _, scheme := range []string{"always", "first", "never"} {
		out = append(out,
			variant{name: "metaspace-" + scheme, pre: metaspaceOf(scheme, true), addedList: tokensStrip, decoder: metaspaceOf(scheme, true)},
			variant{name: "metaspace-whole-" + scheme, pre: metaspaceOf(scheme, false), addedList: tokensStrip, decoder: llamaDecoder},
			variant{name: "metaspace-second-" + scheme, pre: sequence("pretokenizers", `{"type": "Digits", "individual_digits": true}`, metaspaceOf(scheme, true))})
	}
	slices.SortFunc(out, func(a, b variant) int { return strings.Compare(a.name, b.name) })
	return out
}

// file is the variant as tokenizer.json. The models "chars", "bytes" and "words" are
// those of two tokenizers of the project's own test data.
func (v variant) file(t testing.TB) []byte {
	model := v.model
	switch model {
	case "", "chars":
		model = ownModel(t, "llama2_chat")
	case "bytes":
		model = ownModel(t, "phi2")
	case "words": // some words are tokens that no merge makes
		model = strings.Replace(ownModel(t, "phi2"), `"vocab": {`, `"vocab": {"Ġsaid": 700, "World": 701, "Ġå®": 702, "ĠĠĠĊ": 703,`, 1)
		model = strings.Replace(model, `"ignore_merges": false`, `"ignore_merges": true`, 1)
	}
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	return fmt.Appendf(nil, `{"version": "1.0", "truncation": null, "padding": null, "added_tokens": %s, "normalizer": %s, "pre_tokenizer": %s,
		"post_processor": %s, "decoder": %s, "model": %s}`, or(v.addedList, "[]"), or(v.normalizer, "null"), or(v.pre, "null"), or(v.post, "null"), or(v.decoder, "null"), model)
}

// ownModel is the model section of a tokenizer of the project's test data.
func ownModel(t testing.TB, name string) string {
	data, err := os.ReadFile(filepath.Join(testkit.Root(), "testdata", "tokenizers", name, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return string(f.Model)
}

// TestPeerComponents asks the tokenizers library about every variant.
func TestPeerComponents(t *testing.T) {
	needPeer(t)
	for i, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			data := v.file(t)
			path := filepath.Join(t.TempDir(), "tokenizer.json")
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			tok, err := parse(data, side{})
			if err != nil {
				t.Fatal(err)
			}
			cases := randomCases(tok, uint64(100+i), peerTexts(t)/5)
			comparePeer(t, tok, cases, askPeer(t, path, cases))
		})
	}
}

// randomCases are n random texts, and n/4 lists of ids.
func randomCases(tok *Tokenizer, seed uint64, n int) []peerCase {
	r := newRandomText(seed)
	var cases []peerCase
	for range n {
		s := r.text()
		cases = append(cases, peerCase{Text: &s})
	}
	for range n / 4 {
		var ids []int32
		for range 1 + r.IntN(12) {
			ids = append(ids, r.Int32N(int32(min(tok.Size()+2, []int{400, 1 << 30}[r.IntN(2)]))))
		}
		cases = append(cases, peerCase{IDs: ids})
	}
	return cases
}

var update = flag.Bool("update", false, "ask the peer again and record its answers (needs FTLAB_PYTHON)")

// recorded is what the peer answered about a tokenizer.
type recorded struct {
	Cases   []peerCase   `json:"cases"`
	Answers []peerAnswer `json:"answers"`
}

const recordedFile = "testdata/recorded.json.gz"

// TestRecorded compares with answers of the tokenizers library (0.23.3) about random
// texts, for every variant and the tokenizers of the project's test data.
func TestRecorded(t *testing.T) {
	files := map[string][]byte{}
	for _, v := range variants() {
		files[v.name] = v.file(t)
	}
	for _, name := range []string{"llama2_chat", "phi2", "qwen_chatml", "zephyr_metaspace_first"} {
		data, err := os.ReadFile(filepath.Join(testkit.Root(), "testdata", "tokenizers", name, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		files["own-"+name] = data
	}
	if *update {
		record(t, files)
	}
	f, err := os.Open(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]recorded
	if err := json.NewDecoder(z).Decode(&want); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			tok, err := parse(data, side{})
			if err != nil {
				t.Fatal(err)
			}
			if len(want[name].Cases) == 0 {
				t.Fatal("nothing recorded: run with -update and FTLAB_PYTHON")
			}
			comparePeer(t, tok, want[name].Cases, want[name].Answers)
		})
	}
}

// record asks the peer and writes its answers.
func record(t *testing.T, files map[string][]byte) {
	needPeer(t)
	out := map[string]recorded{}
	for i, name := range slices.Sorted(maps.Keys(files)) {
		n := 16
		if strings.HasPrefix(name, "own-") {
			n = 150
		}
		path := filepath.Join(t.TempDir(), "tokenizer.json")
		if err := os.WriteFile(path, files[name], 0o666); err != nil {
			t.Fatal(err)
		}
		tok, err := parse(files[name], side{})
		if err != nil {
			t.Fatal(err)
		}
		cases := randomCases(tok, uint64(7000+i), n)
		out[name] = recorded{cases, askPeer(t, path, cases)}
	}
	f, err := os.Create(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err := json.NewEncoder(z).Encode(out); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}
