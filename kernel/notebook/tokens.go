package notebook

import (
	"fmt"
	"html"
	"strings"

	"ftlab/ftlib/corpus"
)

// Tokens shows every token in its own box, coloured by what training does with it:
// the loss is computed on green ones, grey ones are only read, red ones did not fit.
// The pointer on a token shows its number.
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

func (v tokens) HTML() (string, error) {
	styles := map[corpus.TokenState]string{
		corpus.TokenTrained: "background:rgba(46,158,107,.36)",
		corpus.TokenContext: "background:rgba(138,146,156,.16)",
		corpus.TokenCut:     "background:rgba(214,79,92,.28);text-decoration:line-through",
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<div style="max-width:920px"><div style="margin-bottom:.4em"><small>`+
		`<span style="%s;padding:0 .4em;border-radius:3px">trained</span> `+
		`<span style="%s;padding:0 .4em;border-radius:3px">read, not trained</span> `,
		styles[corpus.TokenTrained], styles[corpus.TokenContext])
	if _, _, cut := corpus.TokenCounts(v); cut > 0 {
		fmt.Fprintf(&b, `<span style="%s;padding:0 .4em;border-radius:3px">cut</span> `, styles[corpus.TokenCut])
	}
	fmt.Fprintf(&b, `<span style="opacity:.7">%s</span></small></div><div style="font-family:monospace;line-height:1.9">`, v.legend())
	for _, t := range v {
		style, known := styles[t.State]
		if !known {
			style = styles[corpus.TokenContext]
		}
		fmt.Fprintf(&b, `<span title="%d %s, %s" style="%s;border-radius:3px;margin-right:1px;padding:.1em 0;white-space:pre-wrap">%s</span><wbr>`,
			t.ID, html.EscapeString(fmt.Sprintf("%q", t.Text)), html.EscapeString(string(t.State)), style, visible(t.Text))
		b.WriteString(strings.Repeat("<br>", strings.Count(t.Text, "\n")))
	}
	b.WriteString("</div></div>\n")
	return b.String(), nil
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
