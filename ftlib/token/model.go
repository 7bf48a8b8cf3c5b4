package token

import (
	"encoding/json"
	"errors"
	"fmt"
)

// modelJSON is the model of tokenizer.json.
type modelJSON struct {
	Type         string
	Vocab        json.RawMessage
	Merges       mergesJSON
	UnkToken     string
	Prefix       string
	Suffix       string
	FuseUnk      bool
	ByteFallback bool
	IgnoreMerges bool
	UnkID        *int32
	MaxWord      *int
}

// parseModel builds the model and its vocabulary.
func parseModel(raw json.RawMessage) (model, map[string]int32, error) {
	if isNull(raw) {
		return nil, nil, errors.New("is missing")
	}
	var j modelJSON
	if err := unmarshalLarge(raw, map[string]any{"type": &j.Type, "vocab": &j.Vocab, "merges": &j.Merges, "unk_token": &j.UnkToken,
		"continuing_subword_prefix": &j.Prefix, "end_of_word_suffix": &j.Suffix, "fuse_unk": &j.FuseUnk, "byte_fallback": &j.ByteFallback,
		"ignore_merges": &j.IgnoreMerges, "unk_id": &j.UnkID, "max_input_chars_per_word": &j.MaxWord}); err != nil {
		return nil, nil, err
	}
	if j.Type == "" { // files of before the type was written
		switch {
		case len(j.Merges) > 0:
			j.Type = "BPE"
		case j.MaxWord != nil:
			j.Type = "WordPiece"
		}
	}
	var vocab map[string]int32
	if j.Type != "Unigram" {
		var err error
		if vocab, err = parseVocab(j.Vocab); err != nil {
			return nil, nil, err
		}
	}
	switch j.Type {
	case "BPE":
		m, err := newBPE(vocab, j.Merges, bpeOptions{unk: j.UnkToken, prefix: j.Prefix, suffix: j.Suffix,
			fuseUnk: j.FuseUnk, byteFallback: j.ByteFallback, ignoreMerge: j.IgnoreMerges})
		return m, vocab, err
	case "WordLevel":
		return &wordLevel{vocab, lookup(vocab, j.UnkToken)}, vocab, nil
	case "WordPiece":
		m := &wordPiece{vocab, lookup(vocab, j.UnkToken), j.Prefix, 100}
		if j.MaxWord != nil {
			m.maxWord = *j.MaxWord
		}
		return m, vocab, nil
	case "Unigram":
		var pieces []scored
		if err := json.Unmarshal(j.Vocab, &pieces); err != nil {
			return nil, nil, fmt.Errorf("vocab: %w", err)
		}
		return newUnigramModel(pieces, &j)
	}
	return nil, nil, unknown("model", j.Type)
}

// lookup is the id of a token, or -1.
func lookup(vocab map[string]int32, token string) int32 {
	if id, ok := vocab[token]; ok {
		return id
	}
	return -1
}

func newUnigramModel(pieces []scored, j *modelJSON) (model, map[string]int32, error) {
	m, vocab, err := newUnigram(pieces, j.UnkID, j.ByteFallback)
	if err != nil {
		return nil, nil, err
	}
	return m, vocab, nil
}

// UnmarshalJSON reads a ["piece", score] pair.
func (s *scored) UnmarshalJSON(data []byte) error {
	pair := [2]any{&s.text, &s.score}
	return json.Unmarshal(data, &pair)
}
