package chart

import (
	"fmt"
	"math"
	"slices"
)

// Way is a way to choose one of several answers.
type Way struct {
	Name     string
	Accuracy []float64 // for each number of answers
}

// wayHelp explains the ways that [BestOf] knows.
var wayHelp = map[string]string{
	"majority":     "The answer that most of N solutions come to: needs no model (self-consistency).",
	"oracle":       "At least one of N is right (pass@N): no way of choosing can do better.",
	"mean":         "No choice: a solution taken blindly.",
	"reward model": "The solution that an outcome reward model scores highest.",
	"prm min":      "The solution whose weakest step a process reward model scores highest.",
	"prm product":  "The solution whose steps are all right with the highest probability.",
	"prm last":     "The solution whose last step scores highest.",
	"prm mean":     "The solution with the highest mean score of its steps.",
}

// BestOf compares ways to choose one of n answers by how often the chosen one is right.
// Between "mean" and "oracle" lies all that choosing can bring.
func BestOf(n []int, ways ...Way) Figure {
	f := Figure{Title: "Best of N", Subtitle: "how often the chosen solution is right; a judge is worth what it gains over the majority",
		X: Axis{Name: "solutions to choose from", Whole: true}, Y: []Axis{{Name: "right", Unit: Share, Zero: true}}}
	color := 0
	for _, w := range ways {
		s := Series{ID: w.Name, Name: w.Name, Help: wayHelp[w.Name], Style: Marked, Color: color}
		if w.Name == "oracle" || w.Name == "mean" {
			s.Style, s.Color = Dashed, -1
		} else {
			color++
		}
		for i, v := range w.Accuracy {
			s.X, s.Y = append(s.X, float64(n[i])), append(s.Y, round(v))
		}
		f.Series = append(f.Series, s)
	}
	return f
}

// Calibrated is what margins of a reward model are worth.
type Calibrated struct {
	Pairs    int     `json:"pairs"`
	Accuracy float64 `json:"accuracy"` // share of pairs with a margin above 0
	Error    float64 `json:"calibration_error"`
	Bins     []Bin   `json:"bins"`
}

// Bin are pairs of about one margin.
type Bin struct {
	Margin   float64 `json:"margin"`   // mean size
	Claimed  float64 `json:"claimed"`  // mean probability of being right that the margins stand for
	Accuracy float64 `json:"accuracy"` // share that is right
	Pairs    int     `json:"pairs"`
}

// Calibrate sorts pairs by the size of their margin (score of the chosen minus that of the
// rejected answer) into bins of equal numbers and compares, in each, how often the model is
// right with how often it claims to be: by Bradley and Terry a margin m stands for the
// probability 1/(1+e^-|m|). Error is the expected calibration error (Naeini et al. 2015).
func Calibrate(margins []float64, bins int) Calibrated {
	sorted := slices.DeleteFunc(slices.Clone(margins), func(v float64) bool { return !finite(v) })
	slices.SortStableFunc(sorted, func(a, b float64) int {
		switch x, y := math.Abs(a), math.Abs(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	n := len(sorted)
	c := Calibrated{Pairs: n}
	bins = max(1, min(bins, n))
	for i := range bins {
		part := sorted[i*n/bins : (i+1)*n/bins]
		if len(part) == 0 {
			continue
		}
		b := Bin{Pairs: len(part)}
		size := float64(len(part))
		for _, m := range part {
			b.Margin += math.Abs(m) / size
			b.Claimed += 1 / (1 + math.Exp(-math.Abs(m))) / size
			switch { // a tie is a guess
			case m > 0:
				b.Accuracy += 1 / size
			case m == 0:
				b.Accuracy += 0.5 / size
			}
		}
		c.Accuracy += b.Accuracy * size / float64(n)
		c.Error += math.Abs(b.Accuracy-b.Claimed) * size / float64(n)
		c.Bins = append(c.Bins, b)
	}
	return c
}

// Calibration draws [Calibrate] with ten bins: how often a reward model is right over how
// sure it is. Points below the diagonal claim too much.
func Calibration(margins []float64) Figure {
	c := Calibrate(margins, 10)
	f := Figure{Title: "Calibration of the reward model",
		Subtitle: fmt.Sprintf("%d pairs, %.1f %% right, calibration error %.3f; points below the diagonal are too sure of themselves", c.Pairs, 100*c.Accuracy, c.Error),
		X:        Axis{Name: "claimed: 1/(1+e^-margin)", Unit: Share, To: 1}, Y: []Axis{{Name: "right", Unit: Share, Zero: true}}}
	s := Series{ID: "right", Name: "right", Help: "Share of pairs whose chosen answer scores higher, over the probability that their margins stand for.", Style: Marked}
	for _, b := range c.Bins {
		s.X, s.Y = append(s.X, round(b.Claimed)), append(s.Y, round(b.Accuracy))
	}
	ideal := Series{ID: "ideal", Name: "as claimed", Help: "Where every point would lie if a margin meant what it says.", X: []float64{0.5, 1}, Y: []float64{0.5, 1}, Style: Dashed, Color: -1}
	f.Series = []Series{s, ideal}
	return f
}
