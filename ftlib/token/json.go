package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Vocabularies are megabytes of JSON of a very simple kind. Going over them once,
// with what follows, is several times faster than encoding/json; where anything is
// out of the ordinary the caller turns to that, also for the message.

// jsonText is JSON and a place in it.
type jsonText struct {
	s  []byte
	at int
}

// next steps over white space and gives the byte behind it, 0 at the end.
func (j *jsonText) next() byte {
	for j.at < len(j.s) {
		switch c := j.s[j.at]; c {
		case ' ', '\n', '\t', '\r':
			j.at++
		default:
			return c
		}
	}
	return 0
}

// take steps over c if it is next.
func (j *jsonText) take(c byte) bool {
	if j.next() != c {
		return false
	}
	j.at++
	return true
}

// raw is the string that is next, quotes included; nil: there is none.
func (j *jsonText) raw() []byte {
	if j.next() != '"' {
		return nil
	}
	from := j.at
	for i := from + 1; ; {
		n := bytes.IndexByte(j.s[i:], '"')
		if n < 0 {
			return nil
		}
		i += n + 1
		slashes := 0
		for j.s[i-2-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			j.at = i
			return j.s[from:i]
		}
	}
}

// str is the string that is next.
func (j *jsonText) str() (string, bool) {
	raw := j.raw()
	if raw == nil {
		return "", false
	}
	body := raw[1 : len(raw)-1]
	for _, c := range body {
		if c < ' ' || c == '\\' {
			var s string
			err := json.Unmarshal(raw, &s)
			return s, err == nil
		}
	}
	return string(body), utf8.Valid(body)
}

// number is the whole number that is next.
func (j *jsonText) number() (int32, bool) {
	v, n := int64(0), 0
	j.next()
	for j.at < len(j.s) && '0' <= j.s[j.at] && j.s[j.at] <= '9' && n < 10 {
		v = 10*v + int64(j.s[j.at]-'0')
		j.at++
		n++
	}
	return int32(v), n > 0 && v < 1<<31
}

// skip steps over the value that is next.
func (j *jsonText) skip() bool {
	depth := 0
	for {
		switch j.next() {
		case 0:
			return false
		case '"':
			if j.raw() == nil {
				return false
			}
		case '{', '[':
			depth++
			j.at++
		case '}', ']':
			depth--
			j.at++
		case ',', ':':
			if depth == 0 {
				return false
			}
			j.at++
		default:
			for j.at < len(j.s) && !strings.ContainsRune(" \n\t\r,:]}", rune(j.s[j.at])) {
				j.at++
			}
		}
		if depth == 0 {
			return true
		}
	}
}

// fields are the values of an object by key, as they stand.
func fields(raw []byte) (map[string]json.RawMessage, bool) {
	j := jsonText{s: raw}
	out := map[string]json.RawMessage{}
	ok := j.object(func(key string) bool {
		j.next()
		from := j.at
		if !j.skip() {
			return false
		}
		out[key] = j.s[from:j.at]
		return true
	})
	return out, ok
}

// object reads an object that is all there is; value reads what belongs to a key.
func (j *jsonText) object(value func(key string) bool) bool {
	if !j.take('{') {
		return false
	}
	for first := true; !j.take('}'); first = false {
		if !first && !j.take(',') {
			return false
		}
		key, ok := j.str()
		if !ok || !j.take(':') || !value(key) {
			return false
		}
	}
	return j.next() == 0
}

// parseVocab reads {"token": id}.
func parseVocab(raw []byte) (map[string]int32, error) {
	vocab := make(map[string]int32, len(raw)/20)
	j := jsonText{s: raw}
	if j.object(func(key string) bool {
		id, ok := j.number()
		vocab[key] = id
		return ok
	}) {
		return vocab, nil
	}
	clear(vocab)
	if err := json.Unmarshal(raw, &vocab); err != nil {
		return nil, fmt.Errorf("vocab: %w", err)
	}
	for s, id := range vocab {
		if id < 0 {
			return nil, fmt.Errorf("vocab: token %q has the id %d", s, id)
		}
	}
	return vocab, nil
}

// mergesJSON are merges: pairs of strings, or strings with a space between the parts.
type mergesJSON [][2]string

func (m *mergesJSON) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	j := jsonText{s: data}
	if m.pairs(&j) {
		return nil
	}
	*m = nil
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

// pairs reads merges of either form without detours; false: they have some.
func (m *mergesJSON) pairs(j *jsonText) bool {
	if !j.take('[') {
		return false
	}
	for first := true; !j.take(']'); first = false {
		if !first && !j.take(',') {
			return false
		}
		var a, b string
		var ok bool
		if j.take('[') {
			var ok2 bool
			a, ok = j.str()
			ok = ok && j.take(',')
			b, ok2 = j.str()
			ok = ok && ok2 && j.take(']')
		} else {
			var line string
			if line, ok = j.str(); ok {
				a, b, ok = strings.Cut(line, " ")
				ok = ok && !strings.Contains(b, " ") && !strings.HasPrefix(line, "#version")
			}
		}
		if !ok {
			return false
		}
		*m = append(*m, [2]string{a, b})
	}
	return j.next() == 0
}

// unmarshalLarge decodes an object whose values are large: Into takes each as it
// stands, so that nothing is gone over twice.
func unmarshalLarge(raw []byte, into map[string]any) error {
	values, ok := fields(raw)
	if !ok {
		values = nil
		if err := json.Unmarshal(raw, &values); err != nil {
			return err
		}
	}
	for key, to := range into {
		value, ok := values[key]
		if !ok {
			continue
		}
		switch to := to.(type) {
		case *json.RawMessage:
			*to = value
		case *mergesJSON:
			if err := to.UnmarshalJSON(value); err != nil {
				return err
			}
		default:
			if err := json.Unmarshal(value, to); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}
