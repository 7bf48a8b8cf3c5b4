//go:build unix

package jupyter

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// pidFile, in the kernel's folder, holds the process id of gonb.
const pidFile = "gonb.pid"

// Reaper runs a program and leaves nothing of it behind. It is the main function of a
// process between the kernel and gonb, because only a parent outlives the kernel's
// kill -9: as soon as keep is at its end (the kernel closed it, or is dead) or the
// program has ended, everything below is killed and the folder dir is removed.
func Reaper(keep io.Reader, dir string, argv []string) error {
	// Ctrl-C in a terminal reaches the whole process group; it is the kernel's affair.
	// Caught, not ignored: what is ignored stays so in the cells.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	adopt()
	defer os.RemoveAll(dir)

	// The signal a child gets at its parent's death comes when the thread ends that
	// started it.
	runtime.LockOSThread()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = childAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("jupyter: %w", err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, pidFile), []byte(pid), 0o600); err != nil {
		cmd.Process.Kill()
		return fmt.Errorf("jupyter: %w", err)
	}
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() { ended <- cmd.Wait() }()
	go func() { io.Copy(io.Discard, keep); close(gone) }()

	var err error
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-gone:
			running = false
		case sig := <-signals:
			running = sig == os.Interrupt
		case <-time.After(time.Second):
			bury(os.Getpid(), cmd.Process.Pid)
		}
	}
	killAll(os.Getpid(), cmd.Process.Pid)
	return err
}

// killAll kills everything below pid, and group, until nothing is left. A process that
// is just being forked is found in the next round.
func killAll(pid, group int) {
	for range 50 {
		below := descendants(pid)
		for _, p := range below {
			syscall.Kill(p, syscall.SIGKILL)
		}
		syscall.Kill(-group, syscall.SIGKILL)
		bury(pid, 0)
		if len(below) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
