package token

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config is what the files beside tokenizer.json say about the tokenizer.
type Config struct {
	Class          string   // tokenizer_class
	ModelMaxLength int      // longest input in tokens; 0: not stated
	EOS            []int32  // every id that ends a text: of generation_config.json, config.json and the EOS token
	CleanUp        bool     // clean_up_tokenization_spaces; BPE tokenizers are never cleaned up, as in transformers 5
	ChatTemplate   string   // chat_template.jinja, or chat_template of tokenizer_config.json; "": none
	Notes          []string // what of the files is passed over
}

// source is what a tokenizer was read from, to write it again.
type source struct {
	name      string // tokenizer.json or tokenizer.model
	tokenizer []byte
	config    []byte // tokenizer_config.json
}

// Load reads a tokenizer from a directory, or from a tokenizer.json or
// tokenizer.model file. In a directory tokenizer.json is preferred; beside it
// tokenizer_config.json, special_tokens_map.json, generation_config.json and
// config.json are read where they exist, in the layouts of transformers 4 and 5.
func Load(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	dir, file := path, ""
	if !info.IsDir() {
		dir, file = filepath.Split(path)
	}
	if file == "" {
		for _, name := range []string{"tokenizer.json", "tokenizer.model"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				file = name
				break
			}
		}
		if file == "" {
			return nil, fmt.Errorf("token: %s holds neither tokenizer.json nor tokenizer.model", path)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	side, err := readSide(dir)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	var t *Tokenizer
	if strings.HasSuffix(file, ".model") {
		t, err = parseSentencePiece(data, side)
	} else {
		t, err = parse(data, side)
	}
	if err != nil {
		return nil, fmt.Errorf("token: %s: %w", filepath.Join(dir, file), err)
	}
	return t, nil
}

// tokenName is a token in tokenizer_config.json: a string, or an object with its content.
type tokenName struct {
	set bool
	addedJSON
}

func (n *tokenName) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	n.set = true
	if data[0] == '"' {
		n.Special = true
		return json.Unmarshal(data, &n.Content)
	}
	return json.Unmarshal(data, &n.addedJSON)
}

// sideJSON is tokenizer_config.json; special_tokens_map.json has some of its fields.
type sideJSON struct {
	Class        string                     `json:"tokenizer_class"`
	AddBOS       *bool                      `json:"add_bos_token"`
	AddEOS       *bool                      `json:"add_eos_token"`
	AddPrefix    *bool                      `json:"add_prefix_space"`
	Legacy       *bool                      `json:"legacy"`
	CleanUp      bool                       `json:"clean_up_tokenization_spaces"`
	MaxLength    float64                    `json:"model_max_length"`
	BOS          tokenName                  `json:"bos_token"`
	EOS          tokenName                  `json:"eos_token"`
	UNK          tokenName                  `json:"unk_token"`
	PAD          tokenName                  `json:"pad_token"`
	Decoder      map[string]json.RawMessage `json:"added_tokens_decoder"`
	ExtraV4      []tokenName                `json:"additional_special_tokens"`
	Extra        json.RawMessage            `json:"extra_special_tokens"`
	ChatTemplate json.RawMessage            `json:"chat_template"`
}

// side is everything that is read beside the tokenizer itself.
type side struct {
	sideJSON
	raw   []byte // tokenizer_config.json
	chat  string
	added []added // added_tokens_decoder, by id
	eos   []int32
}

func readSide(dir string) (side, error) {
	var s side
	read := func(name string, to any) ([]byte, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, to); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
		return data, nil
	}
	var err error
	if s.raw, err = read("tokenizer_config.json", &s.sideJSON); err != nil {
		return s, err
	}
	var special sideJSON
	if _, err := read("special_tokens_map.json", &special); err != nil {
		return s, err
	}
	for _, pair := range [][2]*tokenName{{&s.BOS, &special.BOS}, {&s.EOS, &special.EOS}, {&s.UNK, &special.UNK}, {&s.PAD, &special.PAD}} {
		if !pair[0].set {
			*pair[0] = *pair[1]
		}
	}
	if len(s.ExtraV4) == 0 {
		s.ExtraV4 = special.ExtraV4
	}
	for _, name := range []string{"generation_config.json", "config.json"} {
		var c struct {
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if _, err := read(name, &c); err != nil {
			return s, err
		}
		var one int32
		var several []int32
		if json.Unmarshal(c.EOS, &one) == nil && !isNull(c.EOS) {
			several = []int32{one}
		} else {
			_ = json.Unmarshal(c.EOS, &several) // absent or null: none
		}
		s.eos = append(s.eos, several...)
	}
	_ = json.Unmarshal(s.ChatTemplate, &s.chat) // a list of named templates is not for us
	if data, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja")); err == nil {
		s.chat = string(data)
	}
	return s, s.parseAdded()
}

// parseAdded reads added_tokens_decoder in the order of its ids.
func (s *side) parseAdded() error {
	type entry struct {
		id int
		t  added
	}
	var entries []entry
	for key, raw := range s.Decoder {
		var id int
		var a addedJSON
		if _, err := fmt.Sscan(key, &id); err != nil {
			return fmt.Errorf("tokenizer_config.json: added_tokens_decoder has the key %q, which is no id", key)
		}
		if err := json.Unmarshal(raw, &a); err != nil {
			return fmt.Errorf("tokenizer_config.json: added_tokens_decoder, %q: %w", key, err)
		}
		entries = append(entries, entry{id, a.token()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.id - b.id })
	for _, e := range entries {
		s.added = append(s.added, e.t)
	}
	return nil
}

// parse builds a tokenizer from tokenizer.json and what lies beside it.
func parse(data []byte, s side) (*Tokenizer, error) {
	var f file
	if err := unmarshalLarge(data, map[string]any{"truncation": &f.Truncation, "padding": &f.Padding, "added_tokens": &f.AddedTokens,
		"normalizer": &f.Normalizer, "pre_tokenizer": &f.PreTokenizer, "post_processor": &f.PostProcessor, "decoder": &f.Decoder,
		"model": &f.Model}); err != nil {
		return nil, err
	}
	t := &Tokenizer{added: newAddedVocab(), source: source{"tokenizer.json", data, s.raw}, side: s}
	var err error
	if t.model, t.vocab, err = parseModel(f.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if t.norm, err = parseNormalizer(f.Normalizer); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	if t.stages, err = parsePreTokenizer(nil, f.PreTokenizer); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if err := t.post.parse(f.PostProcessor); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	var fused bool
	makers, err := parseDecoder(nil, f.Decoder, &fused)
	if err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	if isNull(f.Decoder) {
		makers = []func() step{func() step { return &spaced{} }}
	}
	t.decoder = func() []step {
		steps := make([]step, len(makers))
		for i, mk := range makers {
			steps[i] = mk()
		}
		return steps
	}
	if !isNull(f.Truncation) {
		t.config.Notes = append(t.config.Notes, "truncation in tokenizer.json is ignored: lengths are set by the run")
	}
	if !isNull(f.Padding) {
		t.config.Notes = append(t.config.Notes, "padding in tokenizer.json is ignored: batches are padded by the run")
	}
	var tokens []added
	for _, a := range f.AddedTokens {
		tokens = append(tokens, a.token())
	}
	t.added.add(tokens, t.vocab, t.norm)
	t.readBytes()
	t.finish(s)
	return t, nil
}

// readBytes lets a BPE model read bytes directly where ByteLevel is the last stage:
// the same tokens without writing every byte as a visible character first.
func (t *Tokenizer) readBytes() {
	m, ok := t.model.(*bpe)
	if !ok || len(t.stages) == 0 || m.byteFallback {
		return
	}
	last := len(t.stages) - 1
	if st, ok := t.stages[last].(byteStage); ok {
		st.raw = true
		t.stages[last] = st
		m.useBytes()
	}
}

// finish applies what the files beside the tokenizer say, as transformers 5 does:
// with a tokenizer.json, add_bos_token and add_eos_token count for nothing.
func (t *Tokenizer) finish(s side) {
	var more []added
	have := func(content string) bool {
		_, ok := t.added.ids[content]
		return ok || slices.ContainsFunc(more, func(a added) bool { return a.content == content })
	}
	for _, a := range s.added {
		if id, ok := t.added.ids[a.content]; !ok || !sameToken(*t.added.byID[id], a) {
			more = append(more, a)
		}
	}
	named := []tokenName{s.BOS, s.EOS, s.UNK, s.PAD}
	named = append(named, s.ExtraV4...)
	var extra []tokenName
	if json.Unmarshal(s.Extra, &extra) == nil {
		named = append(named, extra...)
	}
	for _, n := range named {
		if n.set && n.Content != "" && !have(n.Content) {
			a := n.token()
			a.special = true
			more = append(more, a)
		}
	}
	if len(more) > 0 {
		t.added.add(more, t.vocab, t.norm)
	}
	t.index()
	id := func(n tokenName) int32 {
		if n.set {
			if id, ok := t.ID(n.Content); ok {
				return id
			}
		}
		return -1
	}
	t.special = Special{BOS: id(s.BOS), EOS: id(s.EOS), UNK: id(s.UNK), PAD: id(s.PAD)}
	t.config.Class, t.config.CleanUp, t.config.ChatTemplate = s.Class, s.CleanUp, s.chat
	if s.MaxLength > 0 && s.MaxLength < 1e9 {
		t.config.ModelMaxLength = int(s.MaxLength)
	}
	eos := s.eos
	if t.special.EOS >= 0 {
		eos = append([]int32{t.special.EOS}, eos...)
	}
	for _, id := range eos {
		if !slices.Contains(t.config.EOS, id) {
			t.config.EOS = append(t.config.EOS, id)
		}
	}
	t.rehash()
}

func sameToken(a, b added) bool {
	a.id, a.form, b.id, b.form = 0, "", 0, ""
	return a == b
}

// rehash hashes the file and what the configuration changes about it.
func (t *Tokenizer) rehash() {
	h := sha256.New()
	h.Write(t.source.tokenizer)
	fmt.Fprintln(h, t.post.before, t.post.after)
	for _, id := range slices.Sorted(maps.Keys(t.added.byID)) {
		fmt.Fprintf(h, "%+v\n", *t.added.byID[id])
	}
	t.hash = hex.EncodeToString(h.Sum(nil))
}
