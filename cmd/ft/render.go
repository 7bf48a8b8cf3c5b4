package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ftlab/ftlib/chat"
)

func init() { commands = append(commands, renderCmd) }

// renderFlags are those of ft render.
type renderFlags struct {
	tokenizer, template, in, out string
	bos, eos, now, tools, train  string
	prompt                       bool
}

func renderCmd() *cobra.Command {
	var f renderFlags
	cmd := &cobra.Command{
		Use:   "render --in CONVERSATIONS.jsonl",
		Short: "Write conversations as the model sees them",
		Long: `Fills a chat template with conversations, exactly as transformers does, and
says which text comes from whom and what of it is trained.

Input, a line each: a JSON list of messages ({"role","content",...}), or an object
with "messages" and perhaps "tools". Output, a line each:

  {"text": "...", "spans": [{"text","role","train"}, ...]}

The spans joined are the text. A conversation that the template refuses gives
{"error": "..."} in its line. The template is the tokenizer's own, or the one
that --template names: a file, or one of the built-in ones:

  ` + builtinList(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.tokenizer, "tokenizer", "", "folder of the tokenizer")
	fl.StringVar(&f.template, "template", "", "template file or built-in name (default: the tokenizer's own)")
	fl.StringVar(&f.in, "in", "", `conversations, a list of messages a line ("-": standard input)`)
	fl.StringVar(&f.out, "out", "-", `output ("-": standard output)`)
	fl.BoolVar(&f.prompt, "generation-prompt", false, "end with the header of the assistant's answer")
	fl.StringVar(&f.bos, "bos", "", "what bos_token stands for")
	fl.StringVar(&f.eos, "eos", "", "what eos_token stands for")
	fl.StringVar(&f.now, "now", "", "the time that the template sees, 2026-11-23 or 2026-11-23T12:30:00 (default: the clock)")
	fl.StringVar(&f.tools, "tools", "", "JSON file with a list of tool schemas")
	fl.StringVar(&f.train, "train-on", "", "what is trained: assistant, completion, last, all, none (default assistant)")
	_ = cmd.MarkFlagRequired("in")
	return cmd
}

func builtinList() string {
	var b bytes.Buffer
	for i, n := range chat.Builtins() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n)
	}
	return b.String()
}

// rendered is a line of the output; notRendered is one that failed.
type rendered struct {
	Text  string      `json:"text"`
	Spans []chat.Span `json:"spans"`
}

type notRendered struct {
	Error string `json:"error"`
}

func (f *renderFlags) run(cmd *cobra.Command) (err error) {
	tmpl, o, err := f.prepare(cmd)
	if err != nil {
		return err
	}
	in, name, closeIn, err := openIn(cmd, f.in)
	if err != nil {
		return err
	}
	defer closeIn()
	out, finish, err := openOut(cmd, f.out)
	if err != nil {
		return err
	}
	defer func() { err = finish(err) }()
	w := bufio.NewWriter(out)
	refused, total, err := renderLines(tmpl, o, name, in, w)
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	if refused > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "ft: %d of %d conversations could not be rendered; see \"error\" in their lines\n", refused, total)
	}
	return nil
}

func (f *renderFlags) prepare(cmd *cobra.Command) (*chat.Template, chat.RenderOptions, error) {
	o := chat.RenderOptions{AddGenerationPrompt: f.prompt, TrainOn: chat.Policy(f.train)}
	switch o.TrainOn {
	case "", chat.TrainAssistant, chat.TrainCompletion, chat.TrainLast, chat.TrainAll, chat.TrainNone:
	default:
		return nil, o, usageErrorf("--train-on %q: choose assistant, completion, last, all or none", f.train)
	}
	if f.tokenizer == "" && f.template == "" {
		return nil, o, usageErrorf("give --tokenizer or --template")
	}
	if f.now != "" {
		for _, layout := range []string{"2006-01-02", "2006-01-02T15:04:05", time.RFC3339} {
			if t, err := time.Parse(layout, f.now); err == nil {
				o.Now = t
			}
		}
		if o.Now.IsZero() {
			return nil, o, usageErrorf("--now %q: write a date as 2026-11-23 or 2026-11-23T12:30:00", f.now)
		}
	}
	if f.tools != "" {
		data, err := os.ReadFile(f.tools)
		if err != nil {
			return nil, o, withCode(exitUsage, err)
		}
		v, err := chat.ParseJSON(data)
		list, ok := v.([]any)
		if err != nil || !ok {
			return nil, o, usageErrorf("--tools %s: not a JSON list of tools", f.tools)
		}
		o.Tools = list
	}
	tmpl, err := chat.Find(f.template, f.tokenizer)
	if err != nil {
		return nil, o, withCode(exitUsage, err)
	}
	given := chat.Options{BOS: f.bos, EOS: f.eos, Tokens: map[string]string{}}
	for _, name := range []string{"bos", "eos"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			given.Tokens[name+"_token"] = flag.Value.String() // also when it is empty: defined then
		}
	}
	return tmpl.With(given), o, nil
}

// renderLines renders a conversation a line and counts those that failed.
func renderLines(tmpl *chat.Template, o chat.RenderOptions, name string, in io.Reader, out io.Writer) (refused, total int, err error) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	r := lineReader(in)
	for line := 1; ; line++ {
		data, rerr := r.ReadBytes('\n')
		if data = bytes.TrimSpace(data); len(data) > 0 {
			total++
			msgs, tools, err := parseConversation(data)
			if err != nil {
				return refused, total, usageErrorf("%s line %d: %w", name, line, err)
			}
			own := o
			if tools != nil {
				own.Tools = tools
			}
			var res any
			spans, err := tmpl.Render(msgs, own)
			if err != nil {
				refused++
				res = notRendered{errorText(err)}
			} else {
				res = rendered{chat.Text(spans), append([]chat.Span{}, spans...)}
			}
			if err := enc.Encode(res); err != nil {
				return refused, total, err
			}
		}
		if rerr == io.EOF {
			return refused, total, nil
		}
		if rerr != nil {
			return refused, total, rerr
		}
	}
}

// parseConversation reads a line: a list of messages, or an object that holds one under
// "messages", and perhaps "tools".
func parseConversation(data []byte) ([]chat.Message, []any, error) {
	if data[0] != '{' {
		msgs, err := chat.ParseMessages(data)
		return msgs, nil, err
	}
	var o struct {
		Messages json.RawMessage
		Tools    json.RawMessage
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, nil, err
	}
	if o.Messages == nil {
		return nil, nil, errors.New(`neither a list of messages nor an object with "messages"`)
	}
	msgs, err := chat.ParseMessages(o.Messages)
	if err != nil || o.Tools == nil {
		return msgs, nil, err
	}
	v, err := chat.ParseJSON(o.Tools)
	tools, _ := v.([]any)
	return msgs, tools, err
}

// errorText is an error as transformers words it: "TemplateError: ...".
func errorText(err error) string {
	if e, ok := errors.AsType[*chat.Error](err); ok && e.Raised {
		return "TemplateError: " + e.Msg
	} else if ok {
		return e.Msg
	}
	return err.Error()
}
