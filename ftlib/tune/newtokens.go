package tune

import (
	"fmt"
	"os"
	"path/filepath"

	"ftlab/ftlib"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
)

// tokenizerOf is the tokenizer of a run: that of the adapter that it goes on with, where it
// has one of its own, else the model's; with the new tokens of the specification, whose ids it
// returns.
func tokenizerOf(run ftlib.Run) (*token.Tokenizer, []int32, error) {
	dir := tokenizerDir(run.Model.Path)
	if a := run.Model.Adapter; a != "" {
		if _, err := os.Stat(filepath.Join(a, "tokenizer.json")); err == nil {
			dir = a
		}
	}
	tok, err := token.Load(dir)
	if err != nil || len(run.Model.NewTokens) == 0 {
		return tok, nil, err
	}
	tok, ids, err := tok.With(run.Model.NewTokens...)
	if err != nil {
		return nil, nil, fmt.Errorf("tune: model.new_tokens: %w", err)
	}
	return tok, ids, nil
}

// growVocabulary gives the model rows for the new tokens of a run, and lets its adapter train
// them where the specification does not say how embedding and head are trained.
func growVocabulary(run *ftlib.Run, m *llm.Model) error {
	if len(run.Model.NewTokens) == 0 {
		return nil
	}
	tok, ids, err := tokenizerOf(*run)
	if err != nil {
		return err
	}
	if n := tok.Size(); n > m.Config.Vocab {
		if err := m.Resize(n); err != nil {
			return fmt.Errorf("tune: model.new_tokens: %w", err)
		}
	}
	if run.LoRA == nil || run.LoRA.Tokens != nil || run.LoRA.TrainsEmbedding() {
		return nil
	}
	*run = run.Clone()
	var new []int
	for _, id := range ids {
		new = append(new, int(id))
	}
	run.LoRA.Tokens = map[string][]int{"embed_tokens": new}
	if !m.Config.Tied && !m.Config.NoHead {
		run.LoRA.Tokens["lm_head"] = new
	}
	return nil
}
