package tune

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
	"ftlab/internal/testkit"
)

// A run with new tokens trains their rows alone, and what it saves brings the tokenizer
// that knows them: the adapter, and the merged model.
func TestNewTokens(t *testing.T) {
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.jsonl")
	var text []byte
	for range 8 {
		text = append(text, `{"prompt": "Who lives here?", "completion": " <plan> Say it. </plan> Mara."}`+"\n"...)
	}
	if err := os.WriteFile(rows, text, 0o644); err != nil {
		t.Fatal(err)
	}
	spec := ftlib.Run{Out: dir, Name: "r", Model: ftlib.Model{Path: filepath.Join(testkit.Root(), "models", "ft-tiny"), NewTokens: []string{"<plan>", "</plan>"}},
		Data: ftlib.Data{Train: rows, Split: -1}, LoRA: &ftlib.LoRA{R: 2, Targets: []string{"q_proj"}}}
	spec.Model.Backend = "go"
	spec.Batch.MaxSteps, spec.Batch.Size, spec.Save.Merged = 2, 2, true
	result, err := Run(context.Background(), spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	base, err := llm.LoadConfig(spec.Model.Path)
	if err != nil {
		t.Fatal(err)
	}
	adapter := filepath.Join(result.Checkpoint)
	data, err := os.ReadFile(filepath.Join(adapter, "adapter_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Tokens map[string][]int `json:"trainable_token_indices"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{adapter, filepath.Join(result.Dir, "merged")} {
		tok, err := token.Load(at)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range spec.Model.NewTokens {
			if id, ok := tok.ID(name); !ok || !slices.Contains(c.Tokens["embed_tokens"], int(id)) || c.Tokens["embed_tokens"][i] != int(id) {
				t.Errorf("%s: %s is %d (%v); trained are %v", at, name, id, ok, c.Tokens)
			}
		}
	}
	merged, err := llm.LoadConfig(filepath.Join(result.Dir, "merged"))
	if err != nil {
		t.Fatal(err)
	}
	if merged.Vocab < base.Vocab || merged.Vocab <= slices.Max(c.Tokens["embed_tokens"]) || merged.Tied != base.Tied {
		t.Errorf("merged: a vocabulary of %d, before %d; tied %v, before %v", merged.Vocab, base.Vocab, merged.Tied, base.Tied)
	}
	// The run can be gone on with, and evaluated, by its adapter alone.
	spec.Name, spec.LoRA, spec.Model.NewTokens, spec.Model.Adapter = "again", nil, nil, adapter
	if _, err := Run(context.Background(), spec, Options{}); err != nil {
		t.Error(err)
	}
}
