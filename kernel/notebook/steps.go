package notebook

import (
	"fmt"
	"html"
	"math"
	"strings"

	"ftlab/ftlib/chart"
	"ftlab/ftlib/tune"
)

// Steps shows solutions with their steps coloured by how likely each is right, from red
// through grey to green: as a process reward model scores it, or, where none was asked, as it
// is labelled. Where both are known, a label that the score contradicts is marked.
//
//	scored, _, err := tune.ScoreSteps(ctx, run, "runs/prm/step-200", "")
//	notebook.Steps(scored[:5]...)
//
// The solutions of [tune.LabelSteps] and [tune.BestOfN] are shown as well.
func Steps(solutions ...tune.Solution) { showView(StepView(solutions)) }

// StepView are solutions as [Steps] shows them.
type StepView []tune.Solution

// shade is the colour of a probability: red at 0, grey at a half, green at 1.
func shade(p float64) string {
	if math.IsNaN(p) {
		return "transparent"
	}
	strength := math.Abs(2*p - 1)
	if p < 0.5 {
		return fmt.Sprintf("rgba(214,79,92,%.2f)", 0.08+0.5*strength)
	}
	return fmt.Sprintf("rgba(46,158,107,%.2f)", 0.08+0.5*strength)
}

// mark is what of a step is shown: its score, or its label.
func mark(s tune.StepMark) (p float64, known bool) {
	switch {
	case s.Score != nil:
		return *s.Score, true
	case s.Label != nil:
		return *s.Label, true
	}
	return math.NaN(), false
}

// contradicts says whether a score is on the other side of a half than the label.
func contradicts(s tune.StepMark) bool {
	return s.Score != nil && s.Label != nil && (*s.Score > 0.5) != (*s.Label > 0.5)
}

// words say what is known of a step.
func words(s tune.StepMark) string {
	var parts []string
	if s.Score != nil {
		parts = append(parts, fmt.Sprintf("right with %.0f %%", 100**s.Score))
	}
	if s.Label != nil {
		parts = append(parts, fmt.Sprintf("labelled %.2g", *s.Label))
	}
	return strings.Join(parts, ", ")
}

// weakest is the step with the lowest score; -1: none is known.
func weakest(s tune.Solution) int {
	at, low := -1, math.Inf(1)
	for i, step := range s.Steps {
		if p, ok := mark(step); ok && p < low {
			at, low = i, p
		}
	}
	return at
}

// HTML is the heat-map for a page.
func (v StepView) HTML() (string, error) {
	var b strings.Builder
	b.WriteString(`<div style="max-width:920px">`)
	fmt.Fprintf(&b, `<div style="margin-bottom:.4em"><small>wrong <span style="display:inline-block;width:8em;height:.8em;vertical-align:middle;background:linear-gradient(90deg,%s,%s,%s)"></span> right; ≠ is scored against its label</small></div>`,
		shade(0), "rgba(138,146,156,.16)", shade(1))
	for _, s := range v {
		fmt.Fprintf(&b, `<div style="margin:.9em 0"><div style="opacity:.8">%s</div>`, html.EscapeString(s.Problem))
		low := weakest(s)
		for i, step := range s.Steps {
			p, known := mark(step)
			number, border := "", "transparent"
			if known {
				number = fmt.Sprintf("%.2f", p)
			}
			if i == low && p < 0.5 {
				border = "#d64f5c"
			}
			if contradicts(step) {
				number = "≠ " + number
			}
			fmt.Fprintf(&b, `<div title="%s" style="display:flex;gap:.8em;padding:.1em .5em;margin:1px 0;border-left:3px solid %s;background:%s"><span style="min-width:3.6em;text-align:right;font-variant-numeric:tabular-nums;opacity:.8">%s</span><span style="white-space:pre-wrap">%s</span></div>`,
				html.EscapeString(words(step)), border, shade(p), number, html.EscapeString(step.Text))
		}
		if s.Answer != "" {
			fmt.Fprintf(&b, `<div><small style="opacity:.7">expected: %s</small></div>`, html.EscapeString(s.Answer))
		}
		b.WriteString(`</div>`)
	}
	b.WriteString("</div>\n")
	return b.String(), nil
}

// Text is the heat-map for a terminal: a bar of ten for every step.
func (v StepView) Text() string {
	var b strings.Builder
	for i, s := range v {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, strings.Join(strings.Fields(s.Problem), " "))
		low := weakest(s)
		for k, step := range s.Steps {
			p, known := mark(step)
			bar, number := strings.Repeat("·", 10), "    "
			if known {
				n := int(math.Round(10 * min(max(p, 0), 1)))
				bar, number = strings.Repeat("█", n)+strings.Repeat("·", 10-n), fmt.Sprintf("%.2f", p)
			}
			sign := " "
			if k == low && known && p < 0.5 {
				sign = "!" // the weakest
			}
			if contradicts(step) {
				sign = "≠"
			}
			fmt.Fprintf(&b, "  %s %s %s %s\n", sign, number, bar, strings.Join(strings.Fields(step.Text), " "))
		}
		if s.Answer != "" {
			fmt.Fprintf(&b, "  expected: %s\n", s.Answer)
		}
	}
	return b.String()
}

// BestOf shows how ways to choose one of N solutions compare: a chart and a table.
func BestOf(r tune.BestOfResult) {
	Show(BestOfFigure(r))
	showView(bestOfTable(r))
}

// BestOfFigure is the chart of [BestOf].
func BestOfFigure(r tune.BestOfResult) chart.Figure {
	var ways []chart.Way
	for _, w := range r.Ways {
		ways = append(ways, chart.Way{Name: w.By, Accuracy: w.Accuracy})
	}
	return chart.BestOf(r.N, ways...)
}

func bestOfTable(r tune.BestOfResult) table {
	t := table{names: []string{"chosen by"}, number: []bool{false}}
	for _, n := range r.N {
		t.names, t.number = append(t.names, fmt.Sprint("N = ", n)), append(t.number, true)
	}
	for _, w := range r.Ways {
		row := []string{w.By}
		for _, v := range w.Accuracy {
			row = append(row, fmt.Sprintf("%.1f %%", 100*v))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// BestOfText is the table of [BestOf] for a terminal.
func BestOfText(r tune.BestOfResult) string { return bestOfTable(r).Text() }

// Calibration shows what the margins of a reward model are worth (see [tune.Margins]).
func Calibration(margins []float64) { Show(chart.Calibration(margins)) }
