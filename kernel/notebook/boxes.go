package notebook

import (
	"fmt"
	"strings"

	"ftlab/kernel/widget"
)

// Row puts widgets beside each other, and into a further line where there is no room.
type Row struct {
	Name     string // by which it is found again; zero: it is not
	Children []Widget
	Align    string // "center", "flex-end"; zero: "center"
}

// Column puts widgets below each other.
type Column struct {
	Name     string
	Children []Widget
	Width    string
}

// Tabs shows one of several widgets, with a row of titles above.
type Tabs struct {
	Name     string
	Titles   []string
	Children []Widget
}

// Accordion shows widgets below each other, each under a title that opens it.
type Accordion struct {
	Name     string
	Titles   []string
	Children []Widget
}

// Box is a row, column, tabs or accordion that is there.
type Box struct{ *element }

// SetChildren replaces what is in the box.
func (b *Box) SetChildren(children ...Widget) {
	ids, _, err := placed(b.ui, children)
	b.failed(err)
	if err != nil {
		return
	}
	refs := make([]string, len(ids))
	for i, id := range ids {
		refs[i] = widget.Ref(id)
	}
	b.set(widget.State{"children": refs})
}

func box(ui widget.UI, spec widget.Spec, titles []string, children []Widget) (*Box, error) {
	if len(titles) > len(children) {
		return nil, fmt.Errorf("notebook: %d titles for %d children", len(titles), len(children))
	}
	ids, all, err := placed(ui, children)
	if err != nil {
		return nil, err
	}
	spec.Children = ids
	if titles != nil {
		spec.State = widget.State{"titles": titles}
	}
	e, err := made(ui, spec)
	if err != nil {
		return nil, err
	}
	e.text = func() string {
		var b strings.Builder
		for i, c := range all {
			if i < len(titles) {
				b.WriteString("-- " + titles[i] + "\n")
			}
			b.WriteString(c.text())
		}
		return b.String()
	}
	return &Box{e}, nil
}

// In makes the row in ui.
func (s Row) In(ui widget.UI) (*Box, error) {
	return box(ui, widget.Spec{Name: s.Name, Kind: widget.HBox, Layout: widget.State{"flex_flow": "row wrap", "align_items": or(s.Align, "center"), "grid_gap": "2px 12px"}}, nil, s.Children)
}

// In makes the column in ui.
func (s Column) In(ui widget.UI) (*Box, error) {
	return box(ui, widget.Spec{Name: s.Name, Kind: widget.VBox, Layout: layout(s.Width)}, nil, s.Children)
}

// In makes the tabs in ui.
func (s Tabs) In(ui widget.UI) (*Box, error) {
	return box(ui, widget.Spec{Name: s.Name, Kind: widget.Tab}, s.Titles, s.Children)
}

// In makes the accordion in ui.
func (s Accordion) In(ui widget.UI) (*Box, error) {
	return box(ui, widget.Spec{Name: s.Name, Kind: widget.Accordion}, s.Titles, s.Children)
}

// New makes the row and its children without showing them.
func (s Row) New() *Box { return must(s.In(UI())) }

// New makes the column and its children without showing them.
func (s Column) New() *Box { return must(s.In(UI())) }

// New makes the tabs and their children without showing them.
func (s Tabs) New() *Box { return must(s.In(UI())) }

// New makes the accordion and its children without showing them.
func (s Accordion) New() *Box { return must(s.In(UI())) }

// Show makes the row and its children and shows them.
func (s Row) Show() *Box { return shown(s.New()) }

// Show makes the column and its children and shows them.
func (s Column) Show() *Box { return shown(s.New()) }

// Show makes the tabs and their children and shows them.
func (s Tabs) Show() *Box { return shown(s.New()) }

// Show makes the accordion and its children and shows them.
func (s Accordion) Show() *Box { return shown(s.New()) }

func (s Row) place(ui widget.UI) (*element, error)       { return elementOf(s.In(ui)) }
func (s Column) place(ui widget.UI) (*element, error)    { return elementOf(s.In(ui)) }
func (s Tabs) place(ui widget.UI) (*element, error)      { return elementOf(s.In(ui)) }
func (s Accordion) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// HTML shows markup, which can be replaced ([Shown.Set]).
type HTML struct {
	Name  string
	Value string // markup
	Plain string // the same for a terminal; zero: the markup
	Width string
}

// In makes it in ui.
func (s HTML) In(ui widget.UI) (*Shown, error) {
	e, err := made(ui, widget.Spec{Name: s.Name, Kind: widget.HTML, State: widget.State{"value": s.Value}, Layout: layout(s.Width)})
	if err != nil {
		return nil, err
	}
	e.text = func() string { return or(s.Plain, readText(e.get())) + "\n" }
	return &Shown{e}, nil
}

// New makes it without showing it.
func (s HTML) New() *Shown { return must(s.In(UI())) }

// Show makes it and shows it.
func (s HTML) Show() *Shown { return shown(s.New()) }

func (s HTML) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// Text shows a line of text, which can be replaced ([Shown.Set]).
type Text struct {
	Name  string
	Value string
}

// In makes it in ui.
func (s Text) In(ui widget.UI) (*Shown, error) {
	e, err := made(ui, widget.Spec{Name: s.Name, Kind: widget.Label, State: widget.State{"value": s.Value}})
	if err != nil {
		return nil, err
	}
	e.text = func() string { return readText(e.get()) + "\n" }
	return &Shown{e}, nil
}

// New makes it without showing it.
func (s Text) New() *Shown { return must(s.In(UI())) }

// Show makes it and shows it.
func (s Text) Show() *Shown { return shown(s.New()) }

func (s Text) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// Progress is a bar that fills ([Shown.Set]).
type Progress struct {
	Name   string
	Label  string  // zero: the name
	Max    float64 // zero: 1
	Value  float64
	Colour Colour // not [Primary]
	Width  string
}

// In makes the bar in ui.
func (s Progress) In(ui widget.UI) (*Shown, error) {
	if s.Max == 0 {
		s.Max = 1
	}
	e, err := made(ui, widget.Spec{Name: s.Name, Kind: widget.FloatProgress, Layout: layout(s.Width), Style: wide,
		State: widget.State{"max": s.Max, "value": s.Value, "description": or(s.Label, s.Name), "bar_style": string(s.Colour)}})
	if err != nil {
		return nil, err
	}
	e.text = func() string {
		state := e.get()
		most, _ := state["max"].(float64)
		return fmt.Sprintf("%s: %g of %g\n", or(or(s.Label, s.Name), "done"), readFloat(state), most)
	}
	return &Shown{e}, nil
}

// New makes the bar without showing it.
func (s Progress) New() *Shown { return must(s.In(UI())) }

// Show makes the bar and shows it.
func (s Progress) Show() *Shown { return shown(s.New()) }

func (s Progress) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }
