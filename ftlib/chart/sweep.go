package chart

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Tried is one trial of a search over hyperparameters.
type Tried struct {
	Name   string
	Values []string // of each setting
	Value  *float64 // of the metric; nil: none
}

// Search is what a search over hyperparameters found.
type Search struct {
	Metric   string
	Maximize bool     // a higher metric is better
	Settings []string // their keys, "optim.learning_rate"
	Tried    []Tried
}

// Figures are the charts that fit a search: the metric over each setting for one or two of
// them, a map for two that are numbers, parallel coordinates for two or more.
func (s Search) Figures() []Figure {
	s.Tried = slices.DeleteFunc(slices.Clone(s.Tried), func(t Tried) bool { return t.Value == nil || !finite(*t.Value) })
	slices.SortStableFunc(s.Tried, func(a, b Tried) int {
		if s.Maximize {
			a, b = b, a
		}
		return cmp.Compare(*a.Value, *b.Value)
	})
	if len(s.Tried) == 0 {
		return nil
	}
	var out []Figure
	if len(s.Settings) >= 2 {
		out = append(out, s.parallel())
	}
	if len(s.Settings) == 2 && len(s.Tried) >= 5 {
		if x, y := s.axis(0), s.axis(1); x.numbers && y.numbers {
			out = append(out, s.contour(x, y))
		}
	}
	if len(s.Settings) <= 2 {
		for i := range s.Settings {
			out = append(out, s.over(i))
		}
	}
	return out
}

func (s Search) better() string {
	if s.Maximize {
		return "higher is better"
	}
	return "lower is better"
}

// words say what a trial is.
func (s Search) words(t Tried) string {
	var parts []string
	for i, v := range t.Values {
		parts = append(parts, short(s.Settings[i])+" "+v)
	}
	return fmt.Sprintf("%s: %s: %s %s", t.Name, strings.Join(parts, ", "), s.Metric, digits(*t.Value))
}

// short is the last part of a key.
func short(key string) string { return key[strings.LastIndex(key, ".")+1:] }

// setting is how the values of one setting lie along an axis.
type setting struct {
	name    string
	at      []float64 // of each trial
	numbers bool      // else they are places in ticks
	log     bool
	ticks   []string
}

// axis lays the values of a setting out: numbers as they are, on a logarithmic scale when
// they span more than a factor of 20; words in their order.
func (s Search) axis(i int) setting {
	a := setting{name: short(s.Settings[i]), numbers: true}
	low, high := math.Inf(1), math.Inf(-1)
	for _, t := range s.Tried {
		v, err := strconv.ParseFloat(t.Values[i], 64)
		if err != nil || !finite(v) {
			a.numbers = false
			break
		}
		a.at = append(a.at, v)
		low, high = min(low, v), max(high, v)
	}
	if a.numbers {
		a.log = low > 0 && high > 20*low
		return a
	}
	a.at = nil
	for _, t := range s.Tried {
		a.ticks = append(a.ticks, t.Values[i])
	}
	slices.Sort(a.ticks)
	a.ticks = slices.Compact(a.ticks)
	for _, t := range s.Tried {
		a.at = append(a.at, float64(slices.Index(a.ticks, t.Values[i])))
	}
	return a
}

// unit maps the values to 0 (lowest) to 1.
func (a setting) unit() []float64 {
	out := slices.Clone(a.at)
	if a.log {
		for i := range out {
			out[i] = math.Log(out[i])
		}
	}
	low, high := slices.Min(out), slices.Max(out)
	for i := range out {
		if high == low {
			out[i] = 0.5
		} else {
			out[i] = (out[i] - low) / (high - low)
		}
	}
	return out
}

// ends are the lowest and the highest value in words.
func (a setting) ends() (low, high string) {
	if !a.numbers {
		return a.ticks[0], a.ticks[len(a.ticks)-1]
	}
	return digits(slices.Min(a.at)), digits(slices.Max(a.at))
}

// over is the metric over one setting, a point a trial.
func (s Search) over(i int) Figure {
	a := s.axis(i)
	f := Figure{Title: s.Metric + " over " + a.name, Subtitle: s.better() + "; each point is a trial, the best one is marked",
		X: Axis{Name: a.name, Log: a.log, Names: a.ticks}, Y: []Axis{{Name: s.Metric}}}
	rest := Series{ID: "trials", Name: "trials", Style: Points, Color: 0}
	for j, t := range s.Tried[1:] {
		rest.X, rest.Y, rest.Names = append(rest.X, a.at[j+1]), append(rest.Y, *t.Value), append(rest.Names, s.words(t))
	}
	f.Series = []Series{rest, s.bestPoint(a.at[0], *s.Tried[0].Value)}
	return f
}

func (s Search) bestPoint(x, y float64) Series {
	return Series{ID: "best", Name: "best", Style: Points, Color: 4, X: []float64{x}, Y: []float64{y}, Names: []string{s.words(s.Tried[0])}}
}

// parallel draws each trial as a line over all settings and the metric, each on a scale of
// its own. Where the lines of the best trials meet, the setting matters.
func (s Search) parallel() Figure {
	f := Figure{Title: "Trials as lines over their settings", Subtitle: "each axis from its lowest value (bottom) to its highest; where the best lines meet, the setting matters",
		Y: []Axis{{Name: "lowest to highest", Unit: Share, Zero: true}}}
	var axes [][]float64
	add := func(a setting) {
		low, high := a.ends()
		f.X.Names = append(f.X.Names, a.name+"\n"+low+" to "+high)
		axes = append(axes, a.unit())
	}
	for i := range s.Settings {
		add(s.axis(i))
	}
	metric := setting{name: s.Metric, numbers: true}
	for _, t := range s.Tried {
		metric.at = append(metric.at, *t.Value)
	}
	add(metric)
	quarter := max(2, (len(s.Tried)+3)/4)
	for j := len(s.Tried) - 1; j >= 0; j-- { // the best are drawn last, on top
		l := Series{ID: s.Tried[j].Name, Name: "others", Style: Faint, Color: -1}
		switch {
		case j == 0:
			l.Name, l.Style, l.Color = "best", Line, 4
		case j < quarter:
			l.Name, l.Style, l.Color = "best quarter", Dashed, 0
		}
		for i := range axes {
			l.X, l.Y, l.Names = append(l.X, float64(i)), append(l.Y, round(axes[i][j])), append(l.Names, s.words(s.Tried[j]))
		}
		f.Series = append(f.Series, l)
	}
	return f
}

// tiles are the rectangles along each side of a map.
const tiles = 24

// levels of a map, from best to worst.
var levels = []struct {
	name  string
	color int
}{{"best fifth", 2}, {"second", 5}, {"middle", 6}, {"fourth", 1}, {"worst fifth", 4}}

// contour is a map of the metric over two settings: between the trials it is estimated by a
// mean of all of them, the nearer the heavier (Nadaraya and Watson, a Gaussian kernel).
func (s Search) contour(x, y setting) Figure {
	f := Figure{Title: fmt.Sprintf("%s over %s and %s", s.Metric, x.name, y.name), Subtitle: "coloured between the trials by what trials near by reached; points are trials",
		X: Axis{Name: x.name, Log: x.log}, Y: []Axis{{Name: y.name, Log: y.log}}}
	ux, uy := x.unit(), y.unit()
	width := 0.6 / math.Sqrt(float64(len(s.Tried)))
	estimate := func(px, py float64) float64 {
		var sum, weight float64
		for i, t := range s.Tried {
			d := (sq(px-ux[i]) + sq(py-uy[i])) / (2 * width * width)
			w := math.Exp(-min(d, 600))
			sum, weight = sum+w**t.Value, weight+w
		}
		return sum / weight
	}
	values := make([]float64, 0, tiles*tiles)
	for i := range tiles * tiles {
		values = append(values, estimate(part(i%tiles), part(i/tiles)))
	}
	low, high := slices.Min(values), slices.Max(values)
	for k, l := range levels {
		t := Series{ID: l.name, Name: l.name, Style: Tiles, Color: l.color}
		for i, v := range values {
			at := 0.0
			if high > low {
				at = (v - low) / (high - low)
			}
			if s.Maximize {
				at = 1 - at
			}
			if min(int(at*float64(len(levels))), len(levels)-1) == k {
				t.X, t.Y = append(t.X, round(x.value(part(i%tiles)))), append(t.Y, round(y.value(part(i/tiles))))
				t.Names = append(t.Names, fmt.Sprintf("about %s at %s %s, %s %s", digits(v), x.name, digits(x.value(part(i%tiles))), y.name, digits(y.value(part(i/tiles)))))
			}
		}
		f.Series = append(f.Series, t)
	}
	points := Series{ID: "trials", Name: "trials", Style: Points, Color: -1}
	for i, t := range s.Tried[1:] {
		points.X, points.Y, points.Names = append(points.X, x.at[i+1]), append(points.Y, y.at[i+1]), append(points.Names, s.words(t))
	}
	f.Series = append(f.Series, points, s.bestPoint(x.at[0], y.at[0]))
	f.Series[len(f.Series)-1].Color = 0
	return f
}

func sq(v float64) float64 { return v * v }

// part is where tile i lies, 0 to 1.
func part(i int) float64 { return float64(i) / (tiles - 1) }

// value is the setting at a part of its axis.
func (a setting) value(part float64) float64 {
	low, high := slices.Min(a.at), slices.Max(a.at)
	if a.log {
		return math.Exp(math.Log(low) + part*(math.Log(high)-math.Log(low)))
	}
	return low + part*(high-low)
}
