package chart

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	draw "github.com/go-analyze/charts"
)

// Size of static pictures in pixels.
const (
	staticWidth  = 800
	staticHeight = 380
)

// SVG is a static picture with a transparent ground, in colours that can be read on
// white and on dark grey.
func (f Figure) SVG() ([]byte, error) {
	data, err := f.static(draw.ChartOutputSVG, draw.ColorTransparent, draw.ColorFromHex("#808892"))
	if err != nil {
		return nil, err
	}
	// The painter gives a view box only, and a browser then shows the picture 300 pixels wide.
	size := fmt.Sprintf(`<svg width="%d" height="%d" `, staticWidth, staticHeight)
	return bytes.Replace(data, []byte("<svg "), []byte(size), 1), nil
}

// PNG is the static picture in pixels, dark on white.
func (f Figure) PNG() ([]byte, error) {
	return f.static(draw.ChartOutputPNG, draw.ColorFromHex("#ffffff"), draw.ColorFromHex("#3c434b"))
}

// static draws by hand on the canvas of go-analyze/charts: its line chart knows only
// categories on the x axis, and validation is measured at other steps than training.
func (f Figure) static(format string, ground, ink draw.Color) ([]byte, error) {
	p := &canvas{
		Painter: draw.NewPainter(draw.PainterOptions{OutputFormat: format, Width: staticWidth, Height: staticHeight}),
		ink:     ink, left: 64, right: staticWidth - 24, top: 78, bottom: staticHeight - 74,
	}
	if !ground.IsTransparent() {
		p.FilledRect(0, 0, staticWidth, staticHeight, ground, ground, 0)
	}
	if len(f.axes()) > 1 {
		p.right = staticWidth - 76
	}
	p.text(f.Title, 14, 22, 12, start)
	p.text(strings.ReplaceAll(f.Subtitle, "→", "to"), 14, 40, 9, start) // the font has no arrow
	if len(f.Bars) > 0 {
		f.staticBars(p)
	} else {
		f.staticLines(p)
	}
	f.legend(p)
	data, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("chart: drawing %q: %w", f.Title, err)
	}
	return data, nil
}

func (f Figure) staticLines(p *canvas) {
	x := span(f.Series, func(s Series) []float64 { return s.X })
	xs := newScale(x[0], max(x[1], f.X.To), 10, false, f.X.Whole)
	if f.X.Log && x[0] > 0 {
		xs = newTightLogScale(x[0], x[1])
	}
	xs.from, xs.to = p.left, p.right
	if f.X.Names != nil {
		xs.from, xs.to, xs.ticks = p.left+60, p.right-60, nil
		for i, name := range f.X.Names {
			at := xs.at(float64(i))
			p.line([]draw.Point{{X: px(at), Y: px(p.bottom)}, {X: px(at), Y: px(p.top)}}, p.ink, 1)
			for j, row := range strings.Split(name, "\n") {
				p.text(row, at, p.bottom+20+14*float64(j), 9, middle)
			}
		}
	}
	ys := f.yScales(p)
	for _, v := range xs.ticks {
		p.line([]draw.Point{{X: px(xs.at(v)), Y: px(p.bottom)}, {X: px(xs.at(v)), Y: px(p.bottom + 5)}}, p.ink, 1)
		p.text(digits(v), xs.at(v), p.bottom+20, 9, middle)
	}
	p.text(f.X.Name, (p.left+p.right)/2, p.bottom+38, 9, middle)
	for _, s := range f.Series {
		axis := ys[0]
		if s.Right && len(ys) > 1 {
			axis = ys[1]
		}
		f.staticLine(p, s, xs, axis)
	}
}

func (f Figure) staticLine(p *canvas, s Series, xs, ys scale) {
	var points []draw.Point
	for i := range s.X {
		if finite(s.Y[i]) {
			points = append(points, draw.Point{X: px(xs.at(s.X[i])), Y: px(ys.at(s.Y[i]))})
		}
	}
	if len(points) == 0 {
		return
	}
	c := draw.ColorFromHex(color(s.Color))
	switch s.Style {
	case Points:
		p.Dots(points, c, c, 1, 3.5)
	case Tiles:
		w, h := (p.right-p.left)/float64(tiles-1)/2, (p.bottom-p.top)/float64(tiles-1)/2
		for _, at := range points {
			x, y := float64(at.X), float64(at.Y)
			p.FilledRect(px(max(x-w, p.left)), px(max(y-h, p.top)), px(min(x+w, p.right)), px(min(y+h, p.bottom)), c.WithAlpha(90), c.WithAlpha(0), 0)
		}
	case Faint:
		p.line(points, c.WithAlpha(90), 1)
	case Dashed:
		p.DashedLineStroke(points, c, 1.2, []float64{5, 4})
	case Marked:
		p.line(points, c, 1.6)
		p.Dots(points, c, c, 1, 3)
	default:
		p.line(points, c, 2.2)
	}
}

func (f Figure) staticBars(p *canvas) {
	ys := f.yScales(p)[0]
	slot := (p.right - p.left) / float64(len(f.Bars))
	width := min(slot*0.7/float64(max(len(f.Series), 1)), 64)
	for i, name := range f.Bars {
		centre := p.left + slot*(float64(i)+.5)
		p.text(name, centre, p.bottom+20, 10, middle)
		for j, s := range f.Series {
			if i >= len(s.Y) || !finite(s.Y[i]) {
				continue
			}
			x := centre + width*(float64(j)-float64(len(f.Series))/2)
			c := draw.ColorFromHex(color(s.Color))
			p.FilledRect(px(x+2), px(ys.at(s.Y[i])), px(x+width-2), px(ys.at(0)), c, c, 0)
			p.text(f.axisOf(s).format(s.Y[i]), x+width/2, ys.at(s.Y[i])-6, 9, middle)
		}
	}
}

// yScales draws the y axes and returns their scales.
func (f Figure) yScales(p *canvas) []scale {
	var out []scale
	for i, a := range f.axes() {
		r := span(f.Series, func(s Series) []float64 {
			if s.Right == (i == 1) {
				return s.Y
			}
			return nil
		})
		if a.Zero {
			r[0] = 0
		}
		if a.Unit == Share {
			r[1] = 1
		}
		s := newScale(r[0], r[1], 5, !f.tiled(), a.Whole)
		switch {
		case a.Log && r[0] > 0 && f.tiled():
			s = newTightLogScale(r[0], r[1])
		case a.Log && r[0] > 0:
			s = newLogScale(r[0], r[1])
		}
		s.from, s.to = p.bottom, p.top
		for _, v := range s.ticks {
			y := px(s.at(v))
			if i == 0 {
				p.line([]draw.Point{{X: px(p.left), Y: y}, {X: px(p.right), Y: y}}, p.ink.WithAlpha(60), 1)
				p.text(a.tick(v), p.left-8, float64(y)+4, 9, end)
			} else {
				p.text(a.tick(v), p.right+8, float64(y)+4, 9, start)
			}
		}
		if i == 0 {
			p.text(a.Name, 14, p.top-12, 8, start)
		} else {
			p.text(a.Name, staticWidth-14, p.top-12, 8, end)
		}
		out = append(out, s)
	}
	return out
}

// legend names the series below the chart, those of one name once.
func (f Figure) legend(p *canvas) {
	var series []Series
	for _, s := range f.Series {
		if !slices.ContainsFunc(series, func(o Series) bool { return o.Name == s.Name }) {
			series = append(series, s)
		}
	}
	if len(series) < 2 {
		return
	}
	total := 0.0
	widths := make([]float64, len(series))
	for i, s := range series {
		widths[i] = p.width(s.Name, 10) + 46
		total += widths[i]
	}
	x, y := max((staticWidth-total)/2, 10), float64(staticHeight-12)
	for i, s := range series {
		c := draw.ColorFromHex(color(s.Color))
		if s.Style == Faint || s.Style == Tiles {
			c = c.WithAlpha(120)
		}
		if s.Style != Points {
			p.FilledRect(px(x), px(y-6), px(x+22), px(y-3), c, c, 0)
		}
		if s.Style == Marked || s.Style == Points {
			p.Dots([]draw.Point{{X: px(x + 11), Y: px(y - 4)}}, c, c, 1, 3)
		}
		p.text(s.Name, x+28, y, 10, start)
		x += widths[i]
	}
}

// canvas is the painter with the frame of the chart and the colour of text.
type canvas struct {
	*draw.Painter
	ink                      draw.Color
	left, right, top, bottom float64
}

type anchor float64

const (
	start  anchor = 0
	middle anchor = 0.5
	end    anchor = 1
)

// text writes s with its baseline at y and the given part of it at x. Size is in points.
func (p *canvas) text(s string, x, y, size float64, a anchor) {
	if s == "" {
		return
	}
	p.Text(s, px(x-float64(a)*p.width(s, size)), px(y), 0, p.font(size))
}

func (p *canvas) font(size float64) draw.FontStyle {
	style := draw.NewFontStyleWithSize(size)
	style.FontColor, style.Font = p.ink, draw.GetDefaultFont()
	return style
}

func (p *canvas) width(s string, size float64) float64 {
	box := p.MeasureText(s, 0, p.font(size))
	return float64(box.Width())
}

func (p *canvas) line(points []draw.Point, c draw.Color, width float64) {
	p.LineStroke(points, c, width)
}

func px(v float64) int { return int(math.Round(v)) }

// span is the range of the finite values that of picks from the series.
func span(series []Series, of func(Series) []float64) [2]float64 {
	r := [2]float64{math.Inf(1), math.Inf(-1)}
	for _, s := range series {
		for _, v := range of(s) {
			if finite(v) {
				r[0], r[1] = min(r[0], v), max(r[1], v)
			}
		}
	}
	if r[0] > r[1] {
		return [2]float64{0, 1}
	}
	return r
}
