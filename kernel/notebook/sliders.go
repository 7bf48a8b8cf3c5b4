package notebook

import (
	"fmt"
	"math"
	"unicode/utf8"

	"ftlab/kernel/widget"
)

// FloatSlider chooses a number by its place on a line:
//
//	temperature := notebook.FloatSlider{Name: "temperature", Max: 2, Step: 0.1, Value: 0.7}.Show()
//	... temperature.Value() ...     // in this cell or, after the same line, in another one
type FloatSlider struct {
	Name     string  // by which it is found again; zero: it is not
	Label    string  // zero: the name
	Help     string  // shown when the pointer is on it
	Min, Max float64 // both zero: 0 and 10
	Step     float64 // zero: a hundredth of the range
	Value    float64 // at first; what the user has set stays when the cell runs again
	Format   string  // of the number beside it, as of d3: ".2f", ".1%"; zero: by the step
	Lazy     bool    // the value changes when the slider is let go, not while it moves
	Disabled bool
	Width    string // "300px", "50%"; zero: 420 pixels
}

// In makes the slider in ui, or finds it by its name.
func (s FloatSlider) In(ui widget.UI) (*Control[float64], error) {
	if s.Max < s.Min {
		return nil, fmt.Errorf("notebook: slider %q: Max %g is below Min %g", or(s.Label, s.Name), s.Max, s.Min)
	}
	state := widget.State{"continuous_update": !s.Lazy, "description": or(s.Label, s.Name), "disabled": s.Disabled}
	if s.Min != 0 || s.Max != 0 {
		if s.Step == 0 {
			s.Step = (s.Max - s.Min) / 100
		}
		if s.Format == "" {
			s.Format = fmt.Sprintf(".%df", decimals(s.Step))
		}
		state["min"], state["max"] = s.Min, s.Max
	}
	put(state, "step", s.Step)
	put(state, "readout_format", s.Format)
	put(state, "value", s.Value)
	put(state, "tooltip", s.Help)
	return control(ui, widget.Spec{Name: s.Name, Kind: widget.FloatSlider, State: state, Layout: layout(or(s.Width, "420px")), Style: labelled(or(s.Label, s.Name))}, readFloat, writeFloat)
}

// wide gives a label the room that it needs.
var wide = widget.State{"description_width": "initial"}

// labelled gives short labels the same room, so that what stands below each other
// begins at the same place, and long ones what they need.
func labelled(label string) widget.State {
	if utf8.RuneCountInString(label) > 16 {
		return wide
	}
	return widget.State{"description_width": "110px"}
}

// decimals are the digits behind the point that a number of this size needs.
func decimals(step float64) int {
	for d := range 10 {
		if v := step * math.Pow(10, float64(d)); math.Abs(v-math.Round(v)) < 1e-6*v {
			return d
		}
	}
	return 9
}

// New makes the slider without showing it, for a box.
func (s FloatSlider) New() *Control[float64] { return must(s.In(UI())) }

// Show makes the slider and shows it.
func (s FloatSlider) Show() *Control[float64] { return shown(s.New()) }

func (s FloatSlider) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// LogSlider is a slider for numbers that matter by their size, such as a learning rate:
// each part of the line is a factor.
//
//	lr := notebook.LogSlider{Name: "lr", Min: 1e-5, Max: 1e-2, Value: 1e-3}.Show()
type LogSlider struct {
	Name     string
	Label    string  // zero: the name
	Help     string  // shown when the pointer is on it
	Min, Max float64 // both above zero; both zero: 1e-5 and 1e-2
	Value    float64 // at first; zero: Min
	Steps    int     // in a factor of ten; zero: 10
	Lazy     bool    // the value changes when the slider is let go
	Disabled bool
	Width    string // zero: 420 pixels
}

// In makes the slider in ui, or finds it by its name.
func (s LogSlider) In(ui widget.UI) (*Control[float64], error) {
	state := widget.State{"continuous_update": !s.Lazy, "description": or(s.Label, s.Name), "disabled": s.Disabled}
	initial := widget.State{"min": -5, "max": -2, "base": 10, "value": 1e-5, "readout_format": ".2e"}
	switch {
	case s.Min == 0 && s.Max == 0:
	case s.Min > 0 && s.Max >= s.Min:
		state["min"], state["max"], initial["value"] = math.Log10(s.Min), math.Log10(s.Max), s.Min
	default:
		return nil, fmt.Errorf("notebook: slider %q: from %g to %g; Min must be above zero and Max not below it", or(s.Label, s.Name), s.Min, s.Max)
	}
	if s.Steps > 0 {
		state["step"] = 1 / float64(s.Steps)
	}
	put(state, "value", s.Value)
	put(state, "tooltip", s.Help)
	return control(ui, widget.Spec{Name: s.Name, Kind: widget.FloatLogSlider, State: state, Initial: initial, Layout: layout(or(s.Width, "420px")), Style: labelled(or(s.Label, s.Name))}, readFloat, writeFloat)
}

// New makes the slider without showing it.
func (s LogSlider) New() *Control[float64] { return must(s.In(UI())) }

// Show makes the slider and shows it.
func (s LogSlider) Show() *Control[float64] { return shown(s.New()) }

func (s LogSlider) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// IntSlider is a slider for whole numbers.
type IntSlider struct {
	Name     string
	Label    string // zero: the name
	Help     string // shown when the pointer is on it
	Min, Max int    // both zero: 0 and 100
	Step     int    // zero: 1
	Value    int    // at first
	Lazy     bool   // the value changes when the slider is let go
	Disabled bool
	Width    string // zero: 420 pixels
}

// In makes the slider in ui, or finds it by its name.
func (s IntSlider) In(ui widget.UI) (*Control[int], error) {
	if s.Max < s.Min {
		return nil, fmt.Errorf("notebook: slider %q: Max %d is below Min %d", or(s.Label, s.Name), s.Max, s.Min)
	}
	state := widget.State{"continuous_update": !s.Lazy, "description": or(s.Label, s.Name), "disabled": s.Disabled}
	if s.Min != 0 || s.Max != 0 {
		state["min"], state["max"] = s.Min, s.Max
	}
	put(state, "step", s.Step)
	put(state, "value", s.Value)
	put(state, "tooltip", s.Help)
	return control(ui, widget.Spec{Name: s.Name, Kind: widget.IntSlider, State: state, Layout: layout(or(s.Width, "420px")), Style: labelled(or(s.Label, s.Name))}, readInt, writeInt)
}

// New makes the slider without showing it.
func (s IntSlider) New() *Control[int] { return must(s.In(UI())) }

// Show makes the slider and shows it.
func (s IntSlider) Show() *Control[int] { return shown(s.New()) }

func (s IntSlider) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// shown shows what was made.
func shown[T interface{ Show() }](v T) T {
	v.Show()
	return v
}

// elementOf is the element of a widget that was made.
func elementOf[T Widget](v T, err error) (*element, error) {
	if err != nil {
		return nil, err
	}
	return v.place(nil)
}
