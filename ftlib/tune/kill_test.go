//go:build unix

package tune

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

const childEnv = "FTLAB_TUNE_CHILD" // the run directory to train in

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := childTrain(dir, ftlib.SinkFunc(func(e ftlib.Event) error {
			fmt.Println(e.Type, e.Step)
			return nil
		})); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if role := os.Getenv(roleEnv); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childTrain begins the run of dir or goes on with it, until its end.
func childTrain(dir string, sink ftlib.Sink) error {
	l, _ := newTestLoop(func(r *ftlib.Run) { r.Save.Every = 2 })
	d, err := ckpt.Open(dir)
	if !ckpt.Is(dir) {
		d, err = ckpt.Create(dir, l.Run, ckpt.NewEnv())
	}
	if err != nil {
		return err
	}
	defer d.Close()
	l.Dir, l.Sink = d, sink
	if err := l.ResumeLatest(); err != nil {
		return err
	}
	_, err = l.Train(context.Background())
	return err
}

// TestKilledAnywhereGoesOnBitForBit kills a training process again and again, each
// time after some lines of its output and wherever it has got to by then, until it
// ends by itself. The run must then equal one that was never killed.
func TestKilledAnywhereGoesOnBitForBit(t *testing.T) {
	base := t.TempDir()
	whole := filepath.Join(base, "whole")
	if err := childTrain(whole, nil); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 12))
	kills := 0
	for round := range 4 {
		dir := filepath.Join(base, fmt.Sprint("killed-", round))
		for {
			saved, killed := killAfter(t, dir, 1+rng.IntN(14))
			if ckpt.Is(dir) {
				info, err := ckpt.Read(dir)
				if err != nil {
					t.Fatal(err)
				}
				if saved > 0 {
					c, err := ckpt.Find(dir, "latest")
					if err != nil || c.Step < saved {
						t.Fatalf("step %d was saved, the latest is %d, %v", saved, c.Step, err)
					}
				}
				for _, c := range info.Checkpoints {
					if err := c.Verify(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !killed {
				break
			}
			kills++
		}
		sameRun(t, whole, dir)
	}
	if kills < 4 {
		t.Errorf("only %d kills", kills)
	}
}

func killAfter(t *testing.T, dir string, lines int) (saved int, killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for scan := bufio.NewScanner(out); scan.Scan(); {
		var kind string
		var step int
		fmt.Sscan(scan.Text(), &kind, &step)
		if kind == ftlib.EventSave {
			saved = step
		}
		if lines--; lines == 0 {
			cmd.Process.Kill()
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return saved, false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return saved, true
	}
	t.Fatalf("the child ended with %v", err)
	return 0, false
}
