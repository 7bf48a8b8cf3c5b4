package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// modelJSON is the model of tokenizer.json.
type modelJSON struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       mergesJSON      `json:"merges"`
	UnkToken     string          `json:"unk_token"`
	Prefix       string          `json:"continuing_subword_prefix"`
	Suffix       string          `json:"end_of_word_suffix"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	UnkID        *int32          `json:"unk_id"`
	MaxWord      *int            `json:"max_input_chars_per_word"`
}

// mergesJSON are merges: pairs of strings, or strings with a space between the parts.
type mergesJSON [][2]string

func (m *mergesJSON) UnmarshalJSON(data []byte) error {
	var pairs [][2]string
	if json.Unmarshal(data, &pairs) == nil {
		*m = pairs
		return nil
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return errors.New("merges are neither pairs of strings nor strings")
	}
	for i, line := range lines {
		if strings.HasPrefix(line, "#version") {
			continue
		}
		a, b, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(b, " ") {
			return fmt.Errorf("merge %d, %q, is not two parts with a space between", i, line)
		}
		*m = append(*m, [2]string{a, b})
	}
	return nil
}

// parseModel builds the model and its vocabulary.
func parseModel(raw json.RawMessage) (model, map[string]int32, error) {
	if isNull(raw) {
		return nil, nil, errors.New("is missing")
	}
	var j modelJSON
	if err := json.Unmarshal(raw, &j); err != nil {
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
	vocab := map[string]int32{}
	if j.Type != "Unigram" {
		if err := json.Unmarshal(j.Vocab, &vocab); err != nil {
			return nil, nil, fmt.Errorf("vocab: %w", err)
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
