package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// file is tokenizer.json.
type file struct {
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedJSON     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// addedJSON is an added token in tokenizer.json and tokenizer_config.json.
type addedJSON struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

func (a addedJSON) token() added {
	return added{content: a.Content, special: a.Special, singleWord: a.SingleWord,
		lstrip: a.LStrip, rstrip: a.RStrip, normalized: a.Normalized}
}

// part of tokenizer.json: the fields of every type, of which each uses its own.
type component struct {
	Type string `json:"type"`

	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
	Processors    []json.RawMessage `json:"processors"`
	Decoders      []json.RawMessage `json:"decoders"`

	Pattern  *patternJSON `json:"pattern"`
	Content  string       `json:"content"`
	Behavior string       `json:"behavior"`
	Invert   bool         `json:"invert"`

	Prepend            string `json:"prepend"`
	StripLeft          bool   `json:"strip_left"`
	StripRight         bool   `json:"strip_right"`
	Lowercase          bool   `json:"lowercase"`
	CleanText          bool   `json:"clean_text"`
	HandleChineseChars bool   `json:"handle_chinese_chars"`
	StripAccents       *bool  `json:"strip_accents"`

	AddPrefixSpace   *bool  `json:"add_prefix_space"`
	UseRegex         *bool  `json:"use_regex"`
	TrimOffsets      bool   `json:"trim_offsets"`
	Replacement      string `json:"replacement"`
	PrependScheme    string `json:"prepend_scheme"`
	Split            *bool  `json:"split"`
	IndividualDigits bool   `json:"individual_digits"`
	Delimiter        string `json:"delimiter"`
	Length           *int   `json:"length"`

	Prefix  string `json:"prefix"`
	Suffix  string `json:"suffix"`
	Cleanup bool   `json:"cleanup"`
	Start   int    `json:"start"`
	Stop    int    `json:"stop"`

	Single        []map[string]templateJSON `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
	Sep []json.RawMessage `json:"sep"`
	Cls []json.RawMessage `json:"cls"`
}

type templateJSON struct {
	ID string `json:"id"`
}

type patternJSON struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

func (p *patternJSON) matcher() (matcher, error) {
	switch {
	case p == nil:
		return nil, errors.New("pattern is missing")
	case p.String != nil:
		return literal(*p.String), nil
	case p.Regex != nil:
		return compile(*p.Regex)
	}
	return nil, errors.New("pattern is neither String nor Regex")
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

func decodeComponent(raw json.RawMessage) (component, error) {
	var c component
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, err
	}
	return c, nil
}

// parseNormalizer builds the normalizer; nil: none.
func parseNormalizer(raw json.RawMessage) (normalizer, error) {
	if isNull(raw) {
		return nil, nil
	}
	c, err := decodeComponent(raw)
	if err != nil {
		return nil, err
	}
	switch c.Type {
	case "Sequence":
		var seq chain
		for i, raw := range c.Normalizers {
			n, err := parseNormalizer(raw)
			if err != nil {
				return nil, fmt.Errorf("normalizers[%d]: %w", i, err)
			}
			if n != nil {
				seq = append(seq, n)
			}
		}
		return seq, nil
	case "Prepend":
		return prependNorm(c.Prepend), nil
	case "Replace":
		m, err := c.Pattern.matcher()
		if err != nil {
			return nil, err
		}
		return replaceNorm{m, c.Content}, nil
	case "NFC":
		return formNorm{norm.NFC, false, true}, nil
	case "NFD":
		return formNorm{norm.NFD, false, false}, nil
	case "NFKC":
		return formNorm{norm.NFKC, true, true}, nil
	case "NFKD":
		return formNorm{norm.NFKD, true, false}, nil
	case "Lowercase":
		return mapNorm(lower), nil
	case "Strip":
		return stripNorm{c.StripLeft, c.StripRight}, nil
	case "StripAccents":
		return mapNorm(stripMarks), nil
	case "BertNormalizer":
		return c.bertNormalizer(), nil
	case "Nmt":
		return mapNorm(nmt), nil
	case "ByteLevel":
		return byteLevelNorm{}, nil
	}
	return nil, unknown("normalizer", c.Type)
}

func unknown(what, typ string) error {
	return fmt.Errorf("%s of type %q is not supported", what, typ)
}

// parsePreTokenizer appends the stages of a pre-tokenizer.
func parsePreTokenizer(stages []stage, raw json.RawMessage) ([]stage, error) {
	if isNull(raw) {
		return stages, nil
	}
	c, err := decodeComponent(raw)
	if err != nil {
		return nil, err
	}
	st, err := c.stage()
	if c.Type == "Sequence" {
		for i, raw := range c.PreTokenizers {
			if stages, err = parsePreTokenizer(stages, raw); err != nil {
				return nil, fmt.Errorf("pretokenizers[%d]: %w", i, err)
			}
		}
		return stages, nil
	}
	if c.Type == "BertPreTokenizer" {
		stages = append(stages, splitStage{oneRune(isSpace), removed, false})
	}
	return append(stages, st), err
}

// stage is the pre-tokenizer that c describes.
func (c *component) stage() (stage, error) {
	switch c.Type {
	case "Sequence":
		return nil, nil
	case "ByteLevel":
		st := byteStage{prefixSpace: c.AddPrefixSpace == nil || *c.AddPrefixSpace}
		if c.UseRegex == nil || *c.UseRegex {
			m, err := compile(patternGPT2)
			if err != nil {
				return nil, err
			}
			st.pattern = m
		}
		return st, nil
	case "Split":
		m, err := c.Pattern.matcher()
		if err != nil {
			return nil, err
		}
		how, ok := behaviours[c.Behavior]
		if !ok {
			return nil, fmt.Errorf("unknown behavior %q of Split", c.Behavior)
		}
		return splitStage{m, how, c.Invert}, nil
	case "Metaspace":
		st := metaspaceStage{mark: c.Replacement, scheme: c.scheme(), split: c.Split == nil || *c.Split}
		if st.scheme != "always" && st.scheme != "first" && st.scheme != "never" {
			return nil, fmt.Errorf("unknown prepend_scheme %q of Metaspace", st.scheme)
		}
		return st, nil
	case "Digits":
		if c.IndividualDigits {
			return splitStage{oneRune(rustNumerics.has), isolated, false}, nil
		}
		return splitStage{oneRune(rustNumerics.has), contiguous, false}, nil
	case "Whitespace":
		return splitStage{scanWhitespace{}, removed, true}, nil
	case "WhitespaceSplit":
		return splitStage{oneRune(isSpace), removed, false}, nil
	case "Punctuation":
		return splitStage{oneRune(rustPuncts.has), behaviours[c.Behavior], false}, nil
	case "BertPreTokenizer":
		return splitStage{oneRune(rustPuncts.has), isolated, false}, nil
	case "CharDelimiterSplit":
		return splitStage{literal(c.Delimiter), removed, false}, nil
	case "FixedLength":
		n := 5
		if c.Length != nil {
			n = *c.Length
		}
		if n < 1 {
			return nil, fmt.Errorf("FixedLength of %d", n)
		}
		return fixedStage{n}, nil
	}
	return nil, unknown("pre-tokenizer", c.Type)
}

// scheme is when Metaspace puts a mark before the text; files from before there was
// a scheme say add_prefix_space.
func (c *component) scheme() string {
	switch {
	case c.AddPrefixSpace != nil && !*c.AddPrefixSpace:
		return "never"
	case c.PrependScheme == "":
		return "always"
	}
	return c.PrependScheme
}

// scanWhitespace is \w+|[^\w\s]+ of the regex crate.
type scanWhitespace struct{}

func (scanWhitespace) find(s string, yield func(lo, hi int)) {
	kind := func(r rune) int {
		switch {
		case rustWords.has(r):
			return 1
		case isSpace(r):
			return 0
		}
		return 2
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		k, from := kind(r), i
		i += n
		if k == 0 {
			continue
		}
		for i < len(s) {
			r, n := utf8.DecodeRuneInString(s[i:])
			if kind(r) != k {
				break
			}
			i += n
		}
		yield(from, i)
	}
}

// parseDecoder appends the makers of the steps of a decoder. fused says that the
// steps get the text in pieces that are not tokens.
func parseDecoder(steps []func() step, raw json.RawMessage, fused *bool) ([]func() step, error) {
	if isNull(raw) {
		return steps, nil
	}
	c, err := decodeComponent(raw)
	if err != nil {
		return nil, err
	}
	add := func(mk func() step) ([]func() step, error) { return append(steps, mk), nil }
	whole := func(mk func() step) ([]func() step, error) { // a step that wants whole tokens
		if *fused {
			steps = append(steps, func() step { return &collectStep{} })
		}
		return append(steps, mk), nil
	}
	isFused := *fused
	switch c.Type {
	case "Sequence":
		for i, raw := range c.Decoders {
			if steps, err = parseDecoder(steps, raw, fused); err != nil {
				return nil, fmt.Errorf("decoders[%d]: %w", i, err)
			}
		}
		return steps, nil
	case "ByteLevel":
		*fused = true
		if isFused {
			return whole(func() step { return &byteStep{} })
		}
		return add(func() step { return &byteStep{} })
	case "Fuse":
		*fused = true
		return steps, nil
	case "ByteFallback":
		return whole(func() step { return &byteFallbackStep{} })
	case "Replace":
		m, err := c.Pattern.matcher()
		if err != nil {
			return nil, err
		}
		if l, ok := m.(literal); ok && utf8.RuneCountInString(string(l)) == 1 {
			return add(func() step { return replaceStep{m, c.Content} })
		}
		return whole(func() step { return replaceStep{m, c.Content} })
	case "Strip":
		r, _ := utf8.DecodeRuneInString(c.Content)
		return add(func() step { return &stripStep{c: r, start: c.Start, stop: c.Stop, fused: isFused} })
	case "Metaspace":
		strip := c.scheme() != "never"
		return add(func() step { return &metaspaceStep{mark: c.Replacement, strip: strip, fused: isFused} })
	case "WordPiece":
		return whole(func() step { return &wordPieceStep{prefix: c.Prefix, cleanup: c.Cleanup} })
	case "BPEDecoder":
		suffix := c.Suffix
		if suffix == "" {
			suffix = "</w>"
		}
		return whole(func() step { return &suffixStep{suffix: suffix} })
	}
	return nil, unknown("decoder", c.Type)
}
