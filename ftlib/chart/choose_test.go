package chart

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Pairs that are right as often as their margins say are calibrated; margins that are three
// times as large claim too much, at the same accuracy.
func TestCalibration(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var honest, loud []float64
	for range 40000 {
		m := math.Abs(rng.NormFloat64())
		if rng.Float64() > 1/(1+math.Exp(-m)) {
			m = -m
		}
		honest, loud = append(honest, m), append(loud, 3*m)
	}
	a, b := Calibrate(honest, 10), Calibrate(loud, 10)
	if a.Error > 0.01 || b.Error < 0.1 || a.Accuracy != b.Accuracy || len(a.Bins) != 10 || a.Bins[9].Pairs != 4000 {
		t.Errorf("honest %+v, loud %+v", a, b)
	}
	for i, bin := range b.Bins[1:] {
		if bin.Accuracy > bin.Claimed {
			t.Errorf("bin %d: %+v", i+1, bin)
		}
	}
	f := Calibration(append(honest, math.NaN()))
	if len(f.Series) != 2 || !strings.Contains(f.Subtitle, "40000 pairs") {
		t.Errorf("%+v", f)
	}
	if c := Calibrate([]float64{0, 0}, 10); c.Accuracy != 0.5 || c.Error != 0 {
		t.Errorf("ties: %+v", c)
	}
	if c := Calibrate(nil, 10); c.Pairs != 0 || len(c.Bins) != 0 {
		t.Errorf("nothing: %+v", c)
	}
}

func TestBestOfFigure(t *testing.T) {
	f := BestOf([]int{1, 4}, Way{"prm min", []float64{0.3, 0.6}}, Way{"oracle", []float64{0.3, 0.8}})
	if len(f.Series) != 2 || f.Series[0].Help == "" || f.Series[1].Color >= 0 || f.Series[0].X[1] != 4 {
		t.Errorf("%+v", f)
	}
	if page, err := f.HTML(); err != nil || !strings.Contains(page, "weakest step") {
		t.Errorf("%v", err)
	}
}
