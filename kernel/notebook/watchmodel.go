package notebook

import (
	"fmt"
	"html"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/health"
)

// watched is what is known of a run that is watched, without any widget.
type watched struct {
	dir   string
	rules health.Rules
	tail  *ckpt.Tail

	run         ftlib.Run
	info        ckpt.Info
	live        ckpt.Live // zero: no process trains it
	checkpoints []ckpt.Checkpoint
	events      []ftlib.Event // the history, with neighbouring steps put together when they are many
	recent      []ftlib.Event // the last ones as they are
	notes       []ftlib.Event // controls, warnings, saves: for people
}

// Bounds of what is kept of a run, however long it is.
const (
	mostSteps  = 4000
	mostRecent = 400
	mostNotes  = 30
)

func newWatched(dir string, rules health.Rules) *watched {
	return &watched{dir: dir, rules: rules, tail: ckpt.NewTail(dir)}
}

// poll reads what is new and says whether anything is.
func (w *watched) poll() (changed bool, err error) {
	if w.run.Model.Path == "" || !ckpt.Is(w.dir) {
		if w.run, err = ckpt.Asked(w.dir); err != nil {
			return false, err
		}
	}
	events, err := w.tail.Next()
	void, saved := false, false
	for _, e := range events {
		void = void || e.Type == ftlib.EventResume || e.Type == ftlib.EventRollback
		saved = saved || void || e.Type == ftlib.EventSave
		switch e.Type {
		case ftlib.EventControl, ftlib.EventWarning, ftlib.EventSave, ftlib.EventError, ftlib.EventEnd, ftlib.EventResume, ftlib.EventRollback, ftlib.EventStart:
			w.notes = append(w.notes, e)
		}
	}
	w.events, w.recent = append(w.events, events...), append(w.recent, events...)
	if void {
		w.events, w.recent = ckpt.History(w.events), ckpt.History(w.recent)
	}
	w.events = thinned(w.events)
	w.recent = slices.Clone(w.recent[max(0, len(w.recent)-mostRecent):])
	w.notes = slices.Clone(w.notes[max(0, len(w.notes)-mostNotes):])
	if saved || w.checkpoints == nil {
		w.checkpoints, _ = ckpt.List(w.dir) // a damaged one cannot be chosen
	}
	before := w.info
	w.info = ckpt.Summary(w.dir, w.run, w.events)
	changed = len(events) > 0 || before.Status != w.info.Status || before.Message != w.info.Message
	live, liveErr := ckpt.ReadLive(w.dir)
	if liveErr != nil {
		live = ckpt.Live{}
	}
	changed = changed || !slices.Equal(live.Knobs, w.live.Knobs) || live.Paused != w.live.Paused
	w.live = live
	return changed, err
}

// thinned puts neighbouring steps together where there are too many: a chart has no room
// for more.
func thinned(events []ftlib.Event) []ftlib.Event {
	n := 0
	for _, e := range events {
		if e.Type == ftlib.EventStep {
			n++
		}
	}
	if n <= mostSteps {
		return events
	}
	out := make([]ftlib.Event, 0, len(events)/2+1)
	var held *ftlib.Event
	for _, e := range events {
		if e.Type != ftlib.EventStep {
			if held != nil {
				out, held = append(out, *held), nil
			}
			out = append(out, e)
			continue
		}
		if held == nil {
			held = &e
			continue
		}
		out, held = append(out, both(*held, e)), nil
	}
	if held != nil {
		out = append(out, *held)
	}
	return out
}

// both is two steps as one: the later, with the means of what was measured.
func both(a, b ftlib.Event) ftlib.Event {
	if a.Loss != nil && b.Loss != nil {
		mean := (*a.Loss + *b.Loss) / 2
		b.Loss = &mean
	}
	b.GradNorm = (a.GradNorm + b.GradNorm) / 2
	b.Memory = max(a.Memory, b.Memory)
	if len(b.Metrics) > 0 {
		metrics := make(map[string]float64, len(b.Metrics))
		for name, v := range b.Metrics {
			if old, ok := a.Metrics[name]; ok {
				v = (v + old) / 2
			}
			metrics[name] = v
		}
		b.Metrics = metrics
	}
	return b
}

// panels are the charts.
func (w *watched) panels() []chart.Panel { return chart.Panels(chart.Curve{Events: w.events}) }

// loss is the chart that a saved notebook shows.
func (w *watched) loss() chart.Figure {
	f := chart.Loss(chart.Curve{Events: w.events})
	f.Title = "Loss of " + w.info.Name
	return f
}

var statusColour = map[string]string{
	ckpt.Running: "#2e9e6b", ckpt.Paused: "#b58a1b", ckpt.Finished: "#3b82d6", ckpt.Interrupted: "#b58a1b", ckpt.Failed: "#d64f5c", ckpt.Killed: "#d64f5c",
}

// header is the line that says how the run stands.
func (w *watched) header() (page, text string) {
	in := w.info
	parts := []string{fmt.Sprintf("step %d of %d", in.Step, in.Steps)}
	if in.Steps == 0 {
		parts = []string{"getting ready"}
	}
	if in.TrainLoss != nil {
		parts = append(parts, "loss "+nats(*in.TrainLoss))
	}
	if in.EvalLoss != nil {
		parts = append(parts, "validation "+nats(*in.EvalLoss))
	}
	if in.BestLoss != nil {
		parts = append(parts, fmt.Sprintf("best %s at step %d", nats(*in.BestLoss), in.BestStep))
	}
	for i := len(w.recent) - 1; i >= 0; i-- {
		e := w.recent[i]
		if e.Type != ftlib.EventStep {
			continue
		}
		if e.TokensPerSecond > 0 {
			parts = append(parts, thousands(int(e.TokensPerSecond))+" tokens/s")
		}
		if e.SecondsLeft > 0 && in.Status == ckpt.Running {
			parts = append(parts, duration(time.Duration(e.SecondsLeft*float64(time.Second)))+" left")
		}
		break
	}
	line := strings.Join(parts, " · ")
	text = fmt.Sprintf("%s: %s · %s\n", in.Name, in.Status, line)
	page = fmt.Sprintf(`<div style="font-variant-numeric:tabular-nums"><b>%s</b> <span style="background:%s;color:#fff;border-radius:.6em;padding:0 .6em">%s</span> `,
		html.EscapeString(in.Name), or(statusColour[in.Status], "#8a929c"), html.EscapeString(in.Status))
	if in.Steps > 0 {
		page += fmt.Sprintf(`<progress value="%d" max="%d" style="width:12em;vertical-align:middle"></progress> `, in.Step, in.Steps)
	}
	page += html.EscapeString(line)
	if in.Message != "" && in.Message != in.Status {
		page += `<div style="opacity:.75">` + html.EscapeString(in.Message) + "</div>"
		text += "  " + in.Message + "\n"
	}
	return page + "</div>", text
}

var stateMark = map[health.State][2]string{
	health.Healthy: {"#2e9e6b", "good"}, health.Suspect: {"#b58a1b", "look"}, health.Wrong: {"#d64f5c", "wrong"}, health.Unknown: {"#8a929c", "too early"},
}

// table says which numbers are healthy, and what to do about those that are not.
func (w *watched) table() (page string, found []health.Finding) {
	found = w.rules.Look(w.run, w.recent)
	if len(found) == 0 {
		return "", nil
	}
	var b strings.Builder
	b.WriteString(`<table style="border-collapse:collapse;font-variant-numeric:tabular-nums"><tr>`)
	for _, h := range []string{"metric", "now", "healthy", "", "what it means, and what to do"} {
		fmt.Fprintf(&b, `<th style="text-align:left;padding:.1em .8em .1em 0">%s</th>`, h)
	}
	b.WriteString("</tr>")
	for _, f := range found {
		mark := stateMark[f.State]
		words := f.Rule.Meaning
		if f.Words != "" {
			words += ". <b>" + html.EscapeString(f.Words) + "</b>"
		} else {
			words = html.EscapeString(words)
		}
		fmt.Fprintf(&b, `<tr title="%s"><td style="padding-right:.8em">%s</td><td style="padding-right:.8em">%s</td><td style="padding-right:.8em">%s</td>`+
			`<td style="padding-right:.8em;color:%s;white-space:nowrap">● %s</td><td>%s</td></tr>`,
			html.EscapeString(f.Rule.Source), html.EscapeString(f.Name), html.EscapeString(f.Shown()), html.EscapeString(f.Range()), mark[0], mark[1], words)
	}
	b.WriteString("</table>")
	return b.String(), found
}

// log is what happened last, the newest first.
func (w *watched) log() string {
	var b strings.Builder
	for _, e := range slices.Backward(w.notes) {
		text := e.Message
		switch e.Type {
		case ftlib.EventSave:
			text = "saved " + e.Path
		case ftlib.EventResume:
			text = "went on from here"
		case ftlib.EventRollback:
			continue // the control event says who
		case ftlib.EventStart:
			text, _, _ = strings.Cut(text, "\n")
		case ftlib.EventControl:
			if e.Control != nil && e.Control.By != "" {
				text += ", by " + e.Control.By
			}
		}
		fmt.Fprintf(&b, `<div><span style="opacity:.6">%s · step %d</span> %s</div>`, e.Time.Local().Format("15:04:05"), e.Step, html.EscapeString(text))
	}
	return `<div style="max-height:9em;overflow:auto;font-size:90%">` + b.String() + "</div>"
}

// choices are the checkpoints as a person chooses among them, the newest first.
func (w *watched) choices() []string {
	best := ckpt.Best(w.checkpoints)
	var out []string
	for i, c := range slices.Backward(w.checkpoints) {
		text := fmt.Sprintf("step %d", c.Step)
		if c.EvalLoss != nil {
			text += " · validation " + nats(*c.EvalLoss)
		}
		if i == best {
			text += " · best"
		}
		out = append(out, text)
	}
	return out
}

// stepOf is the step of a choice, as a command names it.
func stepOf(choice string) string {
	step, _, _ := strings.Cut(strings.TrimPrefix(choice, "step "), " ")
	return step
}

// near says whether two values of a knob are one for a person: what a slider rounds is no
// change.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b)) }

// shortDir is a run directory as a person would write it.
func shortDir(dir string) string {
	return filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
}
