package widget

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// UI is where widgets are: a [Hub], or a [Client] of one. Its methods may be called by
// many goroutines.
type UI interface {
	// Open makes a widget, or finds the one of this name and gives it the traits of
	// the specification. What its user has set stays, unless the specification asks
	// for another value than it did before.
	Open(Spec) (Model, error)
	// Find gives the widget of this name; false: there is none.
	Find(name string) (Model, bool, error)
	// Get gives the state of a widget.
	Get(id string) (State, error)
	// Update sets traits. A value beyond the ends of its range is moved to the end.
	Update(id string, traits State) error
	// Send sends a message of its own kind to the views of a widget.
	Send(id string, content any) error
	// Watch calls on with what happens to a widget until stop is called: calls come
	// one after another, and changes that follow each other fast arrive as one.
	Watch(id string, on func(Event)) (stop func(), err error)
	// Close takes a widget, and what only it uses, from all pages.
	Close(id string) error
	// Start starts a function of the kernel (see [Hub.Host]), or finds the one that
	// runs with this argument, and gives the widget that it shows.
	Start(function string, arg any) (id string, err error)
}

// Shower is a UI that shows widgets itself: that of a hosted function, where the first
// widget shown is what the cell that asked shows. In a cell, an output of the type
// [ViewMIME] shows a widget.
type Shower interface {
	UI
	Show(id string)
}

// Spec says what widget is wanted.
type Spec struct {
	Name     string   `json:"name,omitempty"` // by which it is found again; zero: it is not
	Kind     Kind     `json:"kind"`
	State    State    `json:"state,omitempty"`    // traits; others have the defaults of ipywidgets
	Initial  State    `json:"initial,omitempty"`  // traits of a new widget only, unless State has them
	Layout   State    `json:"layout,omitempty"`   // "width": "300px"
	Style    State    `json:"style,omitempty"`    // "description_width": "initial"
	Children []string `json:"children,omitempty"` // ids, for boxes, tabs and accordions
}

// Model is a widget that is there.
type Model struct {
	ID    string `json:"id"`
	Kind  Kind   `json:"kind"`
	State State  `json:"state"`
}

// Event is what happened to a widget.
type Event struct {
	ID     string          `json:"id"`
	State  State           `json:"state,omitempty"`  // traits that changed, with their new values
	Custom json.RawMessage `json:"custom,omitempty"` // a message of a view: {"event": "click"}
	Closed bool            `json:"closed,omitempty"`
}

// Clicked says whether the event is the click of a button.
func (e Event) Clicked() bool {
	var c struct {
		Event string `json:"event"`
	}
	return json.Unmarshal(e.Custom, &c) == nil && c.Event == "click"
}

// Ref is how a trait refers to a widget.
func Ref(id string) string { return "IPY_MODEL_" + id }

// ViewMIME is the type of an output that shows a widget; its content is [View].
const ViewMIME = "application/vnd.jupyter.widget-view+json"

// View is the content of an output that shows a widget, as JSON.
func View(id string) string {
	data, _ := json.Marshal(map[string]any{"version_major": 2, "version_minor": 0, "model_id": id}) // strings and numbers always can be
	return string(data)
}

// normal makes of a state what encoding/json would read back, so that values compare,
// and checks that the kind has such traits.
func (k kind) normal(name Kind, s State) (State, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("widget: state of a %s: %w", name, err)
	}
	var out State
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("widget: state of a %s: %w", name, err)
	}
	for trait := range out {
		if !k.has(trait) {
			return nil, fmt.Errorf("widget: a %s has no trait %q; it has %v", name, trait, slices.Sorted(maps.Keys(k.traits)))
		}
	}
	return out, nil
}

func (k kind) has(trait string) bool {
	_, ok := k.traits[trait]
	return ok || trait == "tooltip" || trait == "tabbable" || trait == "_dom_classes"
}
