package chart

import "math"

// Figure is a chart before it is drawn. The zero value is an empty chart.
type Figure struct {
	Title    string
	Subtitle string   // one line of what to see in it
	X        Axis     // not used by bars
	Y        []Axis   // at most two: left, right; zero: one without a name
	Bars     []string // categories: set for a bar chart, series then have one Y for each
	Series   []Series
}

// Axis describes one axis.
type Axis struct {
	Name  string
	Unit  Unit
	Whole bool     // only whole numbers make sense (steps)
	Zero  bool     // the axis begins at zero (and ends at 1 for Share)
	Log   bool     // logarithmic; only for positive values
	To    float64  // the x axis reaches at least this far; zero: as far as the data
	Names []string // of an x axis: what stands at 0, 1, 2, ... instead of numbers
}

// Unit decides how values are written.
type Unit string

const (
	Number Unit = ""      // 4 significant digits
	Nats   Unit = "nats"  // a loss: e^-loss is the probability given to the right token
	Share  Unit = "share" // 0 to 1, written in per cent
)

// Series is one line or one set of bars.
type Series struct {
	ID    string // stays the same while a chart is updated
	Name  string // in the legend
	Help  string // one sentence, shown when the pointer is on the name
	X, Y  []float64
	Right bool // belongs to the second axis
	Style Style
	Color int      // number in the palette, from 0; negative: grey
	Names []string // what each point is, shown when the pointer is on it; nil: its numbers
}

// Style says how a series is drawn.
type Style string

const (
	Line   Style = ""       // the main line
	Faint  Style = "faint"  // thin and pale: raw values behind a smoothed line
	Marked Style = "marked" // a line with a mark on every point: rare measurements
	Dashed Style = "dashed"
	Points Style = "points" // marks alone
	Tiles  Style = "tiles"  // pale rectangles that touch: a map
)

// palette is readable on white and on dark grey and can be told apart with the
// common forms of colour blindness. Grey is its own entry.
var palette = []string{"#3b82d6", "#e07b28", "#2e9e6b", "#a566cc", "#d64f5c", "#1fa3b5", "#b58a1b", "#7a6ff0"}

const grey = "#8a929c"

func color(n int) string {
	if n < 0 {
		return grey
	}
	return palette[n%len(palette)]
}

// axes returns Y with at least one axis, and whether a right axis is used.
func (f Figure) axes() []Axis {
	y := f.Y
	if len(y) == 0 {
		y = []Axis{{}}
	}
	if len(y) > 2 {
		y = y[:2]
	}
	return y
}

// round keeps 5 significant digits: more cannot be seen and only make files larger.
func round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	p := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
	if math.IsInf(p, 0) || p == 0 {
		return v
	}
	return math.Round(v*p) / p
}

// finite reports whether a point can be drawn.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// thin reduces a series to at most n points by averaging neighbours, so that a run
// of a hundred thousand steps stays a small chart. The last point is kept as it is.
func thin(x, y []float64, n int) (tx, ty []float64) {
	if len(x) <= n || n < 2 {
		return x, y
	}
	last := len(x) - 1
	for i := range n - 1 {
		a, b := i*last/(n-1), (i+1)*last/(n-1)
		var sx, sy float64
		for j := a; j < b; j++ {
			sx += x[j]
			sy += y[j]
		}
		tx = append(tx, sx/float64(b-a))
		ty = append(ty, sy/float64(b-a))
	}
	return append(tx, x[last]), append(ty, y[last])
}
