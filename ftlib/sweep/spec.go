package sweep

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"ftlab/ftlib"
)

// The ways to search.
const (
	Grid    = "grid"    // every combination of the values
	Random  = "random"  // Trials combinations drawn at random (Bergstra and Bengio 2012)
	Halving = "halving" // successive halving (Jamieson and Talwalkar 2016) over Trials random combinations, or over the grid
)

// Spec is a sweep. The zero value of every field means what its comment says.
type Spec struct {
	Name     string    // directory below Out; zero: that of the file, else "sweep"
	Out      string    // where sweeps are kept; zero: "sweeps"
	Run      ftlib.Run // what all trials share
	Over     []Axis    // the settings that are searched, in the order of the file
	Search   string    // zero: grid
	Trials   int       // of random, and of halving (zero there: the grid)
	Metric   string    // of validation, or "loss" for that of training; zero: "eval_loss"
	Goal     string    // "min" or "max"; zero: min for losses, perplexity, errors and KL, else max
	Factor   int       // halving: one in Factor goes on; zero: 3
	MinSteps int       // halving: steps of the first round; zero: so that about three rounds fit
	Parallel int       // trials that are in memory at once and take their steps in turn; zero: 1
	Seed     int64     // of the draws; zero: 42
}

// Axis is one setting that is searched: values, or a range.
type Axis struct {
	Key    string   // a path as [ftlib.Keys] lists it: "optim.learning_rate"
	Values []string // as YAML
	Min    float64
	Max    float64
	Log    bool // drawn evenly in the logarithm
	Whole  bool // whole numbers only
	Steps  int  // of a range in a grid: how many values, ends included
}

// keys of a sweep file, for messages.
const keyNames = "name, output_dir, run, over, search, trials, metric, goal, factor, min_steps, parallel, seed"

// ReadFile reads a sweep from a YAML file. A run that it names is looked for beside it.
func ReadFile(path string) (Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	s, err := Decode(data, filepath.Base(path), filepath.Dir(path))
	if err != nil {
		return s, err
	}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return s, s.Validate()
}

// Decode reads a sweep. The name stands in messages; run files are looked for in dir.
func Decode(data []byte, name, dir string) (Spec, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Spec{}, fmt.Errorf("sweep: %s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	d := decoder{name: name, dir: dir}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return Spec{}, fmt.Errorf("sweep: %s: a sweep has the keys %s", name, keyNames)
	}
	d.spec(doc.Content[0])
	return d.s, errors.Join(d.errs...)
}

type decoder struct {
	name, dir string
	s         Spec
	errs      []error
}

func (d *decoder) errorf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("sweep: %s line %d: %s", d.name, n.Line, fmt.Sprintf(format, args...)))
}

// scalar decodes n into v, which is a pointer to a word, a number or a truth value.
func (d *decoder) scalar(key string, n *yaml.Node, v any, what string) {
	if n.Kind != yaml.ScalarNode || n.Decode(v) != nil {
		d.errorf(n, "%s: %s is expected", key, what)
	}
}

func (d *decoder) spec(n *yaml.Node) {
	s, seen := &d.s, map[string]bool{}
	const whole = "a whole number"
	scalars := map[string]struct {
		into any
		what string
	}{
		"name": {&s.Name, "a name"}, "output_dir": {&s.Out, "a directory"}, "search": {&s.Search, "grid, random or halving"},
		"metric": {&s.Metric, "the name of a metric"}, "goal": {&s.Goal, "min or max"}, "trials": {&s.Trials, whole}, "factor": {&s.Factor, whole},
		"min_steps": {&s.MinSteps, whole}, "parallel": {&s.Parallel, whole}, "seed": {&s.Seed, whole},
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			d.errorf(key, "%s: given twice", key.Value)
			continue
		}
		seen[key.Value] = true
		switch f, ok := scalars[key.Value]; {
		case key.Value == "run":
			d.run(v)
		case key.Value == "over":
			d.over(v)
		case ok:
			d.scalar(key.Value, v, f.into, f.what)
		default:
			d.errorf(key, "unknown key %q; a sweep has %s (settings of the run stand below run)", key.Value, keyNames)
		}
	}
	if !seen["run"] {
		d.errorf(n, "run is missing: a run file, or the keys of a run")
	}
	if !seen["over"] {
		d.errorf(n, "over is missing: the settings that are searched, for example optim.learning_rate: [1e-4, 3e-4]")
	}
}

// run is a file name or the keys themselves.
func (d *decoder) run(n *yaml.Node) {
	var err error
	switch n.Kind {
	case yaml.ScalarNode:
		path := n.Value
		if !filepath.IsAbs(path) {
			path = filepath.Join(d.dir, path)
		}
		d.s.Run, err = ftlib.ReadFile(path)
	default:
		var data []byte
		if data, err = yaml.Marshal(n); err == nil {
			d.s.Run, err = ftlib.Decode(data, d.name+" run")
		}
	}
	if err != nil {
		d.errs = append(d.errs, err)
	}
}

func (d *decoder) over(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "over: \"setting: values\" pairs are expected, for example lora.r: [4, 8, 16]")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		a := Axis{Key: key.Value}
		switch v.Kind {
		case yaml.SequenceNode:
			for _, item := range v.Content {
				a.Values = append(a.Values, flow(item))
			}
			if len(a.Values) == 0 {
				d.errorf(v, "over.%s: no values", a.Key)
			}
		case yaml.MappingNode:
			d.ranged(&a, v)
		default:
			d.errorf(v, "over.%s: a list of values or a range {min: ..., max: ..., scale: log} is expected", a.Key)
		}
		if slices.ContainsFunc(d.s.Over, func(o Axis) bool { return o.Key == a.Key }) {
			d.errorf(key, "over.%s: given twice", a.Key)
			continue
		}
		d.s.Over = append(d.s.Over, a)
	}
}

func (d *decoder) ranged(a *Axis, n *yaml.Node) {
	a.Min, a.Max = math.NaN(), math.NaN()
	scale := "linear"
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		at := "over." + a.Key + "." + key.Value
		switch key.Value {
		case "min":
			d.scalar(at, v, &a.Min, "a number")
		case "max":
			d.scalar(at, v, &a.Max, "a number")
		case "scale":
			if d.scalar(at, v, &scale, "linear or log"); scale != "linear" && scale != "log" {
				d.errorf(v, "%s: %q is neither linear nor log", at, scale)
			}
		case "whole":
			d.scalar(at, v, &a.Whole, "true or false")
		case "steps":
			d.scalar(at, v, &a.Steps, "a whole number")
		default:
			d.errorf(key, "%s: unknown key; a range has min, max, scale, whole, steps", at)
		}
	}
	a.Log = scale == "log"
}

// flow writes a value on one line, as --set reads it.
func flow(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	c := *n
	c.Style = yaml.FlowStyle
	data, err := yaml.Marshal(&c)
	if err != nil {
		return n.Value
	}
	return strings.TrimSpace(string(data))
}
