package chart

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Describe says in one sentence what a chart shows, for readers who do not see it.
func (f Figure) Describe() string {
	var b strings.Builder
	b.WriteString(f.Title)
	if f.Subtitle != "" {
		b.WriteString(": " + f.Subtitle)
	}
	b.WriteString(".")
	if f.named() {
		return b.String() + " " + f.bestNames() + "."
	}
	for _, s := range f.Series {
		if len(s.Y) == 0 || s.Style == Faint {
			continue
		}
		if len(f.Bars) > 0 {
			var parts []string
			for i, y := range s.Y {
				if i < len(f.Bars) {
					parts = append(parts, f.Bars[i]+" "+f.axisOf(s).format(y))
				}
			}
			fmt.Fprintf(&b, " %s: %s.", s.Name, strings.Join(parts, ", "))
			continue
		}
		fmt.Fprintf(&b, " %s from %s to %s.", s.Name, f.axisOf(s).format(s.Y[0]), f.axisOf(s).format(s.Y[len(s.Y)-1]))
	}
	return b.String()
}

// Text is the figure for a terminal: the title, then a line for each series with
// its course in block characters and its first and last value.
func (f Figure) Text() string {
	var b strings.Builder
	b.WriteString(f.Title)
	if f.Subtitle != "" {
		b.WriteString(" · " + f.Subtitle)
	}
	b.WriteString("\n")
	if f.named() {
		b.WriteString("  " + f.bestNames() + "\n")
		return b.String()
	}
	width := 0
	for _, s := range f.Series {
		width = max(width, utf8.RuneCountInString(s.Name))
	}
	for _, c := range f.Bars {
		width = max(width, utf8.RuneCountInString(c))
	}
	for _, s := range f.Series {
		axis := f.axisOf(s)
		switch {
		case len(s.Y) == 0 || s.Style == Faint:
		case len(f.Bars) > 0:
			fmt.Fprintf(&b, "  %s\n", s.Name)
			top := 1.0
			if axis.Unit != Share {
				top = highest(f.Series)
			}
			for i, y := range s.Y {
				if i < len(f.Bars) {
					fmt.Fprintf(&b, "    %-*s %s %s\n", width, f.Bars[i], bar(y/top, 30), axis.format(y))
				}
			}
		default:
			fmt.Fprintf(&b, "  %-*s  %8s %s %s\n", width, s.Name,
				axis.format(s.Y[0]), spark(s.Y, 40), axis.format(s.Y[len(s.Y)-1]))
		}
	}
	return b.String()
}

// bestNames are the names of the points of the series "best", of which there is one.
func (f Figure) bestNames() string {
	for _, s := range f.Series {
		if s.Name == "best" && len(s.Names) > 0 {
			return "best: " + s.Names[0]
		}
	}
	return fmt.Sprintf("%d points", len(f.Series))
}

func highest(series []Series) float64 {
	top := 0.0
	for _, s := range series {
		for _, y := range s.Y {
			top = max(top, y)
		}
	}
	if top == 0 {
		return 1
	}
	return top
}

func (f Figure) axisOf(s Series) Axis {
	y := f.axes()
	if s.Right && len(y) > 1 {
		return y[1]
	}
	return y[0]
}

// format writes a value of the axis.
func (a Axis) format(v float64) string {
	switch {
	case a.Unit == Share:
		return fmt.Sprintf("%.1f %%", 100*v)
	case v != 0 && math.Abs(v) < 1e-2:
		return fmt.Sprintf("%.2e", v)
	}
	return digits(v)
}

// tick is format for the values at an axis, which are round.
func (a Axis) tick(v float64) string {
	switch {
	case a.Unit == Share:
		return fmt.Sprintf("%.0f %%", 100*v)
	case v != 0 && math.Abs(v) < 1e-2:
		return strings.Replace(fmt.Sprintf("%.3g", v), "e-0", "e-", 1)
	}
	return digits(v)
}

var blocks = []rune("▁▂▃▄▅▆▇█")

// spark draws values as a row of n block characters, lowest to highest.
func spark(y []float64, n int) string {
	at := make([]float64, len(y))
	for i := range at {
		at[i] = float64(i)
	}
	_, y = thin(at, y, n)
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range y {
		if finite(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	out := make([]rune, 0, len(y))
	for _, v := range y {
		switch {
		case !finite(v):
			out = append(out, ' ')
		case high == low:
			out = append(out, blocks[3])
		default:
			out = append(out, blocks[int((v-low)/(high-low)*float64(len(blocks)-1)+.5)])
		}
	}
	return string(out)
}

// bar draws a share of width n in eighths of a character.
func bar(share float64, n int) string {
	eighths := int(math.Round(min(max(share, 0), 1) * float64(n*8)))
	s := strings.Repeat("█", eighths/8)
	if r := eighths % 8; r > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[r-1])
	}
	return s + strings.Repeat(" ", n-utf8.RuneCountInString(s))
}
