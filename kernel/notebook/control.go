package notebook

import (
	"fmt"
	"strings"

	"ftlab/kernel/widget"
)

// Control is a widget with a value that its user sets. A control with a name is the
// same one in every cell of the notebook.
type Control[T any] struct {
	*element
	trait string // that holds the value
	read  func(widget.State) T
	write func(T) widget.State
}

// Value is what the user has set, or the value that it was made with.
func (c *Control[T]) Value() T { return c.read(c.get()) }

// Set moves the control.
func (c *Control[T]) Set(v T) { c.set(c.write(v)) }

// OnChange calls f with the new value when the user, or another cell, has changed it,
// while this program runs: see [Interact]. Changes that follow each other fast may
// arrive as one. The returned function ends it.
func (c *Control[T]) OnChange(f func(T)) (stop func()) {
	stop, err := c.ui.Watch(c.id, func(e widget.Event) {
		if _, changed := e.State[c.trait]; changed {
			f(c.Value())
		}
	})
	c.failed(err)
	if err != nil {
		return func() {}
	}
	return stop
}

// ValueOf is the value of the control with this name, which another cell has made; false:
// there is none with a value of this type.
//
//	lr, ok := notebook.ValueOf[float64]("lr")
func ValueOf[T float64 | int | bool | string](name string) (v T, ok bool) {
	m, found, err := UI().Find(name)
	if err != nil || !found {
		return v, false
	}
	switch into := any(&v).(type) {
	case *float64:
		*into, ok = m.State["value"].(float64)
	case *int:
		var f float64
		f, ok = m.State["value"].(float64)
		*into = int(f)
	case *bool:
		*into, ok = m.State["value"].(bool)
	case *string:
		if *into, ok = m.State["value"].(string); !ok {
			*into = readChoice(m.State)
			_, ok = m.State["index"].(float64)
		}
	}
	return v, ok
}

// Click is a button.
type Click struct{ *element }

// OnClick calls f for every click while this program runs: see [Interact]. The
// returned function ends it.
func (c *Click) OnClick(f func()) (stop func()) {
	stop, err := c.ui.Watch(c.id, func(e widget.Event) {
		if e.Clicked() {
			f()
		}
	})
	c.failed(err)
	if err != nil {
		return func() {}
	}
	return stop
}

// Label changes what is written on the button.
func (c *Click) Label(text string) { c.set(widget.State{"description": text}) }

// Shown is a widget that only shows something.
type Shown struct{ *element }

// Set changes what is shown: text, markup, or how far a bar is.
func (s *Shown) Set(v any) { s.set(widget.State{"value": v}) }

// Update sets traits by their names in ipywidgets, for what has no method here.
func (s *Shown) Update(traits map[string]any) { s.set(traits) }

// control makes a control of a value of one trait, and its form for a terminal.
func control[T any](ui widget.UI, spec widget.Spec, read func(widget.State) T, write func(T) widget.State) (*Control[T], error) {
	e, err := made(ui, spec)
	if err != nil {
		return nil, err
	}
	c := &Control[T]{e, "value", read, write}
	e.text = func() string { return fmt.Sprintf("%s: %v\n", label(spec), c.Value()) }
	return c, nil
}

// label is the name of a widget for people.
func label(spec widget.Spec) string {
	if d, ok := spec.State["description"].(string); ok && d != "" {
		return strings.TrimSuffix(d, ":")
	}
	if spec.Name != "" {
		return spec.Name
	}
	return string(spec.Kind)
}

// or is the label, or the name where there is no label.
func or(label, name string) string {
	if label != "" {
		return label
	}
	return name
}

// must ends the cell where a widget cannot be made: its program is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		Check(err)
	}
	return v
}

func readFloat(s widget.State) float64  { v, _ := s["value"].(float64); return v }
func writeFloat(v float64) widget.State { return widget.State{"value": v} }
func readInt(s widget.State) int        { return int(readFloat(s)) }
func writeInt(v int) widget.State       { return widget.State{"value": v} }
func readBool(s widget.State) bool      { v, _ := s["value"].(bool); return v }
func writeBool(v bool) widget.State     { return widget.State{"value": v} }
func readText(s widget.State) string    { v, _ := s["value"].(string); return v }
func writeText(v string) widget.State   { return widget.State{"value": v} }

// readChoice is the label at the index.
func readChoice(s widget.State) string {
	labels, _ := s["_options_labels"].([]any)
	if i, ok := s["index"].(float64); ok && i >= 0 && int(i) < len(labels) {
		text, _ := labels[int(i)].(string)
		return text
	}
	return ""
}
