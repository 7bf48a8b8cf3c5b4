package device_test

import (
	"bufio"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// program stands for the test in a process that is none: the first fault ends it.
type program struct{ testing.TB }

func (program) Helper()                           {}
func (program) Cleanup(func())                    {}
func (program) Fatal(args ...any)                 { log.Fatal(args...) }
func (program) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// beTrainer goes on with the training that is kept in the server, for ever.
func beTrainer() {
	var t program
	b, err := session.Connect("")
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, b)
	kept, err := b.Bind(keptAs)
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	if len(kept) > 0 {
		step = bindEngine(t, b, e)
	}
	for ; ; step++ {
		loss := train(t, e, step, step+1)[0]
		keepEngine(t, b, e, step+1)
		fmt.Printf("step %d %x\n", step, math.Float64bits(loss))
	}
}

// A training that is killed again and again goes on where it was, and its losses are
// those of one that was left alone, bit for bit.
func TestKilledTraining(t *testing.T) {
	real := goBackend(t)
	s, addr := serve(t, real, device.Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	seen, last := map[int]uint64{}, 0
	const kills = 50
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), role+"=trainer", session.EnvAddr+"="+addr)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := rng.IntN(4); n >= 0 && lines.Scan(); n-- {
			var step int
			var loss uint64
			if _, err := fmt.Sscanf(lines.Text(), "step %d %x", &step, &loss); err != nil {
				t.Fatalf("the trainer said %q", lines.Text())
			}
			if _, again := seen[step]; again {
				t.Errorf("step %d was kept and taken again", step)
			}
			seen[step], last = loss, max(last, step)
		}
		for range rng.IntN(20000) { // somewhere in the next step
			runtime.Gosched()
		}
		if err := cmd.Process.Signal([]os.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT}[i%3]); err != nil {
			t.Fatal(err)
		}
		if cmd.Wait() == nil {
			t.Fatal("the trainer ended by itself")
		}
	}
	for step, want := range bits(train(t, engine(t, real), 0, last+1)) {
		if got, ok := seen[step]; ok && got != want {
			t.Errorf("step %d: loss %v, left alone %v", step, math.Float64frombits(got), math.Float64frombits(want))
		}
	}
	if len(seen) < kills {
		t.Errorf("%d losses of %d trainers", len(seen), kills)
	}
	for s.Stats().Clients > 0 {
		runtime.Gosched()
	}
	if st := s.Stats(); st.Buffers != st.Kept || st.Kept == 0 {
		t.Errorf("left by killed trainers: %+v", st)
	}
}
