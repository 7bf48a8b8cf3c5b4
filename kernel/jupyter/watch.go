//go:build unix

package jupyter

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// folder is where cells run: gonb's, which %cd changes.
func (c *child) folder() string {
	if dir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(c.pid()), "cwd")); err == nil {
		return dir
	}
	dir, _ := os.Getwd() // where it began
	return dir
}

// watch looks after a cell that runs, until done: gonb waits for the end of its output,
// which a process that the cell started and left behind may hold open for ever. Such a
// one is ended a second after its cell, and told of.
func (c *child) watch(done <-chan struct{}, tell func(string)) {
	var ended time.Time
	for {
		select {
		case <-done:
			return
		case <-time.After(250 * time.Millisecond):
		}
		gonb := c.pid()
		if gonb == 0 || !cellEnded(gonb) {
			ended = time.Time{}
			continue
		}
		if ended.IsZero() {
			ended = time.Now()
		}
		if time.Since(ended) < time.Second {
			continue
		}
		for _, p := range holders(c.cmd.Process.Pid, gonb) {
			tell(fmt.Sprintf("Note: the cell has ended, but process %d (%s), which it left behind, held its output open; it was ended.\n", p.pid, p.name))
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// folder is where cells run.
func (k *Kernel) folder() string {
	if c := k.child.Load(); c != nil {
		return c.folder()
	}
	return ""
}
