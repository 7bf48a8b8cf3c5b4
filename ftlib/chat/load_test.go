package chat

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Templates are found where transformers finds them, in its order.
func TestForTokenizer(t *testing.T) {
	msgs := []Message{{Role: "user", Content: "Q"}}
	for name, c := range map[string]struct {
		files map[string]string
		tools bool
		want  string
	}{
		"text":           {map[string]string{"tokenizer_config.json": `{"chat_template":"c{{ bos_token }}","bos_token":"<s>"}`}, false, "c<s>"},
		"token objects":  {map[string]string{"tokenizer_config.json": `{"chat_template":"{{ eos_token }}{{ pad_token }}","eos_token":{"content":"</s>"},"pad_token":"p"}`}, false, "</s>p"},
		"no token":       {map[string]string{"tokenizer_config.json": `{"chat_template":"[{{ bos_token }}]","bos_token":null}`}, false, "[]"},
		"tokens apart":   {map[string]string{"tokenizer_config.json": `{"chat_template":"{{ eos_token }}"}`, "special_tokens_map.json": `{"eos_token":{"content":"E"}}`}, false, "E"},
		"of the class":   {map[string]string{"tokenizer_config.json": `{"chat_template":"{{ bos_token }}{{ eos_token }}","tokenizer_class":"LlamaTokenizerFast","bos_token":null}`}, false, "</s>"},
		"jinja first":    {map[string]string{"tokenizer_config.json": `{"chat_template":"c"}`, "chat_template.jinja": "j"}, false, "j"},
		"named":          {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}`}, false, "d"},
		"named tools":    {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}`}, true, "t"},
		"more files":     {map[string]string{"chat_template.jinja": "j", "additional_chat_templates/tool_use.jinja": "t"}, true, "t"},
		"json last":      {map[string]string{"chat_template.json": `{"chat_template":"x"}`}, false, "x"},
		"config, not js": {map[string]string{"tokenizer_config.json": `{"chat_template":"c"}`, "chat_template.json": `{"chat_template":"x"}`}, false, "c"},
	} {
		tmpl, err := ForTokenizer(write(t, c.files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o := RenderOptions{}
		if c.tools {
			o.Tools = []any{}
		}
		if got, err := tmpl.Text(msgs, o); err != nil || got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
	if _, err := ForTokenizer(write(t, map[string]string{"tokenizer_config.json": `{"chat_template":5}`})); err == nil {
		t.Error("a number passed as a template")
	}
}

func TestFind(t *testing.T) {
	dir := write(t, map[string]string{"tokenizer_config.json": `{"eos_token":"EOS"}`, "my.jinja": "{{ messages[0].content + eos_token }}", "my.json": `{"chat_template":"json{{ eos_token }}"}`})
	for name, want := range map[string]string{
		"guanaco":                      "### Human: Q\n### Assistant: AEOS\n",
		filepath.Join(dir, "my.jinja"): "QEOS",
		filepath.Join(dir, "my.json"):  "jsonEOS",
	} {
		tmpl, err := Find(name, dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Text([]Message{{Role: "user", Content: "Q"}, {Role: "assistant", Content: "A"}}, RenderOptions{}); err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
	}
	// The tokenizer's tokens take the place of the family's; one that it lacks is gone.
	for config, want := range map[string]string{
		`{"eos_token":"E","bos_token":null}`: "[INST] Q [/INST] A E",
		`{"eos_token":"E","bos_token":"B"}`:  "B[INST] Q [/INST] A E",
		"":                                   "<s>[INST] Q [/INST] A </s>",
	} {
		files := map[string]string{"tokenizer_config.json": config}
		if config == "" {
			files = nil
		}
		tmpl, err := Find("llama-2", write(t, files))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Text([]Message{{Role: "user", Content: "Q"}, {Role: "assistant", Content: "A"}}, RenderOptions{}); err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", config, got, err, want)
		}
	}
	if _, err := Find("no such thing", dir); err == nil {
		t.Error("a template that is not there was found")
	}
	a, _ := Find("guanaco", dir)
	b, _ := Builtin("guanaco")
	if a.Hash() == b.Hash() {
		t.Error("two end tokens, one hash")
	}
}
