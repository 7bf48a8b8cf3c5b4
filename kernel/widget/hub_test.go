package widget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ftlab/kernel/internal/link"
)

const patience = 20 * time.Second

func open(t *testing.T, ui UI, s Spec) Model {
	t.Helper()
	m, err := ui.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func value(t *testing.T, ui UI, id, trait string) any {
	t.Helper()
	s, err := ui.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return s[trait]
}

// next waits for an event.
func next(t *testing.T, events <-chan Event) Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
		return Event{}
	}
}

// serve starts a hub with a socket, and returns a way to connect cells to it.
func serve(t *testing.T) (*Hub, func() *Client) {
	t.Helper()
	h := NewHub()
	path := filepath.Join(t.TempDir(), "private", "kernel")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return h, func() *Client {
		c, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Disconnect)
		return c
	}
}

// A widget is the same one in a later cell, with the value that its user has set in
// between, while no cell ran.
func TestOutlivesItsCell(t *testing.T) {
	h, connect := serve(t)
	f := attach(t, h)
	spec := Spec{Name: "lr", Kind: FloatSlider, State: State{"max": 1, "step": 0.1, "value": 0.5}}
	first := connect()
	m := open(t, first, spec)
	first.Disconnect()
	<-first.Done()
	f.move(m.ID, "value", 0.7)

	second := connect()
	again := open(t, second, spec)
	if again.ID != m.ID || again.State["value"] != 0.7 {
		t.Errorf("the second cell got %s with %v, the first made %s", again.ID, again.State["value"], m.ID)
	}
	if found, ok, err := second.Find("lr"); err != nil || !ok || found.State["value"] != 0.7 {
		t.Errorf("found %v %v %v", found, ok, err)
	}
	if _, ok, err := second.Find("other"); err != nil || ok {
		t.Errorf("found what is not there: %v", err)
	}
	// The code says another value than before: its writer means it.
	spec.State["value"] = 0.2
	if got := open(t, second, spec).State["value"]; got != 0.2 {
		t.Errorf("after the code changed: %v", got)
	}
	// Another range moves the value into it.
	spec.State["max"] = 0.1
	if got := open(t, second, spec).State["value"]; got != 0.1 {
		t.Errorf("in a smaller range: %v", got)
	}
	// Another kind of widget takes the name over.
	other := open(t, second, Spec{Name: "lr", Kind: Text})
	if _, err := second.Get(m.ID); other.ID == m.ID || err == nil {
		t.Error("the slider is still there")
	}
	if list := h.List(); len(list) != 1 || list[0].Kind != Text {
		t.Errorf("listed: %v", list)
	}
}

// What happens on a page is heard in the cell, and what one cell sets in another.
func TestEvents(t *testing.T) {
	h, connect := serve(t)
	f := attach(t, h)
	c, other := connect(), connect()
	slider := open(t, c, Spec{Name: "s", Kind: FloatSlider})
	button := open(t, c, Spec{Kind: Button})
	events := make(chan Event, 100)
	stop, err := c.Watch(slider.ID, func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Watch(button.ID, func(e Event) { events <- e }); err != nil {
		t.Fatal(err)
	}
	f.move(slider.ID, "value", 3)
	if e := next(t, events); e.ID != slider.ID || e.State["value"] != 3.0 || e.Clicked() {
		t.Errorf("moved on the page: %+v", e)
	}
	if err := other.Update(slider.ID, State{"value": 4}); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events); e.State["value"] != 4.0 {
		t.Errorf("moved by a cell: %+v", e)
	}
	stop()
	f.move(slider.ID, "value", 5)
	f.say(button.ID, map[string]any{"method": "custom", "content": map[string]string{"event": "click"}})
	if e := next(t, events); e.ID != button.ID || !e.Clicked() {
		t.Errorf("clicked: %+v", e)
	}
	if err := other.Close(button.ID); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events); !e.Closed {
		t.Errorf("closed: %+v", e)
	}
	if err := c.Update(button.ID, State{"disabled": true}); err == nil || !strings.Contains(err.Error(), "no widget") {
		t.Errorf("updating a closed widget: %v", err)
	}
}

// A function that is slow misses no click and not the last value.
func TestSlowWatcher(t *testing.T) {
	h := NewHub()
	slider := open(t, h, Spec{Kind: IntSlider})
	enter, leave := make(chan bool), make(chan bool)
	var heard []Event
	if _, err := h.Watch(slider.ID, func(e Event) { heard = append(heard, e); enter <- true; <-leave }); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 100; i++ {
		if err := h.Update(slider.ID, State{"value": i}); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			<-enter
		}
	}
	leave <- true
	<-enter
	if len(heard) != 2 || heard[0].State["value"] != 1.0 || heard[1].State["value"] != 100.0 {
		t.Errorf("heard %v", heard)
	}
	leave <- true
}

// A page that is loaded again asks for everything and gets current values; comm_info
// names the same comms.
func TestReload(t *testing.T) {
	h := NewHub()
	slider := open(t, h, Spec{Name: "s", Kind: FloatSlider})
	f := attach(t, h)
	f.move(slider.ID, "value", 2.5)
	box := open(t, h, Spec{Kind: VBox, Children: []string{slider.ID}})
	f.tell("comm_open", map[string]any{"comm_id": "c", "target_name": control, "data": State{}})
	f.heard = nil
	f.say("c", map[string]any{"method": "request_states"})
	states := f.heard[0].Content.Data.States
	info := h.Info(target)
	if len(states) != 5 || len(info) != 5 { // two widgets, two layouts, a style
		t.Errorf("%d states, %d comms", len(states), len(info))
	}
	for id := range states {
		if info[id] != target {
			t.Errorf("comm_info does not name %s", id)
		}
	}
	got, _ := states[slider.ID].(map[string]any)
	if state, _ := got["state"].(map[string]any); state["value"] != 2.5 || got["model_name"] != "FloatSliderModel" {
		t.Errorf("the slider is %v", got)
	}
	got, _ = states[box.ID].(map[string]any)
	if state, _ := got["state"].(map[string]any); fmt.Sprint(state["children"]) != "["+Ref(slider.ID)+"]" {
		t.Errorf("the box is %v", got)
	}
	if len(h.Info("other")) != 0 {
		t.Error("comms of another target")
	}
}

// What a page must not do changes nothing, and is answered so that the page goes on.
func TestHostilePage(t *testing.T) {
	h := NewHub()
	f := attach(t, h)
	m := open(t, h, Spec{Kind: Dropdown, State: State{"_options_labels": []string{"a", "b"}, "index": 1}})
	before := asText(t, m.State)
	f.heard = nil
	for trait, v := range map[string]any{"_model_name": "Evil", "layout": 5, "no_such_trait": 1, "description": []int{1}, "_options_labels": "x"} {
		f.move(m.ID, trait, v)
	}
	f.tell("comm_open", map[string]any{"comm_id": "x", "target_name": target, "data": State{}})
	f.tell("comm_msg", map[string]any{"comm_id": 7})
	f.tell("comm_msg", map[string]any{"comm_id": "nobody", "data": map[string]any{"method": "update"}})
	f.tell("nonsense", "text")
	after, err := h.Get(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := asText(t, after); got != before {
		t.Errorf("the state was\n%s and is\n%s", before, got)
	}
	var kinds []string
	for _, heard := range f.heard {
		kinds = append(kinds, heard.Type+heard.Content.Data.Method)
	}
	slices.Sort(kinds)
	// layout and description are known: an echo, and the right value after it.
	want := "comm_close comm_msgecho_update comm_msgecho_update comm_msgupdate comm_msgupdate"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("answers: %s, want %s", got, want)
	}
	f.move(m.ID, "index", 9)
	if got := value(t, h, m.ID, "index"); got != nil {
		t.Errorf("an index beyond the options is %v", got)
	}
}

// A choice stays the one with the same words when the options change.
func TestChoiceFollowsItsLabel(t *testing.T) {
	h := NewHub()
	f := attach(t, h)
	open := func(labels ...string) Model {
		return open(t, h, Spec{Name: "c", Kind: Dropdown, State: State{"_options_labels": labels}, Initial: State{"index": 0}})
	}
	m := open("a", "b", "c")
	f.move(m.ID, "index", 2)
	if got := open("c", "d").State["index"]; got != 0.0 {
		t.Errorf("c is at %v", got)
	}
	if got := open("x", "y").State["index"]; got != 0.0 {
		t.Errorf("without the old choice: %v", got)
	}
}

// When there is no room, the oldest widget goes that has no name and whose cell has
// ended; else the error says what to do.
func TestLimit(t *testing.T) {
	h, connect := serve(t)
	h.limit = 3
	first, second := connect(), connect()
	named := open(t, first, Spec{Name: "kept", Kind: Label})
	inBox := open(t, first, Spec{Kind: Label})
	box := open(t, first, Spec{Kind: HBox, Children: []string{inBox.ID}})
	if _, err := second.Open(Spec{Kind: Label}); err == nil || !strings.Contains(err.Error(), "3 widgets already") {
		t.Fatalf("a fourth widget while the first cell runs: %v", err)
	}
	first.Disconnect()
	var last Model
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var err error
		if last, err = second.Open(Spec{Kind: Label}); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	for id, there := range map[string]bool{named.ID: true, inBox.ID: true, box.ID: false, last.ID: true} {
		if _, err := h.Get(id); (err == nil) != there {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestErrors(t *testing.T) {
	h, connect := serve(t)
	c := connect()
	for what, s := range map[string]Spec{
		`no kind "Slider"`: {Kind: "Slider"},
		`no trait "valeu"`: {Kind: FloatSlider, State: State{"valeu": 1}},
		`no trait "wide"`:  {Kind: FloatSlider, Layout: State{"wide": "1px"}},
		`no children`:      {Kind: Label, Children: []string{"x"}},
		`no widget x`:      {Kind: HBox, Children: []string{"x"}},
	} {
		if _, err := c.Open(s); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v, want %q", s, err, what)
		}
	}
	if len(h.Info("")) != 0 {
		t.Errorf("left behind: %v", h.Info(""))
	}
	t.Setenv(SocketEnv, "")
	if _, err := Connect(); err == nil || !strings.Contains(err.Error(), SocketEnv) {
		t.Errorf("without a kernel: %v", err)
	}
}

// A view goes on in the kernel after its cell, one for an argument, and is started
// again when it has ended.
func TestHost(t *testing.T) {
	h, connect := serve(t)
	started, ended := make(chan string, 10), make(chan string, 10)
	h.Host("view", func(ctx context.Context, ui UI, arg json.RawMessage) error {
		m, err := ui.Open(Spec{Kind: Label})
		if err != nil {
			return err
		}
		started <- string(arg)
		ui.(Shower).Show(m.ID)
		<-ctx.Done()
		ended <- string(arg)
		return nil
	})
	h.Host("broken", func(context.Context, UI, json.RawMessage) error { panic("at once") })
	h.Host("wrong", func(context.Context, UI, json.RawMessage) error { return errors.New("no such run") })
	first := connect()
	a, err := first.Start("view", map[string]string{"run": "a"})
	if err != nil {
		t.Fatal(err)
	}
	first.Disconnect()
	<-first.Done()
	second := connect()
	again, err := second.Start("view", map[string]string{"run": "a"})
	if err != nil || again != a {
		t.Errorf("the same view: %s and %s, %v", a, again, err)
	}
	if b, err := second.Start("view", map[string]string{"run": "b"}); err != nil || b == a {
		t.Errorf("another run: %s, %v", b, err)
	}
	if len(started) != 2 {
		t.Errorf("%d views started", len(started))
	}
	for name, want := range map[string]string{"none": "no function", "broken": "panicked: at once", "wrong": "no such run"} {
		if _, err := second.Start(name, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	h.Shutdown(ctx)
	if len(ended) != 2 {
		t.Errorf("%d views ended", len(ended))
	}
	if got := value(t, h, a, "value"); got != "" {
		t.Errorf("its widget has gone: %v", got)
	}
}

// A kernel that ends tells its cells.
func TestKernelGone(t *testing.T) {
	h := NewHub()
	path := filepath.Join(t.TempDir(), "private", "kernel")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan *link.Peer, 1)
	go link.Serve(l, func(p *link.Peer) link.Handler {
		conns <- p
		return &session{hub: h, p: p, watches: map[string]func(){}, ended: make(chan struct{})}
	})
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, c, Spec{Kind: Label})
	l.Close()
	(<-conns).Close()
	<-c.Done()
	if err := c.Update(m.ID, State{"value": "x"}); !errors.Is(err, link.ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := Dial(path); err == nil {
		t.Error("connected to nobody")
	}
}

// FuzzHandle: whatever a page sends, the hub goes on, and its state is still one that
// can be sent.
func FuzzHandle(f *testing.F) {
	const id = "WIDGET" // stands for the widget's id
	for _, seed := range []string{
		`{"comm_id":"WIDGET","data":{"method":"update","state":{"value":0.5},"buffer_paths":[]}}`,
		`{"comm_id":"WIDGET","data":{"method":"update","state":{"value":1e999,"min":null,"max":"x","index":-1}}}`,
		`{"comm_id":"WIDGET","data":{"method":"update","state":{"min":1e308}}}`,
		`{"comm_id":"WIDGET","data":{"method":"update","state":{"base":-1,"min":0.5}}}`,
		`{"comm_id":"WIDGET","data":{"method":"request_state"}}`,
		`{"comm_id":"WIDGET","data":{"method":"custom","content":{"event":"click"}}}`,
		`{"comm_id":"c","target_name":"jupyter.widget.control","data":{}}`,
		`{"comm_id":"c","data":{"method":"request_states"}}`,
		`{"comm_id":"WIDGET","data":null}`, `[]`, ``, `{"comm_id":{}}`,
	} {
		for kind := range uint8(3) {
			f.Add(kind, seed)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, content string) {
		h := NewHub()
		page := attach(t, h)
		slider, err := h.Open(Spec{Kind: FloatLogSlider})
		if err != nil {
			t.Fatal(err)
		}
		kinds := []string{"comm_open", "comm_msg", "comm_close"}
		reply := func(kind string, content any) { page.hear(kind, content, nil) } // fails where it is not JSON
		h.Handle("comm_open", []byte(`{"comm_id":"c","target_name":"jupyter.widget.control"}`), nil, nil, reply)
		h.Handle(kinds[int(kind)%3], []byte(strings.ReplaceAll(content, id, slider.ID)), nil, nil, reply)
		h.Handle("comm_msg", []byte(`{"comm_id":"c","data":{"method":"request_states"}}`), nil, nil, reply)
		last := page.heard[len(page.heard)-1]
		if kinds[int(kind)%3] != "comm_close" && len(last.Content.Data.States) != 3 {
			t.Errorf("%d states after %s %q", len(last.Content.Data.States), kinds[int(kind)%3], content)
		}
	})
}
