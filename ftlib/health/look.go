package health

import (
	"fmt"
	"math"

	"ftlab/ftlib"
)

// State says how a metric stands.
type State string

// The states, from good to bad.
const (
	Unknown State = ""      // it is not reported, or not for long enough
	Healthy State = "good"  // in the healthy range
	Suspect State = "watch" // outside of it
	Wrong   State = "bad"   // far outside of it
)

// Finding is what a rule says about a run.
type Finding struct {
	Rule  Rule
	Name  string // under which the metric is reported
	Value float64
	State State
	Words string // what it means and what to do; "" when it is healthy or not known
}

// Look judges a run by its history: the events in order, steps that count only.
// Rules for other methods are left out; those whose metric is not reported are left
// out as well.
func (r Rules) Look(run ftlib.Run, events []ftlib.Event) []Finding {
	var out []Finding
	for _, rule := range r.Rules {
		if !rule.suits(run) {
			continue
		}
		over := rule.Over
		if over == 0 {
			over = 20
		}
		for _, name := range append([]string{rule.Metric}, rule.Also...) {
			values, step := last(events, name, 2*over)
			if len(values) == 0 {
				continue
			}
			f := Finding{Rule: rule, Name: name}
			var known bool
			f.Value, known = rule.value(values, over)
			if known && step >= rule.After {
				f.judge()
			}
			out = append(out, f)
			break
		}
	}
	return out
}

// value is what the rule looks at, of the last values.
func (r Rule) value(values []float64, over int) (v float64, known bool) {
	recent := values[max(0, len(values)-over):]
	switch r.Look {
	case Last:
		return recent[len(recent)-1], true
	case Zeros:
		n := 0
		for _, v := range recent {
			if v == 0 {
				n++
			}
		}
		return float64(n) / float64(len(recent)), len(recent) >= min(over, 5)
	case Growth:
		before := mean(values[:len(values)-len(recent)])
		return mean(recent) / before, len(values) == 2*over && before != 0
	default:
		return mean(recent), true
	}
}

func (f *Finding) judge() {
	side := f.Rule.Healthy.side(f.Value)
	switch {
	case math.IsNaN(f.Value):
		return
	case side == 0:
		f.State = Healthy
		return
	case f.Rule.Wrong.side(f.Value) != 0:
		f.State = Wrong
	default:
		f.State = Suspect
	}
	if f.Words = f.Rule.High; side < 0 {
		f.Words = f.Rule.Low
	}
}

// Shown is the value for people.
func (f Finding) Shown() string {
	if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
		return "–"
	}
	switch f.Rule.Look {
	case Zeros:
		return fmt.Sprintf("zero in %.0f %% of steps", 100*f.Value)
	case Growth:
		return fmt.Sprintf("× %.2f", f.Value)
	}
	return fmt.Sprintf("%.4g", f.Value)
}

// Range is the healthy range for people.
func (f Finding) Range() string {
	switch f.Rule.Look {
	case Zeros:
		return fmt.Sprintf("zero in at most %.0f %%", 100**f.Rule.Healthy.Max)
	case Growth:
		return "× " + f.Rule.Healthy.String()
	}
	return f.Rule.Healthy.String()
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// last are the last n values of a metric, in order, and the step of the newest.
func last(events []ftlib.Event, name string, n int) (values []float64, step int) {
	if name == "eval_gap" {
		return gap(events)
	}
	for i := len(events) - 1; i >= 0 && len(values) < n; i-- {
		v, ok := value(events[i], name)
		if !ok {
			continue
		}
		if len(values) == 0 {
			step = events[i].Step
		}
		values = append(values, v)
	}
	for i, j := 0, len(values)-1; i < j; i, j = i+1, j-1 {
		values[i], values[j] = values[j], values[i]
	}
	return values, step
}

// value is a number of an event by its name.
func value(e ftlib.Event, name string) (float64, bool) {
	if v, ok := e.Metrics[name]; ok {
		return v, true
	}
	if e.Type != ftlib.EventStep {
		return 0, false
	}
	switch name {
	case "loss":
		if e.Loss != nil {
			return *e.Loss, true
		}
	case "grad_norm":
		return e.GradNorm, true
	case "learning_rate":
		return e.LR, true
	case "tokens_per_second":
		return e.TokensPerSecond, e.TokensPerSecond > 0
	}
	return 0, false
}

// gap is the last validation loss minus the mean training loss of the steps between
// the validation before it and it.
func gap(events []ftlib.Event) (values []float64, step int) {
	var eval *float64
	sum, n := 0.0, 0
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if v, ok := e.Metrics["eval_loss"]; ok && e.Type == ftlib.EventEval {
			if eval != nil {
				break
			}
			eval, step = &v, e.Step
		}
		if eval != nil && e.Type == ftlib.EventStep && e.Loss != nil {
			sum, n = sum+*e.Loss, n+1
		}
	}
	if eval == nil || n == 0 {
		return nil, 0
	}
	return []float64{*eval - sum/float64(n)}, step
}
