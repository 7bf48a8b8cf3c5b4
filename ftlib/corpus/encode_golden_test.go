package corpus

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// Rendering and encoding a conversation gives the ids of transformers'
// apply_chat_template, and the mask of its {% generation %} blocks.
func TestGoldenChatEncode(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Golden(t, "tokenizers"), "*_io.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden tokenizers (%v)", err)
	}
	masks := 0
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), "_io.json")
		t.Run(name, func(t *testing.T) {
			var g struct {
				Conversations []json.RawMessage `json:"conversations"`
				Chat          []struct {
					Conversation int     `json:"conversation"`
					Prompt       bool    `json:"add_generation_prompt"`
					IDs          []int32 `json:"ids"`
					MaskIDs      []int32 `json:"mask_ids"`
					Mask         []int   `json:"assistant_mask"`
					Error        string  `json:"error"`
				} `json:"chat"`
			}
			testkit.GoldenJSON(t, "tokenizers/"+name+"_io.json", &g)
			dir := testkit.Golden(t, "tokenizers/"+name)
			tmpl, err := chat.ForTokenizer(dir)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := token.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range g.Chat {
				if c.Error != "" {
					continue
				}
				msgs, err := chat.ParseMessages(g.Conversations[c.Conversation])
				if err != nil {
					t.Fatal(err)
				}
				spans, err := tmpl.Render(msgs, chat.RenderOptions{AddGenerationPrompt: c.Prompt})
				if err != nil {
					t.Fatal(err)
				}
				ex, _, _ := encode(tok, spans, EncodeOptions{Rendered: true})
				if !slices.Equal(ex.IDs, c.IDs) {
					t.Errorf("conversation %d, prompt %v:\n got %v\nwant %v", c.Conversation, c.Prompt, ex.IDs, c.IDs)
				}
				if c.Mask == nil {
					continue
				}
				masks++
				for i, m := range c.Mask {
					if ex.Train[i] != (m == 1) {
						t.Errorf("conversation %d, token %d (id %d): trained %v, transformers says %d", c.Conversation, i, ex.IDs[i], ex.Train[i], m)
					}
				}
			}
		})
	}
	if masks == 0 {
		t.Error("no golden assistant mask was compared")
	}
}
