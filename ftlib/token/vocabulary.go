package token

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Piece is an entry of a vocabulary.
type Piece struct {
	Text  string
	Score float32   // of SentencePiece: the higher, the earlier it is merged
	Kind  PieceKind // as SentencePiece numbers them
}

// PieceKind says what a piece of a vocabulary is for.
type PieceKind int32

// The kinds, with SentencePiece's numbers.
const (
	PieceNormal      PieceKind = pieceNormal
	PieceUnknown     PieceKind = pieceUnknown
	PieceControl     PieceKind = pieceControl     // never read from text: BOS
	PieceUserDefined PieceKind = pieceUserDefined // always one token
	PieceUnused      PieceKind = pieceUnused
	PieceByte        PieceKind = pieceByte
)

// Vocabulary is a BPE tokenizer as the files of other programs hold it.
type Vocabulary struct {
	Bytes       bool     // byte-level BPE with merges, as GPT-2; else SentencePiece's with scores
	Pieces      []Piece  // by id
	Merges      []string // of byte-level BPE: "left right", the first merged first
	SpacePrefix bool     // SentencePiece: a space is put before the text
	Splits      string   // how text is cut before merging: "gpt-2", "smollm", "qwen2", "llama-bpe"; "": another way
}

// Vocabulary describes the tokenizer for a file of another format. Only BPE in its two
// common forms can be described so: byte-level, and SentencePiece's with bytes for what
// is unknown.
func (t *Tokenizer) Vocabulary() (Vocabulary, error) {
	v := Vocabulary{Pieces: make([]Piece, t.Size())}
	for id := range v.Pieces {
		text, ok := t.Token(int32(id))
		v.Pieces[id] = Piece{Text: text, Kind: PieceNormal}
		if !ok {
			v.Pieces[id] = Piece{Text: fmt.Sprintf("[PAD%d]", id), Kind: PieceUnused}
		}
	}
	var err error
	if t.source.name == "tokenizer.model" {
		err = v.fromModel(t.source.tokenizer)
	} else {
		err = v.fromJSON(t.source.tokenizer)
	}
	if err != nil {
		return v, fmt.Errorf("token: %w", err)
	}
	for id := range v.Pieces {
		p := &v.Pieces[id]
		switch {
		case p.Kind != PieceNormal:
		case t.special.UNK == int32(id) && !v.Bytes:
			p.Kind = PieceUnknown
		case t.IsSpecial(int32(id)):
			p.Kind = PieceControl
		case !v.Bytes && isByte(p.Text):
			p.Kind, p.Score = PieceByte, 0
		}
	}
	return v, nil
}

func (v *Vocabulary) fromModel(data []byte) error {
	f, err := readSentencePiece(data)
	if err != nil {
		return err
	}
	if f.modelType != 2 {
		return fmt.Errorf("a SentencePiece model that is not BPE (type %d) cannot be described", f.modelType)
	}
	for id, p := range f.pieces {
		v.Pieces[id] = Piece{p.text, p.score, PieceKind(p.kind)}
	}
	v.SpacePrefix = f.dummyPrefix
	return nil
}

func (v *Vocabulary) fromJSON(data []byte) error {
	var file struct {
		Model        modelHead       `json:"model"`
		Normalizer   json.RawMessage `json:"normalizer"`
		PreTokenizer json.RawMessage `json:"pre_tokenizer"`
		Added        []struct {
			ID      int32 `json:"id"`
			Special bool  `json:"special"`
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	if file.Model.Type != "BPE" && !(file.Model.Type == "" && len(file.Model.Merges) > 0) {
		return fmt.Errorf("a tokenizer of type %q cannot be described; BPE can", file.Model.Type)
	}
	pre := string(file.PreTokenizer)
	v.Bytes = strings.Contains(pre, "ByteLevel")
	if !v.Bytes && !file.Model.ByteFallback {
		return fmt.Errorf("a BPE tokenizer that is neither byte-level nor has bytes for unknown characters cannot be described")
	}
	for _, a := range file.Added {
		if kind := PieceUserDefined; int(a.ID) < len(v.Pieces) {
			if a.Special {
				kind = PieceControl
			}
			if v.Pieces[a.ID].Text == file.Model.Unknown && !v.Bytes {
				kind = PieceUnknown
			}
			v.Pieces[a.ID].Kind = kind
		}
	}
	if v.Bytes {
		v.Splits = splits(pre)
		for _, m := range file.Model.Merges {
			v.Merges = append(v.Merges, m[0]+" "+m[1])
		}
		return nil
	}
	v.SpacePrefix = strings.Contains(string(file.Normalizer), "Prepend") || strings.Contains(pre, `"prepend_scheme":"first"`) || strings.Contains(pre, `"always"`)
	// Whoever made the merges sorted them by the score of what they give.
	rank := map[string]int{}
	for i, m := range file.Model.Merges {
		if _, ok := rank[m[0]+m[1]]; !ok {
			rank[m[0]+m[1]] = i
		}
	}
	for id := range v.Pieces {
		p := &v.Pieces[id]
		if i, ok := rank[p.Text]; ok {
			p.Score = -float32(i)
		} else if p.Kind == PieceNormal {
			p.Score = -float32(len(file.Model.Merges))
		}
	}
	return nil
}

type modelHead struct {
	Type         string     `json:"type"`
	Merges       mergesJSON `json:"merges"`
	ByteFallback bool       `json:"byte_fallback"`
	Unknown      string     `json:"unk_token"`
}

// splits recognises the common ways of cutting text before the merges.
func splits(pre string) string {
	pre = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' {
			return -1
		}
		return r
	}, pre)
	switch {
	case strings.Contains(pre, `\\p{N}{1,3}`):
		return "llama-bpe"
	case strings.Contains(pre, `\\p{N}|`):
		return "qwen2"
	case strings.Contains(pre, `"individual_digits":true`):
		return "smollm"
	case strings.Contains(pre, "Split"):
		return ""
	}
	return "gpt-2"
}

// isByte recognises "<0x0A>".
func isByte(text string) bool {
	var b int
	n, err := fmt.Sscanf(text, "<0x%02X>", &b)
	return err == nil && n == 1 && len(text) == 6 && b <= math.MaxUint8
}
