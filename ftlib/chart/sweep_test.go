package chart

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// bowl is a search whose metric has its lowest value at a rate of 1e-3 and a rank of 16.
func bowl(n int) Search {
	s := Search{Metric: "eval_loss", Settings: []string{"optim.learning_rate", "lora.r"}}
	for i := range n {
		for j := range n {
			rate, rank := math.Pow(10, -5+4*float64(i)/float64(n-1)), math.Round(math.Pow(2, 1+6*float64(j)/float64(n-1)))
			v := 1 + sq(math.Log10(rate)+3)/4 + sq(math.Log2(rank)-4)/20
			s.Tried = append(s.Tried, Tried{Name: fmt.Sprintf("%03d", len(s.Tried)+1), Values: []string{digits(rate), digits(rank)}, Value: &v})
		}
	}
	return s
}

// The map colours the place of the lowest value as the best, and the farthest corner not.
func TestContour(t *testing.T) {
	for _, maximize := range []bool{false, true} {
		s := bowl(7)
		s.Maximize = maximize
		figures := s.Figures()
		if len(figures) != 4 {
			t.Fatalf("%d figures", len(figures))
		}
		levelAt := func(rate, rank float64) string {
			name, near := "", math.Inf(1)
			total := 0
			for _, l := range figures[1].Series {
				if l.Style != Tiles {
					continue
				}
				total += len(l.X)
				for i := range l.X {
					if d := sq(math.Log(l.X[i]/rate)) + sq(math.Log(l.Y[i]/rank)); d < near {
						name, near = l.Name, d
					}
				}
			}
			if total != tiles*tiles {
				t.Errorf("%d tiles", total)
			}
			return name
		}
		centre, corner := levelAt(1e-3, 16), levelAt(1e-5, 128)
		if maximize {
			centre, corner = corner, centre
		}
		if centre != "best fifth" || corner == "best fifth" || corner == "second" {
			t.Errorf("maximize %t: %q in the best place, %q in the worst corner", maximize, centre, corner)
		}
		if best := figures[1].Series[len(figures[1].Series)-1].Names[0]; !maximize && best != "025: learning_rate 0.001, r 16: eval_loss 1" {
			t.Errorf("best: %s", best)
		}
	}
}

func TestParallel(t *testing.T) {
	s := bowl(4)
	s.Settings = append(s.Settings, "method.dpo.loss_type")
	for i := range s.Tried {
		s.Tried[i].Values = append(s.Tried[i].Values, []string{"sigmoid", "ipo"}[i%2])
	}
	s.Tried[0].Value = nil // failed
	figures := s.Figures()
	if len(figures) != 1 {
		t.Fatalf("%d figures", len(figures))
	}
	f := figures[0]
	if len(f.Series) != 15 || f.X.Names[2] != "loss_type\nipo to sigmoid" || !strings.HasPrefix(f.X.Names[0], "learning_rate\n1e-05 to ") {
		t.Errorf("%d lines over %q", len(f.Series), f.X.Names)
	}
	best := f.Series[len(f.Series)-1]
	if best.Name != "best" || best.Y[3] != 0 || len(best.X) != 4 {
		t.Errorf("%+v", best)
	}
	legend := 0
	svg, err := f.SVG()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{">best<", ">best quarter<", ">others<"} {
		legend += strings.Count(string(svg), name)
	}
	if legend != 3 {
		t.Errorf("the legend has %d entries, want 3", legend)
	}
	if text := f.Text(); !strings.Contains(text, "best: ") || strings.Count(text, "\n") != 2 {
		t.Errorf("%s", text)
	}
}

// Anything that a search may hold is drawn: one trial, equal values, words, no value.
func TestOddSearches(t *testing.T) {
	one, nan := 1.0, math.NaN()
	for name, s := range map[string]Search{
		"nothing":   {Metric: "m", Settings: []string{"a"}},
		"no values": {Metric: "m", Settings: []string{"a"}, Tried: []Tried{{Values: []string{"1"}}, {Values: []string{"2"}, Value: &nan}}},
		"one":       {Metric: "m", Settings: []string{"a", "b"}, Tried: []Tried{{Values: []string{"1", "x"}, Value: &one}}},
		"equal":     {Metric: "m", Settings: []string{"a"}, Tried: []Tried{{Values: []string{"1"}, Value: &one}, {Values: []string{"1"}, Value: &one}}},
		"words":     {Metric: "m", Settings: []string{"a", "b"}, Tried: []Tried{{Values: []string{"x", "1e-5"}, Value: &one}, {Values: []string{"y", "0"}, Value: &one}}},
	} {
		figures := s.Figures()
		if wants := strings.HasPrefix(name, "no"); wants != (len(figures) == 0) {
			t.Errorf("%s: %d figures", name, len(figures))
		}
		for _, f := range figures {
			if _, err := f.HTML(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := f.PNG(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
