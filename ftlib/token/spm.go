package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Kinds of pieces in a SentencePiece model.
const (
	pieceNormal = 1 + iota
	pieceUnknown
	pieceControl
	pieceUserDefined
	pieceUnused
	pieceByte
)

// spmPiece is an entry of the vocabulary.
type spmPiece struct {
	text  string
	score float32
	kind  int
}

// spmFile is what is read of a tokenizer.model.
type spmFile struct {
	pieces       []spmPiece
	modelType    int // 1 unigram, 2 BPE, 3 word, 4 char
	byteFallback bool
	suffixSpace  bool // treat_whitespace_as_suffix
	unkSurface   string
	bos, eos     string
	unk, pad     string
	padID        int64
	charsMap     []byte
	dummyPrefix  bool
	removeExtra  bool
	escapeSpaces bool
}

// readSentencePiece decodes the protocol buffer of a tokenizer.model.
func readSentencePiece(data []byte) (*spmFile, error) {
	f := &spmFile{modelType: 1, unkSurface: " \u2047 ", bos: "<s>", eos: "</s>", unk: "<unk>", pad: "<pad>",
		padID: -1, dummyPrefix: true, removeExtra: true, escapeSpaces: true}
	err := eachField(data, func(num int, v uint64, b []byte) error {
		switch num {
		case 1:
			p := spmPiece{kind: pieceNormal}
			err := eachField(b, func(num int, v uint64, b []byte) error {
				switch num {
				case 1:
					p.text = string(b)
				case 2:
					p.score = math.Float32frombits(uint32(v))
				case 3:
					p.kind = int(v)
				}
				return nil
			})
			f.pieces = append(f.pieces, p)
			return err
		case 2:
			return eachField(b, f.trainerField)
		case 3:
			return eachField(b, func(num int, v uint64, b []byte) error {
				switch num {
				case 2:
					f.charsMap = b
				case 3:
					f.dummyPrefix = v != 0
				case 4:
					f.removeExtra = v != 0
				case 5:
					f.escapeSpaces = v != 0
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && len(f.pieces) == 0 {
		err = errors.New("not a SentencePiece model: it holds no pieces")
	}
	return f, err
}

// trainerField takes in a field of the trainer's specification.
func (f *spmFile) trainerField(num int, v uint64, b []byte) error {
	switch num {
	case 3:
		f.modelType = int(v)
	case 24:
		f.suffixSpace = v != 0
	case 35:
		f.byteFallback = v != 0
	case 43:
		f.padID = int64(int32(v))
	case 44:
		f.unkSurface = string(b)
	case 45:
		f.unk = string(b)
	case 46:
		f.bos = string(b)
	case 47:
		f.eos = string(b)
	case 48:
		f.pad = string(b)
	}
	return nil
}

// eachField goes over the fields of a protocol buffer message: numbers come as v,
// strings and messages as b.
func eachField(data []byte, yield func(num int, v uint64, b []byte) error) error {
	broken := errors.New("not a SentencePiece model: broken protocol buffer")
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		if n <= 0 {
			return broken
		}
		data = data[n:]
		var v uint64
		var b []byte
		switch key & 7 {
		case 0:
			if v, n = binary.Uvarint(data); n <= 0 {
				return broken
			}
		case 1:
			if n = 8; len(data) < n {
				return broken
			}
			v = binary.LittleEndian.Uint64(data)
		case 5:
			if n = 4; len(data) < n {
				return broken
			}
			v = uint64(binary.LittleEndian.Uint32(data))
		case 2:
			size, k := binary.Uvarint(data)
			if k <= 0 || size > uint64(len(data)-k) {
				return broken
			}
			b, n = data[k:k+int(size)], k+int(size)
		default:
			return broken
		}
		data = data[n:]
		if err := yield(int(key>>3), v, b); err != nil {
			return err
		}
	}
	return nil
}

// parseSentencePiece builds a tokenizer from tokenizer.model. Control symbols that
// are written out in the text become their ids, as in transformers; each stretch of
// text between them is what SentencePiece would be given. Where the configuration
// says "legacy": false, only a stretch at the start of the text gets the space that
// SentencePiece puts before a text.
func parseSentencePiece(data []byte, s side) (*Tokenizer, error) {
	f, err := readSentencePiece(data)
	if err != nil {
		return nil, err
	}
	if f.modelType != 2 {
		name := map[int]string{1: "unigram", 3: "word", 4: "char"}[f.modelType]
		return nil, fmt.Errorf("SentencePiece model of type %q is not supported: only bpe", name)
	}
	t := &Tokenizer{added: newAddedVocab(), vocab: map[string]int32{}}
	m := newPieceBPE(f)
	t.model = m
	var specials []added
	for id, p := range f.pieces {
		if _, ok := t.vocab[p.text]; !ok {
			t.vocab[p.text] = int32(id)
		}
		if p.kind == pieceControl || p.kind == pieceUnknown {
			specials = append(specials, added{content: p.text, special: true})
		}
	}
	t.norm = &spmNorm{f: f, frozen: m.frozen, firstOnly: s.Legacy != nil && !*s.Legacy, chars: newCharsMap(f.charsMap)}
	t.added.add(specials, t.vocab, nil)
	t.decoder = func() []step { return []step{&spmStep{f: f}} }
	name := func(n *tokenName, content string) {
		if _, ok := t.vocab[content]; ok && !n.set {
			n.set, n.Content, n.Special = true, content, true
		}
	}
	name(&s.BOS, f.bos)
	name(&s.EOS, f.eos)
	name(&s.UNK, f.unk)
	if f.padID >= 0 {
		name(&s.PAD, f.pad)
	}
	t.source = source{"tokenizer.model", data, s.raw}
	t.finish(s)
	if (s.AddBOS == nil || *s.AddBOS) && t.special.BOS >= 0 { // the default of the classes that read this file
		t.post.before = []int32{t.special.BOS}
	}
	if s.AddEOS != nil && *s.AddEOS && t.special.EOS >= 0 {
		t.post.after = []int32{t.special.EOS}
	}
	t.rehash()
	return t, nil
}
