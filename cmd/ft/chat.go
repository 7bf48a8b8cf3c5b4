package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ftlab/ftlib/chat"
	"ftlab/ftlib/llm"
)

func init() { commands = append(commands, chatCmd) }

// chatFlags are those of ft chat.
type chatFlags struct {
	modelFlags
	samplingFlags
	system  string
	compare bool
}

const chatHelp = `/reset            forget the conversation
/system TEXT      set the system message, and begin again; without TEXT none
/adapter on|off   answer with or without the adapter
/temp X  /top-p X  /top-k N  /min-p X  /penalty X  /max N  /seed N
/show             the settings
/help  /quit`

func chatCmd() *cobra.Command {
	var f chatFlags
	cmd := &cobra.Command{
		Use:   "chat --model DIR",
		Short: "Talk to a model",
		Long: `Reads a message a line and writes the answer as it comes. Ctrl-C stops an answer,
Ctrl-D ends the chat. It works in a pipe too: answers alone are written then.

--compare answers with and without the adapter, side by side; each side remembers its
own answers.

` + chatHelp,
		Example: `  ft chat --model models/tiny
  ft chat --model models/tiny --adapter runs/NAME/step-200 --compare
  echo "Is this good? ..." | ft chat --model models/tiny --temperature 0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.modelFlags.add(cmd)
	f.addTemplate(cmd)
	f.samplingFlags.add(cmd, 256, 0.7)
	cmd.Flags().StringVar(&f.system, "system", "", "a system message")
	cmd.Flags().BoolVar(&f.compare, "compare", false, "answer with and without the adapter, side by side")
	return cmd
}

// side is a conversation with the model, with or without its adapter.
type side struct {
	name    string
	adapter *llm.Adapter // nil: the base
	msgs    []chat.Message
}

// talk is a chat under way.
type talk struct {
	*chatFlags
	p        prompter
	g        *llm.Generator
	m        *llm.Model
	adapter  *llm.Adapter
	sides    []*side
	page     *page
	out, err io.Writer
	terminal bool // somebody is typing
	turn     int
}

func (f *chatFlags) run(cmd *cobra.Command) error {
	if f.compare && f.adapter == "" {
		return usageErrorf("--compare needs --adapter")
	}
	tok, err := f.tokenizer()
	if err != nil {
		return err
	}
	tmpl, err := f.chatTemplate()
	if errors.Is(err, chat.ErrNoTemplate) {
		return usageErrorf("%w; choose one with --template", err)
	}
	if err != nil {
		return err
	}
	m, err := f.load()
	if err != nil {
		return err
	}
	defer m.Close()
	g, err := llm.NewGenerator(m, llm.GeneratorOptions{Tokenizer: tok, Chunk: 8})
	if err != nil {
		return err
	}
	defer g.Close()
	t := &talk{chatFlags: f, p: prompter{tok, tmpl, ""}, g: g, m: m, adapter: m.Adapter(), page: newPage(cmd), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
	if in, ok := cmd.InOrStdin().(*os.File); ok {
		t.terminal = term.IsTerminal(int(in.Fd()))
	}
	if f.compare {
		t.sides = []*side{{name: "base"}, {name: "adapter", adapter: t.adapter}}
	} else {
		t.sides = []*side{{adapter: t.adapter}}
	}
	t.reset()
	return t.loop(cmd.Context(), cmd.InOrStdin())
}

func (t *talk) reset() {
	for _, s := range t.sides {
		s.msgs = nil
		if t.system != "" {
			s.msgs = []chat.Message{{Role: "system", Content: t.system}}
		}
	}
}

// note tells the person something; in a pipe it goes to standard error.
func (t *talk) note(format string, args ...any) {
	fmt.Fprintln(t.err, t.page.paint(dim, fmt.Sprintf(format, args...)))
}

// loop answers lines until the input ends.
func (t *talk) loop(ctx context.Context, in io.Reader) error {
	if t.terminal {
		t.note("A message a line; /help for commands, Ctrl-D to end.")
	}
	type read struct {
		line string
		err  error
	}
	lines := make(chan read)
	ask := make(chan bool)
	defer close(ask)
	go func() {
		r := bufio.NewReader(in)
		for range ask {
			line, err := r.ReadString('\n')
			lines <- read{line, err}
		}
	}()
	ended := ctx.Done()
	for {
		if t.terminal {
			fmt.Fprint(t.err, t.page.paint(bold, "> "))
		}
		ask <- true
		var got read
		select {
		case got = <-lines:
		case <-ended:
			go func() { <-lines }()
			return ctx.Err()
		}
		line := strings.TrimSpace(got.line)
		quit := false
		switch {
		case line == "":
		case strings.HasPrefix(line, "/"):
			quit = t.command(line)
		default:
			stopped, err := t.answer(ctx, line)
			if err != nil {
				return err
			}
			if stopped { // the first Ctrl-C was for the answer; the next one ends ft
				ended, ctx = nil, context.WithoutCancel(ctx)
			}
		}
		if got.err == io.EOF || quit {
			if t.terminal {
				fmt.Fprintln(t.err)
			}
			return nil
		}
		if got.err != nil {
			return got.err
		}
	}
}

// answer lets every side answer. A conversation that cannot be continued is said so and
// forgets the message.
func (t *talk) answer(ctx context.Context, line string) (stopped bool, err error) {
	base := ctx
	if t.terminal {
		base = context.WithoutCancel(ctx)
	}
	one, cancel := signal.NotifyContext(base, os.Interrupt)
	defer cancel()
	o := t.o
	o.Seed = llm.RowSeed(t.o.Seed, t.turn)
	t.turn++
	var texts []string
	for _, s := range t.sides {
		s.msgs = append(s.msgs, chat.Message{Role: "user", Content: line})
		ids, err := t.p.conversation(s.msgs)
		var out llm.Output
		if err == nil {
			t.m.SetAdapter(s.adapter)
			out, err = t.g.Stream(one, ids, o, func(p llm.Piece) bool {
				if len(t.sides) == 1 {
					fmt.Fprint(t.out, p.Text)
				}
				return true
			})
		}
		switch {
		case errors.Is(err, context.Canceled):
			stopped = true
			if !t.terminal {
				return true, err
			}
		case err != nil:
			s.msgs = s.msgs[:len(s.msgs)-1]
			t.note("%v%s", err, map[bool]string{true: "; /reset begins again"}[len(s.msgs) > 1])
			return false, nil
		}
		s.msgs = append(s.msgs, chat.Message{Role: "assistant", Content: strings.TrimSpace(out.Text)})
		texts = append(texts, strings.TrimSpace(out.Text))
		if len(t.sides) == 1 {
			fmt.Fprintln(t.out)
			if t.terminal && out.Finish == llm.FinishLength {
				t.note("(cut after %d tokens; /max N allows more)", t.o.MaxNew)
			}
		}
		if stopped {
			t.note("(stopped)")
			return true, nil
		}
	}
	if len(t.sides) > 1 {
		t.columns(texts)
	}
	return stopped, nil
}

// columns prints the answers of the sides beside each other.
func (t *talk) columns(texts []string) {
	w := (t.page.width - 5) / 2
	left, right := wrap(texts[0], w), wrap(texts[1], w)
	pad := func(s string) string { return s + strings.Repeat(" ", max(0, w-cells(s))) }
	t.page.line("  %s %s", t.page.paint(bold, pad(t.sides[0].name)), t.page.paint(bold, t.sides[1].name))
	for i := range max(len(left), len(right)) {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		t.page.line("  %s %s", pad(l), r)
	}
}

// command obeys a line that begins with a slash.
func (t *talk) command(line string) (quit bool) {
	name, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimSpace(arg)
	next := t.o
	var err error
	float := func(to *float64) { *to, err = strconv.ParseFloat(arg, 64) }
	integer := func(to *int) { *to, err = strconv.Atoi(arg) }
	switch name {
	case "/quit", "/exit":
		return true
	case "/help":
		t.note("%s", chatHelp)
	case "/reset":
		t.reset()
		t.note("The conversation begins again.")
	case "/system":
		t.system = arg
		t.reset()
		t.note("The conversation begins again, %s.", map[bool]string{true: "without a system message", false: "with this system message"}[arg == ""])
	case "/adapter":
		switch {
		case t.adapter == nil:
			t.note("There is no adapter; start with --adapter DIR.")
		case t.compare || (arg != "on" && arg != "off"):
			t.note("/adapter on or /adapter off, without --compare.")
		default:
			t.sides[0].adapter = map[bool]*llm.Adapter{true: t.adapter}[arg == "on"]
			t.note("The adapter is %s.", arg)
		}
	case "/temp", "/temperature":
		float(&next.Temperature)
	case "/top-p":
		float(&next.TopP)
	case "/min-p":
		float(&next.MinP)
	case "/penalty":
		float(&next.RepetitionPenalty)
	case "/top-k":
		integer(&next.TopK)
	case "/max":
		integer(&next.MaxNew)
	case "/seed":
		next.Seed, err = strconv.ParseUint(arg, 10, 64)
	case "/show":
		adapter := "none"
		if t.adapter != nil {
			adapter = map[bool]string{true: "on", false: "off"}[t.sides[len(t.sides)-1].adapter != nil]
		}
		t.note("temperature %v, top-p %v, top-k %d, min-p %v, penalty %v, max %d, seed %d, adapter %s", t.o.Temperature, t.o.TopP, t.o.TopK, t.o.MinP,
			t.o.RepetitionPenalty, t.o.MaxNew, t.o.Seed, adapter)
	default:
		t.note("There is no %s; see /help.", name)
	}
	if err == nil {
		err = next.Validate()
	}
	if err != nil {
		t.note("%s %q: %v", name, arg, err)
		return false
	}
	t.o = next
	return false
}
