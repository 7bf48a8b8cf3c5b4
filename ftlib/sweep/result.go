package sweep

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// Outcome is what came of one trial so far.
type Outcome struct {
	Trial
	Status  string   // of its run ([ckpt.Finished], ...), "" when it has not begun, "out" when a halving left it behind
	Message string   // why it failed
	Step    int      // taken
	Value   *float64 // of the metric where the trial stands; nil: not measured
	Seconds float64
	Events  []ftlib.Event
}

// Out is the status of a trial that a halving left behind.
const Out = "out"

// Results are the outcomes of all trials of a sweep, read from their runs, best first: by
// the steps that a halving let them take, then by the metric. Trials without a value are
// last. What does not read is reported beside what does.
func (s Spec) Results() ([]Outcome, error) {
	s = s.Resolve()
	trials, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []Outcome
	var errs []error
	for _, t := range trials {
		o := Outcome{Trial: t}
		if ckpt.Known(t.Run.Dir()) {
			in, err := ckpt.Read(t.Run.Dir())
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			o.Status, o.Message, o.Step, o.Seconds, o.Events = in.Status, in.Message, in.Step, in.Seconds, in.Events
			o.Value = s.Value(o.Events, math.MaxInt)
		}
		out = append(out, o)
	}
	s.rank(out)
	if rounds := s.Rounds(); len(rounds) > 1 {
		going := map[string]bool{}
		alive := trials
		for i, steps := range rounds {
			for _, t := range alive {
				going[t.Name] = true
			}
			if i == len(rounds)-1 || !s.reached(alive, out, steps) {
				break
			}
			clear(going)
			alive = s.Promote(alive, out, steps)
		}
		for i := range out {
			if o := &out[i]; o.Status == ckpt.Interrupted && !going[o.Name] {
				o.Status = Out
			}
		}
	}
	return out, errors.Join(errs...)
}

// reached reports whether all of these trials have come to the end of a round.
func (s Spec) reached(alive []Trial, outcomes []Outcome, steps int) bool {
	return !slices.ContainsFunc(outcomes, func(o Outcome) bool {
		return o.Status != ckpt.Failed && o.Status != ckpt.Finished && o.Step < steps && among(alive, o)
	})
}

// Promote are the trials of a round that a halving lets go on after it: one in Factor, the
// best, at least one. Values are those after the steps of the round, also when a sweep goes
// on and some have come further; equal ones keep the order of alive. Trials without a value
// never go on.
func (s Spec) Promote(alive []Trial, outcomes []Outcome, steps int) []Trial {
	s = s.Resolve()
	values := map[string]*float64{}
	for _, o := range outcomes {
		values[o.Name] = s.Value(o.Events, steps)
	}
	best := slices.Clone(alive)
	slices.SortStableFunc(best, func(a, b Trial) int { return s.compare(values[a.Name], values[b.Name]) })
	best = best[:max(1, (len(best)+s.Factor-1)/s.Factor)]
	return slices.DeleteFunc(best, func(t Trial) bool { return values[t.Name] == nil })
}

// among reports whether an outcome is that of one of the trials.
func among(trials []Trial, o Outcome) bool {
	return slices.ContainsFunc(trials, func(t Trial) bool { return t.Name == o.Name })
}

// rank sorts outcomes, the best first.
func (s Spec) rank(out []Outcome) {
	slices.SortStableFunc(out, func(a, b Outcome) int {
		if s.Search == Halving {
			if c := cmp.Compare(b.Step, a.Step); c != 0 {
				return c
			}
		}
		return s.compare(a.Value, b.Value)
	})
}

// compare orders values, the better first, nil last.
func (s Spec) compare(a, b *float64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	case s.Goal == "max":
		return cmp.Compare(*b, *a)
	}
	return cmp.Compare(*a, *b)
}

// Value is the metric of a run where it stood after the step given: that of its last
// validation until then, or of its last step for "loss". nil: not measured, or not a number.
func (s Spec) Value(events []ftlib.Event, step int) *float64 {
	metric := s.Resolve().Metric
	var last *float64
	for _, e := range events {
		if e.Step > step {
			break
		}
		if metric == "loss" {
			if e.Type == ftlib.EventStep {
				last = e.Loss
			}
			continue
		}
		if v, ok := e.Metrics[metric]; ok && (e.Type == ftlib.EventEval || !strings.HasPrefix(metric, "eval_")) {
			last = &v
		}
	}
	if last == nil || math.IsNaN(*last) || math.IsInf(*last, 0) {
		return nil
	}
	return last
}

// file is what a sweep leaves in its directory.
const file = "sweep.yaml"

// stored is a sweep as its directory keeps it.
type stored struct {
	Run      ftlib.Run `yaml:"run"`
	Over     yaml.Node `yaml:"over"`
	Search   string    `yaml:"search"`
	Trials   int       `yaml:"trials,omitempty"`
	Metric   string    `yaml:"metric"`
	Goal     string    `yaml:"goal"`
	Factor   int       `yaml:"factor"`
	MinSteps int       `yaml:"min_steps,omitempty"`
	Seed     int64     `yaml:"seed"`
}

// Encode writes the sweep as YAML, which [Decode] reads back equal. Name, Out and Parallel
// are left out: they change no result.
func (s Spec) Encode() ([]byte, error) {
	s = s.Resolve()
	over := yaml.Node{Kind: yaml.MappingNode}
	for _, a := range s.Over {
		var v yaml.Node
		text := "[" + strings.Join(a.Values, ", ") + "]"
		if len(a.Values) == 0 {
			scale := "linear"
			if a.Log {
				scale = "log"
			}
			text = fmt.Sprintf("{min: %g, max: %g, scale: %s, whole: %t, steps: %d}", a.Min, a.Max, scale, a.Whole, a.Steps)
		}
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("sweep: over.%s: %w", a.Key, err)
		}
		over.Content = append(over.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: a.Key}, v.Content[0])
	}
	data, err := yaml.Marshal(stored{Run: s.Run, Over: over, Search: s.Search, Trials: s.Trials, Metric: s.Metric, Goal: s.Goal, Factor: s.Factor, MinSteps: s.MinSteps, Seed: s.Seed})
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return data, nil
}

// Begin makes the directory of the sweep, or finds it there. Another sweep's directory is
// refused, so that results never mix.
func (s Spec) Begin() error {
	data, err := s.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dir(), file)
	before, err := os.ReadFile(path)
	switch {
	case err == nil && string(before) == string(data):
		return nil
	case err == nil:
		return fmt.Errorf("sweep: %s holds another sweep; give this one a name of its own (name: ..., or --name)", s.Dir())
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sweep: %w", err)
	}
	if err := os.MkdirAll(s.Dir(), 0o755); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return write(path, data)
}

// Open reads the sweep that a directory holds.
func Open(dir string) (Spec, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, fmt.Errorf("sweep: %s is no sweep: it has no %s", dir, file)
	}
	if err != nil {
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	s, err := Decode(data, file, dir)
	s.Out, s.Name = filepath.Dir(filepath.Clean(dir)), filepath.Base(filepath.Clean(dir))
	return s, err
}

// WriteBest writes the run of the best trial as best.yaml into the sweep's directory, ready
// for ft train, and returns its path. A sweep without any value has none.
func (s Spec) WriteBest(results []Outcome) (string, error) {
	s = s.Resolve()
	if len(results) == 0 || results[0].Value == nil {
		return "", fmt.Errorf("sweep: no trial of %s has a value of %s; ft runs list --dir %[1]s says how they ended", s.Dir(), s.Metric)
	}
	best := results[0]
	run := best.Run.Clone()
	run.Name, run.Out = "", s.Run.Out
	data, err := run.Encode()
	if err != nil {
		return "", err
	}
	head := fmt.Sprintf("# The best of a sweep: trial %s, %s, %s %.5g after %d steps.\n", best.Name, best.Words(), s.Metric, *best.Value, best.Step)
	path := filepath.Join(s.Dir(), "best.yaml")
	return path, write(path, append([]byte(head), data...))
}

func write(path string, data []byte) error {
	if err := ckpt.WriteFile(path, data); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
