package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// postProcessor puts special tokens around a sequence and trims offsets.
type postProcessor struct {
	before, after []int32
	adds          bool   // some part of it can add tokens
	trims         []bool // one entry a trim of offsets: whether a prefix space may have been added
}

// parsePost adds what a post-processor does to p.
func (p *postProcessor) parse(raw json.RawMessage) error {
	if isNull(raw) {
		return nil
	}
	c, err := decodeComponent(raw)
	if err != nil {
		return err
	}
	prefixSpace := c.AddPrefixSpace == nil || *c.AddPrefixSpace
	switch c.Type {
	case "Sequence":
		for i, raw := range c.Processors {
			if err := p.parse(raw); err != nil {
				return fmt.Errorf("processors[%d]: %w", i, err)
			}
		}
		return nil
	case "ByteLevel":
		if c.TrimOffsets {
			p.trims = append(p.trims, prefixSpace)
		}
		return nil
	case "TemplateProcessing":
		return p.template(&c)
	case "BertProcessing", "RobertaProcessing":
		cls, err := pairID(c.Cls)
		if err != nil {
			return fmt.Errorf("cls: %w", err)
		}
		sep, err := pairID(c.Sep)
		if err != nil {
			return fmt.Errorf("sep: %w", err)
		}
		if c.Type == "RobertaProcessing" && c.TrimOffsets {
			p.trims = append(p.trims, prefixSpace)
		}
		return p.surround([]int32{cls}, []int32{sep})
	}
	return unknown("post-processor", c.Type)
}

// template reads the single form of a TemplateProcessing.
func (p *postProcessor) template(c *component) error {
	var before, after []int32
	seen := false
	for _, item := range c.Single {
		if _, ok := item["Sequence"]; ok {
			if seen {
				return errors.New("template with the sequence twice is not supported")
			}
			seen = true
			continue
		}
		name := item["SpecialToken"].ID
		special, ok := c.SpecialTokens[name]
		if !ok {
			return fmt.Errorf("template names %q, which is not among its special_tokens", name)
		}
		if seen {
			after = append(after, special.IDs...)
		} else {
			before = append(before, special.IDs...)
		}
	}
	if !seen {
		return errors.New("template without the sequence is not supported")
	}
	return p.surround(before, after)
}

func (p *postProcessor) surround(before, after []int32) error {
	p.before = append(append([]int32{}, before...), p.before...)
	p.after = append(p.after, after...)
	p.adds = true
	return nil
}

// pairID is the id of a ["token", id] pair.
func pairID(pair []json.RawMessage) (int32, error) {
	if len(pair) != 2 {
		return 0, errors.New("is not a pair of token and id")
	}
	var id int32
	err := json.Unmarshal(pair[1], &id)
	return id, err
}

// trim takes white space at the ends of tokens out of their spans. A token is as
// long in its text as in the original, character for character, so that counting
// characters of the original is enough.
func (p *postProcessor) trim(text string, forms []string, spans [][2]int) {
	for _, prefixSpace := range p.trims {
		for i, form := range forms {
			lead, trail := blanks(form)
			lo, hi := spans[i][0], spans[i][1]
			if lead > 0 {
				if (i == 0 || lo == 0) && prefixSpace && lead == 1 {
					lead = 0
				}
				for ; lead > 0 && lo < hi; lead-- {
					_, n := utf8.DecodeRuneInString(text[lo:])
					lo += n
				}
			}
			if trail > 0 && hasRunes(text[:hi], trail) {
				for ; trail > 0 && hi > lo; trail-- {
					_, n := utf8.DecodeLastRuneInString(text[:hi])
					hi -= n
				}
			}
			spans[i] = [2]int{lo, hi}
		}
	}
}

// hasRunes says whether s has at least n characters, looking at its end only.
func hasRunes(s string, n int) bool {
	for ; n > 0 && s != ""; n-- {
		_, w := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-w]
	}
	return n == 0
}

// blanks counts the white characters at both ends of a token.
func blanks(s string) (lead, trail int) {
	blank := func(r rune) bool { return r == byteChars[' '] || isSpace(r) }
	for _, r := range s {
		if !blank(r) {
			break
		}
		lead++
	}
	for s != "" {
		r, n := utf8.DecodeLastRuneInString(s)
		if !blank(r) {
			break
		}
		trail++
		s = s[:len(s)-n]
	}
	return lead, trail
}
