//go:build unix

package ckpt

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ftlab/ftlib"
)

const childEnv = "FTLAB_CKPT_CHILD" // "directory|number of the disk operation to die at"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		child(spec)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(spec string) {
	dir, at, _ := strings.Cut(spec, "|")
	n, _ := strconv.Atoi(at)
	crashPoint = func() {
		if n--; n == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	if err := toyRun(dir, 3, func(step int) { fmt.Println("saved", step) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// toyRun does what a training loop does to the disk, from where the directory stands.
func toyRun(dir string, steps int, saved func(int)) error {
	var d *Dir
	var err error
	from := 0
	if Is(dir) {
		if d, err = Open(dir); err != nil {
			return err
		}
		if list, err := List(dir); err != nil {
			return err
		} else if len(list) > 0 {
			from = list[len(list)-1].Step
		}
		if err := d.Event(ftlib.Event{Type: ftlib.EventResume, Step: from}); err != nil {
			return err
		}
	} else if d, err = Create(dir, testRun, NewEnv()); err != nil {
		return err
	}
	defer d.Close()
	for step := from + 1; step <= steps; step++ {
		loss := 1 / float64(step)
		if err := d.Event(ftlib.Event{Type: ftlib.EventStep, Step: step, Steps: steps, Loss: &loss}); err != nil {
			return err
		}
		if _, err := d.Save(Checkpoint{Step: step, EvalLoss: &loss}, toyFiles(step)); err != nil {
			return err
		}
		saved(step)
		if err := d.Prune(2); err != nil {
			return err
		}
	}
	return errors.Join(d.Prune(2), d.WriteDir("merged", toyFiles(0)))
}

func toyFiles(step int) func(string) error {
	return func(dir string) error {
		for _, name := range []string{"adapter_model.safetensors", "state.safetensors"} {
			crashPoint()
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			text := strings.Repeat(fmt.Sprintln(name, step), 50)
			f.WriteString(text[:len(text)/2])
			crashPoint() // a file half written
			f.WriteString(text[len(text)/2:])
			if err := f.Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

// die runs the toy loop in a child that kills itself with SIGKILL at its nth
// operation on the disk. It reports the last step the child saw saved.
func die(t *testing.T, dir string, n int) (saved int, killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", childEnv, dir, n))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Sscanf(lines.Text(), "saved %d", &saved)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err == nil {
		return saved, false
	}
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("operation %d: the child ended with %v", n, err)
	}
	return saved, true
}

// whole checks that everything in a run directory reads.
func whole(t *testing.T, dir string, saved int) {
	t.Helper()
	if !Is(dir) {
		if saved > 0 {
			t.Fatalf("step %d was saved but there is no run", saved)
		}
		return
	}
	info, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Run.Model.Path != testRun.Model.Path {
		t.Errorf("specification: %+v", info.Run)
	}
	if _, err := ReadEnv(dir); err != nil {
		t.Error(err)
	}
	latest := 0
	for _, c := range info.Checkpoints {
		if err := c.Verify(); err != nil {
			t.Error(err)
		}
		latest = c.Step
	}
	if latest < saved || info.Step < saved {
		t.Errorf("step %d was saved, the latest checkpoint is %d and the metrics end at %d", saved, latest, info.Step)
	}
}

func TestKilledAtEveryOperationLosesNothing(t *testing.T) {
	base := t.TempDir()
	n := 1
	for ; ; n++ {
		dir := filepath.Join(base, strconv.Itoa(n))
		saved, killed := die(t, dir, n)
		whole(t, dir, saved)
		// And killed again while it recovers, then left in peace.
		if killed {
			saved, _ = die(t, dir, 1+n%17)
			whole(t, dir, saved)
			if err := toyRun(dir, 3, func(int) {}); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
		}
		info, err := Read(dir)
		if err != nil || info.Step != 3 || len(info.Checkpoints) != 2 || info.Checkpoints[1].Step != 3 {
			t.Fatalf("operation %d: recovered to step %d with %d checkpoints, %v", n, info.Step, len(info.Checkpoints), err)
		}
		var steps []int
		for _, e := range info.Events {
			if e.Type == ftlib.EventStep {
				steps = append(steps, e.Step)
			}
		}
		if fmt.Sprint(steps) != "[1 2 3]" {
			t.Errorf("operation %d: history %v", n, steps)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("operation %d: %s is left over", n, e.Name())
			}
		}
		if t.Failed() {
			t.Fatalf("operation %d", n)
		}
		if !killed {
			break
		}
	}
	if n < 40 {
		t.Errorf("only %d operations were killed at", n)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	d, err := Create(dir, testRun, Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrBusy) {
		t.Errorf("a second Open: %v", err)
	}
	d.Event(ftlib.Event{Type: ftlib.EventStep, Step: 1, Time: time.Unix(1, 0)})
	if info, err := Read(dir); err != nil || info.Status != Running {
		t.Errorf("status %q, %v", info.Status, err)
	}
	d.Close()
	if info, err := Read(dir); err != nil || info.Status != Killed {
		t.Errorf("status %q, %v", info.Status, err)
	}
	d, err = Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}
