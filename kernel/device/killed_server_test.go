package device_test

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/kernel/session"
)

// startServer starts a server process that saves into a folder. It is gone when the test
// ends.
func startServer(t *testing.T, addr, state string) (b *session.Backend, pid int) {
	t.Helper()
	t.Setenv(role, "server")
	t.Setenv(stateEnv, state)
	b, err := session.Start(addr, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.Abandon() // it may be gone already
		gone(t, st.PID)
	})
	return b, st.PID
}

// gone waits until there is no process of that number any more.
func gone(t *testing.T, pid int) {
	t.Helper()
	for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		runtime.Gosched()
	}
}

// killServer kills a server and waits for its end; what was not saved is lost.
func killServer(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

// trainer runs a training in a process of its own; its losses come by step.
type trainer struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	seen  map[int]uint64
}

func startTrainer(t *testing.T, addr, name string) *trainer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=trainer", session.EnvAddr+"="+addr, "FTLAB_DEVICE_TEST_NAME="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &trainer{cmd, bufio.NewScanner(out), map[int]uint64{}}
}

// steps reads so many losses, fewer if it ends before.
func (r *trainer) steps(t *testing.T, n int) {
	t.Helper()
	for ; n > 0 && r.lines.Scan(); n-- {
		var step int
		var loss uint64
		if _, err := fmt.Sscanf(r.lines.Text(), "step %d %x", &step, &loss); err != nil {
			t.Fatalf("the trainer said %q", r.lines.Text())
		}
		r.seen[step] = loss
	}
}

// A server that is killed in the middle of a training comes back with what it had saved,
// bit for bit, says so, and the training goes on as if nothing had happened.
func TestKilledServer(t *testing.T) {
	dir := socketDir(t)
	addr, state := filepath.Join(dir, "s", "device.sock"), filepath.Join(dir, "state")
	rng := rand.New(rand.NewPCG(3, 4))
	reference := engine(t, goBackend(t))
	var losses []float64              // of the reference, by step
	values := []map[string][]uint64{} // of the reference, before each step
	until := func(step int) {
		for len(values) <= step {
			m := map[string][]uint64{}
			for _, name := range reference.Trainable() {
				for _, v := range flat(t, reference.Value(name)) {
					m[name] = append(m[name], math.Float64bits(float64(v)))
				}
			}
			values = append(values, m)
			losses = append(losses, train(t, reference, len(losses), len(losses)+1)...)
		}
	}
	seen, lastStep := map[int]uint64{}, 0
	for round := range 8 {
		b, pid := startServer(t, addr, state)
		notice := b.Notice()
		if round == 0 {
			if notice != "" {
				t.Errorf("the first server says %q", notice)
			}
		} else {
			if !strings.Contains(notice, "had died") || !strings.Contains(notice, "has restored") || b.Notice() != "" {
				t.Errorf("round %d: the next program is told %q", round, notice)
			}
			bound, err := b.Bind(keptAs)
			if err != nil {
				t.Fatal(err)
			}
			step := int(read(t, bound[keptAs+"/step"])[0])
			until(step)
			for name, want := range values[step] {
				var got []uint64
				for _, v := range read(t, bound[keptAs+"/"+name]) {
					got = append(got, math.Float64bits(float64(v)))
				}
				if !slices.Equal(got, want) {
					t.Errorf("round %d: %s differs from what it was before step %d", round, name, step)
				}
			}
			if step < lastStep {
				t.Errorf("round %d: step %d was restored, step %d had been before", round, step, lastStep)
			}
			lastStep = step
		}
		r := startTrainer(t, addr, "")
		r.steps(t, 3+rng.IntN(5))
		for at := int64(0); at == 0; { // something is saved
			st, err := b.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if at = st.Checkpoint.Time; round > 0 && st.Checkpoint.Written == 0 {
				at = 0 // that is what it has restored
			}
		}
		for range rng.IntN(20000) { // somewhere in a step or a checkpoint
			runtime.Gosched()
		}
		killServer(t, pid)
		r.steps(t, 1<<30)
		if r.cmd.Wait() == nil {
			t.Error("the trainer does not mind")
		}
		for step, loss := range r.seen {
			if old, ok := seen[step]; ok && old != loss {
				t.Errorf("step %d: %x the second time, %x the first", step, loss, old)
			}
			seen[step] = loss
		}
	}
	for step, loss := range seen {
		if until(step); loss != math.Float64bits(losses[step]) {
			t.Errorf("step %d: loss %v, left alone %v", step, math.Float64frombits(loss), losses[step])
		}
	}
	if lastStep == 0 {
		t.Error("nothing was ever restored")
	}
	if left, _ := filepath.Glob(filepath.Join(state, ".*")); len(left) > 1 { // at most what the last kill left
		t.Errorf("half files are left: %v", left)
	}
}

// beCell is a program that names its backend, computes and ends.
func beCell() int {
	b, err := compute.NewWithConfig("session:")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	st, err := b.(*session.Backend).Stats()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("server", st.PID)
	return 0
}

// The next cell after a crash starts the server, has what was kept, and its user reads
// what happened: once.
func TestNextCellIsTold(t *testing.T) {
	dir := socketDir(t)
	addr, state := filepath.Join(dir, "s", "device.sock"), filepath.Join(dir, "state")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "ft")); err != nil {
		t.Fatal(err)
	}
	b, pid := startServer(t, addr, state)
	keepValues(t, b, map[string][]float32{"w": {1, 2}})
	if _, err := b.Checkpoint(""); err != nil {
		t.Fatal(err)
	}
	killServer(t, pid)
	cell := func(kernel string) (server int, told string) {
		t.Helper()
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), role+"=cell", session.EnvAddr+"="+addr, session.EnvKernel+"="+kernel, "PATH="+dir)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := fmt.Sscanf(string(out), "server %d", &server); err != nil {
			t.Fatalf("it said %q", out)
		}
		return server, errs.String()
	}
	next, told := cell("one")
	if !strings.Contains(told, fmt.Sprintf("process %d) had died", pid)) || !strings.Contains(told, "restored 1 tensors") {
		t.Errorf("the next cell: %q", told)
	}
	if again, told := cell("one"); told != "" || again != next {
		t.Errorf("the cell after it: %q, server %d after %d", told, again, next)
	}
	if _, told := cell("two"); told == "" {
		t.Error("another kernel was told nothing")
	}
	b, _ = startServer(t, addr, state)
	if got := keptValues(t, b); !same(got, map[string][]float32{"w": {1, 2}}) {
		t.Errorf("kept %v", got)
	}
}

// Two programs train on one server; one is killed, and the other's losses are those of
// one that is alone.
func TestTwoTrainers(t *testing.T) {
	addr := filepath.Join(socketDir(t), "s", "device.sock")
	startServer(t, addr, "")
	one, two := startTrainer(t, addr, "one"), startTrainer(t, addr, "two")
	one.steps(t, 2)
	two.steps(t, 2)
	if err := one.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = one.cmd.Wait() // killed
	two.steps(t, 3)
	if err := two.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = two.cmd.Wait() // killed
	want := bits(train(t, engine(t, goBackend(t)), 0, 5))
	for step, w := range want {
		if two.seen[step] != w {
			t.Errorf("step %d: %x, alone %x", step, two.seen[step], w)
		}
		if got, ok := one.seen[step]; ok && got != w {
			t.Errorf("step %d of the other: %x, alone %x", step, got, w)
		}
	}
	if len(two.seen) < 5 {
		t.Errorf("%d steps", len(two.seen))
	}
}
