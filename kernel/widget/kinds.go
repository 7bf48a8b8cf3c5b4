package widget

import (
	"maps"
	"slices"
)

// State holds traits of a widget by their names in ipywidgets. The values are what
// encoding/json makes of JSON: numbers are float64.
type State = map[string]any

// Kind is a kind of widget, by the name of its class in ipywidgets.
type Kind string

// The kinds that can be opened.
const (
	FloatSlider    Kind = "FloatSlider"
	IntSlider      Kind = "IntSlider"
	FloatLogSlider Kind = "FloatLogSlider"
	Dropdown       Kind = "Dropdown"
	Select         Kind = "Select"
	RadioButtons   Kind = "RadioButtons"
	ToggleButtons  Kind = "ToggleButtons"
	Checkbox       Kind = "Checkbox"
	ToggleButton   Kind = "ToggleButton"
	Button         Kind = "Button"
	FloatProgress  Kind = "FloatProgress"
	IntProgress    Kind = "IntProgress"
	Text           Kind = "Text"
	Textarea       Kind = "Textarea"
	FloatText      Kind = "FloatText"
	IntText        Kind = "IntText"
	Label          Kind = "Label"
	HTML           Kind = "HTML"
	Output         Kind = "Output"
	HBox           Kind = "HBox"
	VBox           Kind = "VBox"
	Tab            Kind = "Tab"
	Accordion      Kind = "Accordion"
	Chart          Kind = "EChartsRaw" // of ipecharts: trait option is an ECharts option
)

const (
	base     = "@jupyter-widgets/base"
	controls = "@jupyter-widgets/controls"
	version  = "2.0.0"
)

// kind is what ipywidgets 8.1.9 and ipecharts 1.4.0 send for a kind of widget.
type kind struct {
	module, version string
	model, view     string // zero: the kind's name with Model and View behind it
	style           string // kind of style; zero: none
	input           string // trait that a user sets; zero: none
	traits          State  // with their defaults
}

// Traits that many kinds share.
var (
	described = State{"description": "", "description_allow_html": false}
	enabled   = State{"disabled": false}
	slider    = join(described, enabled, State{"behavior": "drag-tap", "continuous_update": true, "orientation": "horizontal", "readout": true})
	choice    = join(described, enabled, State{"_options_labels": []any{}, "index": nil})
	progress  = join(described, State{"bar_style": "", "orientation": "horizontal"})
	text      = join(described, State{"placeholder": "\u200b", "value": ""})
	typed     = join(text, enabled, State{"continuous_update": true})
	number    = join(described, enabled, State{"continuous_update": false, "step": nil})
	box       = State{"box_style": "", "children": []any{}}
	font      = State{"font_family": nil, "font_size": nil, "font_style": nil, "font_variant": nil, "font_weight": nil, "text_color": nil, "text_decoration": nil}
)

var kinds = map[Kind]kind{
	FloatSlider:    {style: "Slider", input: "value", traits: join(slider, State{"value": 0.0, "min": 0.0, "max": 10.0, "step": 0.1, "readout_format": ".2f"})},
	IntSlider:      {style: "Slider", input: "value", traits: join(slider, State{"value": 0.0, "min": 0.0, "max": 100.0, "step": 1.0, "readout_format": "d"})},
	FloatLogSlider: {style: "Slider", input: "value", traits: join(slider, State{"value": 1.0, "min": 0.0, "max": 4.0, "step": 0.1, "base": 10.0, "readout_format": ".3g"})},
	Dropdown:       {style: "Description", input: "index", traits: choice},
	Select:         {style: "Description", input: "index", traits: join(choice, State{"rows": 5.0})},
	RadioButtons:   {style: "Description", input: "index", traits: join(choice, State{"orientation": "vertical"})},
	ToggleButtons:  {style: "ToggleButtons", input: "index", traits: join(choice, State{"button_style": "", "icons": []any{}, "tooltips": []any{}})},
	Checkbox:       {style: "Checkbox", input: "value", traits: join(described, enabled, State{"indent": true, "value": false})},
	ToggleButton:   {style: "ToggleButton", input: "value", traits: join(described, enabled, State{"button_style": "", "icon": "", "value": false})},
	Button:         {style: "Button", traits: join(enabled, State{"description": "", "button_style": "", "icon": ""})},
	FloatProgress:  {style: "Progress", view: "ProgressView", traits: join(progress, State{"value": 0.0, "min": 0.0, "max": 10.0})},
	IntProgress:    {style: "Progress", view: "ProgressView", traits: join(progress, State{"value": 0.0, "min": 0.0, "max": 100.0})},
	Text:           {style: "Text", input: "value", traits: typed},
	Textarea:       {style: "Text", input: "value", traits: join(typed, State{"rows": nil})},
	FloatText:      {style: "Description", input: "value", traits: join(number, State{"value": 0.0})},
	IntText:        {style: "Description", input: "value", traits: join(number, State{"value": 0.0, "step": 1.0})},
	Label:          {style: "Label", traits: text},
	HTML:           {style: "HTML", traits: text},
	Output:         {module: "@jupyter-widgets/output", version: "1.0.0", traits: State{"msg_id": "", "outputs": []any{}}},
	HBox:           {traits: box},
	VBox:           {traits: box},
	Tab:            {input: "selected_index", traits: join(box, State{"titles": []any{}, "selected_index": nil})},
	Accordion:      {input: "selected_index", traits: join(box, State{"titles": []any{}, "selected_index": nil})},
	Chart: {module: "ipecharts", version: "^1.3.1", model: "EChartsRawWidgetModel", view: "EChartsRawWidgetView", traits: State{
		"option": State{}, "style": State{}, "theme": nil, "renderer": "canvas", "locale": "EN", "width": "auto", "height": "auto",
		"device_pixel_ratio": 0.0, "pointer_size": nil, "use_coarse_pointer": false, "use_dirty_rect": false}},
}

// styles are the kinds of style, with their traits.
var styles = map[string]State{
	"Slider":        {"description_width": "", "handle_color": nil},
	"Description":   {"description_width": ""},
	"ToggleButtons": {"description_width": "", "button_width": "", "font_weight": ""},
	"Checkbox":      {"description_width": "", "background": nil},
	"ToggleButton":  join(font, State{"description_width": ""}),
	"Button":        join(font, State{"button_color": nil}),
	"Progress":      {"description_width": "", "bar_color": nil},
	"Text":          {"description_width": "", "background": nil, "font_size": nil, "text_color": nil},
	"Label":         join(font, State{"description_width": "", "background": nil}),
	"HTML":          {"description_width": "", "background": nil, "font_size": nil, "text_color": nil},
}

// layout are the traits of a layout, all null unless they are set.
var layout = []string{"align_content", "align_items", "align_self", "border_bottom", "border_left", "border_right", "border_top",
	"bottom", "display", "flex", "flex_flow", "grid_area", "grid_auto_columns", "grid_auto_flow", "grid_auto_rows", "grid_column",
	"grid_gap", "grid_row", "grid_template_areas", "grid_template_columns", "grid_template_rows", "height", "justify_content",
	"justify_items", "left", "margin", "max_height", "max_width", "min_height", "min_width", "object_fit", "object_position",
	"order", "overflow", "padding", "right", "top", "visibility", "width"}

func join(parts ...State) State {
	out := State{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

// identity are the traits by which a front end finds the code of a model and its view.
func identity(module, version, model, viewModule, view string) State {
	return State{"_model_module": module, "_model_module_version": version, "_model_name": model, "_view_count": nil,
		"_view_module": viewModule, "_view_module_version": version, "_view_name": view}
}

// defaults is the whole state of a new widget, without its layout and style.
func (k kind) defaults(name Kind) State {
	module, v, model, view := k.module, k.version, k.model, k.view
	if module == "" {
		module, v = controls, version
	}
	if model == "" {
		model = string(name) + "Model"
	}
	if view == "" {
		view = string(name) + "View"
	}
	return join(identity(module, v, model, module, view), State{"_dom_classes": []any{}, "tabbable": nil, "tooltip": nil}, k.traits)
}

func layoutDefaults() State {
	s := identity(base, version, "LayoutModel", base, "LayoutView")
	for _, trait := range layout {
		s[trait] = nil
	}
	return s
}

func styleDefaults(style string) State {
	s := identity(base, version, style+"StyleModel", base, "StyleView")
	s["_model_module"] = controls
	maps.Copy(s, styles[style])
	return s
}

// Kinds are all kinds, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }
