package reward

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ftlab/ftlib/sandbox"
	"ftlab/ftlib/verify"
)

// Spec names one of the helpers, for run files:
//
//	rewards:
//	  - {use: accuracy, kind: gsm8k}
//	  - {use: repetition, ngram_size: 3, weight: 0.1}
//
// A field that the helper does not have must stay zero.
type Spec struct {
	Use    string  `json:"use" yaml:"use"`                           // accuracy, reasoning_accuracy, cosine, think_format, format, repetition, soft_overlong, length or code
	Name   string  `json:"name,omitempty" yaml:"name,omitempty"`     // in charts; zero: Use
	Weight float64 `json:"weight,omitempty" yaml:"weight,omitempty"` // zero: 1
	Watch  bool    `json:"watch,omitempty" yaml:"watch,omitempty"`   // report it, but do not add it

	Kind       string  `json:"kind,omitempty" yaml:"kind,omitempty"`               // accuracy, reasoning_accuracy, cosine: gsm8k, math or numeric; zero: math
	Pattern    string  `json:"pattern,omitempty" yaml:"pattern,omitempty"`         // format: what has to match
	MaxLen     int     `json:"max_len,omitempty" yaml:"max_len,omitempty"`         // cosine, soft_overlong: tokens; length: the target
	Cache      int     `json:"cache,omitempty" yaml:"cache,omitempty"`             // soft_overlong: the tokens before max_len that are punished
	NgramSize  int     `json:"ngram_size,omitempty" yaml:"ngram_size,omitempty"`   // repetition; zero: 3
	MaxPenalty float64 `json:"max_penalty,omitempty" yaml:"max_penalty,omitempty"` // repetition; zero: -1
	Language   string  `json:"language,omitempty" yaml:"language,omitempty"`       // code: python or go; zero: python
	Column     string  `json:"column,omitempty" yaml:"column,omitempty"`           // code: the column with the tests; zero: the answer
	Unsafe     bool    `json:"unsafe,omitempty" yaml:"unsafe,omitempty"`           // code: run without a sandbox where none can be had
	Seconds    float64 `json:"seconds,omitempty" yaml:"seconds,omitempty"`         // for one sample; zero: 60
}

// fields says which of its own fields a helper has.
var fields = map[string]string{
	"accuracy": "kind", "reasoning_accuracy": "kind", "cosine": "kind max_len", "think_format": "", "format": "pattern",
	"repetition": "ngram_size max_penalty", "soft_overlong": "max_len cache", "length": "max_len", "code": "language column unsafe",
}

// Component is the function that the specification names.
func (s Spec) Component() (Component, error) {
	own, ok := fields[s.Use]
	if !ok {
		return Component{}, fmt.Errorf("reward: unknown function %q: accuracy, reasoning_accuracy, cosine, think_format, format, repetition, soft_overlong, length or code", s.Use)
	}
	for name, set := range map[string]bool{
		"kind": s.Kind != "", "pattern": s.Pattern != "", "max_len": s.MaxLen != 0, "cache": s.Cache != 0, "ngram_size": s.NgramSize != 0,
		"max_penalty": s.MaxPenalty != 0, "language": s.Language != "", "column": s.Column != "", "unsafe": s.Unsafe,
	} {
		if set && !slices.Contains(strings.Fields(own), name) {
			return Component{}, fmt.Errorf("reward: %s has no %s", s.Use, name)
		}
	}
	c := Component{Name: s.Name, Weight: s.Weight, Watch: s.Watch, Timeout: time.Duration(s.Seconds * float64(time.Second))}
	if c.Name == "" {
		c.Name = s.Use
	}
	kind := verify.Math
	var err error
	if s.Kind != "" {
		if kind, err = verify.ParseKind(s.Kind); err != nil {
			return Component{}, fmt.Errorf("reward: %s: %w", s.Use, err)
		}
	}
	switch s.Use {
	case "accuracy":
		c.Func = Accuracy(kind)
	case "reasoning_accuracy":
		c.Func = ReasoningAccuracy(kind)
	case "cosine":
		c.Func, err = Cosine(Accuracy(kind), CosineOptions{MaxLen: s.MaxLen})
	case "think_format":
		c.Func = ThinkFormat
	case "format":
		c.Func, err = Format(s.Pattern)
		if s.Pattern == "" {
			err = fmt.Errorf("reward: format needs a pattern")
		}
	case "repetition":
		n, penalty := s.NgramSize, s.MaxPenalty
		if n == 0 {
			n = 3
		}
		if penalty == 0 {
			penalty = -1
		}
		c.Func, err = Repetition(n, penalty)
	case "soft_overlong":
		c.Func, err = SoftOverlong(s.MaxLen, s.Cache)
	case "length":
		c.Func, err = Length(s.MaxLen)
	case "code":
		language := sandbox.Language(s.Language)
		if language != "" && language != sandbox.Python && language != sandbox.Go {
			err = fmt.Errorf("reward: code: unknown language %q: python or go", s.Language)
		}
		c.Func = Code(CodeOptions{Language: language, Column: s.Column, Unsafe: s.Unsafe})
	}
	return c, err
}
