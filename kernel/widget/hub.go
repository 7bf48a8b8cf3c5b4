package widget

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
)

// MaxWidgets is how many widgets a hub holds, layouts and styles not counted. When
// there are more, those without a name go, the oldest first.
const MaxWidgets = 2000

// target is that of the comm of a widget.
const target = "jupyter.widget"

// Hub holds the widgets of a kernel. The zero value is not ready: see [NewHub].
type Hub struct {
	Log io.Writer // what hosted functions say at their end; nil: nowhere

	mu     sync.Mutex
	models map[string]*model
	names  map[string]string // name -> id
	made   uint64            // widgets so far
	count  int               // widgets now, without layouts and styles
	limit  int
	send   func(parent, msgType string, content, metadata any, buffers [][]byte) error

	controls []string // open comms that front ends ask for all states on
	watchers map[string]map[*watcher]bool
	hosts    map[string]Hosted
	running  map[string]*run
}

// model is a widget, a layout or a style.
type model struct {
	id    string
	name  string
	kind  Kind // "" for layouts and styles
	state State
	asked State    // what the specification gave for the trait that users set
	owned []string // layout and style
	made  uint64
	held  func() bool // whether somebody still uses it; nil: nobody
}

// NewHub is a hub without widgets, and without a front end: it holds values.
func NewHub() *Hub {
	return &Hub{models: map[string]*model{}, names: map[string]string{}, watchers: map[string]map[*watcher]bool{},
		hosts: map[string]Hosted{}, running: map[string]*run{}, limit: MaxWidgets}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Open is [UI.Open].
func (h *Hub) Open(s Spec) (Model, error) { return h.open(s, nil) }

// open makes or finds a widget. held says later whether the one who asked is there still.
func (h *Hub) open(s Spec, held func() bool) (Model, error) {
	k, known := kinds[s.Kind]
	if !known {
		return Model{}, fmt.Errorf("widget: no kind %q; there are %v", s.Kind, Kinds())
	}
	state, err := k.normal(s.Kind, s.State)
	initial, err2 := k.normal(s.Kind, s.Initial)
	if err := errors.Join(err, err2); err != nil {
		return Model{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Children != nil {
		if !k.has("children") {
			return Model{}, fmt.Errorf("widget: a %s has no children", s.Kind)
		}
		refs := []any{}
		for _, id := range s.Children {
			if h.models[id] == nil {
				return Model{}, gone(id)
			}
			refs = append(refs, Ref(id))
		}
		if state == nil {
			state = State{}
		}
		state["children"] = refs
	}
	if m := h.models[h.names[s.Name]]; s.Name != "" && m != nil {
		if m.kind == s.Kind {
			return h.found(m, k, s, state)
		}
		h.close(m) // the cell was edited: another kind of widget has the name now
	}
	if err := h.room(); err != nil {
		return Model{}, err
	}
	m := &model{id: newID(), name: s.Name, kind: s.Kind, state: k.defaults(s.Kind), made: h.made, held: held}
	h.made++
	maps.Copy(m.state, initial)
	maps.Copy(m.state, state)
	m.asked = pick(state, k.input)
	if s.Kind == Tab && m.state["selected_index"] == nil && len(m.state["children"].([]any)) > 0 {
		m.state["selected_index"] = 0.0
	}
	maps.Copy(m.state, m.clamped())
	look, style := layoutDefaults(), styleDefaults(k.style)
	if err := errors.Join(override(look, s.Layout, "layout"), override(style, s.Style, "style of a "+string(s.Kind))); err != nil {
		return Model{}, err
	}
	m.own(h, "layout", look)
	if k.style != "" {
		m.own(h, "style", style)
	}
	h.models[m.id] = m
	h.count++
	if m.name != "" {
		h.names[m.name] = m.id
	}
	h.announce(m)
	return m.model(), nil
}

// found brings a widget that is there to what the specification says.
func (h *Hub) found(m *model, k kind, s Spec, state State) (Model, error) {
	asked := pick(state, k.input)
	if k.input != "" {
		again := reflect.DeepEqual(asked, m.asked)
		if len(asked) > 0 {
			m.asked = asked
		}
		if again {
			delete(state, k.input) // what the user has set since stays
		}
		if labels, ok := state["_options_labels"].([]any); ok && (again || len(asked) == 0) {
			// The choice stays the one with the same label.
			was, _ := m.state["_options_labels"].([]any)
			at := -1
			if i, ok := m.state["index"].(float64); ok && int(i) < len(was) {
				at = slices.Index(labels, was[int(i)])
			}
			if at >= 0 {
				state["index"] = float64(at)
			} else if len(labels) > 0 {
				maps.Copy(state, State{"index": 0.0})
				maps.Copy(state, m.asked)
			}
		}
	}
	for _, part := range []struct {
		trait string
		given State
	}{{"layout", s.Layout}, {"style", s.Style}} {
		if ref, ok := m.state[part.trait].(string); ok {
			own := h.models[ref[len(Ref("")):]]
			was := maps.Clone(own.state)
			if err := override(own.state, part.given, part.trait); err != nil {
				own.state = was
				return Model{}, err
			}
			h.tellChange(own, changed(was, own.state))
		}
	}
	h.change(m, state)
	return m.model(), nil
}

func pick(s State, trait string) State {
	if v, ok := s[trait]; ok {
		return State{trait: v}
	}
	return nil
}

// override sets traits that are there already.
func override(state, given State, what string) error {
	for trait, v := range given {
		if _, ok := state[trait]; !ok || trait[0] == '_' {
			return fmt.Errorf("widget: a %s has no trait %q", what, trait)
		}
		state[trait] = v
	}
	return nil
}

// changed are the traits of now that differ from before.
func changed(before, now State) State {
	out := State{}
	for trait, v := range now {
		if !reflect.DeepEqual(before[trait], v) {
			out[trait] = v
		}
	}
	return out
}

func (m *model) own(h *Hub, trait string, state State) {
	part := &model{id: newID(), state: state, made: h.made}
	h.models[part.id] = part
	m.owned = append(m.owned, part.id)
	m.state[trait] = Ref(part.id)
}

func (m *model) model() Model { return Model{ID: m.id, Kind: m.kind, State: maps.Clone(m.state)} }

// room makes room for one more widget.
func (h *Hub) room() error {
	if h.count < h.limit {
		return nil
	}
	inUse := map[string]bool{}
	for _, m := range h.models {
		if children, ok := m.state["children"].([]any); ok {
			for _, c := range children {
				if ref, ok := c.(string); ok {
					inUse[ref] = true
				}
			}
		}
	}
	var oldest *model
	for _, m := range h.models {
		if m.kind != "" && m.name == "" && !inUse[Ref(m.id)] && (m.held == nil || !m.held()) && (oldest == nil || m.made < oldest.made) {
			oldest = m
		}
	}
	if oldest == nil {
		return fmt.Errorf("widget: there are %d widgets already, all of them named or in use: close some (Close), use a name again for the same widget, or restart the kernel", h.count)
	}
	h.close(oldest)
	return nil
}

func gone(id string) error { return fmt.Errorf("widget: there is no widget %s (any more)", id) }

// Find is [UI.Find].
func (h *Hub) Find(name string) (Model, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.models[h.names[name]]
	if m == nil {
		return Model{}, false, nil
	}
	return m.model(), true, nil
}

// Get is [UI.Get].
func (h *Hub) Get(id string) (State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.models[id]
	if m == nil {
		return nil, gone(id)
	}
	return maps.Clone(m.state), nil
}

// Update is [UI.Update].
func (h *Hub) Update(id string, traits State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.models[id]
	if m == nil || m.kind == "" {
		return gone(id)
	}
	state, err := kinds[m.kind].normal(m.kind, traits)
	if err != nil {
		return err
	}
	h.change(m, state)
	return nil
}

// change sets traits and tells everybody.
func (h *Hub) change(m *model, state State) {
	before := maps.Clone(m.state)
	maps.Copy(m.state, state)
	maps.Copy(m.state, m.clamped())
	news := changed(before, m.state)
	h.tellChange(m, news)
	h.wake(Event{ID: m.id, State: news})
}

// clamped are the traits that must change for the state to be one that can be.
func (m *model) clamped() State {
	if labels, ok := m.state["_options_labels"].([]any); ok {
		if i, ok := m.state["index"].(float64); ok && (i < 0 || int(i) >= len(labels)) {
			return State{"index": nil}
		}
		return nil
	}
	v, ok := m.state["value"].(float64)
	low, okLow := m.state["min"].(float64)
	high, okHigh := m.state["max"].(float64)
	if !ok || !okLow || !okHigh {
		return nil
	}
	if b, ok := m.state["base"].(float64); ok {
		low, high = math.Pow(b, low), math.Pow(b, high)
	}
	if nearest := max(low, min(v, high)); nearest != v && !math.IsInf(nearest, 0) && !math.IsNaN(nearest) { // JSON has neither
		return State{"value": nearest}
	}
	return nil
}

// Send is [UI.Send].
func (h *Hub) Send(id string, content any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.models[id] == nil {
		return gone(id)
	}
	return h.say("comm_msg", id, map[string]any{"method": "custom", "content": content})
}

// Close is [UI.Close]. Children stay: they may be in another box.
func (h *Hub) Close(id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.models[id]
	if m == nil {
		return gone(id)
	}
	h.close(m)
	return nil
}

func (h *Hub) close(m *model) {
	h.forget(m)
	for _, id := range append([]string{m.id}, m.owned...) {
		h.say("comm_close", id, map[string]any{}) // nobody there to hear it is no fault
	}
}

// forget drops a widget without telling front ends.
func (h *Hub) forget(m *model) {
	for _, id := range append([]string{m.id}, m.owned...) {
		delete(h.models, id)
	}
	if m.kind != "" {
		h.count--
	}
	if m.name != "" && h.names[m.name] == m.id {
		delete(h.names, m.name)
	}
	h.wake(Event{ID: m.id, Closed: true})
	delete(h.watchers, m.id)
}

// Widget is one line of [Hub.List].
type Widget struct {
	Name  string `json:"name"`
	Kind  Kind   `json:"kind"`
	Value any    `json:"value,omitempty"` // what its user has set
}

// List names the widgets that have a name, sorted.
func (h *Hub) List() []Widget {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Widget
	for _, name := range slices.Sorted(maps.Keys(h.names)) {
		if m := h.models[h.names[name]]; m != nil {
			out = append(out, Widget{name, m.kind, m.state[kinds[m.kind].input]})
		}
	}
	return out
}
