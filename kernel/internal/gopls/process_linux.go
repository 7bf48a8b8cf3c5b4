package gopls

import "syscall"

// dieWithParent has a process killed when the thread that started it ends.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
