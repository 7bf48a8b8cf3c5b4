package tune

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/reward"
	"ftlab/ftlib/sweep"
)

// SweepOptions are what a sweep needs besides its specification.
type SweepOptions struct {
	Sink    func(t sweep.Trial, e ftlib.Event) error // receives every event of every trial, one at a time; nil: none
	Rewards map[string]reward.Func                   // as in [Options]

	open func(ftlib.Run) (*parts, error) // of tests
}

// Sweep takes the trials of a sweep and returns their outcomes, the best first. What was
// trained before is not trained again: a sweep that was interrupted or killed goes on where
// it was, and bit for bit as if it had not been. With s.Parallel above 1 that many trials
// are in memory and take their steps in turn, so that their curves grow together.
//
// A trial that fails is ranked last and the others go on; but when no trial has taken a step
// yet the fault is most likely that of all, and its error is returned.
func Sweep(ctx context.Context, s sweep.Spec, o SweepOptions) ([]sweep.Outcome, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.Resolve()
	if err := s.Begin(); err != nil {
		return nil, err
	}
	trials, err := s.List()
	if err != nil {
		return nil, err
	}
	rounds := s.Rounds()
	if rounds == nil {
		rounds = []int{s.Run.Batch.MaxSteps} // zero: the whole run
	}
	for i, steps := range rounds {
		last := i == len(rounds)-1
		r := round{s: s, o: o, steps: steps, last: last, turn: make(chan struct{}, 1)}
		if err := r.train(ctx, trials); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			outcomes, err := s.Results()
			return outcomes, errors.Join(fmt.Errorf("tune: the sweep %s is interrupted and goes on when it is run again: %w", s.Dir(), ctx.Err()), err)
		}
		if !last {
			outcomes, err := s.Results()
			if err != nil {
				return nil, err
			}
			if trials = s.Promote(trials, outcomes, steps); len(trials) == 0 {
				return outcomes, fmt.Errorf("tune: sweep %s: no trial has a value of %s after %d steps", s.Dir(), s.Metric, steps)
			}
		}
	}
	return s.Results()
}

// round is a part of a sweep in which trials train up to the same step.
type round struct {
	s     sweep.Spec
	o     SweepOptions
	steps int // zero: the whole run
	last  bool
	turn  chan struct{} // held by the trial that computes; those that wait are served in order

	mu    sync.Mutex
	began bool // some trial has taken a step
	err   error
}

func (r *round) train(ctx context.Context, trials []sweep.Trial) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	todo := make(chan sweep.Trial)
	var workers sync.WaitGroup
	r.turn <- struct{}{}
	for range min(r.s.Parallel, len(trials)) {
		workers.Go(func() {
			for t := range todo {
				<-r.turn
				err := r.trial(ctx, t)
				r.turn <- struct{}{}
				if err != nil {
					r.fail(fmt.Errorf("tune: trial %s (%s): %w", t.Name, t.Words(), err))
					stop()
				}
			}
		})
	}
	for _, t := range trials {
		if ctx.Err() != nil {
			break
		}
		todo <- t
	}
	close(todo)
	workers.Wait()
	return r.err
}

func (r *round) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

// trial trains one trial up to the end of the round. Its error ends the sweep.
func (r *round) trial(ctx context.Context, t sweep.Trial) error {
	if ctx.Err() != nil {
		return nil
	}
	dir := t.Run.Dir()
	resume := ckpt.Known(dir)
	if resume {
		in, err := ckpt.Read(dir)
		switch {
		case in.Status == ckpt.Finished || in.Status == ckpt.Failed && in.Step > 0:
			return nil
		case !r.last && in.Step >= r.steps:
			return nil
		case err != nil && in.Run.Model.Path == "":
			return err
		}
	}
	own, pause := context.WithCancel(ctx)
	defer pause()
	taken := 0
	o := Options{Rewards: r.o.Rewards, open: r.o.open, Sink: ftlib.SinkFunc(func(e ftlib.Event) error {
		if r.o.Sink != nil { // its caller holds the turn: one event at a time
			if err := r.o.Sink(t, e); err != nil {
				return err
			}
		}
		if e.Type != ftlib.EventStep {
			return nil
		}
		taken = e.Step
		r.mu.Lock()
		r.began = true
		r.mu.Unlock()
		if !r.last && e.Step >= r.steps {
			pause() // the loop still validates and saves
		}
		r.turn <- struct{}{}
		<-r.turn
		return nil
	})}
	var err error
	if resume {
		_, err = Resume(own, dir, o)
	} else {
		_, err = Run(own, t.Run, o)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && (taken == 0 && !r.began || errors.Is(err, ckpt.ErrBusy)) {
		return err
	}
	return nil
}
