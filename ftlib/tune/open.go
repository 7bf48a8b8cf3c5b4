package tune

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ftlab/ftlib"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/token"
)

// openParts opens the model and the data of a resolved run, both at once.
func openParts(run ftlib.Run, g *given, rewards map[string]reward.Func) (*parts, error) {
	if _, err := llm.Resolve(run.Model.Path); err != nil {
		return nil, fmt.Errorf("tune: model.path: %w", err)
	}
	if err := present("model.adapter", run.Model.Adapter, "a PEFT adapter directory"); err != nil && run.Model.Adapter != "" {
		return nil, err
	}
	dir := tokenizerDir(run.Model.Path)
	p := &parts{}
	var stepErr, dataErr, hashErr error
	var wait sync.WaitGroup
	wait.Go(func() { p.Stepper, p.Backend, stepErr = newStepper(run, g, rewards) })
	wait.Go(func() {
		if p.Data, dataErr = openData(run, dir); dataErr == nil {
			p.Inputs, hashErr = hashInputs(run.Model.Path, run.Model.Adapter, run.Data.Template, p.Data.Files)
			p.Inputs = append(p.Inputs, g.inputs()...)
		}
	})
	wait.Wait()
	err := errors.Join(stepErr, dataErr, hashErr)
	if b, ok := p.Stepper.(interface{ bind(*Data) error }); ok && err == nil {
		err = b.bind(p.Data)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// present says early and once that something named is not there.
func present(key, path, what string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("tune: %s: %w; it names %s", key, err, what)
	}
	return nil
}

// newStepper makes the model, its method and its optimizer.
var newStepper = func(run ftlib.Run, g *given, rewards map[string]reward.Func) (Stepper, string, error) {
	if run.Method.STaR != nil {
		return openSTaR(run, g, rewards)
	}
	if m, _ := onlineMethodOf(run); m != nil {
		return openOnline(run, g, rewards)
	}
	if groupMethodOf(run) != nil {
		return openGrouped(run, g)
	}
	return openSFT(run, g)
}

// templateOf finds the chat template: a built-in one by name, one in a file, or, for
// an empty name, the one that the tokenizer in dir has. It is nil when there is none.
func templateOf(name, dir string) (*chat.Template, error) {
	if name == "" {
		t, err := chat.ForTokenizer(dir)
		if errors.Is(err, chat.ErrNoTemplate) {
			return nil, nil
		}
		return t, err
	}
	tokens, err := chat.TokensOf(dir)
	if err != nil {
		return nil, err
	}
	if data, err := os.ReadFile(name); err == nil {
		tokens.Name = filepath.Base(name)
		return chat.Parse(string(data), tokens)
	}
	t, err := chat.Builtin(name)
	if err != nil {
		if strings.ContainsAny(name, `/\.`) && !slices.Contains(chat.Builtins(), name) {
			return nil, fmt.Errorf("tune: data.chat_template: no file %s", name)
		}
		return nil, fmt.Errorf("tune: data.chat_template: %w, or name a file", err)
	}
	return t.With(tokens), nil
}

// positions is the longest text that the model was trained for, in tokens; 0 when it
// is not known.
func positions(model string, tok *token.Tokenizer) int {
	n := 0
	if n = tok.Config().ModelMaxLength; n < 0 || n > 1<<24 { // "very large" stands for no limit
		n = 0
	}
	if p := modelPositions(model); p > 0 && (n == 0 || p < n) {
		n = p
	}
	return n
}

// usualLength is the documented meaning of no maximum length.
func usualLength(positions int) int {
	if positions > 0 {
		return min(1024, positions)
	}
	return 1024
}

func modelPositions(model string) int { _, n := sizes(model); return n }

func vocabulary(model string) int { n, _ := sizes(model); return n }

// sizes reads the vocabulary and the longest text of a model from its configuration;
// what does not read is 0, loading the model says why.
func sizes(model string) (vocab, positions int) {
	model = local(model)
	if !strings.HasSuffix(model, ".bin") {
		c, err := llm.LoadConfig(model)
		if err != nil {
			return 0, 0
		}
		return c.Vocab, c.MaxPositions
	}
	f, err := os.Open(model)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	var header [7]int32 // dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
	if binary.Read(f, binary.LittleEndian, &header) != nil {
		return 0, 0
	}
	v := int(header[5])
	return max(v, -v), int(header[6]) // negative: the head is not the embedding
}

// local is where the files of a model lie that may be named as in the hub.
func local(model string) string {
	if path, err := llm.Resolve(model); err == nil {
		return path
	}
	return model
}

// tokenizerDir is where the tokenizer of a model lies: its directory, or that of its
// .bin file.
func tokenizerDir(model string) string {
	model = local(model)
	if info, err := os.Stat(model); err == nil && !info.IsDir() {
		return filepath.Dir(model)
	}
	return model
}

// beside gives saved weights what makes them usable alone: a whole model its
// tokenizer, and both the chat template where the specification named one, so that
// generation writes conversations as training did.
func (d *Data) beside(run ftlib.Run) func(dir string, whole bool) error {
	return func(dir string, whole bool) error {
		if d.Template != nil && d.foreign {
			if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(d.Template.Source()), 0o644); err != nil {
				return err
			}
		}
		if d.Tokenizer != nil && len(run.Model.NewTokens) > 0 && !whole {
			return d.Tokenizer.Save(dir) // which the model's directory does not have
		}
		if !whole || d.Tokenizer == nil {
			return nil
		}
		for _, name := range []string{"special_tokens_map.json", "generation_config.json"} {
			data, err := os.ReadFile(filepath.Join(tokenizerDir(run.Model.Path), name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				return err
			}
		}
		return d.Tokenizer.Save(dir)
	}
}

// hashInputs describes everything that a run reads.
func hashInputs(model, adapter, template string, data []string) ([]ckpt.Input, error) {
	var all []ckpt.Input
	model = local(model)
	add := func(role string, paths ...string) error {
		in, err := ckpt.HashInputs(role, paths...)
		all = append(all, in...)
		return err
	}
	if err := add("model", model); err != nil {
		return nil, err
	}
	if dir := tokenizerDir(model); dir != model {
		for _, name := range []string{"tokenizer.json", "tokenizer.model", "tokenizer_config.json"} {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); err == nil {
				if err := add("tokenizer", path); err != nil {
					return nil, err
				}
			}
		}
	}
	if adapter != "" {
		if err := add("adapter", adapter); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(template); template != "" && err == nil {
		if err := add("template", template); err != nil {
			return nil, err
		}
	}
	return all, add("data", data...)
}
