package loss

import (
	"fmt"
	"math"
	"slices"
)

// Tokens are values of tokens, sequence by sequence: [rows][positions]. Rows may differ
// in length.
type Tokens = [][]float64

// Result is a loss over a batch.
type Result struct {
	Sum     float64            // over units
	Units   float64            // pairs, sequences or tokens; see the method
	Slope   Tokens             // d Sum / d log-probability, by token
	Entropy Tokens             // d Sum / d entropy, by token; nil: none
	Metrics map[string]float64 // means over the batch, under TRL's names
}

// Mean is the loss as the field reports it.
func (r Result) Mean() float64 {
	if r.Units == 0 {
		return 0
	}
	return r.Sum / r.Units
}

// zeros is a matrix of the shape of t.
func zeros(t Tokens) Tokens {
	out := make(Tokens, len(t))
	for i := range t {
		out[i] = make([]float64, len(t[i]))
	}
	return out
}

// sameShape reports the first row of which the lengths differ.
func sameShape(what string, a, b Tokens) error {
	if len(a) != len(b) {
		return fmt.Errorf("loss: %s has %d rows where %d are expected", what, len(b), len(a))
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return fmt.Errorf("loss: %s has %d positions in row %d where %d are expected", what, len(b[i]), i, len(a[i]))
		}
	}
	return nil
}

// masked is Σ values·mask.
func masked(values, mask []float64) float64 {
	sum := 0.0
	for t, m := range mask {
		if m != 0 {
			sum += m * values[t]
		}
	}
	return sum
}

func total(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}

func mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return total(values) / float64(len(values))
}

// sigmoid is 1/(1+e^-x) without overflow.
func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// logSigmoid is log(sigmoid(x)) without overflow.
func logSigmoid(x float64) float64 {
	return min(x, 0) - math.Log1p(math.Exp(-math.Abs(x)))
}

func share(of, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(of) / float64(all)
}

// oneOf is the error for a name that is not among those that exist.
func oneOf(what, name string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	return fmt.Errorf("loss: %s %q is unknown; it is one of %v", what, name, names)
}

// order are the indices of values, ascending; equal values keep their order.
func order(values []float64) []int {
	at := make([]int, len(values))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	return at
}
