package lens

import (
	"fmt"
	"math"

	"ftlab/ftlib/chart"
)

// ErrorFigure draws the relative error of each format, layer by layer, mean over the
// modules.
func ErrorFigure(r *QuantReport) chart.Figure {
	f := chart.Figure{Title: "Error of quantised weights", Subtitle: "RMS error over RMS of the weights, mean over the modules of a layer",
		X: chart.Axis{Name: "layer", Whole: true}, Y: []chart.Axis{{Name: "relative error", Unit: chart.Share, Log: true}}}
	for n, t := range r.Totals {
		sum, count, last := map[int]float64{}, map[int]float64{}, -1
		for _, e := range r.Errors {
			if e.Format == t.Format {
				sum[e.Layer] += e.Relative
				count[e.Layer]++
				last = max(last, e.Layer)
			}
		}
		s := chart.Series{ID: t.Format, Name: t.Format, Color: n, Style: chart.Marked,
			Help: fmt.Sprintf("%.3f bits a weight; %.3g of the weights' RMS is lost over all layers", t.Bits, t.Relative)}
		for layer := range last + 1 {
			if count[layer] > 0 {
				s.X, s.Y = append(s.X, float64(layer)), append(s.Y, sum[layer]/count[layer])
			}
		}
		f.Series = append(f.Series, s)
	}
	return f
}

// DriftFigure draws the mean KL divergence of each format as bars.
func DriftFigure(drifts []Drift) chart.Figure {
	var names []string
	var kl, disagree []float64
	for _, d := range drifts {
		names, kl, disagree = append(names, d.Name), append(kl, d.KL), append(disagree, 1-d.Agree)
	}
	return chart.Bars("Drift of what the model says", chart.Axis{Name: "KL divergence", Unit: chart.Nats, Zero: true}, names,
		chart.Group{Name: "mean KL divergence from the model in full", Values: kl}, chart.Group{Name: "share of positions with another first token", Values: disagree})
}

// SpectrumFigure draws singular values over their largest, a line a weight.
func SpectrumFigure(title string, spectra ...Spectrum) chart.Figure {
	f := chart.Figure{Title: title, Subtitle: "singular values over the largest: a line that falls soon needs a small rank",
		X: chart.Axis{Name: "direction", Whole: true}, Y: []chart.Axis{{Name: "s / s₁", Log: true}}}
	for n, s := range spectra {
		line := chart.Series{ID: s.Weight, Name: s.Weight, Color: n, Help: fmt.Sprintf("effective rank %.1f; rank %d keeps 90 %%", s.EffectiveRank, s.Rank90)}
		for k, v := range s.S {
			if s.S[0] > 0 && v > 1e-12*s.S[0] {
				line.X, line.Y = append(line.X, float64(k+1)), append(line.Y, v/s.S[0])
			}
		}
		f.Series = append(f.Series, line)
	}
	return f
}

// KeptFigure draws what each rank keeps.
func KeptFigure(rows []KeptRow) chart.Figure {
	f := chart.Figure{Title: "What a rank keeps", Subtitle: "share of the squared norm of the updates",
		X: chart.Axis{Name: "log₂ r"}, Y: []chart.Axis{{Name: "kept", Unit: chart.Share, Zero: true}}}
	mean := chart.Series{ID: "mean", Name: "mean over the weights", Style: chart.Marked}
	least := chart.Series{ID: "least", Name: "weight that loses most", Style: chart.Dashed, Color: 1}
	for _, r := range rows {
		x := math.Log2(float64(r.R))
		mean.X, mean.Y = append(mean.X, x), append(mean.Y, r.Mean)
		least.X, least.Y = append(least.X, x), append(least.Y, r.Least)
	}
	f.Series = []chart.Series{mean, least}
	return f
}

// TurnFigure draws magnitude against direction, a point a weight, a group of each name: as
// figure 2 of DoRA's paper. The lines join the points in order of direction.
func TurnFigure(groups map[string][]Turn) chart.Figure {
	f := chart.Figure{Title: "Magnitude and direction", Subtitle: "each point is a weight: how far training moved its rows' lengths and directions",
		X: chart.Axis{Name: "ΔD"}, Y: []chart.Axis{{Name: "ΔM"}}}
	for n, name := range sortedKeys(groups) {
		s := chart.Series{ID: name, Name: name, Color: n, Style: chart.Marked, Help: fmt.Sprintf("correlation %.2f", Correlation(groups[name]))}
		for _, t := range byDirection(groups[name]) {
			s.X, s.Y = append(s.X, t.Direction), append(s.Y, t.Magnitude)
		}
		f.Series = append(f.Series, s)
	}
	return f
}

// ScalingFigure draws what a step moves the output by, over the rank.
func ScalingFigure(rows []ScalingRow) chart.Figure {
	f := chart.Figure{Title: "Scale and rank", Subtitle: "what one step moves the output by",
		X: chart.Axis{Name: "log₂ r"}, Y: []chart.Axis{{Name: "RMS", Log: true}}}
	lora := chart.Series{ID: "lora", Name: "lora_alpha/r", Style: chart.Marked}
	rs := chart.Series{ID: "rslora", Name: "lora_alpha/√r (rsLoRA)", Style: chart.Marked, Color: 1}
	for _, r := range rows {
		x := math.Log2(float64(r.R))
		lora.X, lora.Y = append(lora.X, x), append(lora.Y, r.StepLoRA)
		rs.X, rs.Y = append(rs.X, x), append(rs.Y, r.StepRSLoRA)
	}
	f.Series = []chart.Series{lora, rs}
	return f
}
