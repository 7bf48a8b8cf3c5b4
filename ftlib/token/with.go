package token

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// With is the tokenizer with more tokens, and their ids in turn, as transformers'
// add_tokens makes it: each is found in a text as it stands, before anything else, and
// counted from the end of the vocabulary on. A token that is there already keeps its id.
// They are not special: Decode writes them. A model needs a row of its embedding for each
// (llm.Model.Resize).
func (t *Tokenizer) With(tokens ...string) (*Tokenizer, []int32, error) {
	var ids []int32
	var more []addedJSON
	next := int32(t.Size())
	seen := map[string]int32{}
	for _, s := range tokens {
		if s == "" {
			return nil, nil, fmt.Errorf("token: a new token is empty")
		}
		id, ok := t.ID(s)
		if !ok {
			id, ok = seen[s]
		}
		if !ok {
			id = next
			next++
			seen[s] = id
			more = append(more, addedJSON{ID: id, Content: s})
		}
		ids = append(ids, id)
	}
	if len(more) == 0 {
		return t, ids, nil
	}
	if t.source.name != "tokenizer.json" {
		return nil, nil, fmt.Errorf("token: new tokens in %s are not supported; convert the tokenizer to tokenizer.json (transformers writes it)", t.source.name)
	}
	data, err := appendAdded(t.source.tokenizer, more)
	if err != nil {
		return nil, nil, fmt.Errorf("token: %w", err)
	}
	with, err := parse(data, t.side)
	if err != nil {
		return nil, nil, fmt.Errorf("token: %w", err)
	}
	for i, s := range tokens {
		if id, _ := with.ID(s); id != ids[i] {
			return nil, nil, fmt.Errorf("token: the new token %q has the id %d instead of %d", s, id, ids[i])
		}
	}
	return with, ids, nil
}

// appendAdded writes tokens into the added_tokens of a tokenizer.json and leaves every other
// byte as it is.
func appendAdded(data []byte, more []addedJSON) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		if key != "added_tokens" {
			continue
		}
		end := d.InputOffset()
		var old []json.RawMessage
		if err := json.Unmarshal(raw, &old); err != nil {
			return nil, err
		}
		for _, a := range more {
			x, err := json.Marshal(a)
			if err != nil {
				return nil, err
			}
			old = append(old, x)
		}
		list, err := json.Marshal(old)
		if err != nil {
			return nil, err
		}
		return bytes.Join([][]byte{data[:end-int64(len(raw))], list, data[end:]}, nil), nil
	}
	return nil, fmt.Errorf("tokenizer.json has no added_tokens")
}
