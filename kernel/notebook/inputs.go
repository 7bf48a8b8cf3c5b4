package notebook

import (
	"fmt"
	"slices"

	"ftlab/kernel/widget"
)

// Choice chooses one of several words.
//
//	model := notebook.Choice{Name: "model", Options: []string{"ft-tiny", "qwen"}}.Show()
type Choice struct {
	Name     string
	Label    string   // zero: the name
	Help     string   // shown when the pointer is on it
	Options  []string // required
	Value    string   // at first; zero: the first option
	Style    ChoiceStyle
	Disabled bool
	Width    string
}

// ChoiceStyle says how a [Choice] looks.
type ChoiceStyle widget.Kind

// The styles of a choice.
const (
	Dropdown ChoiceStyle = ""                                // a list that opens
	Radio    ChoiceStyle = ChoiceStyle(widget.RadioButtons)  // a line an option, with a dot
	List     ChoiceStyle = ChoiceStyle(widget.Select)        // a list that is open
	Buttons  ChoiceStyle = ChoiceStyle(widget.ToggleButtons) // a row of buttons
)

// In makes the choice in ui, or finds it by its name.
func (s Choice) In(ui widget.UI) (*Control[string], error) {
	name := or(s.Label, s.Name)
	if len(s.Options) == 0 {
		return nil, fmt.Errorf("notebook: choice %q: no Options", name)
	}
	kind := widget.Kind(s.Style)
	if kind == "" {
		kind = widget.Dropdown
	}
	state := widget.State{"_options_labels": s.Options, "description": name, "disabled": s.Disabled}
	if s.Value != "" {
		at := slices.Index(s.Options, s.Value)
		if at < 0 {
			return nil, fmt.Errorf("notebook: choice %q: Value %q is none of the Options %q", name, s.Value, s.Options)
		}
		state["index"] = at
	}
	put(state, "tooltip", s.Help)
	var c *Control[string]
	c, err := control(ui, widget.Spec{Name: s.Name, Kind: kind, State: state, Initial: widget.State{"index": 0}, Layout: layout(s.Width), Style: labelled(or(s.Label, s.Name))},
		readChoice,
		func(v string) widget.State {
			if at := slices.Index(s.Options, v); at >= 0 {
				return widget.State{"index": at}
			}
			c.failed(fmt.Errorf("notebook: choice %q: %q is none of the Options %q", name, v, s.Options))
			return widget.State{}
		})
	if err != nil {
		return nil, err
	}
	c.trait = "index"
	return c, nil
}

// New makes the choice without showing it.
func (s Choice) New() *Control[string] { return must(s.In(UI())) }

// Show makes the choice and shows it.
func (s Choice) Show() *Control[string] { return shown(s.New()) }

func (s Choice) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// Checkbox is on or off.
type Checkbox struct {
	Name     string
	Label    string // zero: the name
	Help     string // shown when the pointer is on it
	Value    bool   // at first
	Button   bool   // it looks like a button that stays down
	Icon     string // of a button: a name of Font Awesome, "play"
	Disabled bool
}

// In makes the check box in ui, or finds it by its name.
func (s Checkbox) In(ui widget.UI) (*Control[bool], error) {
	state := widget.State{"description": or(s.Label, s.Name), "disabled": s.Disabled}
	put(state, "value", s.Value)
	kind := widget.Checkbox
	if s.Button {
		kind = widget.ToggleButton
		put(state, "icon", s.Icon)
	} else {
		state["indent"] = false
	}
	put(state, "tooltip", s.Help)
	return control(ui, widget.Spec{Name: s.Name, Kind: kind, State: state, Style: wide}, readBool, writeBool)
}

// New makes the check box without showing it.
func (s Checkbox) New() *Control[bool] { return must(s.In(UI())) }

// Show makes the check box and shows it.
func (s Checkbox) Show() *Control[bool] { return shown(s.New()) }

func (s Checkbox) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// TextField takes a line of text, or several.
type TextField struct {
	Name     string
	Label    string // zero: the name
	Help     string // shown when the pointer is on it
	Hint     string // shown in it while it is empty
	Value    string // at first
	Rows     int    // zero: one line
	Lazy     bool   // the value changes with Enter, or when the field is left
	Disabled bool
	Width    string
}

// In makes the field in ui, or finds it by its name.
func (s TextField) In(ui widget.UI) (*Control[string], error) {
	state := widget.State{"description": or(s.Label, s.Name), "disabled": s.Disabled, "continuous_update": !s.Lazy}
	kind := widget.Text
	if s.Rows > 0 {
		kind, state["rows"] = widget.Textarea, s.Rows
	}
	put(state, "value", s.Value)
	put(state, "tooltip", s.Help)
	put(state, "placeholder", s.Hint)
	return control(ui, widget.Spec{Name: s.Name, Kind: kind, State: state, Layout: layout(s.Width), Style: labelled(or(s.Label, s.Name))}, readText, writeText)
}

// New makes the field without showing it.
func (s TextField) New() *Control[string] { return must(s.In(UI())) }

// Show makes the field and shows it.
func (s TextField) Show() *Control[string] { return shown(s.New()) }

func (s TextField) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// FloatField takes a number that is typed.
type FloatField struct {
	Name     string
	Label    string  // zero: the name
	Help     string  // shown when the pointer is on it
	Value    float64 // at first
	Step     float64 // of the arrows; zero: any
	Disabled bool
	Width    string
}

// In makes the field in ui, or finds it by its name.
func (s FloatField) In(ui widget.UI) (*Control[float64], error) {
	state := widget.State{"description": or(s.Label, s.Name), "disabled": s.Disabled}
	put(state, "value", s.Value)
	put(state, "step", s.Step)
	put(state, "tooltip", s.Help)
	return control(ui, widget.Spec{Name: s.Name, Kind: widget.FloatText, State: state, Layout: layout(s.Width), Style: labelled(or(s.Label, s.Name))}, readFloat, writeFloat)
}

// New makes the field without showing it.
func (s FloatField) New() *Control[float64] { return must(s.In(UI())) }

// Show makes the field and shows it.
func (s FloatField) Show() *Control[float64] { return shown(s.New()) }

func (s FloatField) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// IntField takes a whole number that is typed.
type IntField struct {
	Name     string
	Label    string // zero: the name
	Help     string // shown when the pointer is on it
	Value    int    // at first
	Step     int    // of the arrows; zero: 1
	Disabled bool
	Width    string
}

// In makes the field in ui, or finds it by its name.
func (s IntField) In(ui widget.UI) (*Control[int], error) {
	state := widget.State{"description": or(s.Label, s.Name), "disabled": s.Disabled}
	put(state, "step", s.Step)
	put(state, "value", s.Value)
	put(state, "tooltip", s.Help)
	return control(ui, widget.Spec{Name: s.Name, Kind: widget.IntText, State: state, Layout: layout(s.Width), Style: labelled(or(s.Label, s.Name))}, readInt, writeInt)
}

// New makes the field without showing it.
func (s IntField) New() *Control[int] { return must(s.In(UI())) }

// Show makes the field and shows it.
func (s IntField) Show() *Control[int] { return shown(s.New()) }

func (s IntField) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// Button is clicked.
//
//	stop := notebook.Button{Label: "Stop", Icon: "stop", Colour: notebook.Danger}.Show()
//	stop.OnClick(cancel)
type Button struct {
	Name     string
	Label    string // zero: the name
	Help     string // shown when the pointer is on it
	Icon     string // a name of Font Awesome: "stop"
	Colour   Colour
	Disabled bool
	Width    string
}

// Colour of a button or a bar, by its meaning.
type Colour string

// The colours.
const (
	Plain   Colour = ""
	Primary Colour = "primary"
	Success Colour = "success"
	Info    Colour = "info"
	Warning Colour = "warning"
	Danger  Colour = "danger"
)

// In makes the button in ui, or finds it by its name.
func (s Button) In(ui widget.UI) (*Click, error) {
	state := widget.State{"description": or(s.Label, s.Name), "disabled": s.Disabled, "icon": s.Icon, "button_style": string(s.Colour)}
	put(state, "tooltip", s.Help)
	e, err := made(ui, widget.Spec{Name: s.Name, Kind: widget.Button, State: state, Layout: layout(s.Width)})
	if err != nil {
		return nil, err
	}
	e.text = func() string { return "[" + or(s.Label, s.Name) + "]\n" }
	return &Click{e}, nil
}

// New makes the button without showing it.
func (s Button) New() *Click { return must(s.In(UI())) }

// Show makes the button and shows it.
func (s Button) Show() *Click { return shown(s.New()) }

func (s Button) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }
