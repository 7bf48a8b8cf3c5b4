package corpus

import (
	"strings"

	"ftlab/ftlib/chat"
)

// TokenState says what training does with a token.
type TokenState string

const (
	TokenTrained TokenState = "trained" // the model learns to write it
	TokenContext TokenState = "context" // the model only reads it
	TokenCut     TokenState = "cut"     // behind the maximum length: the model never sees it
)

// TokenView is one token as people look at it.
type TokenView struct {
	Text  string     `json:"text"` // of the input that it stands for; "" for a further token of one character
	State TokenState `json:"state"`
	ID    int32      `json:"id"`
	Role  string     `json:"role,omitempty"` // of the message that it stands in; "" outside of messages
}

// Tokens shows a record token by token, with what Encode would do to each. The error
// is Encode's; the tokens are there whenever the record could be rendered.
func Tokens(tok Tokenizer, r Record, tmpl *chat.Template, so SpanOptions, eo EncodeOptions) ([]TokenView, error) {
	spans, eo, err := prepare(tok, r, tmpl, so, eo)
	if err != nil {
		return nil, err
	}
	return ViewSpans(tok, spans, eo)
}

// ViewSpans is Tokens for spans.
func ViewSpans(tok Tokenizer, spans []chat.Span, o EncodeOptions) ([]TokenView, error) {
	ex, text, offs := encode(tok, spans, o)
	_, err := cut(tok, ex, o)
	views := make([]TokenView, len(ex.IDs))
	at, end := -1, 0 // the span of the last token, and where its text ends
	for i, id := range ex.IDs {
		v := TokenView{ID: id, State: TokenContext}
		for offs[i][0] >= end && at+1 < len(spans) {
			at++
			end += len(spans[at].Text)
		}
		if at >= 0 && offs[i][0] >= 0 {
			v.Role = spans[at].Role
		}
		switch r := offs[i]; {
		case r[0] < 0:
			v.Text, _ = tok.Token(id)
		case i == 0 || r != offs[i-1] || r[0] == r[1]:
			v.Text = text[r[0]:r[1]]
		}
		if ex.Train[i] && i > 0 {
			v.State = TokenTrained
		}
		if o.MaxLength > 0 && i >= o.MaxLength {
			v.State = TokenCut
		}
		views[i] = v
	}
	return views, err
}

// TokenCounts are the numbers of tokens in each state.
func TokenCounts(views []TokenView) (trained, context, cut int) {
	for _, v := range views {
		switch v.State {
		case TokenTrained:
			trained++
		case TokenCut:
			cut++
		default:
			context++
		}
	}
	return
}

// visible writes white space so that one sees it and lines still break.
func visible(s string) string {
	return strings.NewReplacer("\n", "↵\n", "\t", "→").Replace(s)
}

// ansi holds two shades for each state: tokens alternate, so that one sees where each
// begins and ends.
var ansi = map[TokenState][2]string{
	TokenTrained: {"\x1b[30;42m", "\x1b[30;102m"}, // black on green
	TokenContext: {"\x1b[90m", "\x1b[37m"},        // greys
	TokenCut:     {"\x1b[9;31m", "\x1b[9;91m"},    // red, struck out
}

const ansiReset = "\x1b[0m"

// Terminal draws tokens for a terminal, in colors whose shade alternates from token to
// token. Without color, trained stretches stand in 【】, cut ones between ✂, and a dot
// between tokens.
func Terminal(views []TokenView, color bool) string {
	var b strings.Builder
	shade := 0
	for i, v := range views {
		first := i == 0 || views[i-1].State != v.State
		last := i == len(views)-1 || views[i+1].State != v.State
		text := visible(v.Text)
		if color {
			style := ansi[v.State][shade]
			if v.Text != "" {
				shade = 1 - shade
			}
			// The style ends before a line break: some terminals paint the rest of the line.
			b.WriteString(style + strings.ReplaceAll(text, "\n", ansiReset+"\n"+style) + ansiReset)
			continue
		}
		open, end := map[TokenState]string{TokenTrained: "【", TokenCut: "✂"}[v.State], map[TokenState]string{TokenTrained: "】", TokenCut: "✂"}[v.State]
		if first {
			b.WriteString(open)
		}
		b.WriteString(text)
		if last {
			b.WriteString(end)
		} else if v.Text != "" {
			b.WriteString("·")
		}
	}
	return b.String()
}

// TerminalLegend explains Terminal.
func TerminalLegend(color bool) string {
	if color {
		show := func(s TokenState, name string) string {
			half := len(name) / 2
			return ansi[s][0] + name[:half] + ansiReset + ansi[s][1] + name[half:] + ansiReset
		}
		return show(TokenTrained, "trained") + "  " + show(TokenContext, "not trained") + "  " + show(TokenCut, "cut") + "  (a shade is a token, ↵ newline)"
	}
	return "【trained】  not trained  ✂cut✂  (· between tokens, ↵ newline)"
}
