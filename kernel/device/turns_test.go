package device

import (
	"runtime"
	"testing"
)

// A program of long executions does not starve one of short ones: whoever has used the
// device less is next.
func TestTurns(t *testing.T) {
	q := &turns{free: 1}
	var holder, long, short float64
	q.enter(&holder) // all others wait
	got := make(chan string)
	ask := func(name string, used *float64) {
		before := waitingIn(q)
		go func() { q.enter(used); got <- name }()
		for waitingIn(q) == before {
			runtime.Gosched()
		}
	}
	ask("long", &long)
	q.leave(&holder, 0)
	if name := <-got; name != "long" {
		t.Fatal(name)
	}
	ask("short", &short)
	q.leave(&long, 10)
	<-got
	ask("long", &long)
	for i := range 9 { // ten seconds of one are ten executions of the other
		ask("short", &short)
		q.leave(&short, 1)
		if name := <-got; name != "short" {
			t.Fatalf("turn %d went to the %s program", i, name)
		}
	}
	q.leave(&short, 2)
	if name := <-got; name != "long" {
		t.Fatalf("nobody else waits, and the device goes to %q", name)
	}
	q.leave(&long, 1)
	late := 0.0
	if q.enter(&late); late == 0 {
		t.Error("a program that was away has credit")
	}
	q.leave(&late, 1)
}

func waitingIn(q *turns) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
