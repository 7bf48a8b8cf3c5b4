package sweep

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"ftlab/ftlib"
)

// maxTrials is more than anybody trains by hand; a grid beyond it is a slip.
const maxTrials = 10_000

// Trial is one run of a sweep.
type Trial struct {
	Name   string      // "001": its directory below the sweep's
	Values [][2]string // key and value of each axis, in the order of Spec.Over
	Run    ftlib.Run   // with Name and Out set
}

// Words are the values in short: "learning_rate=0.0003 r=8".
func (t Trial) Words() string {
	var out []string
	for _, v := range t.Values {
		out = append(out, v[0][strings.LastIndex(v[0], ".")+1:]+"="+v[1])
	}
	return strings.Join(out, " ")
}

// Dir is the directory of the sweep.
func (s Spec) Dir() string { s = s.Resolve(); return filepath.Join(s.Out, s.Name) }

// List is all trials, a function of the specification alone.
func (s Spec) List() ([]Trial, error) {
	s = s.Resolve()
	var combinations [][]string
	if s.grid() {
		combinations = [][]string{nil}
		for _, a := range s.Over {
			var next [][]string
			for _, c := range combinations {
				for _, v := range a.values() {
					next = append(next, append(c[:len(c):len(c)], v))
				}
			}
			if combinations = next; len(next) > maxTrials {
				return nil, fmt.Errorf("sweep: the grid has more than %d combinations; search: random draws some of them", maxTrials)
			}
		}
	} else {
		combinations = s.draw()
	}
	trials := make([]Trial, 0, len(combinations))
	for i, c := range combinations {
		t := Trial{Name: fmt.Sprintf("%03d", i+1), Run: s.Run.Clone()}
		for j, a := range s.Over {
			if err := t.Run.Set(a.Key + "=" + c[j]); err != nil {
				return nil, fmt.Errorf("sweep: over: %w", err)
			}
			t.Values = append(t.Values, [2]string{a.Key, c[j]})
		}
		t.Run.Out, t.Run.Name = s.Dir(), t.Name
		if s.Search == Halving && s.Metric != "loss" {
			t.Run.Eval.Every = s.evalEvery(t.Run.Eval.Every)
		}
		trials = append(trials, t)
	}
	return trials, nil
}

// evalEvery is how often a trial of a halving validates: as the run says where that meets
// the end of every round, else once a round.
func (s Spec) evalEvery(asked int) int {
	if asked > 0 && s.MinSteps%asked == 0 {
		return asked
	}
	return s.MinSteps
}

// draw makes Trials combinations at random, each once. Lists that are exhausted end it.
func (s Spec) draw() [][]string {
	seen := map[string]bool{}
	var out [][]string
	for i := 0; len(out) < s.Trials && i < 100*s.Trials; i++ {
		r := rand.New(rand.NewPCG(uint64(s.Seed), uint64(i))) // of its own: more trials keep the first ones
		var c []string
		for _, a := range s.Over {
			if len(a.Values) > 0 {
				c = append(c, a.Values[r.IntN(len(a.Values))])
			} else {
				c = append(c, a.at(r.Float64()))
			}
		}
		if key := strings.Join(c, "\x00"); !seen[key] {
			seen[key] = true
			out = append(out, c)
		}
	}
	return out
}

// values are those of a grid.
func (a Axis) values() []string {
	if len(a.Values) > 0 {
		return a.Values
	}
	var out []string
	for i := range a.Steps {
		v := a.at(float64(i) / float64(a.Steps-1))
		if len(out) == 0 || out[len(out)-1] != v { // whole numbers may meet
			out = append(out, v)
		}
	}
	return out
}

// at is the value at a part of a range, 0 to 1, with four significant digits.
func (a Axis) at(part float64) string {
	v := a.Min + part*(a.Max-a.Min)
	if a.Log {
		v = math.Exp(math.Log(a.Min) + part*(math.Log(a.Max)-math.Log(a.Min)))
	}
	if a.Whole {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		short = v
	}
	return strconv.FormatFloat(short, 'g', -1, 64)
}

// Rounds are the steps after which a halving compares, the last one the whole run; nil for
// other searches.
func (s Spec) Rounds() []int {
	s = s.Resolve()
	if s.Search != Halving {
		return nil
	}
	var out []int
	for n := s.MinSteps; n < s.Run.Batch.MaxSteps; n *= s.Factor {
		out = append(out, n)
	}
	return append(out, s.Run.Batch.MaxSteps)
}
