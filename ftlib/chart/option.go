package chart

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// Option is the figure as an ECharts option: pure JSON without functions, so that
// any front end with ECharts can take it. Colours of text and grid are left out:
// the page knows whether it is light or dark, see [Figure.HTML].
func (f Figure) Option() (json.RawMessage, error) {
	var option map[string]any
	if len(f.Bars) > 0 {
		option = f.barOption()
	} else {
		option = f.lineOption()
	}
	data, err := json.Marshal(option)
	if err == nil {
		data, err = withoutNulls(data)
	}
	if err != nil {
		return nil, fmt.Errorf("chart: %q: %w", f.Title, err)
	}
	return data, nil
}

// withoutNulls drops null fields: ECharts takes them for a value and shows nothing
// (an icon that is null is no icon), while a missing field means its default.
func withoutNulls(data []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	var prune func(any)
	prune = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if e == nil {
					delete(v, k)
				} else {
					prune(e)
				}
			}
		case []any:
			for _, e := range v {
				prune(e)
			}
		}
	}
	prune(v)
	return json.Marshal(v)
}

func (f Figure) lineOption() map[string]any {
	line := charts.NewLine()
	line.SetGlobalOptions(f.globals()...)
	x := opts.XAxis{
		Type: "value", Name: f.X.Name, NameLocation: "middle", NameGap: 28,
		Min: "dataMin", Max: f.last(), MinInterval: whole(f.X),
		SplitLine: &opts.SplitLine{Show: opts.Bool(false)},
		AxisLabel: &opts.AxisLabel{HideOverlap: opts.Bool(true)},
	}
	switch {
	case f.X.Names != nil:
		x.Type, x.Min, x.Max, x.MinInterval = "category", nil, nil, 0
		x.SplitLine.Show = opts.Bool(true)
	case f.X.Log:
		x.Type, x.Scale = "log", opts.Bool(true)
	}
	line.SetGlobalOptions(charts.WithXAxisOpts(x))
	if f.X.Names != nil {
		line.SetXAxis(f.X.Names)
	}
	f.setAxes(&line.RectChart)
	for _, s := range f.Series {
		line.AddSeries(s.Name, nil, s.options()...)
		line.MultiSeries[len(line.MultiSeries)-1].Data = s.data()
	}
	line.Validate()
	return line.JSON()
}

// last is where the x axis ends: with the data, or later if the figure says so.
func (f Figure) last() any {
	if r := span(f.Series, func(s Series) []float64 { return s.X }); f.X.To > r[1] {
		return f.X.To
	}
	return "dataMax"
}

func (f Figure) barOption() map[string]any {
	bar := charts.NewBar()
	bar.SetGlobalOptions(f.globals()...)
	bar.SetGlobalOptions(charts.WithXAxisOpts(opts.XAxis{Type: "category"}))
	f.setAxes(&bar.RectChart)
	bar.SetXAxis(f.Bars)
	for _, s := range f.Series {
		bar.AddSeries(s.Name, nil,
			func(c *charts.SingleSeries) { c.Id, c.Color, c.BarMaxWidth = s.ID, color(s.Color), "64" },
			charts.WithLabelOpts(opts.Label{Show: opts.Bool(true), Position: "top"}))
		values := make([]any, len(s.Y))
		for i, y := range s.Y {
			if values[i] = "-"; finite(y) { // ECharts writes a missing bar so
				values[i] = round(y)
			}
		}
		bar.MultiSeries[len(bar.MultiSeries)-1].Data = values
	}
	bar.Validate()
	return bar.JSON()
}

// globals are the options that lines and bars share.
func (f Figure) globals() []charts.GlobalOpts {
	top := "60"
	if f.Subtitle == "" {
		top = "48"
	}
	trigger := "axis"
	if len(f.Bars) > 0 || f.named() {
		trigger = "item"
	}
	bottom := "72" // names of steps, of the axis, and the legend
	if len(f.Bars) > 0 {
		if bottom = "28"; len(f.Series) > 1 {
			bottom = "56"
		}
	}
	right := "24"
	if len(f.axes()) > 1 {
		right = "64"
	}
	var zoom *opts.ToolBoxFeatureDataZoom
	var restore *opts.ToolBoxFeatureRestore
	if len(f.Bars) == 0 {
		zoom = &opts.ToolBoxFeatureDataZoom{Show: opts.Bool(true), YAxisIndex: false,
			Title: map[string]string{"zoom": "zoom into a part", "back": "zoom back"}}
		restore = &opts.ToolBoxFeatureRestore{Show: opts.Bool(true), Title: "back to all"}
	}
	return []charts.GlobalOpts{
		charts.WithTitleOpts(opts.Title{Title: f.Title, Subtitle: f.Subtitle, Left: "8", Top: "2",
			TitleStyle:    &opts.TextStyle{FontSize: 15},
			SubtitleStyle: &opts.TextStyle{FontSize: 12}}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(len(f.Series) > 1), Bottom: "0", Type: "scroll"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: trigger}),
		charts.WithToolboxOpts(opts.Toolbox{Show: opts.Bool(true), Right: "12", Top: "2",
			Feature: &opts.ToolBoxFeature{
				DataZoom:    zoom,
				Restore:     restore,
				SaveAsImage: &opts.ToolBoxFeatureSaveAsImage{Show: opts.Bool(true), Title: "save as picture"},
			}}),
		charts.WithGridOpts(opts.Grid{Left: "64", Right: right, Top: top, Bottom: bottom}),
		charts.WithAnimation(false),
		func(bc *charts.BaseConfiguration) {
			bc.Aria = &opts.Aria{Enabled: opts.Bool(true), Label: &opts.AriaLabel{Description: f.Describe()}}
			bc.Colors = palette
		},
	}
}

func (f Figure) setAxes(c *charts.RectChart) {
	for i, a := range f.axes() {
		y := opts.YAxis{Type: "value", Name: a.Name, NameLocation: "middle", NameGap: 46, Scale: opts.Bool(!a.Zero),
			MinInterval: whole(a), SplitLine: &opts.SplitLine{Show: opts.Bool(i == 0)}}
		if a.Log {
			y.Type = "log"
		} else if a.Zero {
			y.Min = 0
		}
		if a.Unit == Share {
			y.Max = 1
		}
		if f.tiled() { // a map fills its frame
			y.Min, y.Max = "dataMin", "dataMax"
		}
		if i == 0 {
			c.SetGlobalOptions(charts.WithYAxisOpts(y))
		} else {
			c.ExtendYAxis(y)
		}
	}
}

func (s Series) options() []charts.SeriesOpts {
	width, opacity, kind := float32(2.2), float32(1), ""
	symbol, show := "circle", false
	switch s.Style {
	case Faint:
		width, opacity = 1, 0.35
	case Marked:
		width, show = 1.6, true
	case Dashed:
		width, kind, opacity = 1.2, "dashed", 0.8
	case Points, Tiles:
		opacity, show = 0, true
	}
	size, item := any(7), float32(1)
	if s.Names != nil && s.Style != Points {
		show, size, item = true, 5, opacity
	}
	if s.Style == Tiles {
		symbol, size, item = "rect", []int{840/tiles + 1, 260/tiles + 1}, 0.35
	}
	axis := 0
	if s.Right {
		axis = 1
	}
	return []charts.SeriesOpts{
		func(c *charts.SingleSeries) { c.Id, c.Color = s.ID, color(s.Color) },
		charts.WithLineChartOpts(opts.LineChart{Symbol: symbol, SymbolSize: size, ShowSymbol: opts.Bool(show), YAxisIndex: axis}),
		charts.WithLineStyleOpts(opts.LineStyle{Width: width, Type: kind, Opacity: opts.Float(opacity)}),
		func(c *charts.SingleSeries) {
			if item != 1 {
				c.ItemStyle = &opts.ItemStyle{Opacity: opts.Float(item)}
			}
		},
	}
}

// tiled reports whether the figure is a map.
func (f Figure) tiled() bool {
	return slices.ContainsFunc(f.Series, func(s Series) bool { return s.Style == Tiles })
}

// named reports whether points have names of their own.
func (f Figure) named() bool {
	return slices.ContainsFunc(f.Series, func(s Series) bool { return s.Names != nil })
}

// data are the points as ECharts reads them.
func (s Series) data() any {
	if s.Names == nil {
		return pairs(s)
	}
	out := make([]map[string]any, 0, len(s.X))
	for i := range s.X {
		if finite(s.X[i]) && finite(s.Y[i]) {
			out = append(out, map[string]any{"name": s.Names[i], "value": [2]float64{s.X[i], s.Y[i]}})
		}
	}
	return out
}

// pairs are the points as [x, y], the short form that ECharts reads.
func pairs(s Series) [][2]float64 {
	out := make([][2]float64, 0, len(s.X))
	for i := range s.X {
		if finite(s.X[i]) && finite(s.Y[i]) {
			out = append(out, [2]float64{s.X[i], s.Y[i]})
		}
	}
	return out
}

func whole(a Axis) float64 {
	if a.Whole {
		return 1
	}
	return 0
}
