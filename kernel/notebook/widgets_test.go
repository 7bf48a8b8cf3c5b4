package notebook

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"ftlab/ftlib/chart"
	"ftlab/kernel/widget"
)

// inKernel lets this program be a cell of a kernel with this hub, and returns the page.
func inKernel(t *testing.T) *page {
	t.Helper()
	hub := widget.NewHub()
	l, err := widget.Listen(filepath.Join(t.TempDir(), "private", "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- hub.Serve(l) }()
	client, err := widget.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	old := ourUI
	ourUI = func() widget.UI { return client }
	t.Cleanup(func() {
		ourUI = old
		client.Disconnect()
		l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	p := &page{t: t, hub: hub, updates: map[string]int{}}
	hub.Attach(func(_, kind string, content, _ any, _ [][]byte) error {
		if m, ok := content.(map[string]any); ok && kind == "comm_msg" {
			p.updates[m["comm_id"].(string)]++
		}
		return nil
	})
	return p
}

// page is what a person does to widgets.
type page struct {
	t       *testing.T
	hub     *widget.Hub
	updates map[string]int // messages by widget; the hub sends one after another
}

func (p *page) say(id string, data any) {
	p.t.Helper()
	content, err := json.Marshal(map[string]any{"comm_id": id, "data": data})
	if err != nil {
		p.t.Fatal(err)
	}
	p.hub.Handle("comm_msg", content, nil, nil, func(string, any) {})
}

func (p *page) set(id, trait string, v any) {
	p.t.Helper()
	p.say(id, map[string]any{"method": "update", "state": map[string]any{trait: v}})
}

func got[T any](t *testing.T, values <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-values:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// Every kind of control has its value when it is made, takes another one, tells of a
// change on the page, and is found again, in a kernel and without one.
func TestControls(t *testing.T) {
	check := func(t *testing.T, p *page) {
		t.Run("float", func(t *testing.T) {
			spec := FloatSlider{Name: "f", Max: 2, Step: 0.5, Value: 1}
			try(t, p, spec.New, 1, 1.5, "value", 2.0, 2)
			if v := (FloatSlider{Name: "f"}).New().Value(); p != nil && v != 2 {
				t.Errorf("by its name alone: %v", v)
			}
		})
		t.Run("log", func(t *testing.T) {
			try(t, p, LogSlider{Name: "l", Min: 1e-5, Max: 1e-2, Value: 1e-3}.New, 1e-3, 1e-4, "value", 0.002, 0.002)
		})
		t.Run("int", func(t *testing.T) { try(t, p, IntSlider{Name: "i", Min: 1, Max: 9, Value: 3}.New, 3, 4, "value", 5, 5) })
		t.Run("box", func(t *testing.T) { try(t, p, Checkbox{Name: "b", Value: true}.New, true, false, "value", true, true) })
		t.Run("toggle", func(t *testing.T) {
			try(t, p, Checkbox{Name: "t", Button: true, Icon: "play"}.New, false, true, "value", false, false)
		})
		t.Run("text", func(t *testing.T) { try(t, p, TextField{Name: "s", Value: "a"}.New, "a", "b", "value", "c", "c") })
		t.Run("rows", func(t *testing.T) { try(t, p, TextField{Name: "r", Rows: 3}.New, "", "b", "value", "c", "c") })
		t.Run("number", func(t *testing.T) { try(t, p, FloatField{Name: "n", Value: 0.5}.New, 0.5, -3, "value", 7.5, 7.5) })
		t.Run("whole", func(t *testing.T) { try(t, p, IntField{Name: "w", Value: 5}.New, 5, -3, "value", 7, 7) })
		for _, style := range []ChoiceStyle{Dropdown, Radio, List, Buttons} {
			t.Run("choice "+string(style), func(t *testing.T) {
				spec := Choice{Name: "c" + string(style), Options: []string{"x", "y", "z"}, Style: style}
				try(t, p, spec.New, "x", "y", "index", 2, "z")
			})
		}
	}
	t.Run("kernel", func(t *testing.T) { check(t, inKernel(t)) })
	t.Run("program", func(t *testing.T) {
		old := ourUI
		hub := widget.NewHub()
		ourUI = func() widget.UI { return hub }
		defer func() { ourUI = old }()
		check(t, nil)
	})
}

func try[T float64 | int | bool | string](t *testing.T, p *page, open func() *Control[T], first, set T, trait string, moved any, then T) {
	t.Helper()
	c := open()
	if v := c.Value(); v != first {
		t.Errorf("at first %v, want %v", v, first)
	}
	changes := make(chan T, 10)
	stop := c.OnChange(func(v T) { changes <- v })
	c.Set(set)
	if v := got(t, changes); v != set || c.Value() != set {
		t.Errorf("set to %v: told %v, is %v", set, v, c.Value())
	}
	if p == nil {
		stop()
		return
	}
	p.set(c.ID(), trait, moved)
	if v := got(t, changes); v != then {
		t.Errorf("moved to %v: told %v", moved, v)
	}
	if again := open(); again.ID() != c.ID() || again.Value() != then {
		t.Errorf("opened again: %v", again.Value())
	}
	var name string
	for _, w := range p.hub.List() {
		if m, ok, _ := p.hub.Find(w.Name); ok && m.ID == c.ID() {
			name = w.Name
		}
	}
	if v, ok := ValueOf[T](name); !ok || v != then {
		t.Errorf("ValueOf(%q) is %v, %v", name, v, ok)
	}
	stop()
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}

func TestValueOfNothing(t *testing.T) {
	inKernel(t)
	TextField{Name: "text", Value: "a"}.New()
	if v, ok := ValueOf[float64]("none"); ok {
		t.Errorf("a widget that is not there has %v", v)
	}
	if v, ok := ValueOf[float64]("text"); ok {
		t.Errorf("a text is the number %v", v)
	}
}

func TestClicks(t *testing.T) {
	p := inKernel(t)
	clicks := make(chan bool, 10)
	b := Button{Label: "Stop", Colour: Danger}.New()
	stop := b.OnClick(func() { clicks <- true })
	for range 3 {
		p.say(b.ID(), map[string]any{"method": "custom", "content": map[string]string{"event": "click"}})
	}
	for range 3 {
		got(t, clicks)
	}
	stop()
	b.Label("Stopping")
	b.Enable(false)
	state, err := p.hub.Get(b.ID())
	if err != nil || state["description"] != "Stopping" || state["disabled"] != true {
		t.Errorf("%v, %v", state, err)
	}
}

// An output with a widget names it and has a plain form; without widgets only that.
func TestWidgetOutput(t *testing.T) {
	inKernel(t)
	var box *Box
	sent := cellOutputs(t, func() {
		box = Tabs{Titles: []string{"one", "two"}, Children: []Widget{
			Column{Children: []Widget{LogSlider{Name: "lr", Value: 1e-3}, Button{Label: "Stop"}}},
			Row{Children: []Widget{Choice{Name: "m", Options: []string{"sft", "dpo"}}, Text{Value: "words"}, HTML{Value: "<b>x</b>", Plain: "x"}, Progress{Name: "p", Value: 0.5}}},
		}}.Show()
	})
	if len(sent) != 1 || mime(sent[0], viewMIME) != widget.View(box.ID()) {
		t.Fatalf("sent %v", sent)
	}
	want := "-- one\nlr: 0.001\n[Stop]\n-- two\nm: sft\nwords\nx\np: 0.5 of 1\n"
	if text := mime(sent[0], protocol.MIMETextPlain); text != want {
		t.Errorf("as text:\n%s\nwant\n%s", text, want)
	}
	if text := plain(t, box.Show); text != want {
		t.Errorf("in a terminal:\n%s", text)
	}
}

func TestWrongControls(t *testing.T) {
	ui := widget.NewHub()
	for want, err := range map[string]error{
		"Max 1 is below Min 2":  second(FloatSlider{Name: "a", Min: 2, Max: 1}.In(ui)),
		"Max 0 is below Min 2":  second(IntSlider{Name: "a", Min: 2}.In(ui)),
		"must be above zero":    second(LogSlider{Name: "a", Max: 1}.In(ui)),
		"no Options":            second(Choice{Name: "a"}.In(ui)),
		`"z" is none of the Op`: second(Choice{Name: "a", Options: []string{"x"}, Value: "z"}.In(ui)),
		"child 0 of a box":      second(Row{Children: []Widget{nil}}.In(ui)),
		"2 titles for 1 child":  second(Tabs{Titles: []string{"a", "b"}, Children: []Widget{Text{}}}.In(ui)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	choice, err := Choice{Name: "c", Options: []string{"x", "y"}}.In(ui)
	if err != nil {
		t.Fatal(err)
	}
	if plain(t, func() { choice.Set("z") }); choice.Err() == nil || choice.Value() != "x" {
		t.Errorf("set to what is no option: %v, %v", choice.Value(), choice.Err())
	}
}

func second[T any](_ T, err error) error { return err }

// However often a chart is updated, pages hear of it four times a second at most, and
// in the end they have the last state.
func TestChartUpdates(t *testing.T) {
	p := inKernel(t)
	view := Chart{Name: "loss", Figure: chart.Loss(chart.Curve{Events: course(10)})}.New()
	began := time.Now()
	for n := 11; n <= 300; n++ {
		view.Update(chart.Loss(chart.Curve{Events: course(n)}))
	}
	view.Flush()
	most := 1 + int(time.Since(began)/updateEvery)
	state, err := p.hub.Get(view.ID()) // behind it everything has been sent
	if err != nil {
		t.Fatal(err)
	}
	if n := p.updates[view.ID()]; n < 1 || n > most+1 {
		t.Errorf("%d updates, want at most %d", n, most+1)
	}
	if n := len(series(t, state, "raw")); n != 300 {
		t.Errorf("the first series has %d points, want 300", n)
	}
	// A series that is gone is emptied: ECharts would keep it.
	view.Update(chart.Figure{Series: []chart.Series{{ID: "train", Name: "t", X: []float64{1}, Y: []float64{2}}}})
	view.Flush()
	if state, err = p.hub.Get(view.ID()); err != nil {
		t.Fatal(err)
	}
	if a, b := series(t, state, "raw"), series(t, state, "train"); len(a) != 0 || len(b) != 1 {
		t.Errorf("after fewer series: %v, %v", a, b)
	}
	if err := view.Err(); err != nil {
		t.Error(err)
	}
}

// series are the data of a series in the state of a chart.
func series(t *testing.T, state widget.State, id string) []any {
	t.Helper()
	option, _ := state["option"].(map[string]any)
	list, _ := option["series"].([]any)
	for _, s := range list {
		if s, _ := s.(map[string]any); s["id"] == id {
			data, _ := s["data"].([]any)
			return data
		}
	}
	t.Fatalf("no series %q in %.300s", id, fmt.Sprint(option))
	return nil
}

// A live chart in the kernel is a widget while it runs and a record of its own after it.
func TestLiveInKernel(t *testing.T) {
	p := inKernel(t)
	var live *LiveChart
	sent := cellOutputs(t, func() {
		live = Live("a run")
		live.every = 0
		for _, e := range course(30) {
			if err := live.Event(e); err != nil {
				t.Error(err)
			}
		}
	})
	if len(sent) != 2 || sent[0].DisplayID != sent[1].DisplayID || sent[0].DisplayID == "" {
		t.Fatalf("%d outputs, want the widget and, in its place, the record", len(sent))
	}
	if mime(sent[0], viewMIME) != widget.View(live.box.ID()) {
		t.Errorf("the first shows %q", mime(sent[0], viewMIME))
	}
	end := sent[1]
	if page := mime(end, protocol.MIMETextHTML); mime(end, viewMIME) != "" || !strings.Contains(page, "done: 30 steps") || !strings.Contains(page, "ftlabChart.draw(") {
		t.Errorf("the record: %.200s", page)
	}
	if !strings.HasPrefix(mime(end, protocol.MIMEImageSVG), "<svg ") || !strings.Contains(mime(end, protocol.MIMETextPlain), "done: 30 steps") {
		t.Error("the record has no picture or no text")
	}
	state, err := p.hub.Get(live.figure.ID())
	if err != nil || len(series(t, state, "raw")) != 30 {
		t.Errorf("a page that was loaded again sees %d steps, %v", len(series(t, state, "raw")), err)
	}
	line, err := p.hub.Get(live.line.ID())
	if text, _ := line["value"].(string); err != nil || !strings.Contains(text, "done: 30 steps") {
		t.Errorf("and reads %q, %v", text, err)
	}
}

// A view that the kernel hosts is made with the same types, shown by the cell that
// asked for it, and goes on after it.
func TestShowHosted(t *testing.T) {
	p := inKernel(t)
	clicked := make(chan string, 1)
	p.hub.Host("watch", func(ctx context.Context, ui widget.UI, arg json.RawMessage) error {
		view, err := Chart{Figure: chart.Loss(chart.Curve{Events: course(5)})}.In(ui)
		if err != nil {
			return err
		}
		stop, err := Button{Name: "stop", Label: "Stop"}.In(ui)
		if err != nil {
			return err
		}
		box, err := Column{Children: []Widget{view, stop}}.In(ui)
		if err != nil {
			return err
		}
		ended := make(chan bool)
		stop.OnClick(func() { clicked <- string(arg); close(ended) })
		box.Show()
		<-ended
		return nil
	})
	figure := chart.Loss(chart.Curve{Events: course(5)})
	sent := cellOutputs(t, func() {
		if err := ShowHosted("watch", "runs/a", figure); err != nil {
			t.Error(err)
		}
		if err := ShowHosted("nothing", nil, figure); err == nil || !strings.Contains(err.Error(), "no function") {
			t.Errorf("a function that is not there: %v", err)
		}
	})
	if len(sent) != 1 {
		t.Fatalf("%d outputs", len(sent))
	}
	var view struct {
		ID string `json:"model_id"`
	}
	if err := json.Unmarshal([]byte(mime(sent[0], viewMIME)), &view); err != nil {
		t.Fatal(err)
	}
	if state, err := p.hub.Get(view.ID); err != nil || state["_model_name"] != "VBoxModel" {
		t.Errorf("shown is %v, %v", state["_model_name"], err)
	}
	if !strings.HasPrefix(mime(sent[0], protocol.MIMEImageSVG), "<svg ") || mime(sent[0], protocol.MIMETextPlain) == "" {
		t.Error("no picture or no text beside the view")
	}
	stop, ok, err := p.hub.Find("stop")
	if err != nil || !ok {
		t.Fatal(err)
	}
	p.say(stop.ID, map[string]any{"method": "custom", "content": map[string]string{"event": "click"}})
	if arg := got(t, clicked); arg != `"runs/a"` {
		t.Errorf("its argument is %s", arg)
	}
}
