package notebook

import (
	"fmt"
	"html"
	"strings"

	"ftlab/ftlib/corpus"
)

// Tokens shows every token in its own box, coloured by what training does with it:
// the loss is computed on green ones, grey ones are only read, red ones did not fit.
// A line below a token has the colour of who says it. The pointer on a token shows its
// number. See [Mask] for the rows of a file.
func Tokens(views []corpus.TokenView) { showView(tokens(views)) }

type tokens []corpus.TokenView

func (v tokens) legend() string {
	trained, _, cut := corpus.TokenCounts(v)
	s := fmt.Sprintf("%d of %d tokens are trained", trained, len(v))
	if cut > 0 {
		s += fmt.Sprintf(", %d do not fit and are cut", cut)
	}
	return s
}

// tokenStyles are the grounds of tokens.
var tokenStyles = map[corpus.TokenState]string{
	corpus.TokenTrained: "background:rgba(46,158,107,.36)",
	corpus.TokenContext: "background:rgba(138,146,156,.16)",
	corpus.TokenCut:     "background:rgba(214,79,92,.28);text-decoration:line-through",
}

// roleColours are those of the lines below tokens; other roles are violet.
var roleColours = map[string]string{
	"system": "#b58a1b", "user": "#3b82d6", "assistant": "#2e9e6b", "tool": "#e07b28", "": "transparent",
}

func roleColour(role string) string {
	if c, ok := roleColours[role]; ok {
		return c
	}
	return "#a566cc"
}

// roles are those of the tokens, in the order of their first appearance.
func (v tokens) roles() (out []string) {
	seen := map[string]bool{"": true}
	for _, t := range v {
		if !seen[t.Role] {
			seen[t.Role] = true
			out = append(out, t.Role)
		}
	}
	return out
}

// key explains the colours.
func (v tokens) key() string {
	var b strings.Builder
	chip := func(style, text string) {
		fmt.Fprintf(&b, `<span style="%s;padding:0 .4em;margin-right:.5em;border-radius:3px">%s</span>`, style, html.EscapeString(text))
	}
	chip(tokenStyles[corpus.TokenTrained], "trained")
	chip(tokenStyles[corpus.TokenContext], "read, not trained")
	if _, _, cut := corpus.TokenCounts(v); cut > 0 {
		chip(tokenStyles[corpus.TokenCut], "cut")
	}
	for _, role := range v.roles() {
		chip("border-radius:0!important;border-bottom:2px solid "+roleColour(role), role)
	}
	return b.String()
}

// boxes are the tokens themselves.
func (v tokens) boxes() string {
	var b strings.Builder
	b.WriteString(`<div style="font-family:monospace;line-height:1.9">`)
	for _, t := range v {
		style, known := tokenStyles[t.State]
		if !known {
			style = tokenStyles[corpus.TokenContext]
		}
		what := string(t.State)
		if t.Role != "" {
			what = t.Role + ", " + what
			style += ";box-shadow:inset 0 -2px " + roleColour(t.Role)
		}
		fmt.Fprintf(&b, `<span title="%d %s, %s" style="%s;border-radius:3px;margin-right:1px;padding:.1em 0;white-space:pre-wrap">%s</span><wbr>`,
			t.ID, html.EscapeString(fmt.Sprintf("%q", t.Text)), html.EscapeString(what), style, visible(t.Text))
		b.WriteString(strings.Repeat("<br>", strings.Count(t.Text, "\n")))
	}
	b.WriteString("</div>")
	return b.String()
}

func (v tokens) HTML() (string, error) {
	return fmt.Sprintf(`<div style="max-width:920px"><div style="margin-bottom:.4em"><small>%s<span style="opacity:.7">%s</span></small></div>%s</div>`+"\n",
		v.key(), v.legend(), v.boxes()), nil
}

// visible is the text of a token with its white space to be seen, as HTML.
func visible(s string) string {
	if s == "" {
		return "∅"
	}
	s = html.EscapeString(s)
	return strings.NewReplacer(" ", `<span style="opacity:.45">·</span>`, "\n", `<span style="opacity:.45">↵</span>`,
		"\t", `<span style="opacity:.45">→</span>`).Replace(s)
}

// Text is the form for a terminal, without colours.
func (v tokens) Text() string {
	return corpus.Terminal(v, false) + "\n" + corpus.TerminalLegend(false) + "\n" + v.legend() + "\n"
}
