package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/token"
)

func init() { commands = append(commands, generateCmd) }

// generateFlags are those of ft generate.
type generateFlags struct {
	modelFlags
	samplingFlags
	prompt, system, in, out string
	chat                    bool
	batch                   int
}

func generateCmd() *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate --model DIR (--prompt TEXT | --in PROMPTS.jsonl)",
		Short: "Let a model write",
		Long: `Continues a text, or answers with --chat: the prompt is then the user's message and
goes through the chat template. The text appears as it is written.

--in reads many prompts, one JSON value a line: a string, an object with "prompt", or,
for --chat, also a list of messages or an object with "messages". They are answered in
batches; the output has an object a line:

  {"prompt": ..., "text": "...", "ids": [...], "finish": "stop", "logprob": -12.3}

finish is stop (an end token), string (a --stop text), length (--max-new) or context
(as long as the model was trained for); logprob the sum over ids under the model.
--json writes the same object for a single --prompt.`,
		Example: `  ft generate --model models/tiny --prompt "Once upon a time"
  ft generate --model models/tiny --adapter runs/NAME/step-200 --chat --prompt "Is this review positive? ..."
  ft generate --model models/tiny --in prompts.jsonl --out answers.jsonl --temperature 0.8 --top-p 0.95`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.modelFlags.add(cmd)
	f.addTemplate(cmd)
	f.samplingFlags.add(cmd, 128, 0)
	fl := cmd.Flags()
	fl.StringVar(&f.prompt, "prompt", "", "the text to continue, or with --chat the question")
	fl.StringVar(&f.in, "in", "", `file of prompts, a JSON value a line ("-": standard input)`)
	fl.StringVar(&f.out, "out", "-", `with --in: where the answers go ("-": standard output)`)
	fl.BoolVar(&f.chat, "chat", false, "write through the chat template")
	fl.StringVar(&f.system, "system", "", "with --chat: a system message before the prompt")
	fl.IntVar(&f.batch, "batch", 16, "with --in: prompts at once")
	return cmd
}

// generated is a line of the output.
type generated struct {
	Prompt  any        `json:"prompt"`
	Text    string     `json:"text"`
	IDs     []int32    `json:"ids"`
	Finish  llm.Finish `json:"finish"`
	LogProb float64    `json:"logprob"`
}

func (f *generateFlags) run(cmd *cobra.Command) error {
	single := cmd.Flags().Changed("prompt")
	switch {
	case single == (f.in != ""):
		return usageErrorf("give --prompt, or a file of prompts with --in")
	case f.out != "-" && f.in == "":
		return usageErrorf("--out goes with --in; one text is written to standard output")
	case f.system != "" && !f.chat:
		return usageErrorf("--system goes with --chat")
	case f.batch < 1:
		return usageErrorf("--batch is %d; it must be positive", f.batch)
	}
	tok, err := f.tokenizer()
	if err != nil {
		return err
	}
	var tmpl *chat.Template
	if f.chat {
		if tmpl, err = f.chatTemplate(); err != nil {
			return err
		}
	}
	p := prompter{tok, tmpl, f.system}
	var prompts []any
	if f.in != "" {
		if prompts, err = readPrompts(cmd, f.in); err != nil {
			return err
		}
	} else {
		prompts = []any{f.prompt}
	}
	ids := make([][]int32, len(prompts))
	for i := range prompts {
		if prompts[i], err = bare(prompts[i]); err == nil {
			ids[i], err = p.ids(prompts[i])
		}
		if err != nil {
			return usageErrorf("prompt %d: %w", i+1, err)
		}
	}
	m, err := f.load()
	if err != nil {
		return err
	}
	defer m.Close()
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: tok, MaxRows: f.batch})
	if err != nil {
		return err
	}
	defer g.Close()
	if single && !wantJSON(cmd) {
		w := cmd.OutOrStdout()
		_, err := g.Stream(cmd.Context(), ids[0], f.o, func(p llm.Piece) bool {
			_, err := io.WriteString(w, p.Text)
			return err == nil
		})
		fmt.Fprintln(w)
		return err
	}
	return f.many(cmd, g, prompts, ids)
}

// many answers prompts in batches and writes each batch when it is done.
func (f *generateFlags) many(cmd *cobra.Command, g *llm.Generator, prompts []any, ids [][]int32) (err error) {
	w := cmd.OutOrStdout()
	if f.out != "-" { // kept if it is interrupted: what was generated is worth having
		file, openErr := os.Create(f.out)
		if openErr != nil {
			return withCode(exitUsage, openErr)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		w = file
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	o := f.o
	for from := 0; from < len(ids); from += f.batch {
		to := min(from+f.batch, len(ids))
		o.Seeds = nil
		for i := from; i < to; i++ { // a row's text does not depend on --batch
			o.Seeds = append(o.Seeds, llm.RowSeed(f.o.Seed, i))
		}
		outs, err := g.Generate(cmd.Context(), ids[from:to], o)
		if err != nil {
			return err
		}
		for i, out := range outs {
			sum := 0.0
			for _, v := range out.LogProbs {
				sum += float64(v)
			}
			if err := enc.Encode(generated{prompts[from+i], out.Text, out.IDs, out.Finish, sum}); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPrompts reads one JSON value a line.
func readPrompts(cmd *cobra.Command, path string) ([]any, error) {
	in, name, closeIn, err := openIn(cmd, path)
	if err != nil {
		return nil, err
	}
	defer closeIn()
	var prompts []any
	r := lineReader(in)
	for line := 1; ; line++ {
		data, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s line %d: %w", name, line, err)
		}
		if text := bytes.TrimSpace(data); len(text) > 0 {
			var v any
			if jsonErr := json.Unmarshal(text, &v); jsonErr != nil {
				return nil, usageErrorf("%s line %d: not JSON: %w", name, line, jsonErr)
			}
			prompts = append(prompts, v)
		}
		if err == io.EOF {
			break
		}
	}
	if len(prompts) == 0 {
		return nil, usageErrorf("%s holds no prompts", name)
	}
	return prompts, nil
}

// prompter turns prompts into ids.
type prompter struct {
	tok    *token.Tokenizer
	tmpl   *chat.Template // nil: plain text
	system string
}

// bare is the prompt of a line: the line, or what an object holds as its prompt.
func bare(line any) (any, error) {
	row, ok := line.(map[string]any)
	switch {
	case !ok:
		return line, nil
	case row["messages"] != nil:
		return row["messages"], nil
	case row["prompt"] != nil:
		return row["prompt"], nil
	}
	return nil, errors.New(`an object needs "prompt" or "messages"`)
}

func (p prompter) ids(prompt any) ([]int32, error) {
	var msgs []chat.Message
	switch v := prompt.(type) {
	case string:
		if p.tmpl == nil {
			ids := encode(p.tok, v, false)
			if len(ids) == 0 {
				return nil, errors.New("it has no tokens, and this tokenizer adds none at the beginning")
			}
			return ids, nil
		}
		msgs = []chat.Message{{Role: "user", Content: v}}
	case []any:
		if p.tmpl == nil {
			return nil, errors.New("a list of messages needs --chat")
		}
		data, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if msgs, err = chat.ParseMessages(data); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("a string or a list of messages is expected, not %T", prompt)
	}
	if p.system != "" && (len(msgs) == 0 || msgs[0].Role != "system") {
		msgs = append([]chat.Message{{Role: "system", Content: p.system}}, msgs...)
	}
	return p.conversation(msgs)
}

// conversation renders messages up to the answer that is due.
func (p prompter) conversation(msgs []chat.Message) ([]int32, error) {
	text, err := p.tmpl.Text(msgs, chat.RenderOptions{AddGenerationPrompt: true})
	if err != nil {
		return nil, err
	}
	return encode(p.tok, text, true), nil
}
