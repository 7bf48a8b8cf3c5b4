package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sort"

	"ftlab/ftlib/chat/jinja"
)

// Object is a JSON object that keeps the order of its keys. Inside Message.Extra it
// matters: templates print tool arguments in the order that was written.
type Object = jinja.Object

// Field is one key of an Object.
type Field = jinja.Field

// The names under which the text of a message stands. Reasoning has three.
var reasoningKeys = []string{"reasoning_content", "thinking", "reasoning"}

func kindOf(key string) jinja.Kind {
	switch key {
	case "content", "reasoning_content", "thinking", "reasoning":
		return jinja.Content
	case "role", "name", "tool_call_id":
		return 0 // what headers are made of
	}
	return jinja.Property
}

// dict is the message as the template sees it, its strings marked with number n.
// As in transformers, keys without a value are left out and reasoning stands under the
// names that templates read.
func (m *Message) dict(n int) *jinja.Dict {
	d := jinja.NewDict(n)
	set := func(key string, v any) {
		if v == nil {
			return
		}
		kind := kindOf(key)
		tag := n
		if kind == 0 {
			tag = 0
		}
		d.Set(jinja.Str{S: key}, jinja.From(v, tag, kind))
	}
	value := func(key string) any {
		if v, ok := m.Extra[key]; ok {
			return v
		}
		switch key {
		case "role":
			return m.Role
		case "content":
			return m.Content
		}
		return nil
	}
	keys := m.keys
	if keys == nil {
		keys = []string{"role", "content"}
		rest := make([]string, 0, len(m.Extra))
		for k := range m.Extra {
			if k != "role" && k != "content" {
				rest = append(rest, k)
			}
		}
		sort.Strings(rest)
		keys = append(keys, rest...)
	}
	var reasoning any
	for _, k := range reasoningKeys {
		if v, ok := m.Extra[k]; ok && v != nil {
			reasoning = v
			break
		}
	}
	if reasoning != nil {
		set("thinking", reasoning)
	}
	for _, k := range keys {
		set(k, value(k))
	}
	if reasoning != nil {
		set("reasoning_content", reasoning)
	}
	return d
}

// UnmarshalJSON reads a message object and keeps the order of its keys. A boolean
// "train" is taken as Message.Train, not given to the template.
func (m *Message) UnmarshalJSON(data []byte) error {
	v, err := decodeOrdered(data)
	if err != nil {
		return err
	}
	o, ok := v.(Object)
	if !ok {
		return fmt.Errorf("chat: a message must be an object with role and content, not %.40s", data)
	}
	*m = Message{keys: []string{}}
	for _, f := range o {
		if b, ok := f.Value.(bool); ok && f.Key == "train" {
			m.Train = &b
			continue
		}
		m.keys = append(m.keys, f.Key)
		if s, ok := f.Value.(string); ok && f.Key == "role" {
			m.Role = s
		} else if ok && f.Key == "content" {
			m.Content = s
		} else {
			if m.Extra == nil {
				m.Extra = map[string]any{}
			}
			m.Extra[f.Key] = f.Value
		}
	}
	return nil
}

// MarshalJSON writes the keys in the order they were read in.
func (m Message) MarshalJSON() ([]byte, error) {
	keys := m.keys
	if keys == nil {
		keys = []string{"role", "content"}
		rest := make([]string, 0, len(m.Extra))
		for k := range m.Extra {
			if k != "content" {
				rest = append(rest, k)
			}
		}
		sort.Strings(rest)
		keys = append(keys, rest...)
	}
	o := Object{}
	for _, k := range keys {
		v, ok := m.Extra[k]
		switch {
		case ok:
		case k == "role":
			v = m.Role
		case k == "content":
			v = m.Content
		}
		o = append(o, Field{Key: k, Value: v})
	}
	if m.Train != nil {
		o = append(o, Field{Key: "train", Value: *m.Train})
	}
	return o.MarshalJSON()
}

// ParseMessages reads a conversation: a JSON list of messages.
func ParseMessages(data []byte) ([]Message, error) {
	var msgs []Message
	if err := json.Unmarshal(data, &msgs); err != nil {
		return nil, fmt.Errorf("chat: not a list of messages: %w", err)
	}
	return msgs, nil
}

// ParseJSON reads any JSON value, objects as Object, whole numbers as int64.
func ParseJSON(data []byte) (any, error) { return decodeOrdered(data) }

func decodeOrdered(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("chat: text after the JSON value")
	}
	return v, nil
}

func decodeValue(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch x := t.(type) {
	case json.Delim:
		if x == '[' {
			list := []any{}
			for dec.More() {
				v, err := decodeValue(dec)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err = dec.Token()
			return list, err
		}
		o, at := Object{}, map[string]int{}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			key, _ := k.(string)
			if i, ok := at[key]; ok { // the last one counts, as everywhere
				o[i].Value = v
				continue
			}
			at[key] = len(o)
			o = append(o, Field{Key: key, Value: v})
		}
		_, err = dec.Token()
		return o, err
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n, nil
		}
		return x.Float64()
	}
	return t, nil
}
