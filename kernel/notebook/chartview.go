package notebook

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"ftlab/ftlib/chart"
	"ftlab/kernel/widget"
)

// Chart is a chart that can be updated. Under a kernel without widgets it is shown as
// it is; [Show] shows a figure that does not change.
//
//	view := notebook.Chart{Figure: chart.Loss(curve)}.Show()
//	view.Update(chart.Loss(longer))
type Chart struct {
	Name   string // by which it is found again; zero: it is not
	Figure chart.Figure
	Height int // in pixels; zero: 400
}

// ChartView is a chart that is there.
type ChartView struct {
	*element

	mu     sync.Mutex
	figure chart.Figure
	series map[string]bool // ids of the series that pages have
	sent   time.Time
	timer  *time.Timer // sends what came too soon after what was sent
}

// updateEvery is the least time between two updates of a chart: four a second are as
// many as one can follow.
const updateEvery = 250 * time.Millisecond

// In makes the chart in ui, or finds it by its name.
func (s Chart) In(ui widget.UI) (*ChartView, error) {
	v := &ChartView{figure: s.Figure, series: map[string]bool{}, sent: time.Now()}
	option, err := v.option()
	if err != nil {
		return nil, err
	}
	if s.Height == 0 {
		s.Height = 400
	}
	style := widget.State{"height": fmt.Sprintf("%dpx", s.Height), "maxWidth": "920px"}
	v.element, err = made(ui, widget.Spec{Name: s.Name, Kind: widget.Chart, State: widget.State{"option": option, "style": style}})
	if err != nil {
		return nil, err
	}
	v.text = func() string { return v.Figure().Text() }
	v.svg = func() string {
		picture, err := v.Figure().SVG()
		v.failed(err)
		return string(picture)
	}
	return v, nil
}

// New makes the chart without showing it.
func (s Chart) New() *ChartView { return must(s.In(UI())) }

// Show makes the chart and shows it.
func (s Chart) Show() *ChartView {
	if InNotebook() && !live(UI()) { // gonb alone has no widgets
		Show(s.Figure)
		return s.New()
	}
	return shown(s.New())
}

func (s Chart) place(ui widget.UI) (*element, error) { return elementOf(s.In(ui)) }

// Figure is what the chart shows.
func (v *ChartView) Figure() chart.Figure {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.figure
}

// Update replaces what the chart shows. What comes too soon is sent a little later,
// or never when something newer came.
func (v *ChartView) Update(f chart.Figure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.figure = f
	if v.timer != nil {
		return // it will send the newest
	}
	wait := updateEvery - time.Since(v.sent)
	if wait <= 0 {
		v.push()
		return
	}
	v.timer = time.AfterFunc(wait, v.Flush)
}

// Flush sends what waits: at the end of a program, which would take it along.
func (v *ChartView) Flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
		v.push()
	}
}

func (v *ChartView) push() {
	v.sent = time.Now()
	option, err := v.option()
	if err != nil {
		v.failed(err)
		return
	}
	v.set(widget.State{"option": option})
}

// option is the figure for the widget. ECharts keeps a series that an update does not
// name, so those that are gone are named as empty.
func (v *ChartView) option() (any, error) {
	data, err := v.figure.WidgetOption()
	if err != nil {
		return nil, err
	}
	now := map[string]bool{}
	for _, s := range v.figure.Series {
		now[s.ID] = true
		v.series[s.ID] = true
	}
	if len(now) == len(v.series) {
		return data, nil
	}
	var option map[string]any
	if err := json.Unmarshal(data, &option); err != nil {
		return nil, fmt.Errorf("notebook: %w", err)
	}
	list, _ := option["series"].([]any)
	for id := range v.series {
		if !now[id] {
			list = append(list, map[string]any{"id": id, "data": []any{}})
		}
	}
	option["series"] = list
	return option, nil
}
