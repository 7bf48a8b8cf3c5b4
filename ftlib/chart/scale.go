package chart

import "math"

// scale maps values to pixels along one axis, with ticks at round numbers.
type scale struct {
	low, high float64 // values at the ends
	from, to  float64 // pixels at the ends
	ticks     []float64
	step      float64
	log       bool // low and high are decimal logarithms
}

func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log10(v)
	}
	if s.high == s.low {
		return (s.from + s.to) / 2
	}
	return s.from + (v-s.low)/(s.high-s.low)*(s.to-s.from)
}

// newScale covers low to high with about n ticks. A rounded scale ends on ticks, as
// a y axis should; an x axis ends with the data.
func newScale(low, high float64, n int, rounded, whole bool) scale {
	if low > high {
		low, high = 0, 1
	}
	if low == high {
		pad := math.Abs(low) * 0.1
		if pad == 0 {
			pad = 1
		}
		low, high = low-pad, high+pad
	}
	step := niceStep((high - low) / float64(n))
	if whole {
		step = max(math.Round(step), 1)
	}
	s := scale{low: low, high: high, step: step}
	if rounded {
		s.low, s.high = math.Floor(low/step+1e-9)*step, math.Ceil(high/step-1e-9)*step
	}
	for k := math.Ceil(s.low/step - 1e-9); k*step <= s.high+step*1e-9; k++ {
		s.ticks = append(s.ticks, round(k*step)+0) // + 0 makes a negative zero a plain one
	}
	return s
}

// newLogScale covers low to high, both positive, with a tick at every power of ten.
func newLogScale(low, high float64) scale {
	s := scale{low: math.Floor(math.Log10(low) + 1e-9), high: math.Ceil(math.Log10(high) - 1e-9), log: true}
	if s.low == s.high {
		s.high++
	}
	for k := s.low; k <= s.high; k++ {
		s.ticks = append(s.ticks, round(math.Pow(10, k)))
	}
	return s
}

// newTightLogScale covers low to high, both positive, and no more, with ticks at 1, 2 and 5.
func newTightLogScale(low, high float64) scale {
	if low == high {
		low, high = low/2, high*2
	}
	s := scale{low: math.Log10(low), high: math.Log10(high), log: true}
	for k := math.Floor(s.low); k <= s.high; k++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, k); v >= low*(1-1e-9) && v <= high*(1+1e-9) {
				s.ticks = append(s.ticks, round(v))
			}
		}
	}
	return s
}

// niceStep is the next of 1, 2, 2.5, 5 times a power of ten.
func niceStep(raw float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if raw <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}
