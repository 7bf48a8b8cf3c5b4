package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ftlab/ftlib"
)

// Curve is one run in a chart.
type Curve struct {
	Name   string // in the legend; may be empty when there is one run only
	Events []ftlib.Event
}

// maxPoints bounds the points of one series: about one a pixel.
const maxPoints = 800

// Loss draws training loss (raw and smoothed) and validation loss over steps, and
// the learning rate on a second axis. With several curves it overlays them: one
// colour a run, the smoothed training loss as a line and the validation loss as
// marks.
func Loss(curves ...Curve) (f Figure) {
	f = Figure{
		Title: "Loss",
		X:     Axis{Name: "step", Whole: true},
		Y:     []Axis{{Name: "loss (nats a token)", Unit: Nats}},
	}
	for _, c := range curves {
		if !ended(c.Events) {
			f.X.To = max(f.X.To, float64(planned(c.Events)))
		}
	}
	defer func() { f.chooseScale() }()
	if len(curves) == 1 {
		f.single(curves[0])
		return f
	}
	var parts []string
	for i, c := range curves {
		name := c.Name
		if name == "" {
			name = fmt.Sprintf("run %d", i+1)
		}
		train, eval := trainLoss(c.Events), evalLoss(c.Events)
		smooth := smoothed(train, planned(c.Events))
		if len(train.x) > 0 {
			f.add(smooth, Series{ID: fmt.Sprintf("train%d", i), Name: name, Color: i,
				Help: "Training loss of this run, averaged over recent steps."})
		}
		if len(eval.x) > 0 {
			f.add(eval, Series{ID: fmt.Sprintf("eval%d", i), Name: name + ", validation", Style: Marked, Color: i,
				Help: "Loss of this run on rows that it does not train on. Compare runs by this one."})
			_, best := eval.lowest()
			parts = append(parts, fmt.Sprintf("%s %s", name, digits(best)))
		}
	}
	if len(parts) > 0 {
		f.Subtitle = "best validation loss: " + strings.Join(parts, ", ")
	}
	return f
}

// chooseScale makes the loss axis logarithmic where a linear one would show only the
// beginning: when the highest loss is more than 30 times the lowest.
func (f *Figure) chooseScale() {
	r := span(f.Series, func(s Series) []float64 {
		if s.Right {
			return nil
		}
		return s.Y
	})
	if r[0] > 0 && r[1] > 30*r[0] {
		f.Y[0].Log = true
		f.Y[0].Name = "loss (nats a token, logarithmic)"
	}
}

// single fills the chart of one run.
func (f *Figure) single(c Curve) {
	if c.Name != "" {
		f.Title = "Loss of " + c.Name
	}
	train, eval, lr := trainLoss(c.Events), evalLoss(c.Events), learningRate(c.Events)
	if len(train.x) > 0 {
		f.add(train, Series{ID: "raw", Name: "each step", Style: Faint, Color: 0,
			Help: "Loss on the batch of that step alone: it jumps because batches differ."})
		f.add(smoothed(train, planned(c.Events)), Series{ID: "train", Name: "training", Color: 0,
			Help: "Training loss averaged over recent steps: the trend."})
	}
	if len(eval.x) > 0 {
		f.add(eval, Series{ID: "eval", Name: "validation", Style: Marked, Color: 1,
			Help: "Loss on rows that are not trained on. When it rises while training loss falls, the model overfits."})
		step, best := eval.lowest()
		f.Subtitle = fmt.Sprintf("validation %s at step %g", digits(best), step)
		if n := len(eval.y); n > 1 {
			f.Subtitle = fmt.Sprintf("validation %s → %s, best %s at step %g", digits(eval.y[0]), digits(eval.y[n-1]), digits(best), step)
		}
	}
	if len(lr.x) > 0 {
		f.Y = append(f.Y, Axis{Name: "learning rate", Zero: true})
		f.add(lr, Series{ID: "lr", Name: "learning rate", Style: Dashed, Right: true, Color: -1,
			Help: "Size of a step, as the schedule sets it."})
	}
}

// Metric draws one of the numbers that events carry besides the loss, by its name:
// "grad_norm", "tokens_per_second", "learning_rate", "memory_gib", or any name in [ftlib.Event.Metrics].
func Metric(name string, curves ...Curve) Figure {
	f := Figure{Title: name, X: Axis{Name: "step", Whole: true}, Y: []Axis{{Name: name}}}
	for i, c := range curves {
		p := metric(c.Events, name)
		if len(p.x) == 0 {
			continue
		}
		label := c.Name
		if label == "" {
			label = name
		}
		style := Line
		if len(p.x) <= 40 {
			style = Marked
		}
		f.add(p, Series{ID: fmt.Sprintf("m%d", i), Name: label, Style: style, Color: i})
	}
	return f
}

// Group is one set of bars: a value for each category.
type Group struct {
	Name   string
	Values []float64 // one a category
}

// Bars compares groups over categories, for example label accuracy before and
// after training.
func Bars(title string, axis Axis, categories []string, groups ...Group) Figure {
	axis.Zero = true
	f := Figure{Title: title, Y: []Axis{axis}, Bars: categories}
	for i, g := range groups {
		f.Series = append(f.Series, Series{ID: fmt.Sprintf("b%d", i), Name: g.Name, Y: g.Values, Color: i})
	}
	return f
}

// points is a series while it is being made.
type points struct{ x, y []float64 }

func (p *points) put(x, y float64) {
	if finite(y) {
		p.x, p.y = append(p.x, x), append(p.y, y)
	}
}

func (p points) lowest() (x, y float64) {
	y = math.Inf(1)
	for i, v := range p.y {
		if v < y {
			x, y = p.x[i], v
		}
	}
	return x, y
}

func (f *Figure) add(p points, s Series) {
	x, y := thin(p.x, p.y, maxPoints)
	s.X, s.Y = make([]float64, len(x)), make([]float64, len(y))
	for i := range x {
		s.X[i], s.Y[i] = round(x[i]), round(y[i])
	}
	f.Series = append(f.Series, s)
}

// valid drops the steps that a resumed or rolled back run took again.
func valid(events []ftlib.Event) []ftlib.Event {
	var out []ftlib.Event
	for _, e := range events {
		if e.Type == ftlib.EventResume || e.Type == ftlib.EventRollback {
			out = slices.DeleteFunc(out, func(old ftlib.Event) bool { return old.Step > e.Step })
		}
		out = append(out, e)
	}
	return out
}

func trainLoss(events []ftlib.Event) points {
	var p points
	for _, e := range valid(events) {
		if e.Type == ftlib.EventStep && e.Loss != nil {
			p.put(float64(e.Step), *e.Loss)
		}
	}
	return p
}

// evalLoss takes the validation loss from where it is given: the metric
// "eval_loss" of any event, or the loss of an "eval" event.
func evalLoss(events []ftlib.Event) points {
	var p points
	for _, e := range valid(events) {
		if v, ok := e.Metrics["eval_loss"]; ok {
			p.put(float64(e.Step), v)
		} else if e.Type == ftlib.EventEval && e.Loss != nil {
			p.put(float64(e.Step), *e.Loss)
		}
	}
	return p
}

func learningRate(events []ftlib.Event) points {
	var p points
	for _, e := range valid(events) {
		if e.Type == ftlib.EventStep && e.LR > 0 {
			p.put(float64(e.Step), e.LR)
		}
	}
	return p
}

func metric(events []ftlib.Event, name string) points {
	var p points
	for _, e := range valid(events) {
		v, ok := e.Metrics[name]
		switch {
		case ok:
		case name == "grad_norm" && e.GradNorm > 0:
			v, ok = e.GradNorm, true
		case name == "tokens_per_second" && e.TokensPerSecond > 0:
			v, ok = e.TokensPerSecond, true
		case name == "learning_rate" && e.LR > 0:
			v, ok = e.LR, true
		case name == "memory_gib" && e.Memory > 0:
			v, ok = float64(e.Memory)/(1<<30), true
		}
		if ok {
			p.put(float64(e.Step), v)
		}
	}
	return p
}

// planned is the number of steps that the run is to have; zero: unknown.
func planned(events []ftlib.Event) int {
	n := 0
	for _, e := range events {
		n = max(n, e.Steps, e.Step)
	}
	return n
}

// ended reports whether the last run of these events is over. The axis of one that
// goes on reaches to its last planned step.
func ended(events []ftlib.Event) bool {
	if len(events) == 0 {
		return true
	}
	last := events[len(events)-1].Type
	return last == ftlib.EventEnd || last == ftlib.EventError
}

// smoothed is the exponential average with the start corrected as Adam corrects its
// moments, so that the first value is the first loss and not a tenth of it. Its
// memory is a fortieth of the planned run, so that a live curve does not change
// behind the pointer as the run goes on.
func smoothed(p points, steps int) points {
	memory := max(float64(steps)/40, 2)
	var out points
	var sum, weight float64
	for i, y := range p.y {
		d := 1.0
		if i > 0 {
			d = max(p.x[i]-p.x[i-1], 0)
		}
		keep := math.Exp(-d / memory)
		sum, weight = sum*keep+y*(1-keep), weight*keep+(1-keep)
		if weight == 0 {
			out.put(p.x[i], y)
			continue
		}
		out.put(p.x[i], sum/weight)
	}
	return out
}

// digits writes a number with four significant digits.
func digits(v float64) string { return fmt.Sprintf("%.4g", v) }
