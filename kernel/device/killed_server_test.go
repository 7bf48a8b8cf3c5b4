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

	"golang.org/x/sys/unix"

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

// On a full disk a checkpoint fails in words, the one before stays, and the server does
// not end with anything unsaved, until there is room again.
func TestFullDisk(t *testing.T) {
	check := func(t *testing.T, state string, says string) {
		addr := filepath.Join(socketDir(t), "s", "device.sock")
		t.Setenv(largestEnv, "100000")
		b, pid := startServer(t, addr, state)
		small, large := map[string][]float32{"small": {1, 2}}, map[string][]float32{"large": make([]float32, 60000)}
		keepValues(t, b, small)
		if _, err := b.Checkpoint(""); err != nil {
			t.Fatal(err)
		}
		keepValues(t, b, large)
		for range 2 {
			_, err := b.Checkpoint("")
			if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "stays as it was") || !strings.Contains(err.Error(), "make room") || !strings.Contains(err.Error(), state) {
				t.Errorf("checkpoint: %v", err)
			}
		}
		if err := b.Stop(); err == nil || !strings.Contains(err.Error(), "--discard") {
			t.Errorf("stop: %v", err)
		}
		if st, err := b.Stats(); err != nil || !strings.Contains(st.CheckpointError, says) {
			t.Errorf("%+v, %v", st, err)
		}
		if got := keptValues(t, b); len(got) != 2 || len(got["large"]) != 60000 {
			t.Errorf("%d names are kept", len(got))
		}
		if half, _ := filepath.Glob(filepath.Join(state, ".*")); len(half) > 0 {
			t.Errorf("left on the disk: %v", half)
		}
		killServer(t, pid)
		b, _ = startServer(t, addr, state)
		if got := keptValues(t, b); !same(got, small) {
			t.Errorf("restored %v", got)
		}
		keepValues(t, b, large)
		if _, err := b.Checkpoint(""); err == nil {
			t.Error("there is room all of a sudden")
		}
		if _, err := b.Drop("large"); err != nil {
			t.Fatal(err)
		}
		keepValues(t, b, map[string][]float32{"third": {3}})
		if err := b.Stop(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		b, _ = startServer(t, addr, state)
		if got := keptValues(t, b); !same(got, map[string][]float32{"small": {1, 2}, "third": {3}}) {
			t.Errorf("saved at the end: %v", got)
		}
	}
	t.Run("limit", func(t *testing.T) { check(t, filepath.Join(socketDir(t), "state"), "file too large") })
	t.Run("disk", func(t *testing.T) {
		dir := socketDir(t)
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=80k"); err != nil {
			t.Skipf("SKIPPED: a small disk can be mounted by root alone: %v", err)
		}
		defer unix.Unmount(dir, unix.MNT_DETACH)
		check(t, filepath.Join(dir, "state"), "no space left")
	})
}
