package chat

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

type goldenTokenizer struct {
	Conversations []json.RawMessage `json:"conversations"`
	Chat          []struct {
		Conversation int    `json:"conversation"`
		Prompt       bool   `json:"add_generation_prompt"`
		Text         string `json:"text"`
		Error        string `json:"error"` // of transformers, when the template refuses
	} `json:"chat"`
}

func goldenNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testkit.Golden(t, "tokenizers"), "*_io.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden tokenizers (%v)", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), "_io.json"))
	}
	return names
}

// Every rendering of every golden tokenizer's own template equals transformers', as
// plain text and as spans, and exactly the assistant's text is trained.
func TestGoldenChatTemplates(t *testing.T) {
	seen := 0
	for _, name := range goldenNames(t) {
		t.Run(name, func(t *testing.T) {
			var g goldenTokenizer
			testkit.GoldenJSON(t, "tokenizers/"+name+"_io.json", &g)
			if len(g.Chat) == 0 {
				t.Skip("no chat cases")
			}
			tmpl, err := ForTokenizer(testkit.Golden(t, "tokenizers/"+name))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range g.Chat {
				msgs, err := ParseMessages(g.Conversations[c.Conversation])
				if err != nil {
					t.Fatal(err)
				}
				spans, err := tmpl.Render(msgs, RenderOptions{AddGenerationPrompt: c.Prompt})
				seen++
				if c.Error != "" {
					var e *Error
					if !errors.As(err, &e) || !e.Raised || c.Error != "TemplateError: "+e.Msg {
						t.Errorf("conversation %d: error %v, want %s", c.Conversation, err, c.Error)
					}
					continue
				}
				if err != nil {
					t.Fatalf("conversation %d: %v", c.Conversation, err)
				}
				if got := Text(spans); got != c.Text {
					t.Errorf("conversation %d, prompt %v:\n got %q\nwant %q", c.Conversation, c.Prompt, got, c.Text)
				}
				checkTrained(t, msgs, spans)
			}
		})
	}
	if seen == 0 {
		t.Error("no golden chat case was run")
	}
}

// checkTrained demands that what is trained is the text of the assistant messages, in
// order, each with at most white space and one token behind it.
func checkTrained(t *testing.T, msgs []Message, spans []Span) {
	t.Helper()
	var trained []string
	for i, s := range spans {
		if !s.Train {
			continue
		}
		if i > 0 && spans[i-1].Train && spans[i-1].Role == s.Role {
			trained[len(trained)-1] += s.Text
		} else {
			trained = append(trained, s.Text)
		}
		if s.Role != "assistant" {
			t.Errorf("trained text of role %q: %q", s.Role, s.Text)
		}
	}
	n := 0
	for _, m := range msgs {
		if m.Role != "assistant" {
			continue
		}
		if n >= len(trained) {
			t.Errorf("nothing is trained of the answer %q", m.Content)
			return
		}
		rest, ok := strings.CutPrefix(strings.TrimSpace(trained[n]), strings.TrimSpace(m.Content))
		if rest = strings.TrimSpace(rest); !ok || rest != "" && !(strings.HasPrefix(rest, "<") && strings.HasSuffix(rest, ">") && strings.Count(rest, "<") == 1) {
			t.Errorf("trained %q of the answer %q", trained[n], m.Content)
		}
		n++
	}
	if n != len(trained) {
		t.Errorf("trained pieces %q for %d answers", trained, n)
	}
}
