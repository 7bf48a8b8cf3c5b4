//go:build unix

package tune

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ftlab/ftlib"
	"ftlab/ftlib/ckpt"
)

// roleEnv makes the test binary another program: "ft", or "parent", which starts the
// run of the specification in its argument in the background and waits to be killed.
const roleEnv = "FTLAB_TUNE_ROLE"

func play(role string, args []string) error {
	switch {
	case role == "parent":
		run, err := ftlib.ReadFile(args[0])
		if err != nil {
			return err
		}
		os.Setenv(roleEnv, "ft")
		b, err := Start(run)
		if err != nil {
			return err
		}
		fmt.Println(b.Dir)
		select {}
	case args[0] == "train":
		run, err := ftlib.ReadFile(args[1])
		if err != nil {
			return err
		}
		_, err = Run(context.Background(), run, Options{})
		return err
	default: // runs resume DIR
		_, err := Resume(context.Background(), args[2], Options{})
		return err
	}
}

// asFT makes this test binary the program that trains in the background.
func asFT(t *testing.T) {
	t.Setenv(Program, os.Args[0])
	t.Setenv(roleEnv, "ft")
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// reach waits until a run has taken a step, and says how many it has.
func reach(t *testing.T, dir string, step int) int {
	t.Helper()
	ctx := patient(t)
	for tail := ckpt.NewTail(dir); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		events, err := tail.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Type == ftlib.EventStep && e.Step >= step {
				return e.Step
			}
		}
	}
	log, _ := os.ReadFile(ckpt.Log(dir))
	t.Fatalf("%s does not reach step %d:\n%s", dir, step, log)
	return 0
}

func longSpec(t *testing.T) ftlib.Run {
	return realSpec(t, func(r *ftlib.Run) {
		r.LoRA = &ftlib.LoRA{R: 4, Dropout: 0.2}
		r.Batch.MaxSteps, r.Eval.Every, r.Save.Every = 120, 40, 15
	})
}

// A run in the background that is killed without a word is whole on disk, is seen to be
// dead, and goes on bit for bit.
func TestKilledInTheBackground(t *testing.T) {
	asFT(t)
	spec := longSpec(t)
	spec.Name = "whole"
	whole, err := Run(context.Background(), spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec.Name = "killed"
	b, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := b.Info(); err != nil || in.Status != ckpt.Running {
		t.Errorf("as it starts: %+v, %v", in.Status, err)
	}
	reach(t, b.Dir, 20)
	live, err := ckpt.ReadLive(b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if sid, err := sessionOf(live.PID); err != nil || sid != live.PID {
		t.Errorf("process %d is in session %d, %v", live.PID, sid, err)
	}
	if err := syscall.Kill(live.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	in, err := b.Wait(patient(t))
	if err == nil || in.Status != ckpt.Killed || !strings.Contains(err.Error(), "ft runs resume") || in.Step < 20 || in.Step > 119 {
		t.Fatalf("after kill -9: %s at %d, %v", in.Status, in.Step, err)
	}
	for _, c := range in.Checkpoints {
		if err := c.Verify(); err != nil {
			t.Error(err)
		}
	}
	if _, err := StartResume(b.Dir); err != nil {
		t.Fatal(err)
	}
	again, err := Attach(b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := again.Wait(patient(t)); err != nil || in.Status != ckpt.Finished {
		t.Fatalf("%s, %v", in.Status, err)
	}
	sameRun(t, whole.Dir, b.Dir)
}

func sessionOf(pid int) (int, error) {
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sid), nil
}

// The process that started a run, and everything in its group, is killed: the run goes on
// and takes commands from others.
func TestRunOutlivesItsParent(t *testing.T) {
	asFT(t)
	spec := longSpec(t)
	spec.Name, spec.Batch.MaxSteps, spec.Eval.Every, spec.Save.Every = "r", 1_000_000, -1, -1
	text, err := spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], file)
	cmd.Env = append(os.Environ(), roleEnv+"=parent")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	scan.Scan()
	dir := scan.Text()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	if dir != spec.Dir() {
		t.Fatalf("the parent printed %q", dir)
	}
	b, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx := patient(t)
	reach(t, dir, 5)
	if err := b.Set(ctx, "learning_rate", 0.001); err != nil {
		t.Error(err)
	}
	if _, err := b.Ask(ctx, ckpt.Command{Do: ckpt.DoPause}); err != nil {
		t.Error(err)
	}
	if in, err := b.Info(); err != nil || in.Status != ckpt.Paused {
		t.Errorf("%s, %v", in.Status, err)
	}
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
	if in, err := b.Wait(ctx); err != nil || in.Status != ckpt.Interrupted {
		t.Errorf("%s, %v", in.Status, err)
	}
	if err := b.Stop(ctx); err != nil {
		t.Errorf("stopping what is over: %v", err)
	}
}

func TestStartRefusesBeforeAnyProcess(t *testing.T) {
	asFT(t)
	good := longSpec(t)
	for name, c := range map[string]struct {
		change func(*ftlib.Run)
		want   string
	}{
		"a value":   {func(r *ftlib.Run) { r.Optim.LearningRate = -1 }, "learning_rate"},
		"the model": {func(r *ftlib.Run) { r.Model.Path = "nowhere/at-all/x" }, "model.path"},
		"the data":  {func(r *ftlib.Run) { r.Data.Train = filepath.Join(r.Out, "no.jsonl") }, "no.jsonl"},
	} {
		run := good.Clone()
		c.change(&run)
		if _, err := Start(run); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(good.Out); len(entries) != 0 {
		t.Errorf("something was left: %v, %v", entries, err)
	}
}

// What only loading finds out is seen afterwards, where the run would be.
func TestRunThatNeverBegins(t *testing.T) {
	asFT(t)
	spec := longSpec(t)
	spec.Name = "r"
	if err := os.WriteFile(filepath.Join(spec.Model.Path, "tokenizer.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Start(spec)
	if err != nil { // found out before Start looked again
		if _, e := os.Stat(spec.Dir()); !strings.Contains(err.Error(), "tokenizer.json") || e == nil {
			t.Errorf("%v; left behind: %v", err, e)
		}
		return
	}
	in, err := b.Wait(patient(t))
	if err == nil || in.Status != ckpt.Failed || !strings.Contains(in.Message, "tokenizer.json") {
		t.Errorf("%s: %s, %v", in.Status, in.Message, err)
	}
	runs, err := ckpt.Runs(spec.Out)
	if err != nil || len(runs) != 1 || runs[0].Status != ckpt.Failed {
		t.Errorf("%+v, %v", runs, err)
	}
	if _, err := Start(spec); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("the same name again: %v", err)
	}
}
