package notebook

import (
	"context"
	"fmt"
	"html"
	"slices"
	"strings"
	"sync"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/tune"
	"ftlab/kernel/widget"
)

// watchView is a watched run as widgets.
type watchView struct {
	ctx  context.Context
	ui   widget.UI
	m    *watched
	name string        // before the names of all widgets
	wake chan struct{} // something was done: look at once

	root                             *Box
	head, table, notes, answer       *Shown
	pause, save, stop, back, branch  *Click
	checkpoints                      *Control[string]
	settings                         *Control[string]
	charts, knobs                    *Box
	panels                           map[string]*ChartView
	shownPanels, shownKnobs, choices []string
	drawnTable                       time.Time

	mu   sync.Mutex
	turn map[string]*knob
	busy sync.Mutex // one command after another
}

// knob is a control of a hyperparameter, and the value that the run has.
type knob struct {
	control *Control[float64]
	value   float64
}

func newWatchView(ctx context.Context, ui widget.UI, m *watched) (v *watchView, err error) {
	v = &watchView{ctx: ctx, ui: ui, m: m, name: "watch " + m.dir + " ", wake: make(chan struct{}, 1),
		panels: map[string]*ChartView{}, turn: map[string]*knob{}}
	make1 := func(to **Shown, s HTML) {
		if err == nil {
			*to, err = s.In(ui)
		}
	}
	button := func(to **Click, b Button, do func()) {
		if err != nil {
			return
		}
		b.Name, b.Width = v.name+b.Name, "auto"
		if *to, err = b.In(ui); err == nil {
			(*to).OnClick(func() { go do() })
		}
	}
	make1(&v.head, HTML{Name: v.name + "head"})
	make1(&v.table, HTML{Name: v.name + "table"})
	make1(&v.notes, HTML{Name: v.name + "notes"})
	make1(&v.answer, HTML{Name: v.name + "answer"})
	button(&v.pause, Button{Name: "pause", Label: "Pause", Icon: "pause"}, v.pauseOrGoOn)
	button(&v.save, Button{Name: "save", Label: "Checkpoint now", Icon: "save", Help: "kept until you remove it"}, func() { v.ask(ckpt.Command{Do: ckpt.DoSave}) })
	button(&v.stop, Button{Name: "stop", Label: "Stop and save", Icon: "stop", Colour: Warning, Help: "it can be resumed"}, func() { v.ask(ckpt.Command{Do: ckpt.DoStop}) })
	button(&v.back, Button{Name: "back", Label: "Roll back to it", Icon: "undo", Help: "the run goes on from that checkpoint; later ones are set aside"}, v.rollback)
	button(&v.branch, Button{Name: "branch", Label: "Branch from it", Icon: "code-fork", Help: "a new run, in the background, with the settings beside"}, v.branchOff)
	if err != nil {
		return nil, err
	}
	if v.checkpoints, err = (Choice{Name: v.name + "checkpoints", Label: "checkpoint", Options: []string{noCheckpoint}}).In(ui); err != nil {
		return nil, err
	}
	if v.settings, err = (TextField{Name: v.name + "settings", Label: "with", Hint: "optim.learning_rate=1e-4 name=try", Lazy: true, Width: "360px"}).In(ui); err != nil {
		return nil, err
	}
	if v.charts, err = (Column{Name: v.name + "charts"}).In(ui); err != nil {
		return nil, err
	}
	if v.knobs, err = (Row{Name: v.name + "knobs"}).In(ui); err != nil {
		return nil, err
	}
	v.root, err = Column{Name: v.name + "root", Children: []Widget{
		v.head,
		Row{Name: v.name + "buttons", Children: []Widget{v.pause, v.save, v.stop, v.answer}},
		v.knobs,
		v.charts,
		v.table,
		Row{Name: v.name + "history", Children: []Widget{v.checkpoints, v.back, v.branch, v.settings}},
		v.notes,
	}}.In(ui)
	if err != nil {
		return nil, err
	}
	v.draw()
	return v, nil
}

const noCheckpoint = "none yet"

// draw brings all widgets up to date.
func (v *watchView) draw() {
	page, _ := v.m.header()
	v.head.Set(page)
	running := v.m.info.Status == ckpt.Running || v.m.info.Status == ckpt.Paused
	switch {
	case v.m.info.Status == ckpt.Paused:
		v.pause.set(widget.State{"description": "Go on", "icon": "play"})
	case running:
		v.pause.set(widget.State{"description": "Pause", "icon": "pause"})
	default:
		v.pause.set(widget.State{"description": "Resume", "icon": "play"})
	}
	v.pause.Enable(v.m.info.Status != ckpt.Finished)
	v.save.Enable(running)
	v.stop.Enable(running)
	v.drawCharts()
	v.drawKnobs()
	v.drawCheckpoints()
	if time.Since(v.drawnTable) > time.Second || !running {
		v.drawnTable = time.Now()
		page, _ := v.m.table()
		v.table.Set(page)
	}
	v.notes.Set(v.m.log())
}

func (v *watchView) drawCharts() {
	panels := v.m.panels()
	var ids []string
	var children []Widget
	for i, p := range panels {
		view := v.panels[p.ID]
		if view == nil {
			height := 240
			if i == 0 {
				height = 380
			}
			var err error
			if view, err = (Chart{Name: v.name + "chart " + p.ID, Figure: p.Figure, Height: height}).In(v.ui); err != nil {
				v.say(err.Error())
				continue
			}
			v.panels[p.ID] = view
		} else {
			view.Update(p.Figure)
		}
		ids, children = append(ids, p.ID), append(children, view)
	}
	if !slices.Equal(ids, v.shownPanels) {
		v.shownPanels = ids
		v.charts.SetChildren(children...)
	}
}

// drawKnobs makes a control for each hyperparameter that can change now, and moves those
// that somebody else has changed.
func (v *watchView) drawKnobs() {
	var keys []string
	var children []Widget
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range v.m.live.Knobs {
		t := v.turn[k.Key]
		if t == nil {
			c, err := v.control(k)
			if err != nil {
				v.say(err.Error())
				continue
			}
			t = &knob{c, k.Value}
			v.turn[k.Key] = t
			c.Set(k.Value) // it may be an older one of this name
			key := k.Key
			c.OnChange(func(to float64) { v.turned(key, to) })
		}
		if !near(t.value, k.Value) {
			t.value = k.Value
			t.control.Set(k.Value)
		}
		keys, children = append(keys, k.Key), append(children, t.control)
	}
	if !slices.Equal(keys, v.shownKnobs) {
		v.shownKnobs = keys
		v.knobs.SetChildren(children...)
	}
}

// control is a slider or, where one would be too coarse, a field for a number.
func (v *watchView) control(k ftlib.Knob) (*Control[float64], error) {
	name := v.name + "knob " + k.Key
	if k.Log && k.Value > 0 {
		low, high := max(k.Min, k.Value/100), min(k.Max, k.Value*100)
		return LogSlider{Name: name, Label: k.Key, Help: k.Help, Min: low, Max: high, Value: k.Value, Steps: 20, Lazy: true}.In(v.ui)
	}
	return FloatField{Name: name, Label: k.Key, Help: k.Help, Value: k.Value, Width: "200px"}.In(v.ui)
}

// turned asks the run for a value that somebody has set on the page.
func (v *watchView) turned(key string, to float64) {
	v.mu.Lock()
	t := v.turn[key]
	same := t == nil || near(t.value, to)
	if !same {
		t.value = to
	}
	v.mu.Unlock()
	if same {
		return // moved by drawKnobs
	}
	go func() {
		if !v.ask(ckpt.Command{Do: ckpt.DoSet, Key: key, Value: to}) { // it shows again what the run has
			live, _ := ckpt.ReadLive(v.m.dir)
			v.mu.Lock()
			defer v.mu.Unlock()
			for _, k := range live.Knobs {
				if k.Key == key {
					t.value = k.Value
					t.control.Set(k.Value)
				}
			}
		}
	}()
}

func (v *watchView) drawCheckpoints() {
	choices := v.m.choices()
	if len(choices) == 0 {
		choices = []string{noCheckpoint}
	}
	some := choices[0] != noCheckpoint
	v.back.Enable(some)
	v.branch.Enable(some)
	if slices.Equal(choices, v.choices) {
		return
	}
	chosen := stepOf(v.checkpoints.Value())
	follow := len(v.choices) == 0 || chosen == stepOf(v.choices[0]) // the newest stays the newest
	v.choices = choices
	at := slices.IndexFunc(choices, func(c string) bool { return stepOf(c) == chosen })
	if follow || at < 0 {
		at = 0
	}
	v.checkpoints.set(widget.State{"_options_labels": choices, "index": at})
}

// say shows what came of a button.
func (v *watchView) say(text string) {
	v.answer.Set(`<span style="opacity:.75">` + html.EscapeString(text) + "</span>")
}

// ask sends a command to the run and shows its answer. A step may take long.
func (v *watchView) ask(c ckpt.Command) bool {
	_, ok := v.asked(c)
	return ok
}

func (v *watchView) asked(c ckpt.Command) (ftlib.Event, bool) {
	v.busy.Lock()
	defer v.busy.Unlock()
	defer v.look()
	v.say(c.Do + ": after this step …")
	c.By = ckpt.Me() + " (notebook)"
	ctx, cancel := context.WithTimeout(v.ctx, 10*time.Minute)
	defer cancel()
	e, err := ckpt.Ask(ctx, v.m.dir, c)
	if err != nil {
		v.say(strings.TrimPrefix(err.Error(), "ckpt: "+v.m.dir+": "))
		return e, false
	}
	v.say(fmt.Sprintf("step %d: %s", e.Step, e.Message))
	return e, true
}

// look makes the view look at the run at once.
func (v *watchView) look() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// pauseOrGoOn is the first button, which says what it does.
func (v *watchView) pauseOrGoOn() {
	live, err := ckpt.ReadLive(v.m.dir)
	switch {
	case err == nil && live.Paused:
		v.ask(ckpt.Command{Do: ckpt.DoContinue})
	case ckpt.Alive(v.m.dir):
		v.ask(ckpt.Command{Do: ckpt.DoPause})
	default:
		v.resume(v.m.dir, "going on in the background")
	}
}

func (v *watchView) resume(dir, done string) {
	v.say("starting …")
	defer v.look()
	if _, err := tune.StartResume(dir); err != nil {
		v.say(err.Error())
		return
	}
	v.say(done)
}

func (v *watchView) rollback() {
	to := stepOf(v.checkpoints.Value())
	if ckpt.Alive(v.m.dir) {
		v.ask(ckpt.Command{Do: ckpt.DoRollback, To: to})
		return
	}
	defer v.look()
	if _, err := ckpt.Rollback(v.m.dir, to); err != nil {
		v.say(err.Error())
		return
	}
	v.say("rolled back to step " + to + "; Resume goes on from there")
}

// branchOff makes a run from the chosen checkpoint with the settings in the field, and
// trains it in the background.
func (v *watchView) branchOff() {
	c := ckpt.Command{Do: ckpt.DoBranch, To: stepOf(v.checkpoints.Value())}
	for _, s := range strings.Fields(v.settings.Value()) {
		if name, ok := strings.CutPrefix(s, "name="); ok {
			c.Name = name
		} else {
			c.Set = append(c.Set, s)
		}
	}
	var to string
	if ckpt.Alive(v.m.dir) {
		e, ok := v.asked(c)
		if !ok {
			return
		}
		to = e.Path
	} else {
		var err error
		if to, err = ckpt.Branch(v.m.dir, c.To, c.Name, c.Set); err != nil {
			v.say(err.Error())
			return
		}
	}
	v.resume(to, fmt.Sprintf("%s is trained in the background; see it with notebook.Watch(%q)", shortDir(to), to))
}
