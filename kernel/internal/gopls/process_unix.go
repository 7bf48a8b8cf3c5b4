//go:build unix

package gopls

import (
	"os/exec"
	"syscall"
)

// detach puts gopls in a group of its own, so that Ctrl-C does not reach it and it can be
// ended with all that it started.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
}

func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

// yieldTo gives gopls what processor time others leave.
func yieldTo(pid int) { syscall.Setpriority(syscall.PRIO_PROCESS, pid, 5) }
