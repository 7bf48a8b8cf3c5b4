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
	q.leave(&holder, 0, never)
	if name := <-got; name != "long" {
		t.Fatal(name)
	}
	ask("short", &short)
	q.leave(&long, 10, never)
	<-got
	ask("long", &long)
	for i := range 9 { // ten seconds of one are ten executions of the other
		ask("short", &short)
		q.leave(&short, 1, never)
		if name := <-got; name != "short" {
			t.Fatalf("turn %d went to the %s program", i, name)
		}
	}
	q.leave(&short, 2, never)
	if name := <-got; name != "long" {
		t.Fatalf("nobody else waits, and the device goes to %q", name)
	}
	q.leave(&long, 1, never)
	late := 0.0
	if q.enter(&late); late == 0 {
		t.Error("a program that was away has credit")
	}
	q.leave(&late, 1, never)
}

func never() bool { return false }

// Who has used the least keeps its turn if it comes again, and lets go of it if not.
func TestKeptTurn(t *testing.T) {
	q := &turns{free: 1}
	var long, short float64
	q.enter(&long)
	q.leave(&long, 10, never)
	q.enter(&short)
	got := make(chan string)
	go func() { q.enter(&long); got <- "long" }()
	for waitingIn(q) == 0 {
		runtime.Gosched()
	}
	again := func() bool { return true }
	if short -= 20; !q.leave(&short, 1, again) { // it has come late and has been lifted to the floor
		t.Fatal("the turn was not kept")
	}
	if short -= 20; waitingIn(q) == 0 {
		t.Fatal("two have the device")
	}
	q.letGo(&short)
	if name := <-got; name != "long" {
		t.Fatal(name)
	}
	q.letGo(&short) // it has none
	if q.leave(&long, 1, again) || q.free != 1 {
		t.Errorf("nobody waits: %d free", q.free)
	}
}

func waitingIn(q *turns) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
