package chat

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ftlab/internal/testkit"
)

var update = flag.Bool("update", false, "record the answers of transformers again (needs FTLAB_PYTHON)")

const clock = "2026-11-23T12:30:00"

// job is a rendering that transformers is asked for.
type job struct {
	Source   string            `json:"source"`
	Tokens   map[string]string `json:"tokens"`
	Messages []Message         `json:"messages"`
	Prompt   bool              `json:"prompt"`
	Tools    []any             `json:"tools"`
}

// answer of transformers.
type answer struct {
	Text       string   `json:"text,omitempty"`
	Generation [][2]int `json:"generation,omitempty"` // in characters
	Error      string   `json:"error,omitempty"`
	Message    string   `json:"message,omitempty"`
}

// pythonOf is the Python with transformers that live comparisons use.
func pythonOf(t *testing.T) string {
	t.Helper()
	p := os.Getenv("FTLAB_PYTHON")
	if p == "" {
		t.Skip("SKIPPED: set FTLAB_PYTHON to a Python that has transformers to compare with it live")
	}
	return p
}

// askTransformers renders jobs with transformers.
func askTransformers(t *testing.T, jobs []job) []answer {
	t.Helper()
	in, err := json.Marshal(map[string]any{"now": clock, "chats": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pythonOf(t), filepath.Join(testkit.Root(), "scripts", "golden", "chat_templates.py"))
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("FTLAB_PYTHON: %v", err)
	}
	var res struct {
		Chats []answer `json:"chats"`
	}
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatal(err)
	}
	if len(res.Chats) != len(jobs) {
		t.Fatalf("%d answers to %d questions", len(res.Chats), len(jobs))
	}
	return res.Chats
}

func now(t *testing.T) time.Time {
	n, err := time.Parse("2006-01-02T15:04:05", clock)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// compare checks one rendering: text and spans, or the error, and the trained stretch
// where the template marks it.
func compare(t *testing.T, tmpl *Template, j job, want answer) bool {
	t.Helper()
	o := RenderOptions{AddGenerationPrompt: j.Prompt, Tools: j.Tools, Now: now(t)}
	spans, err := tmpl.Render(j.Messages, o)
	ask := func() string {
		b, _ := json.Marshal(j.Messages)
		return fmt.Sprintf("%s, prompt %v, tools %v: %s", tmpl.Name(), j.Prompt, j.Tools != nil, b)
	}
	if want.Error != "" {
		e, ok := err.(*Error)
		if !ok {
			t.Errorf("%s\n got %q (%v), want %s: %s", ask(), Text(spans), err, want.Error, want.Message)
			return false
		}
		raised := want.Error == "TemplateError"
		if e.Raised != raised || raised && e.Msg != want.Message || !raised && e.Msg != want.Error+": "+want.Message {
			t.Errorf("%s\n got error %q (raised %v), want %s: %s", ask(), e.Msg, e.Raised, want.Error, want.Message)
			return false
		}
		return true
	}
	if err != nil {
		t.Errorf("%s\n got %v, want %q", ask(), err, want.Text)
		return false
	}
	if got := Text(spans); got != want.Text {
		t.Errorf("%s\n got %q\nwant %q", ask(), got, want.Text)
		return false
	}
	plain, err := tmpl.Text(j.Messages, o)
	if err != nil || plain != want.Text {
		t.Errorf("%s: Text gives %q (%v)", ask(), plain, err)
		return false
	}
	if !tmpl.HasGeneration() {
		return true
	}
	on := make([]bool, len([]rune(want.Text)))
	for _, g := range want.Generation {
		for i := g[0]; i < g[1]; i++ {
			on[i] = true
		}
	}
	i := 0
	for _, s := range spans {
		for range s.Text {
			if s.Train != on[i] {
				t.Errorf("%s\ncharacter %d of %q: trained %v, {%% generation %%} says %v", ask(), i, want.Text, s.Train, on[i])
				return false
			}
			i++
		}
	}
	return true
}

// conversation makes a random one: mostly a proper dialogue, sometimes an odd one.
func conversation(rng *rand.Rand) []Message {
	words := []string{"hello", "2 + 3?", "日本語", "été", "👍🏽", "</s>", "<|im_end|>", "<|im_start|>", "[INST]", "{{ x }}", "{% if %}", "\n", "\n\n", " ", "\t", "\"quoted\"", "it's", "\\n", "<b>&amp;", "ß", "### Human:", "</think>", "a", "\u00a0", "\u2028", "<think>", "user"}
	text := func() string {
		var b strings.Builder
		for range rng.IntN(8) {
			b.WriteString(words[rng.IntN(len(words))])
			if rng.IntN(2) == 0 {
				b.WriteByte(' ')
			}
		}
		return b.String()
	}
	var msgs []Message
	if rng.IntN(3) == 0 {
		msgs = append(msgs, Message{Role: "system", Content: text()})
	}
	for i := range rng.IntN(6) + 1 {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		if rng.IntN(12) == 0 {
			role = []string{"system", "user", "assistant", "tool", "ipython", "critic"}[rng.IntN(6)]
		}
		m := Message{Role: role, Content: text()}
		if role == "assistant" && rng.IntN(6) == 0 {
			call := Object{{Key: "type", Value: "function"}, {Key: "function", Value: Object{
				{Key: "name", Value: "get_weather"},
				{Key: "arguments", Value: Object{{Key: "city", Value: text()}, {Key: "days", Value: int64(rng.IntN(9))}, {Key: "a", Value: []any{1.5, nil, true}}}},
			}}}
			m.Extra = map[string]any{"tool_calls": []any{call}}
			if rng.IntN(2) == 0 {
				m.Content = ""
			}
		}
		if rng.IntN(20) == 0 {
			m.Extra = map[string]any{"content": []any{Object{{Key: "type", Value: "text"}, {Key: "text", Value: text()}}, Object{{Key: "type", Value: "image"}}}}
		}
		if rng.IntN(20) == 0 {
			m.Extra = map[string]any{"content": nil}
		}
		if rng.IntN(20) == 0 && role == "assistant" {
			m.Extra = map[string]any{"reasoning_content": text()}
		}
		msgs = append(msgs, m)
	}
	return msgs
}

func someTools() []any {
	return []any{Object{{Key: "type", Value: "function"}, {Key: "function", Value: Object{
		{Key: "name", Value: "get_weather"}, {Key: "description", Value: "The weather — now"},
		{Key: "parameters", Value: Object{{Key: "type", Value: "object"}, {Key: "properties", Value: Object{{Key: "city", Value: Object{{Key: "type", Value: "string"}}}}}, {Key: "required", Value: []any{"city"}}}},
	}}}}
}

// Every built-in template and every template of the shared data agrees with
// transformers on hundreds of random conversations.
func TestTransformersLive(t *testing.T) {
	pythonOf(t)
	var all []*Template
	for _, name := range Builtins() {
		tmpl, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tmpl)
	}
	all = append(all, ownTemplates(t)...)
	t.Run("shared", func(t *testing.T) {
		files, _ := filepath.Glob(filepath.Join(testkit.SharedData(t, "chat_templates"), "*.jinja"))
		for _, f := range files {
			tmpl, err := Find(f, "")
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, tmpl.With(Options{BOS: "<s>", EOS: "</s>"}))
		}
		dirs, _ := filepath.Glob(filepath.Join(testkit.SharedData(t, "tokenizers"), "*"))
		for _, d := range dirs {
			if tmpl, err := ForTokenizer(d); err == nil {
				all = append(all, tmpl)
			}
		}
	})
	const each = 300
	var jobs []job
	for n, tmpl := range all {
		rng := rand.New(rand.NewPCG(3, uint64(n)))
		for i := range each {
			j := job{Source: tmpl.Source(), Tokens: tmpl.tokens(), Messages: conversation(rng), Prompt: i%3 == 0}
			if i%7 == 0 {
				j.Tools = someTools()
			}
			jobs = append(jobs, j)
		}
	}
	answers := askTransformers(t, jobs) // all at once: starting Python is what takes long
	for n, tmpl := range all {
		t.Run(tmpl.Name(), func(t *testing.T) {
			texts, bad := 0, 0
			for i := n * each; i < (n+1)*each && bad < 3; i++ {
				if answers[i].Error == "" {
					texts++
				}
				if !compare(t, tmpl, jobs[i], answers[i]) {
					bad++
				}
			}
			if bad == 0 && texts < 20 {
				t.Errorf("only %d of %d conversations were rendered at all", texts, each)
			}
		})
	}
}
