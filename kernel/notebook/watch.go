package notebook

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/health"
	"ftlab/ftlib/tune"
	"ftlab/kernel/widget"
)

// Watcher shows a run wherever it is trained: its charts from the first step on, what is
// healthy and what is not, and buttons and sliders that change it from the next step on.
//
// In the FTLab kernel the view lives in the kernel: the cell ends at once, the view goes
// on, is there again after the page is loaded anew, and a second one in another notebook
// shows the same run. The picture that a saved notebook has of it is of the moment when
// the cell ran. Under gonb alone, and in a plain program, Show follows the run
// until it is over or the program is interrupted (the run goes on), with a chart or with
// lines of text.
type Watcher struct {
	Dir   string // of the run; required
	Rules string // file with healthy ranges (see package health); zero: those that come with FTLab
}

// Watch shows a run, by its directory or as [tune.Start] gave it:
//
//	run := notebook.Must(tune.Start(spec))
//	notebook.Watch(run)
//	notebook.Watch("runs/sft-reviews")     // in any later cell, in any notebook
func Watch[R string | *tune.Background](run R) {
	w := Watcher{}
	switch run := any(run).(type) {
	case string:
		w.Dir = run
	case *tune.Background:
		w.Dir = run.Dir
	}
	w.Show()
}

// HostedWatch is the name of the kernel's function behind [Watcher.Show].
const HostedWatch = "watch"

// Show shows the run.
func (w Watcher) Show() {
	if err := w.show(); err != nil {
		showError(err)
	}
}

func (w Watcher) show() (err error) {
	if w.Dir, err = filepath.Abs(w.Dir); err != nil {
		return fmt.Errorf("notebook: %w", err)
	}
	if w.Rules != "" {
		if w.Rules, err = filepath.Abs(w.Rules); err != nil {
			return fmt.Errorf("notebook: %w", err)
		}
	}
	model, err := w.model()
	if err != nil {
		return err
	}
	ui := UI()
	if !live(ui) {
		return follow(Context(), model)
	}
	id, err := ui.Start(HostedWatch, w)
	if err != nil {
		return err
	}
	_, text := model.header()
	b := bundle{view: widget.View(id), text: text}
	if f := model.loss(); len(f.Series) > 0 {
		svg, err := f.SVG()
		if err != nil {
			return err
		}
		b.svg = string(svg)
	}
	emit(b)
	return nil
}

// model reads the run as it is now.
func (w Watcher) model() (*watched, error) {
	rules, err := health.ReadFile(w.Rules)
	if err != nil {
		return nil, err
	}
	if !ckpt.Known(w.Dir) {
		return nil, fmt.Errorf("notebook: %s is not a run", w.Dir)
	}
	m := newWatched(w.Dir, rules)
	if _, err := m.poll(); err != nil && m.run.Model.Path == "" {
		return nil, err
	}
	return m, nil
}

// follow shows a run while this program runs: as a live chart, or as lines.
func follow(ctx context.Context, m *watched) error {
	var sink ftlib.Sink = &tune.Progress{W: writer{}}
	if InNotebook() {
		sink = Live(m.info.Name)
	}
	tail := ckpt.NewTail(m.dir)
	for {
		alive := ckpt.Alive(m.dir) // looked at before the events: none is missed
		events, err := tail.Next()
		if err != nil {
			return err
		}
		for _, e := range events {
			if over := e.Type == ftlib.EventEnd || e.Type == ftlib.EventError; over && alive {
				continue // of an earlier process
			}
			if err := sink.Event(e); err != nil {
				return err
			}
		}
		if !alive {
			break
		}
		select {
		case <-ctx.Done():
			printPlain(fmt.Sprintf("%s goes on; watch it again, or: ft runs stop %[1]s\n", m.dir))
			return nil
		case <-time.After(updateEvery):
		}
	}
	if _, err := m.poll(); err != nil {
		return err
	}
	if c, ok := sink.(*LiveChart); ok {
		c.Close()
	}
	_, text := m.header()
	printPlain(text)
	return nil
}

// writer writes where plain forms go.
type writer struct{}

func (writer) Write(p []byte) (int, error) { printPlain(string(p)); return len(p), nil }

// HostWatch is the function that the kernel runs for [Watcher.Show]; cmd/ft registers it.
// It ends with ctx: a run that is over can be resumed, and is then followed again.
func HostWatch(ctx context.Context, ui widget.UI, arg json.RawMessage) error {
	var w Watcher
	if err := json.Unmarshal(arg, &w); err != nil {
		return fmt.Errorf("notebook: %w", err)
	}
	m, err := w.model()
	if err != nil {
		return err
	}
	v, err := newWatchView(ctx, ui, m)
	if err != nil {
		return err
	}
	v.root.Show()
	for {
		wait := updateEvery
		if !ckpt.Alive(w.Dir) {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-v.wake:
		case <-time.After(wait):
		}
		changed, err := m.poll()
		if os.IsNotExist(err) {
			return nil // the run's directory was removed
		}
		began := time.Now()
		if changed {
			v.draw()
		}
		// A long run takes long to draw: most of the time is for those who train.
		if spent := time.Since(began); spent > updateEvery/4 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(4 * spent):
			}
		}
	}
}
