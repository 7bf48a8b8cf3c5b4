package notebook

import (
	"fmt"
	"html"
	"strings"
)

// Answer is what a model said to a prompt before and after training.
type Answer struct {
	Prompt, Before, After string
	Want                  string // the right answer; empty: not known, nothing is marked
}

// SideBySide shows two answers to one prompt next to each other.
func SideBySide(prompt, before, after string) {
	showView(answers{{Prompt: prompt, Before: before, After: after}})
}

// Answers is [SideBySide] for several prompts. Where the right answer is known, each
// answer is marked as right or wrong.
func Answers(list ...Answer) { showView(answers(list)) }

type answers []Answer

func (a Answer) mark(got string) string {
	switch {
	case a.Want == "":
		return ""
	case strings.TrimSpace(got) == strings.TrimSpace(a.Want):
		return "✓ "
	}
	return "✗ "
}

func (list answers) HTML() (string, error) {
	var b strings.Builder
	for _, a := range list {
		b.WriteString(`<div style="margin:.8em 0;max-width:920px"><div style="white-space:pre-wrap;opacity:.8;margin-bottom:.3em">` +
			html.EscapeString(a.Prompt) + `</div><div style="display:grid;grid-template-columns:1fr 1fr;gap:.8em">`)
		for i, got := range []string{a.Before, a.After} {
			head, colour := []string{"before", "after"}[i], "#8a929c"
			switch a.mark(got) {
			case "✓ ":
				colour = "#2e9e6b"
			case "✗ ":
				colour = "#d64f5c"
			}
			if got = strings.TrimSpace(got); got == "" {
				got = "(nothing)"
			}
			fmt.Fprintf(&b, `<div style="border-left:4px solid %s;padding:.2em .8em"><small style="opacity:.7">%s%s</small>`+
				`<div style="white-space:pre-wrap">%s</div></div>`, colour, a.mark(got), head, html.EscapeString(got))
		}
		b.WriteString("</div>")
		if a.Want != "" {
			b.WriteString(`<small style="opacity:.7">right: ` + html.EscapeString(a.Want) + `</small>`)
		}
		b.WriteString("</div>\n")
	}
	return b.String(), nil
}

func (list answers) Text() string {
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, "%s\n  before  %s%s\n  after   %s%s\n", strings.TrimSpace(a.Prompt),
			a.mark(a.Before), indent(a.Before), a.mark(a.After), indent(a.After))
		if a.Want != "" {
			fmt.Fprintf(&b, "  right   %s\n", indent(a.Want))
		}
	}
	return b.String()
}

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n          ")
}

// Exercise says whether an exercise is solved, with a hint when it is not.
func Exercise(name string, solved bool, hint string) {
	if solved {
		emit(bundle{
			html: `<div style="border-left:4px solid #2e9e6b;padding:.4em .8em">✓ <b>` + html.EscapeString(name) + `</b>: solved.</div>`,
			text: "✓ " + name + ": solved.\n",
		})
		return
	}
	emit(bundle{
		html: `<div style="border-left:4px solid #e07b28;padding:.4em .8em">… <b>` + html.EscapeString(name) + `</b>: not yet. ` + html.EscapeString(hint) + `</div>`,
		text: "… " + name + ": not yet. " + hint + "\n",
	})
}
