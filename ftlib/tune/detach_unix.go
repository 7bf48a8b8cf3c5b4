//go:build unix

package tune

import (
	"os/exec"
	"syscall"
)

// locks says whether the system tells that a process holds a run.
const locks = true

// detach makes a command the first process of a session of its own: no terminal that
// closes and no signal to a group reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
