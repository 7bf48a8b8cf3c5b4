package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Save writes tokenizer.json and tokenizer_config.json into the directory, which is
// made if it is not there. The tokenizers and transformers libraries load them and
// give the same ids. A tokenizer that was loaded is written as it was read: one from
// tokenizer.model as tokenizer.model.
func (t *Tokenizer) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if err := writeFile(filepath.Join(dir, t.source.name), t.source.tokenizer); err != nil {
		return err
	}
	if t.source.config != nil {
		if err := writeFile(filepath.Join(dir, "tokenizer_config.json"), t.source.config); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file so that it is either whole or not there.
func writeFile(path string, data []byte) error {
	tmp := path + ".partial"
	if err := os.WriteFile(tmp, data, 0o666); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	return nil
}

// parseSaved builds a tokenizer from the text of the two files that Save writes.
func parseSaved(tokenizer, config []byte) (*Tokenizer, error) {
	s := side{raw: config}
	if err := json.Unmarshal(config, &s.sideJSON); err != nil {
		return nil, fmt.Errorf("token: tokenizer_config.json: %w", err)
	}
	_ = json.Unmarshal(s.ChatTemplate, &s.chat)
	t, err := parse(tokenizer, s)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return t, nil
}

// The parts of tokenizer.json that Train writes, in the order and with all the
// fields that the tokenizers library writes.
type (
	byteLevelJSON struct {
		Type           string `json:"type"`
		AddPrefixSpace bool   `json:"add_prefix_space"`
		TrimOffsets    bool   `json:"trim_offsets"`
		UseRegex       bool   `json:"use_regex"`
	}
	digitsJSON struct {
		Type             string `json:"type"`
		IndividualDigits bool   `json:"individual_digits"`
	}
	sequenceJSON struct {
		Type          string `json:"type"`
		PreTokenizers []any  `json:"pretokenizers"`
	}
	templateItem struct {
		SpecialToken *templateRef `json:"SpecialToken,omitempty"`
		Sequence     *templateRef `json:"Sequence,omitempty"`
	}
	templateRef struct {
		ID     string `json:"id"`
		TypeID int    `json:"type_id"`
	}
	specialJSON struct {
		ID     string   `json:"id"`
		IDs    []int32  `json:"ids"`
		Tokens []string `json:"tokens"`
	}
	templateProcessing struct {
		Type    string                 `json:"type"`
		Single  []templateItem         `json:"single"`
		Pair    []templateItem         `json:"pair"`
		Special map[string]specialJSON `json:"special_tokens"`
	}
	bpeJSON struct {
		Type         string      `json:"type"`
		Dropout      *float64    `json:"dropout"`
		UnkToken     *string     `json:"unk_token"`
		Prefix       *string     `json:"continuing_subword_prefix"`
		Suffix       *string     `json:"end_of_word_suffix"`
		FuseUnk      bool        `json:"fuse_unk"`
		ByteFallback bool        `json:"byte_fallback"`
		IgnoreMerges bool        `json:"ignore_merges"`
		Vocab        vocabJSON   `json:"vocab"`
		Merges       [][2]string `json:"merges"`
	}
	fileJSON struct {
		Version       string      `json:"version"`
		Truncation    *struct{}   `json:"truncation"`
		Padding       *struct{}   `json:"padding"`
		AddedTokens   []addedJSON `json:"added_tokens"`
		Normalizer    *struct{}   `json:"normalizer"`
		PreTokenizer  any         `json:"pre_tokenizer"`
		PostProcessor any         `json:"post_processor"`
		Decoder       any         `json:"decoder"`
		Model         bpeJSON     `json:"model"`
	}
	configJSON struct {
		Backend      string `json:"backend"`
		BOS          string `json:"bos_token,omitempty"`
		ChatTemplate string `json:"chat_template,omitempty"`
		CleanUp      bool   `json:"clean_up_tokenization_spaces"`
		EOS          string `json:"eos_token,omitempty"`
		MaxLength    int    `json:"model_max_length,omitempty"`
		PAD          string `json:"pad_token,omitempty"`
		Class        string `json:"tokenizer_class"`
		UNK          string `json:"unk_token,omitempty"`
	}
)

// vocabJSON is a vocabulary, written in the order of ids.
type vocabJSON []string

func (v vocabJSON) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for id, s := range v {
		if id > 0 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s:%d", key, id)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// trainedFiles writes what training has made as tokenizer.json and tokenizer_config.json.
func trainedFiles(tr *trainer, o TrainOptions) (tokenizer, config []byte, err error) {
	byteLevel := byteLevelJSON{"ByteLevel", false, false, true}
	f := fileJSON{
		Version:       "1.0",
		AddedTokens:   []addedJSON{},
		PreTokenizer:  byteLevel,
		PostProcessor: byteLevel,
		Decoder:       byteLevelJSON{"ByteLevel", true, true, true},
		Model:         bpeJSON{Type: "BPE", Vocab: tr.names, Merges: tr.merges},
	}
	if tr.merges == nil {
		f.Model.Merges = [][2]string{}
	}
	if o.SplitDigits {
		f.PreTokenizer = sequenceJSON{"Sequence", []any{digitsJSON{"Digits", true}, byteLevel}}
	}
	for _, s := range o.SpecialTokens {
		f.AddedTokens = append(f.AddedTokens, addedJSON{ID: tr.ids[s], Content: s, Special: true})
	}
	if o.AddBOS || o.AddEOS {
		f.PostProcessor = surrounding(tr, o)
	}
	if tokenizer, err = marshal(f); err != nil {
		return nil, nil, err
	}
	config, err = marshal(configJSON{Backend: "tokenizers", BOS: o.BOS, ChatTemplate: o.ChatTemplate, EOS: o.EOS,
		MaxLength: o.ModelMaxLength, PAD: o.PAD, Class: "PreTrainedTokenizerFast", UNK: o.UNK})
	return tokenizer, config, err
}

// surrounding is the post-processor that puts BOS and EOS around a text.
func surrounding(tr *trainer, o TrainOptions) templateProcessing {
	p := templateProcessing{Type: "TemplateProcessing", Special: map[string]specialJSON{}}
	special := func(name string, typ int) templateItem {
		p.Special[name] = specialJSON{name, []int32{tr.ids[name]}, []string{name}}
		return templateItem{SpecialToken: &templateRef{name, typ}}
	}
	sequence := func(name string, typ int) (items []templateItem) {
		if o.AddBOS {
			items = append(items, special(o.BOS, typ))
		}
		items = append(items, templateItem{Sequence: &templateRef{name, typ}})
		if o.AddEOS {
			items = append(items, special(o.EOS, typ))
		}
		return items
	}
	p.Single = sequence("A", 0)
	p.Pair = append(sequence("A", 0), sequence("B", 1)...)
	return p
}

// marshal is indented JSON without the escapes that only HTML needs.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return out.Bytes(), nil
}
