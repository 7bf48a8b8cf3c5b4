package notebook

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
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

// asked is a prompt with an answer a side.
type asked struct {
	prompt, want string
	names, got   []string
	notes        []string // small text beside the names; may be nil
}

func (list answers) sides() (out sides) {
	for _, a := range list {
		out = append(out, asked{a.Prompt, a.Want, []string{"before", "after"}, []string{a.Before, a.After}, nil})
	}
	return out
}

func (list answers) HTML() (string, error) { return list.sides().HTML() }
func (list answers) Text() string          { return list.sides().Text() }

// sides are prompts whose answers stand beside each other.
type sides []asked

func (a asked) mark(got string) string {
	switch {
	case a.want == "":
		return ""
	case strings.TrimSpace(got) == strings.TrimSpace(a.want):
		return "✓ "
	}
	return "✗ "
}

func (list sides) HTML() (string, error) {
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, `<div style="margin:.8em 0;max-width:920px"><div style="white-space:pre-wrap;opacity:.8;margin-bottom:.3em">`+
			`%s</div><div style="display:grid;grid-template-columns:repeat(%d,minmax(0,1fr));gap:.8em">`, html.EscapeString(a.prompt), min(len(a.got), 4))
		for i, got := range a.got {
			colour := "#8a929c"
			switch a.mark(got) {
			case "✓ ":
				colour = "#2e9e6b"
			case "✗ ":
				colour = "#d64f5c"
			}
			note := ""
			if i < len(a.notes) {
				note = " · " + a.notes[i]
			}
			if got = strings.TrimSpace(got); got == "" {
				got = "(nothing)"
			}
			fmt.Fprintf(&b, `<div style="border-left:4px solid %s;padding:.2em .8em"><small style="opacity:.7">%s%s</small>`+
				`<div style="white-space:pre-wrap;overflow-wrap:anywhere">%s</div></div>`, colour, a.mark(a.got[i]), html.EscapeString(a.names[i]+note), html.EscapeString(got))
		}
		b.WriteString("</div>")
		if a.want != "" {
			b.WriteString(`<small style="opacity:.7">right: ` + html.EscapeString(a.want) + `</small>`)
		}
		b.WriteString("</div>\n")
	}
	return b.String(), nil
}

func (list sides) Text() string {
	var b strings.Builder
	for _, a := range list {
		width := len("right")
		for _, name := range a.names {
			width = max(width, utf8.RuneCountInString(name))
		}
		line := func(name, text string) {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(name))
			fmt.Fprintf(&b, "  %s%s  %s\n", name, pad, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", width+4)))
		}
		b.WriteString(strings.TrimSpace(a.prompt) + "\n")
		for i, got := range a.got {
			line(a.names[i], a.mark(got)+strings.TrimSpace(got))
		}
		if a.want != "" {
			line("right", a.want)
		}
	}
	return b.String()
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
