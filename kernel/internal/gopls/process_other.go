//go:build !unix

package gopls

import (
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		p.Kill()
	}
}

func yieldTo(int) {}
