package notebook

import (
	"fmt"
	"html"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ftlab/ftlib/chart"
	"ftlab/ftlib/corpus"
)

// Rationales shows what the self-taught reasoner of a run wrote in its rounds: how many
// problems it solved in each, alone and with the hint, and the rationales themselves, to be
// filtered by round and by what became of them: kept, rationalised (with the answer as a
// hint, stored without it), rejected or leaked. dir is the directory of the run.
func Rationales(dir string) {
	v, err := ReadRationales(dir)
	if err != nil {
		showError(err)
		return
	}
	Show(v.Figure())
	showView(v)
}

// RationaleView are the rationales of all rounds of a run.
type RationaleView struct {
	Dir    string
	Rounds []RationaleRound
}

// RationaleRound is one round.
type RationaleRound struct {
	Round      int
	Rationales []Rationale
}

// Rationale is one row of a round.
type Rationale struct {
	Question, Text, Answer string
	Source                 string // "kept", "rationalised", "rejected" or "leaked"
	Row                    int    // of the data
}

// sources are in this order, each with its colour and what it means.
var sources = []struct{ name, colour, help string }{
	{"kept", "#2e9e6b", "it found the answer by itself"},
	{"rationalised", "#3b82d6", "it was told the answer and found a way to it; stored without the hint"},
	{"rejected", "#d64f5c", "its last try was wrong too; not trained on"},
	{"leaked", "#b58a1b", "right, but it speaks of the hint; not trained on"},
}

// ReadRationales reads the rounds of a run.
func ReadRationales(dir string) (RationaleView, error) {
	v := RationaleView{Dir: dir}
	files, err := filepath.Glob(filepath.Join(dir, "rounds", "round-*.parquet"))
	if err != nil {
		return v, fmt.Errorf("notebook: %w", err)
	}
	if len(files) == 0 {
		return v, fmt.Errorf("notebook: %s has no rounds: they are written by runs with method: star", dir)
	}
	for _, path := range files {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "round-"), ".parquet"))
		if err != nil {
			continue
		}
		r := RationaleRound{Round: n}
		for row, err := range corpus.Open(path, corpus.OpenOptions{}) {
			if err != nil {
				return v, err
			}
			text := func(name string) string { s, _ := row.Values[name].(string); return s }
			at, _ := row.Values["row"].(int64)
			r.Rationales = append(r.Rationales, Rationale{text("question"), text("rationale"), text("answer"), text("source"), int(at)})
		}
		v.Rounds = append(v.Rounds, r)
	}
	slices.SortFunc(v.Rounds, func(a, b RationaleRound) int { return a.Round - b.Round })
	return v, nil
}

// counts are problems of a round by the best that became of them, and all problems.
func (r RationaleRound) counts() (solved, hinted, all int) {
	best := map[string]string{}
	for _, x := range r.Rationales {
		key := fmt.Sprint(x.Row, "\x00", x.Question)
		if was := best[key]; was != "kept" && (x.Source == "kept" || was == "" || x.Source == "rationalised") {
			best[key] = x.Source
		}
	}
	for _, s := range best {
		switch s {
		case "kept":
			solved++
		case "rationalised":
			hinted++
		}
	}
	return solved, hinted, len(best)
}

// Figure is the accuracy of each round, with and without the hint.
func (v RationaleView) Figure() chart.Figure {
	f := chart.Figure{Title: "Self-taught reasoner", Subtitle: "problems whose right answer was reached, before the round's training",
		X: chart.Axis{Name: "round", Whole: true}, Y: []chart.Axis{{Name: "problems", Unit: chart.Share, Zero: true}}}
	alone := chart.Series{ID: "alone", Name: "without the hint", Help: "What the model can do by itself: this is what should rise.", Style: chart.Marked}
	told := chart.Series{ID: "told", Name: "with the hint", Help: "Problems solved alone or after being told the answer (rationalisation): what the round trains on.", Style: chart.Marked, Color: 1}
	for _, r := range v.Rounds {
		solved, hinted, all := r.counts()
		x, n := float64(r.Round), float64(max(1, all))
		alone.X, alone.Y = append(alone.X, x), append(alone.Y, float64(solved)/n)
		told.X, told.Y = append(told.X, x), append(told.Y, float64(solved+hinted)/n)
	}
	f.Series = []chart.Series{alone, told}
	return f
}

// maxRationales bounds what a page has of one source in one round.
const maxRationales = 100

// HTML is the browser for a page. The filters are plain HTML and CSS: they work in a saved
// page and in a notebook that is not trusted.
func (v RationaleView) HTML() (string, error) {
	id := "ft-rationales-" + strconv.FormatUint(uint64(hashOf(v)), 36)
	var b, rules, body strings.Builder
	radio := func(group, value, label, help string, checked bool) {
		on := ""
		if checked {
			on = " checked"
		}
		fmt.Fprintf(&b, `<label title="%s" style="margin-right:1em"><input type="radio" name="%s-%s" class="%s-%s"%s> %s</label>`,
			html.EscapeString(help), id, group, group, value, on, html.EscapeString(label))
		if value != "all" {
			fmt.Fprintf(&rules, `#%s:has(.%s-%s:checked) .x:not(.%s-%s){display:none}`+"\n", id, group, value, "is", value)
		}
	}
	fmt.Fprintf(&b, `<div id="%s" style="max-width:920px"><div>`, id)
	radio("r", "all", "all rounds", "", true)
	for _, r := range v.Rounds {
		solved, hinted, all := r.counts()
		radio("r", fmt.Sprint("r", r.Round), fmt.Sprint("round ", r.Round), fmt.Sprintf("%d of %d solved alone, %d more with the hint", solved, all, hinted), false)
	}
	b.WriteString(`</div><div style="margin:.3em 0 .6em">`)
	radio("s", "all", "all", "", true)
	for _, s := range sources {
		n := 0
		for _, r := range v.Rounds {
			for _, x := range r.Rationales {
				if x.Source == s.name {
					n++
				}
			}
		}
		if n > 0 {
			radio("s", s.name, fmt.Sprintf("%s (%d)", s.name, n), s.help, false)
		}
	}
	b.WriteString(`</div>`)
	more := 0
	for _, r := range v.Rounds {
		shown := map[string]int{}
		for _, x := range r.Rationales {
			if shown[x.Source]++; shown[x.Source] > maxRationales {
				more++
				continue
			}
			colour := "#8a929c"
			for _, s := range sources {
				if s.name == x.Source {
					colour = s.colour
				}
			}
			fmt.Fprintf(&body, `<div class="x is-r%d is-%s" style="border-left:4px solid %s;padding:.1em .8em;margin:.4em 0"><small style="opacity:.7">round %d, row %d, <span style="color:%s">%s</span></small><div style="opacity:.85">%s</div><div style="white-space:pre-wrap">%s</div><small style="opacity:.7">expected: %s</small></div>`+"\n",
				r.Round, html.EscapeString(x.Source), colour, r.Round, x.Row, colour, html.EscapeString(x.Source), html.EscapeString(x.Question), html.EscapeString(x.Text), html.EscapeString(x.Answer))
		}
	}
	fmt.Fprintf(&b, "<style>%s</style>\n<div style=\"max-height:36em;overflow:auto\">%s</div>", rules.String(), body.String())
	if more > 0 {
		fmt.Fprintf(&b, `<small style="opacity:.7">and %s more: ft data show %s</small>`, thousands(more), html.EscapeString(filepath.Join(v.Dir, "rounds", "round-N.parquet")))
	}
	b.WriteString("</div>\n")
	return b.String(), nil
}

// hashOf tells two views on one page apart.
func hashOf(v RationaleView) (h uint32) {
	h = 2166136261
	for _, c := range []byte(fmt.Sprint(v.Dir, len(v.Rounds))) {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// Text is the view for a terminal: a line for each round and an example of each kind.
func (v RationaleView) Text() string {
	t := table{names: []string{"round", "problems", "solved", "with hint", "kept", "rationalised", "rejected", "leaked"}, number: slices.Repeat([]bool{true}, 8)}
	last := map[string]Rationale{}
	for _, r := range v.Rounds {
		solved, hinted, all := r.counts()
		n := map[string]int{}
		for _, x := range r.Rationales {
			n[x.Source]++
			last[x.Source] = x
		}
		share := func(k int) string { return fmt.Sprintf("%.1f %%", 100*float64(k)/float64(max(1, all))) }
		t.rows = append(t.rows, []string{fmt.Sprint(r.Round), fmt.Sprint(all), share(solved), share(solved + hinted),
			fmt.Sprint(n["kept"]), fmt.Sprint(n["rationalised"]), fmt.Sprint(n["rejected"]), fmt.Sprint(n["leaked"])})
	}
	var b strings.Builder
	b.WriteString(t.Text())
	for _, s := range sources {
		if x, ok := last[s.name]; ok {
			one := func(text string) string { return strings.Join(strings.Fields(text), " ") }
			fmt.Fprintf(&b, "\n%s: %s\n  %s\n  %s\n  expected: %s\n", s.name, s.help, one(x.Question), one(x.Text), x.Answer)
		}
	}
	return b.String()
}
