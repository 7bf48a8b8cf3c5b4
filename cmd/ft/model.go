package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
)

// modelFlags are those of every command that runs a model.
type modelFlags struct {
	model, adapter, backend, template string
}

func (f *modelFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.model, "model", "", "model directory, llama2.c .bin file, or name in the hub's cache (owner/name)")
	fl.StringVar(&f.adapter, "adapter", "", "PEFT adapter directory to put on the model")
	fl.StringVar(&f.backend, "backend", "", "xla:cuda, xla:cpu or go (default: the best that works)")
	if err := cmd.MarkFlagRequired("model"); err != nil {
		panic(err)
	}
}

func (f *modelFlags) addTemplate(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.template, "template", "", "chat template: a built-in name or a file (default: the adapter's, else the tokenizer's)")
}

// tokenizerDir is where the tokenizer lies: with the adapter, where it brings one of its own
// (new tokens), else with the model.
func (f *modelFlags) tokenizerDir() (string, error) {
	if f.adapter != "" {
		if _, err := os.Stat(filepath.Join(f.adapter, "tokenizer.json")); err == nil {
			return f.adapter, nil
		}
	}
	return f.dir()
}

// dir is where the files beside the model's weights lie.
func (f *modelFlags) dir() (string, error) {
	path, err := llm.Resolve(f.model)
	if err != nil {
		return "", withCode(exitUsage, err)
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		path = filepath.Dir(path)
	}
	return path, nil
}

// load opens the model with its adapter switched on.
func (f *modelFlags) load() (*llm.Model, error) {
	if _, err := llm.Resolve(f.model); err != nil {
		return nil, withCode(exitUsage, err)
	}
	b, err := backend.Open(f.backend)
	if err != nil {
		return nil, err
	}
	m, err := llm.Load(b, f.model, llm.LoadOptions{})
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	if f.adapter != "" {
		if _, err := m.LoadAdapter(f.adapter); err != nil {
			m.Close()
			return nil, withCode(exitUsage, err)
		}
	}
	return m, nil
}

func (f *modelFlags) tokenizer() (*token.Tokenizer, error) {
	dir, err := f.tokenizerDir()
	if err != nil {
		return nil, err
	}
	tok, err := token.Load(dir)
	return tok, withCode(exitUsage, err)
}

// chatTemplate is the template that --template names, else the adapter's, else the
// tokenizer's.
func (f *modelFlags) chatTemplate() (*chat.Template, error) {
	dir, err := f.dir()
	if err != nil {
		return nil, err
	}
	name := f.template
	if beside := filepath.Join(f.adapter, "chat_template.jinja"); name == "" && f.adapter != "" {
		if _, err := os.Stat(beside); err == nil {
			name = beside
		}
	}
	t, err := chat.Find(name, dir)
	return t, withCode(exitUsage, err)
}

// encode turns a rendered conversation, or a plain prompt, into ids. A template that
// writes BOS itself gets no second one.
func encode(tok *token.Tokenizer, text string, rendered bool) []int32 {
	ids := tok.Encode(text, false)
	if bos := tok.Special().BOS; !rendered && tok.AddsBOS() && bos >= 0 && (len(ids) == 0 || ids[0] != bos) {
		ids = append([]int32{bos}, ids...)
	}
	return ids
}

// samplingFlags are those of generation.
type samplingFlags struct{ o llm.Sampling }

func (f *samplingFlags) add(cmd *cobra.Command, maxNew int, temperature float64) {
	fl := cmd.Flags()
	fl.IntVar(&f.o.MaxNew, "max-new", maxNew, "tokens at most")
	fl.Float64Var(&f.o.Temperature, "temperature", temperature, "0: always the most probable token")
	fl.IntVar(&f.o.TopK, "top-k", 0, "draw from the k most probable tokens (0: all)")
	fl.Float64Var(&f.o.TopP, "top-p", 1, "draw from the most probable tokens that together have this probability")
	fl.Float64Var(&f.o.MinP, "min-p", 0, "leave out tokens below this share of the best one's probability")
	fl.Float64Var(&f.o.RepetitionPenalty, "repetition-penalty", 1, "above 1: what was written before becomes less probable")
	fl.Uint64Var(&f.o.Seed, "seed", 42, "of drawing")
	fl.StringArrayVar(&f.o.StopStrings, "stop", nil, "end before this text; may be repeated")
	fl.BoolVar(&f.o.IgnoreEOS, "ignore-eos", false, "go on behind end tokens")
}
