package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sample is a completion to score.
type Sample struct {
	Prompt     string
	Completion string            // as decoded, without special tokens
	IDs        []int32           // of the completion: what lengths and repetitions count
	Answer     string            // the reference; "" where the data has none
	Columns    map[string]string // the other columns of the data's row
}

// Func scores one sample. It may be called for several samples at once. [None] leaves
// the sample out; so does an error, which is reported.
type Func func(ctx context.Context, s Sample) (float64, error)

// None says that a function has nothing to say about a sample.
func None() float64 { return math.NaN() }

// Component is a function with its name and weight.
type Component struct {
	Name    string
	Func    Func
	Weight  float64       // zero: 1
	Watch   bool          // report it, but do not add it
	Timeout time.Duration // for one sample; zero: a minute
}

func (c Component) weight() float64 {
	switch {
	case c.Watch:
		return 0
	case c.Weight == 0:
		return 1
	}
	return c.Weight
}

// Set is what a completion is scored with.
type Set []Component

// Options are how a set is run. The zero value works.
type Options struct {
	Workers  int                   // functions at once; zero: as many as cores
	Progress func(done, total int) // called after each function of each sample, by one goroutine at a time
}

// Failure is a part that is missing because its function did not give a number.
type Failure struct {
	Component string
	Sample    int
	Err       error
}

func (f Failure) Error() string {
	return fmt.Sprintf("reward: %s, sample %d: %v", f.Component, f.Sample, f.Err)
}

func (f Failure) Unwrap() error { return f.Err }

// Scores are the rewards of samples.
type Scores struct {
	Names    []string
	Parts    [][]float64 // [components][samples]; NaN where a part is missing
	Total    []float64   // [samples]: the weighted sum of the parts there are; NaN without any
	Failures []Failure   // by component and sample
	Warnings []string
}

// Mean is the mean of a component's parts, or with -1 of the totals, over what is
// there; NaN without any.
func (s Scores) Mean(component int) float64 {
	values := s.Total
	if component >= 0 {
		values = s.Parts[component]
	}
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

// Score scores the samples. An error is a fault of the set, or the end of the context;
// what goes wrong with one sample is in the result.
func (set Set) Score(ctx context.Context, samples []Sample, o Options) (Scores, error) {
	if err := set.check(); err != nil {
		return Scores{}, err
	}
	out := Scores{Total: make([]float64, len(samples))}
	errs := make([][]error, len(set))
	for k, c := range set {
		out.Names = append(out.Names, c.Name)
		out.Parts = append(out.Parts, make([]float64, len(samples)))
		errs[k] = make([]error, len(samples))
	}
	total := len(set) * len(samples)
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next, done atomic.Int64
	var progress sync.Mutex
	var wait sync.WaitGroup
	for range min(workers, total) {
		wait.Go(func() {
			for ctx.Err() == nil {
				j := int(next.Add(1)) - 1
				if j >= total {
					return
				}
				k, i := j%len(set), j/len(set)
				out.Parts[k][i], errs[k][i] = set[k].score(ctx, samples[i])
				if o.Progress != nil {
					progress.Lock()
					o.Progress(int(done.Add(1)), total)
					progress.Unlock()
				}
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return Scores{}, fmt.Errorf("reward: %w", err)
	}
	out.sum(set, errs)
	return out, nil
}

func (set Set) check() error {
	if len(set) == 0 {
		return errors.New("reward: no reward function")
	}
	seen := map[string]bool{}
	for i, c := range set {
		switch {
		case c.Name == "":
			return fmt.Errorf("reward: function %d has no name", i+1)
		case seen[c.Name]:
			return fmt.Errorf("reward: two functions are called %q: give each a name of its own", c.Name)
		case c.Func == nil:
			return fmt.Errorf("reward: %s has no function", c.Name)
		case math.IsNaN(c.Weight) || math.IsInf(c.Weight, 0):
			return fmt.Errorf("reward: %s has weight %v", c.Name, c.Weight)
		}
		seen[c.Name] = true
	}
	return nil
}

// sum adds the parts up and says what is missing.
func (s *Scores) sum(set Set, errs [][]error) {
	var lost []int
	for i := range s.Total {
		some := false
		for k, c := range set {
			if v := s.Parts[k][i]; !math.IsNaN(v) {
				s.Total[i] += c.weight() * v
				some = true
			}
		}
		if !some {
			s.Total[i] = math.NaN()
			lost = append(lost, i)
		}
	}
	for k, c := range set {
		failed := 0
		for i, err := range errs[k] {
			if err != nil {
				s.Failures = append(s.Failures, Failure{c.Name, i, err})
				failed++
			}
		}
		if n := len(errs[k]); failed > 0 && failed == n && n > 1 {
			s.Warnings = append(s.Warnings, fmt.Sprintf("reward: %s failed for all %d samples: %v", c.Name, n, errs[k][0]))
		}
	}
	if len(lost) > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("reward: %d of %d samples have no reward, the first is %d: no function gave a number; they train nothing", len(lost), len(s.Total), lost[0]))
	}
}

// score runs the function on one sample, within its time and whatever it does.
func (c Component) score(ctx context.Context, s Sample) (float64, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	limit, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	type outcome struct {
		v   float64
		err error
	}
	// A function that does not heed its context is left behind.
	result := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o = outcome{err: fmt.Errorf("panic: %v\n%s", p, firstFrames(debug.Stack()))}
			}
			result <- o
		}()
		o.v, o.err = c.Func(limit, s)
	}()
	var o outcome
	select {
	case o = <-result:
	case <-limit.Done():
		select {
		case o = <-result:
		default:
			o.err = limit.Err()
		}
	}
	switch {
	case errors.Is(o.err, context.DeadlineExceeded) && limit.Err() != nil && ctx.Err() == nil:
		return math.NaN(), fmt.Errorf("no reward within %v: %w", timeout, o.err)
	case o.err != nil:
		return math.NaN(), o.err
	case math.IsInf(o.v, 0):
		return math.NaN(), fmt.Errorf("the reward is %v", o.v)
	}
	return o.v, nil
}

// firstFrames is where a panic came from: the lines of the stack behind the runtime's.
func firstFrames(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") && i+2 < len(lines) {
			lines = lines[i+2:]
			break
		}
	}
	return strings.Join(lines[:min(len(lines), 6)], "\n")
}
