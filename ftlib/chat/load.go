package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoTemplate says that a tokenizer carries no chat template.
var ErrNoTemplate = errors.New("the tokenizer has no chat template")

// ForTokenizer reads the template that the tokenizer in a folder carries, in the order
// of transformers: chat_template.jinja (and additional_chat_templates/NAME.jinja), then
// chat_template in tokenizer_config.json (a text, or a list of named texts), then
// chat_template.json. bos_token, eos_token and the others come from
// tokenizer_config.json and special_tokens_map.json.
//
// A folder without any gives an error that wraps ErrNoTemplate: choose a built-in one.
func ForTokenizer(dir string) (*Template, error) {
	config, err := readObject(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	sources, err := templateSources(dir, config)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("chat: %s: %w; name a built-in one: %s", dir, ErrNoTemplate, strings.Join(Builtins(), ", "))
	}
	o, err := tokenizerOptions(dir, config)
	if err != nil {
		return nil, err
	}
	return parseAll(sources, o)
}

// TokensOf reads the special tokens of the tokenizer in a folder, as options for a
// template that comes from elsewhere: Builtin("zephyr") with With(o). A folder that says
// nothing about them leaves the template its own.
func TokensOf(dir string) (Options, error) {
	config, err := readObject(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return Options{}, err
	}
	o, err := tokenizerOptions(dir, config)
	o.Name = ""
	o.All = config != nil || o.BOS+o.EOS != ""
	return o, err
}

func readObject(path string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("chat: %s: %w", path, err)
	}
	return m, nil
}

func templateSources(dir string, config map[string]any) (map[string]string, error) {
	sources := map[string]string{}
	read := func(name, path string) error {
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("chat: %w", err)
		}
		sources[name] = string(data)
		return nil
	}
	if err := read("default", filepath.Join(dir, "chat_template.jinja")); err != nil {
		return nil, err
	}
	more, _ := filepath.Glob(filepath.Join(dir, "additional_chat_templates", "*.jinja"))
	for _, path := range more {
		if err := read(strings.TrimSuffix(filepath.Base(path), ".jinja"), path); err != nil {
			return nil, err
		}
	}
	if len(sources) > 0 {
		return sources, nil
	}
	if err := named(config["chat_template"], sources); err != nil {
		return nil, fmt.Errorf("chat: %s: %w", filepath.Join(dir, "tokenizer_config.json"), err)
	}
	if len(sources) > 0 {
		return sources, nil
	}
	path := filepath.Join(dir, "chat_template.json")
	old, err := readObject(path)
	if err != nil {
		return nil, err
	}
	if err := named(old["chat_template"], sources); err != nil {
		return nil, fmt.Errorf("chat: %s: %w", path, err)
	}
	return sources, nil
}

// named reads chat_template: a text, a list of {name, template}, or an object.
func named(v any, into map[string]string) error {
	switch x := v.(type) {
	case nil:
	case string:
		into["default"] = x
	case []any:
		for i, e := range x {
			m, _ := e.(map[string]any)
			name, ok1 := m["name"].(string)
			text, ok2 := m["template"].(string)
			if !ok1 || !ok2 {
				return fmt.Errorf("chat_template[%d]: expected an object with name and template", i)
			}
			into[name] = text
		}
	case map[string]any:
		for name, e := range x {
			text, ok := e.(string)
			if !ok {
				return fmt.Errorf("chat_template.%s: expected a text", name)
			}
			into[name] = text
		}
	default:
		return fmt.Errorf("chat_template: expected a text or a list of named texts")
	}
	return nil
}

func tokenizerOptions(dir string, config map[string]any) (Options, error) {
	special, err := readObject(filepath.Join(dir, "special_tokens_map.json"))
	if err != nil {
		return Options{}, err
	}
	class, _ := config["tokenizer_class"].(string)
	defaults := classTokens(strings.TrimSuffix(class, "Fast"))
	o := Options{Name: filepath.Base(dir), Tokens: map[string]string{}}
	for _, key := range []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"} {
		v, ok := config[key]
		if !ok {
			v, ok = special[key]
		}
		if !ok && defaults[key] != "" {
			v = defaults[key]
		}
		if m, ok := v.(map[string]any); ok {
			v = m["content"]
		}
		s, _ := v.(string)
		switch {
		case s == "":
		case key == "bos_token":
			o.BOS = s
		case key == "eos_token":
			o.EOS = s
		default:
			o.Tokens[key] = s
		}
	}
	return o, nil
}

// Find is the template that a user names: a built-in name, or a file with a Jinja
// template (.jinja, or any text) or a JSON file with chat_template in it. An empty name
// is the tokenizer's own. The tokens are those of the tokenizer in dir; with an empty
// dir a built-in template keeps its family's and a file has none.
func Find(name, dir string) (*Template, error) {
	if name == "" {
		return ForTokenizer(dir)
	}
	o := Options{}
	if dir != "" {
		var err error
		if o, err = TokensOf(dir); err != nil {
			return nil, err
		}
	}
	t, unknown := Builtin(name)
	if unknown == nil {
		return t.With(o), nil
	}
	data, err := os.ReadFile(name)
	switch {
	case os.IsNotExist(err):
		return nil, fmt.Errorf("%w; and no file of that name", unknown)
	case err != nil:
		return nil, fmt.Errorf("chat: %w", err)
	}
	o.Name = filepath.Base(name)
	sources := map[string]string{"default": string(data)}
	if strings.HasSuffix(name, ".json") {
		m, err := readObject(name)
		if err != nil {
			return nil, err
		}
		delete(sources, "default")
		if err := named(m["chat_template"], sources); err != nil {
			return nil, fmt.Errorf("chat: %s: %w", name, err)
		}
		if len(sources) == 0 {
			return nil, fmt.Errorf("chat: %s: no chat_template in it", name)
		}
	}
	return parseAll(sources, o)
}

// classTokens are the special tokens that transformers' tokenizer classes have where the
// files say nothing. A null in a file does say something: that there is none.
func classTokens(class string) map[string]string {
	const end = "<|endoftext|>"
	switch class {
	case "LlamaTokenizer", "CodeLlamaTokenizer":
		return map[string]string{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
	case "Qwen2Tokenizer":
		return map[string]string{"eos_token": end, "unk_token": end, "pad_token": end}
	case "GPT2Tokenizer", "CodeGenTokenizer":
		return map[string]string{"bos_token": end, "eos_token": end, "unk_token": end}
	}
	return nil
}
