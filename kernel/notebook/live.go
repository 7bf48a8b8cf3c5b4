package notebook

import (
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/janpfeifer/gonb/gonbui"

	"ftlab/ftlib"
	"ftlab/ftlib/chart"
	"ftlab/kernel/widget"
)

// LiveChart is an [ftlib.Sink] that draws a run while it goes on: a line with
// progress, loss, speed and time left, and below it the loss chart, which moves
// without losing what the pointer or the zoom is at. When the run ends both become
// the record of it that is saved with the notebook. In the FTLab kernel both are
// widgets, which a page that is loaded again shows with what came meanwhile.
type LiveChart struct {
	title  string
	metric string // that is drawn; zero: the loss
	id     string
	every  time.Duration // between two updates
	last   time.Time
	began  time.Time
	shown  bool // the chart is on the page
	closed bool
	events []ftlib.Event

	box    *Box // nil: no widgets here
	line   *Shown
	figure *ChartView
}

// Live starts a live chart. Give it to the run as a sink; it closes itself with the
// event "end" or "error". Outside a notebook it prints a line at each evaluation.
// For a run that goes on, give the events of its first part, which the chart then
// shows as well.
func Live(title string, before ...ftlib.Event) *LiveChart {
	l := &LiveChart{title: title, id: "ftlab-live-" + gonbui.UniqueId(), every: 300 * time.Millisecond, began: time.Now()}
	for _, e := range before {
		if e.Type != ftlib.EventEnd && e.Type != ftlib.EventError { // it is not over
			l.events = append(l.events, e)
		}
	}
	if InNotebook() {
		if ui := UI(); live(ui) {
			l.place(ui)
		}
		l.progress(`<span style="opacity:.7">getting ready: loading data and compiling the first step …</span>`, title+": getting ready\n", "")
	}
	return l
}

// LiveMetric is [Live] with a chart of a metric by its name (see [chart.Metric]), for runs
// whose loss says little: "reward" of methods that sample, "rewards/margins" of preferences.
func LiveMetric(title, metric string, before ...ftlib.Event) *LiveChart {
	l := Live(title, before...)
	l.metric = metric
	return l
}

// Event draws one event. It never returns an error: a chart must not end a run.
func (l *LiveChart) Event(e ftlib.Event) error {
	if l.closed {
		return nil
	}
	l.events = append(l.events, e)
	if e.Type == ftlib.EventEnd || e.Type == ftlib.EventError {
		l.Close()
		return nil
	}
	if !InNotebook() {
		l.print(e)
		return nil
	}
	if time.Since(l.last) < l.every || e.Type != ftlib.EventStep && e.Type != ftlib.EventEval {
		return nil
	}
	l.last = time.Now()
	f := l.Figure()
	if l.box != nil {
		l.draw(f)
		return nil
	}
	if !l.shown {
		l.shown = true
		showFigure(f, l.id)
		return nil
	}
	script, err := f.Update(l.id)
	if err != nil {
		return nil
	}
	page, text := l.status()
	l.progress(page, text, script)
	return nil
}

// Close shows the final state. Events after it are ignored; a second call does nothing.
func (l *LiveChart) Close() {
	if l.closed {
		return
	}
	l.closed = true
	page, text := l.summary()
	if l.box != nil {
		l.record(page, text)
		return
	}
	if !InNotebook() {
		printPlain(text)
	} else {
		l.progress(page, text, "")
	}
	if len(l.Figure().Series) > 0 {
		showFigure(l.Figure(), l.id)
	}
}

// Events are all events so far, for further charts.
func (l *LiveChart) Events() []ftlib.Event { return l.events }

// Figure is the chart of the events so far.
func (l *LiveChart) Figure() chart.Figure {
	curve := chart.Curve{Name: l.title, Events: l.events}
	f := chart.Loss(curve)
	if l.metric != "" {
		f = chart.Metric(l.metric, curve)
	}
	if l.title != "" {
		f.Title = l.title
	}
	return f
}

func (l *LiveChart) progress(page, text, script string) {
	if l.box != nil {
		l.line.Set(tabular(page))
		return
	}
	emit(bundle{id: l.id + "-progress", text: text,
		html: tabular(page) + script})
}

// tabular is a line whose digits do not move when they change.
func tabular(page string) string {
	return `<div style="font-variant-numeric:tabular-nums;padding:.2em 0">` + page + `</div>`
}

// place makes the widgets and shows them. Where that fails the chart is shown without.
func (l *LiveChart) place(ui widget.UI) {
	line, err := HTML{Plain: l.title}.In(ui)
	if err != nil {
		return
	}
	box, err := Column{Children: []Widget{line}}.In(ui)
	if err != nil {
		return
	}
	l.line, l.box = line, box
	box.show(l.id)
}

// draw brings the widgets to the events so far.
func (l *LiveChart) draw(f chart.Figure) {
	page, text := l.status()
	l.progress(page, text, "")
	if l.figure != nil {
		l.figure.Update(f)
		return
	}
	figure, err := Chart{Figure: f}.In(l.box.ui)
	if err != nil {
		l.box.failed(err)
		return
	}
	l.figure = figure
	l.box.SetChildren(l.line, figure)
}

// record puts what stays where the widgets were: it needs no kernel to be seen. The
// widgets go on for a page that was loaded again meanwhile and does not hear of that.
func (l *LiveChart) record(page, text string) {
	f := l.Figure()
	l.line.Set(tabular(page))
	b := bundle{}
	if len(f.Series) > 0 {
		l.draw(f)
		l.line.Set(tabular(page))
		l.figure.Flush()
		var err error
		if b, err = figureBundle(f, l.id+"-end"); err != nil {
			showError(err)
		}
	}
	b.id, b.html, b.text = l.id, tabular(page)+b.html, text+b.text
	emit(b)
}

// status is the progress line while the run goes on.
func (l *LiveChart) status() (page, text string) {
	s := l.state()
	parts := []string{fmt.Sprintf("step %d", s.step)}
	if s.steps > 0 {
		parts[0] += fmt.Sprintf(" of %d", s.steps)
		page = fmt.Sprintf(`<progress value="%d" max="%d" style="width:12em;vertical-align:middle"></progress> `, s.step, s.steps)
	}
	if _, last := l.course(); last != nil {
		parts = append(parts, l.metric+" "+nats(*last))
	} else if s.loss != nil {
		parts = append(parts, "loss "+nats(*s.loss))
	}
	if s.eval != nil && l.metric == "" {
		parts = append(parts, "validation "+nats(*s.eval))
	}
	if s.speed > 0 {
		parts = append(parts, thousands(int(s.speed))+" tokens/s")
	}
	if s.left > 0 {
		parts = append(parts, duration(time.Duration(s.left*float64(time.Second)))+" left")
	}
	text = strings.Join(parts, " · ")
	return page + html.EscapeString(text), text + "\n"
}

// summary is the line that stays.
func (l *LiveChart) summary() (page, text string) {
	s := l.state()
	var parts []string
	switch {
	case s.failed != "":
		parts = append(parts, fmt.Sprintf("stopped: %d steps in %s", s.step, duration(s.time)))
	case s.message != "" && s.message != "finished":
		parts = append(parts, s.message) // says how many steps, and how to go on
	default:
		parts = append(parts, fmt.Sprintf("done: %d steps in %s", s.step, duration(s.time)))
	}
	first, last := l.course()
	if first != nil {
		parts = append(parts, fmt.Sprintf("%s %s → %s", l.metric, nats(*first), nats(*last)))
	} else if s.firstEval != nil && s.eval != nil {
		parts = append(parts, fmt.Sprintf("validation loss %s → %s", nats(*s.firstEval), nats(*s.eval)))
	} else if s.firstLoss != nil && s.loss != nil {
		parts = append(parts, fmt.Sprintf("loss %s → %s", nats(*s.firstLoss), nats(*s.loss)))
	}
	if s.speed > 0 {
		parts = append(parts, thousands(int(s.speed))+" tokens/s")
	}
	if s.path != "" {
		parts = append(parts, "last checkpoint "+s.path)
	}
	text = strings.Join(parts, " · ")
	page = "<b>" + html.EscapeString(text) + "</b>"
	for _, note := range append(s.warnings, s.failed) {
		if note != "" {
			page += `<div style="border-left:4px solid #e07b28;padding:.1em .8em;margin:.3em 0">` + html.EscapeString(note) + `</div>`
			text += "\n  " + note
		}
	}
	return page, text + "\n"
}

// course is the first and the last value of the metric that is drawn; nil: none yet.
func (l *LiveChart) course() (first, last *float64) {
	for _, e := range l.events {
		if v, ok := e.Metrics[l.metric]; ok && e.Type == ftlib.EventStep {
			if first == nil {
				first = &v
			}
			last = &v
		}
	}
	return first, last
}

// runState is what the lines say.
type runState struct {
	step, steps           int
	loss, firstLoss       *float64
	eval, firstEval       *float64
	speed, left           float64
	time                  time.Duration
	path, failed, message string
	warnings              []string
	firstTime, latestTime time.Time
}

func (l *LiveChart) state() runState {
	var s runState
	for _, e := range l.events {
		s.step, s.steps = max(s.step, e.Step), max(s.steps, e.Steps)
		if !e.Time.IsZero() {
			if s.firstTime.IsZero() {
				s.firstTime = e.Time
			}
			s.latestTime = e.Time
		}
		if e.Type == ftlib.EventStep && e.Loss != nil {
			if s.firstLoss == nil {
				s.firstLoss = e.Loss
			}
			s.loss = e.Loss
		}
		if v, ok := evalLoss(e); ok {
			if s.firstEval == nil {
				s.firstEval = &v
			}
			s.eval = &v
		}
		if e.TokensPerSecond > 0 {
			s.speed = e.TokensPerSecond
		}
		s.left = e.SecondsLeft
		switch {
		case e.Type == ftlib.EventWarning:
			s.warnings = append(s.warnings, e.Message)
		case e.Type == ftlib.EventError:
			s.failed = e.Message
		case e.Type == ftlib.EventEnd:
			s.message = e.Message
		case e.Type == ftlib.EventSave && e.Path != "":
			s.path = e.Path
		}
	}
	if s.time = s.latestTime.Sub(s.firstTime); s.time <= 0 {
		s.time = time.Since(l.began)
	}
	return s
}

func evalLoss(e ftlib.Event) (float64, bool) {
	if v, ok := e.Metrics["eval_loss"]; ok {
		return v, true
	}
	if e.Type == ftlib.EventEval && e.Loss != nil {
		return *e.Loss, true
	}
	return 0, false
}

// print is the plain form of an event: evaluations, warnings, nothing a second.
func (l *LiveChart) print(e ftlib.Event) {
	switch {
	case e.Type == ftlib.EventWarning:
		printPlain("warning: " + e.Message + "\n")
	case e.Type == ftlib.EventEval:
		_, text := l.status()
		printPlain(text)
	}
}

// nats writes a loss: three decimals, or two digits of a small one.
func nats(v float64) string {
	if v < 0.01 {
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

// thousands writes 12345 as 12,345.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
