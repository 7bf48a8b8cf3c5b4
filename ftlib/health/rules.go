package health

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"ftlab/ftlib"
)

// Rules are what is looked at, in this order.
type Rules struct {
	Rules []Rule `yaml:"rules"`
}

// Rule is the healthy range of one metric and what to do outside of it.
type Rule struct {
	Metric  string   `yaml:"metric"`            // "loss", "eval_loss", "eval_gap", "grad_norm", "learning_rate", "tokens_per_second", or a name that the method reports
	Also    []string `yaml:"also,omitempty"`    // other names of it; the first that is reported counts
	Methods []string `yaml:"methods,omitempty"` // "sft", "dpo", ...; zero: all
	LoRA    *bool    `yaml:"lora,omitempty"`    // only runs with an adapter, or without; nil: both
	Look    Look     `yaml:"look,omitempty"`    // at what of it; zero: mean
	Over    int      `yaml:"over,omitempty"`    // steps that are looked at; zero: 20
	After   int      `yaml:"after,omitempty"`   // steps before it is judged; zero: at once
	Healthy Range    `yaml:"healthy,flow"`      // nothing to do
	Wrong   Range    `yaml:"wrong,omitempty"`   // beyond this it is wrong, not only worth a look; zero: never
	Meaning string   `yaml:"meaning"`           // what the number is
	Low     string   `yaml:"low,omitempty"`     // what it means and what to do below the range
	High    string   `yaml:"high,omitempty"`    // and above it
	Source  string   `yaml:"source"`            // who published it
}

// Look is what of a metric's last values is compared with the range.
type Look string

// What can be looked at.
const (
	Mean   Look = "mean"   // their mean
	Last   Look = "last"   // the last one
	Zeros  Look = "zeros"  // the share of them that is zero
	Growth Look = "growth" // their mean over that of as many before them: 3 is three times as much
)

// Range is a range of numbers; an end that is left out is open.
type Range struct {
	Min *float64 `yaml:"min,omitempty"`
	Max *float64 `yaml:"max,omitempty"`
}

// side is -1 below the range, 1 above it and 0 in it.
func (r Range) side(v float64) int {
	switch {
	case r.Min != nil && v < *r.Min:
		return -1
	case r.Max != nil && v > *r.Max:
		return 1
	}
	return 0
}

// String is the range for people: "0.1 to 10", "at most 0.8".
func (r Range) String() string {
	switch {
	case r.Min != nil && r.Max != nil:
		return ftlib.Short(*r.Min) + " to " + ftlib.Short(*r.Max)
	case r.Min != nil:
		return "at least " + ftlib.Short(*r.Min)
	case r.Max != nil:
		return "at most " + ftlib.Short(*r.Max)
	}
	return ""
}

//go:embed rules.yaml
var builtin []byte

// Builtin gives the rules that come with FTLab.
func Builtin() (Rules, error) { return Parse(builtin, "rules.yaml") }

// Source is the text of the rules that come with FTLab, to be copied and edited.
func Source() []byte { return slices.Clone(builtin) }

// ReadFile reads rules; an empty path gives those that come with FTLab.
func ReadFile(path string) (Rules, error) {
	if path == "" {
		return Builtin()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Rules{}, fmt.Errorf("health: %w", err)
	}
	return Parse(data, path)
}

// Parse reads rules from YAML. The name stands in errors, all of which are reported.
func Parse(data []byte, name string) (Rules, error) {
	var r Rules
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil && !errors.Is(err, io.EOF) {
		return r, fmt.Errorf("health: %s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var errs []error
	for i, rule := range r.Rules {
		if err := rule.check(); err != nil {
			errs = append(errs, fmt.Errorf("health: %s: rule %d (%s): %w", name, i+1, rule.Metric, err))
		}
	}
	return r, errors.Join(errs...)
}

func (r Rule) check() error {
	switch {
	case r.Metric == "":
		return errors.New("no metric")
	case !slices.Contains([]Look{"", Mean, Last, Zeros, Growth}, r.Look):
		return fmt.Errorf("look is %q; it is mean, last, zeros or growth", r.Look)
	case r.Healthy.Min == nil && r.Healthy.Max == nil:
		return errors.New("healthy has neither min nor max")
	case r.Healthy.Min != nil && r.Healthy.Max != nil && *r.Healthy.Min > *r.Healthy.Max:
		return errors.New("the healthy range ends before it begins")
	case r.Healthy.Min != nil && r.Low == "", r.Healthy.Max != nil && r.High == "":
		return errors.New("no words for what to do outside of the healthy range")
	case r.Over < 0 || r.After < 0:
		return errors.New("over and after are numbers of steps")
	}
	for _, m := range r.Methods {
		if !slices.Contains(methods, m) {
			return fmt.Errorf("method %q; the methods are %s", m, strings.Join(methods, ", "))
		}
	}
	return nil
}

var methods = []string{"sft", "reward", "dpo", "kto", "orpo", "cpo", "prm", "ppo", "grpo", "rloo", "star"}

// suits says whether the rule is for a run.
func (r Rule) suits(run ftlib.Run) bool {
	method := run.Method.Name()
	if method == "" {
		method = "sft"
	}
	if r.LoRA != nil && *r.LoRA != (run.LoRA != nil || run.Model.Adapter != "") {
		return false
	}
	return len(r.Methods) == 0 || slices.Contains(r.Methods, method)
}
