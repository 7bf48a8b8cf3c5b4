package sweep

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Resolve writes the defaults in.
func (s Spec) Resolve() Spec {
	def(&s.Name, "sweep")
	def(&s.Out, "sweeps")
	def(&s.Search, Grid)
	def(&s.Metric, "eval_loss")
	def(&s.Factor, 3)
	def(&s.Parallel, 1)
	def(&s.Seed, 42)
	if s.Goal == "" {
		s.Goal = "max"
		for _, part := range []string{"loss", "perplexity", "error", "kl"} {
			if strings.Contains(s.Metric, part) {
				s.Goal = "min"
			}
		}
	}
	if s.Search == Halving {
		steps := s.Run.Batch.MaxSteps
		def(&s.MinSteps, max(1, steps/(s.Factor*s.Factor)))
	}
	return s
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports everything that is wrong with the sweep: each value is tried on the run.
func (s Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("sweep: "+format, args...)) }
	s = s.Resolve()
	if strings.ContainsAny(s.Name, `/\`) || s.Name == ".." {
		bad("name: %q is no name of a directory", s.Name)
	}
	switch s.Search {
	case Grid, Random, Halving:
	default:
		bad("search: %q is none of grid, random, halving", s.Search)
	}
	if s.Goal != "min" && s.Goal != "max" {
		bad("goal: %q is neither min nor max", s.Goal)
	}
	if s.Trials < 0 || s.Search == Random && s.Trials == 0 {
		bad("trials: %d; say how many combinations are drawn, for example trials: 12", s.Trials)
	}
	if s.Parallel < 1 {
		bad("parallel: %d; at least 1", s.Parallel)
	}
	if s.Factor < 2 {
		bad("factor: %d; at least 2: one trial in factor goes on", s.Factor)
	}
	if s.Search == Halving {
		switch steps := s.Run.Batch.MaxSteps; {
		case steps == 0:
			bad("search: halving needs run.batch.max_steps, of which the rounds are parts")
		case s.MinSteps < 1 || s.MinSteps > steps:
			bad("min_steps: %d is not between 1 and max_steps, which is %d", s.MinSteps, steps)
		}
		if s.Run.Eval.Every < 0 && s.Metric != "loss" {
			bad("run.eval.eval_steps: %d turns validation off, and %s is measured there", s.Run.Eval.Every, s.Metric)
		}
	}
	if len(s.Over) == 0 {
		bad("over: nothing is searched; name settings and values, for example lora.r: [4, 8, 16]")
	}
	for _, a := range s.Over {
		if err := s.checkAxis(a); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 { // the run as a whole: its own settings, and the first trial's
		trials, err := s.List()
		if err != nil {
			return err
		}
		for _, t := range trials {
			if err := t.Run.Validate(); err != nil {
				return fmt.Errorf("sweep: trial %s (%s): %w", t.Name, t.Words(), err)
			}
		}
	}
	return errors.Join(errs...)
}

func (s Spec) checkAxis(a Axis) error {
	at := "sweep: over." + a.Key
	switch a.Key {
	case "name", "output_dir":
		return fmt.Errorf("%s: the sweep names its runs itself", at)
	case "batch.max_steps":
		if s.Search == Halving {
			return fmt.Errorf("%s: halving decides how long a trial trains", at)
		}
	}
	values := a.Values
	if len(values) == 0 {
		switch {
		case math.IsNaN(a.Min) || math.IsNaN(a.Max):
			return fmt.Errorf("%s: a range has min and max", at)
		case !(a.Min < a.Max) || math.IsInf(a.Max-a.Min, 0):
			return fmt.Errorf("%s: min %g is not below max %g", at, a.Min, a.Max)
		case a.Log && a.Min <= 0:
			return fmt.Errorf("%s: min %g; on a logarithmic scale it must be above 0", at, a.Min)
		case a.Steps == 1 || a.Steps < 0:
			return fmt.Errorf("%s: steps: %d; at least 2, the ends", at, a.Steps)
		case a.Steps == 0 && s.grid():
			return fmt.Errorf("%s: in a grid a range needs steps, how many values it has; or search: random", at)
		}
		values = []string{a.at(0), a.at(1)}
	}
	for _, v := range values {
		run := s.Run.Clone()
		if err := run.Set(a.Key + "=" + v); err != nil {
			return fmt.Errorf("sweep: over: %w", err)
		}
	}
	return nil
}

// grid reports whether the trials are all combinations.
func (s Spec) grid() bool { return s.Search == Grid || s.Search == Halving && s.Trials == 0 }
