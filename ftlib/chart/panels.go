package chart

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ftlab/ftlib"
)

// Panel is one of the charts that show a run.
type Panel struct {
	ID     string // stays the same while the run goes on
	Figure Figure
}

// Panels are the charts of a run: the loss, the gradient norm and the learning rate,
// speed and memory, and then what its method reports, numbers that belong together in
// one chart. A chart of which nothing is known yet is left out.
func Panels(c Curve) []Panel {
	c.Events = valid(c.Events)
	var out []Panel
	add := func(id string, f Figure) {
		if len(f.Series) > 0 {
			if !ended(c.Events) {
				f.X.To = max(f.X.To, float64(planned(c.Events)))
			}
			out = append(out, Panel{id, f})
		}
	}
	loss := Loss(c)
	loss.Title = "Loss"
	explainLoss(&loss, c.Events)
	add("loss", loss)
	add("gradient", c.two("Gradient norm and learning rate",
		line{"grad_norm", "gradient norm", "Norm of all gradients together, before clipping."},
		line{"learning_rate", "learning rate", "Size of an optimizer step, as the schedule sets it."}))
	add("speed", c.two("Speed and memory",
		line{"tokens_per_second", "tokens a second", "Real tokens, trained or not, while training steps run."},
		line{"memory_gib", "memory (GiB)", "Held by the process that computes."}))
	for _, g := range groups(c.Events) {
		add(g.id, c.group(g))
	}
	return out
}

// line is a metric in a panel.
type line struct{ name, label, help string }

// two draws one metric on the left axis and one on the right.
func (c Curve) two(title string, left, right line) Figure {
	f := Figure{Title: title, X: Axis{Name: "step", Whole: true}, Y: []Axis{{Name: left.label, Zero: true}}}
	if p := metric(c.Events, left.name); len(p.x) > 0 {
		f.add(p, Series{ID: left.name, Name: left.label, Help: left.help, Color: 0})
	}
	if p := metric(c.Events, right.name); len(p.x) > 0 {
		f.Y = append(f.Y, Axis{Name: right.label, Zero: true})
		f.add(p, Series{ID: right.name, Name: right.label, Help: right.help, Style: Dashed, Right: true, Color: 1})
	}
	return f
}

// group are metrics that are drawn together.
type group struct {
	id, title string
	names     []string
	share     bool // they are all between 0 and 1
}

// together says which metrics that are not named alike belong in one chart.
var together = []struct {
	title string
	names []string
}{
	{"Reward", []string{"reward", "reward_mean", "reward_std", "objective/scores", "objective/rlhf_reward"}},
	{"Distance from the reference", []string{"kl", "objective/kl", "kl_coef"}},
	{"Entropy", []string{"entropy", "objective/entropy", "policy/entropy_avg"}},
	{"Shares", []string{"frac_reward_zero_std", "clip_ratio", "clipped_ratio", "accuracy"}},
	{"Length of answers", []string{"completions/mean_length", "completions/min_length", "completions/max_length", "mean_length"}},
}

// groups sorts what a method reports into charts.
func groups(events []ftlib.Event) []group {
	low, high := map[string]float64{}, map[string]float64{}
	for _, e := range events {
		for name, v := range e.Metrics {
			if _, seen := low[name]; !seen {
				low[name], high[name] = v, v
			}
			low[name], high[name] = min(low[name], v), max(high[name], v)
		}
	}
	byTitle := map[string]*group{}
	var out []*group
	for _, name := range slices.Sorted(maps.Keys(low)) {
		if name == "eval_loss" || name == "perplexity" { // are in the loss
			continue
		}
		title := titleOf(name)
		share := low[name] >= 0 && high[name] <= 1 && (strings.Contains(name, "ratio") || strings.Contains(name, "accurac") || strings.Contains(name, "frac"))
		g := byTitle[title]
		if g == nil {
			g = &group{id: "metric-" + strings.ToLower(strings.ReplaceAll(title, " ", "-")), title: title, share: true}
			byTitle[title] = g
			out = append(out, g)
		}
		g.names, g.share = append(g.names, name), g.share && share
	}
	rank := func(g *group) int {
		for i, t := range together {
			if t.title == g.title {
				return i
			}
		}
		return len(together)
	}
	slices.SortStableFunc(out, func(a, b *group) int { return cmp.Compare(rank(a), rank(b)) })
	all := make([]group, len(out))
	for i, g := range out {
		all[i] = *g
	}
	return all
}

// titleOf is the chart that a metric belongs in: one that is known, that of what stands
// before its last slash, or its own. Training and validation share a chart.
func titleOf(name string) string {
	name = strings.TrimPrefix(name, "eval_")
	for _, t := range together {
		if slices.Contains(t.names, name) {
			return t.title
		}
	}
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		name = name[:i]
	}
	name = strings.ReplaceAll(strings.ReplaceAll(name, "_", " "), "/", " ")
	return strings.ToUpper(name[:1]) + name[1:]
}

// group draws metrics that belong together, validation as marks.
func (c Curve) group(g group) Figure {
	f := Figure{Title: g.title, X: Axis{Name: "step", Whole: true}, Y: []Axis{{}}}
	if g.share {
		f.Y[0] = Axis{Unit: Share, Zero: true}
	}
	color := map[string]int{}
	for _, name := range g.names {
		p := metric(c.Events, name)
		if len(p.x) == 0 {
			continue
		}
		base, eval := strings.CutPrefix(name, "eval_")
		if _, known := color[base]; !known {
			color[base] = len(color)
		}
		s := Series{ID: name, Name: name, Help: help(base), Color: color[base]}
		if eval {
			s.Name, s.Style = base+", validation", Marked
		}
		f.add(p, s)
	}
	f.Subtitle = bothFall(c.Events, g.names)
	return f
}

// WriteHTML writes figures as one page that needs no network, whole or not at all.
func WriteHTML(path, title string, figures ...Figure) error {
	page, err := Page(title, figures...)
	if err != nil {
		return err
	}
	return Save(path, page)
}

// Save writes a page to a file that is whole or not there.
func Save(path, page string) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.WriteFile(tmp, []byte(page), 0o644); err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("chart: %w", err)
	}
	return nil
}
