package widget

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

// message is one of those that scripts/golden/widgets.py has recorded.
type message struct {
	From    string `json:"from"`
	Type    string `json:"msg_type"`
	Content struct {
		ID     string  `json:"comm_id"`
		Target *string `json:"target_name,omitempty"`
		Data   struct {
			Method  string          `json:"method,omitempty"`
			State   State           `json:"state,omitempty"`
			Paths   []any           `json:"buffer_paths,omitempty"`
			Content json.RawMessage `json:"content,omitempty"`
			States  map[string]any  `json:"states,omitempty"`
		} `json:"data"`
	} `json:"content"`
	Metadata map[string]any `json:"metadata"`
}

type recording struct {
	Env    map[string]string
	Opened map[Kind][]message
	Talks  map[string][]message
}

func recorded(t *testing.T) recording {
	t.Helper()
	var r recording
	testkit.GoldenJSON(t, "widgets/ipywidgets.json", &r)
	return r
}

// front is a front end that notes what it hears.
type front struct {
	t     *testing.T
	hub   *Hub
	heard []message
}

func attach(t *testing.T, h *Hub) *front {
	f := &front{t: t, hub: h}
	h.Attach(func(parent, kind string, content, metadata any, buffers [][]byte) error {
		f.hear(kind, content, metadata)
		return nil
	})
	return f
}

func (f *front) hear(kind string, content, metadata any) {
	m := message{From: "kernel", Type: kind, Metadata: map[string]any{}}
	for _, part := range []struct{ from, to any }{{content, &m.Content}, {metadata, &m.Metadata}} {
		data, err := json.Marshal(part.from)
		if err != nil {
			f.t.Fatal(err)
		}
		if err := json.Unmarshal(data, part.to); err != nil {
			f.t.Fatal(err)
		}
	}
	f.heard = append(f.heard, m)
}

// tell sends a message of a comm, as a page does.
func (f *front) tell(kind string, content any) {
	data, err := json.Marshal(content)
	if err != nil {
		f.t.Fatal(err)
	}
	f.hub.Handle(kind, data, json.RawMessage("{}"), nil, func(kind string, content any) { f.hear(kind, content, nil) })
}

func (f *front) say(id string, data any) {
	f.tell("comm_msg", map[string]any{"comm_id": id, "data": data})
}

func (f *front) move(id, trait string, v any) {
	f.say(id, map[string]any{"method": "update", "state": State{trait: v}, "buffer_paths": []any{}})
}

// renamed gives ids the names w1, w2, ... in the order of their comm_open.
func renamed(t *testing.T, messages []message) []message {
	t.Helper()
	names := map[string]string{}
	var all []string
	for _, m := range messages {
		if m.Type == "comm_open" && names[m.Content.ID] == "" {
			names[m.Content.ID] = fmt.Sprintf("w%d", len(names)+1)
			all = append(all, regexp.QuoteMeta(m.Content.ID))
		}
	}
	data, err := json.Marshal(messages)
	if err != nil {
		t.Fatal(err)
	}
	var out []message
	replaced := regexp.MustCompile(strings.Join(all, "|")).ReplaceAllStringFunc(string(data), func(id string) string { return names[id] })
	if err := json.Unmarshal([]byte(replaced), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func asText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// given are the traits that the recorder gave each widget; the rest are defaults.
var given = map[Kind]State{
	FloatSlider:    {"value": 0.5, "min": 0, "max": 2, "step": 0.25, "description": "x"},
	IntSlider:      {"value": 3, "min": 1, "max": 9, "description": "n"},
	FloatLogSlider: {"value": 1e-3, "base": 10, "min": -5, "max": -2, "step": 0.1, "description": "lr"},
	Dropdown:       {"_options_labels": []string{"a", "b", "c"}, "index": 1, "description": "which"},
	Select:         {"_options_labels": []string{"a", "b", "c"}, "index": 1, "description": "which"},
	RadioButtons:   {"_options_labels": []string{"a", "b", "c"}, "index": 1, "description": "which"},
	ToggleButtons:  {"_options_labels": []string{"a", "b", "c"}, "index": 1, "description": "which"},
	Checkbox:       {"value": true, "description": "yes"},
	ToggleButton:   {"value": true, "description": "on"},
	Button:         {"description": "Stop", "button_style": "danger", "icon": "stop"},
	FloatProgress:  {"value": 0.3, "min": 0, "max": 1, "description": "done"},
	IntProgress:    {"value": 3, "min": 0, "max": 10, "description": "done"},
	Text:           {"value": "hi", "description": "say"},
	Textarea:       {"value": "hi", "description": "say"},
	FloatText:      {"value": 0.5, "description": "x"},
	IntText:        {"value": 3, "description": "n"},
	Label:          {"value": "hi"},
	HTML:           {"value": "<b>hi</b>"},
	Tab:            {"titles": []string{"one", "two"}},
	Accordion:      {"titles": []string{"one", "two"}},
	Chart:          {"option": State{"series": []any{State{"type": "line", "data": []any{1, 2}}}}},
}

// Every message that opens a widget is, trait by trait, the one that ipywidgets sends.
func TestGoldenOpen(t *testing.T) {
	r := recorded(t)
	for kind, want := range r.Opened {
		t.Run(string(kind), func(t *testing.T) {
			h := NewHub()
			f := attach(t, h)
			spec := Spec{Kind: kind, State: given[kind]}
			if kinds[kind].has("children") {
				for _, label := range []string{"a", "b"} {
					m, err := h.Open(Spec{Kind: Label, State: State{"value": label}})
					if err != nil {
						t.Fatal(err)
					}
					spec.Children = append(spec.Children, m.ID)
				}
			}
			if _, err := h.Open(spec); err != nil {
				t.Fatal(err)
			}
			got := renamed(t, f.heard)
			if len(got) != len(want) {
				t.Fatalf("%d messages, want %d", len(got), len(want))
			}
			for i := range got {
				for trait, v := range want[i].Content.Data.State {
					if !reflect.DeepEqual(got[i].Content.Data.State[trait], v) {
						t.Errorf("message %d: %s is %v, want %v", i, trait, got[i].Content.Data.State[trait], v)
					}
				}
				got[i].From = want[i].From
				if g, w := asText(t, got[i]), asText(t, want[i]); g != w {
					t.Errorf("message %d:\n got %s\nwant %s", i, g, w)
				}
			}
		})
	}
	for _, kind := range Kinds() {
		if r.Opened[kind] == nil {
			t.Errorf("no message of a %s was recorded", kind)
		}
	}
}

// talk does in Go what the recorder did in Python, with the front end's part as recorded.
var talk = map[string]func(h *Hub) (steps []func(id string) error, spec Spec){
	"slider": func(h *Hub) ([]func(string) error, Spec) {
		return []func(string) error{
			func(id string) error { return h.Update(id, State{"value": 1.0}) },
			nil, nil, nil, // the page moves it, asks for its state, moves it beyond its end
			func(id string) error { return h.Update(id, State{"max": 1.25}) },
			h.Close,
		}, Spec{Kind: FloatSlider, State: State{"value": 0.5, "min": 0, "max": 2, "step": 0.25}}
	},
	"button": func(h *Hub) ([]func(string) error, Spec) {
		return []func(string) error{nil, func(id string) error { return h.Update(id, State{"disabled": true}) }},
			Spec{Kind: Button, State: State{"description": "go"}}
	},
	"choice": func(h *Hub) ([]func(string) error, Spec) {
		return []func(string) error{nil, func(id string) error { return h.Update(id, State{"index": 0}) }},
			Spec{Kind: Dropdown, State: State{"_options_labels": []string{"a", "b", "c"}, "index": 1}}
	},
	"states": func(h *Hub) ([]func(string) error, Spec) {
		return []func(string) error{nil}, Spec{Kind: Label, State: State{"value": "a"}}
	},
}

// The hub answers a page as ipywidgets has answered it.
func TestGoldenTalk(t *testing.T) {
	for name, want := range recorded(t).Talks {
		t.Run(name, func(t *testing.T) {
			h := NewHub()
			f := attach(t, h)
			steps, spec := talk[name](h)
			m, err := h.Open(spec)
			if err != nil {
				t.Fatal(err)
			}
			var page []message // what the page said, in order
			for _, w := range want {
				if w.From == "front end" {
					page = append(page, w)
				}
			}
			for _, step := range steps {
				if step != nil {
					if err := step(m.ID); err != nil {
						t.Fatal(err)
					}
					continue
				}
				said := page[0]
				page = page[1:]
				f.heard = append(f.heard, said)
				id := m.ID
				if said.Content.ID == "control" {
					id = "control"
					f.tell("comm_open", map[string]any{"comm_id": id, "target_name": control, "data": State{}})
				}
				data := map[string]any{"method": said.Content.Data.Method}
				if s := said.Content.Data.State; s != nil {
					data["state"] = s
				}
				if c := said.Content.Data.Content; c != nil {
					data["content"] = c
				}
				f.say(id, data)
			}
			got := folded(t, renamed(t, f.heard))
			if want := folded(t, want); !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// folded writes a talk a line a message; updates that follow each other are one, since
// ipywidgets sends some traits of one change one by one.
func folded(t *testing.T, messages []message) []string {
	t.Helper()
	var out []string
	var pending State
	var of string
	flush := func() {
		if pending != nil {
			out = append(out, "kernel updates "+of+" "+asText(t, pending))
			pending = nil
		}
	}
	own := map[string]bool{} // layouts and styles: the hub closes them with their widget, ipywidgets forgets them
	for _, m := range messages {
		d := m.Content.Data
		if m.Type == "comm_open" && d.State["_view_name"] != nil {
			view := d.State["_view_name"]
			own[m.Content.ID] = view == "LayoutView" || view == "StyleView"
		}
		if m.Type == "comm_close" && own[m.Content.ID] {
			continue
		}
		if m.From == "kernel" && d.Method == "update" {
			if of != m.Content.ID {
				flush()
			}
			if pending == nil {
				pending = State{}
			}
			of = m.Content.ID
			maps.Copy(pending, d.State)
			continue
		}
		flush()
		if m.From == "front end" {
			out = append(out, "page "+d.Method)
			continue
		}
		out = append(out, m.Type+" "+asText(t, m.Content))
	}
	flush()
	return out
}
