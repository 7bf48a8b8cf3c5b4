package device

import (
	"slices"
	"sync"
)

// turns decides whose execution is next when several programs want the device: that of
// the program that has used it for the least time. A program that comes back after a
// while gets no credit for it. Alone, a program never waits.
//
// A program that has already sent its next execution keeps its turn while it has used
// less than all that wait: it would only be a moment late, and everybody would get
// executions by turns instead of time.
type turns struct {
	mu      sync.Mutex
	free    int     // how many more executions may run at once
	floor   float64 // seconds that the last one to get a turn had used
	waiting []*waiter
	kept    []*float64 // turns of programs that are about to enter again
}

type waiter struct {
	used *float64
	turn chan struct{}
}

// enter waits for a turn; used is the program's device time in seconds, guarded by t.
func (t *turns) enter(used *float64) {
	t.mu.Lock()
	*used = max(*used, t.floor)
	if i := slices.Index(t.kept, used); i >= 0 {
		t.kept = slices.Delete(t.kept, i, i+1)
		t.floor = *used
		t.mu.Unlock()
		return
	}
	if t.free > 0 {
		t.free--
		t.floor = *used
		t.mu.Unlock()
		return
	}
	w := &waiter{used, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	<-w.turn
}

// leave ends a turn that took so many seconds. more says whether the program is about to
// enter again: it may then keep the turn until it does, or lets go of it.
func (t *turns) leave(used *float64, seconds float64, more func() bool) (kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*used += seconds
	behind := func(w *waiter) bool { return *w.used <= *used }
	if len(t.waiting) > 0 && !slices.ContainsFunc(t.waiting, behind) && more() {
		t.kept = append(t.kept, used)
		return true
	}
	t.pass()
	return false
}

// letGo ends a turn that was kept.
func (t *turns) letGo(used *float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.kept, used); i >= 0 {
		t.kept = slices.Delete(t.kept, i, i+1)
		t.pass()
	}
}

// pass gives a turn to who is next; t.mu is held.
func (t *turns) pass() {
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	next := 0
	for i, w := range t.waiting {
		if *w.used < *t.waiting[next].used {
			next = i
		}
	}
	w := t.waiting[next]
	t.waiting = append(t.waiting[:next], t.waiting[next+1:]...)
	t.floor = max(t.floor, *w.used)
	close(w.turn)
}

// atOnce is how many executions run side by side. One accelerator does one thing at a
// time; on a processor two programs fill each other's gaps.
func (s *Server) atOnce() int {
	if inHostMemory(s.backend) {
		return 2
	}
	return 1
}
