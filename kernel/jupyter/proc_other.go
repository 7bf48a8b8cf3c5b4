//go:build unix && !linux

package jupyter

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// descendants asks ps for the processes below pid: there is no /proc.
func descendants(pid int) []int { return tree(pid, false) }

// working are the processes that run for a cell: the cell, or what builds it.
func working(gonb int) []int { return tree(gonb, true) }

func tree(pid int, skipServers bool) []int {
	table, err := exec.Command("ps", "-axo", "pid=,ppid=,comm=").Output()
	if err != nil {
		return nil
	}
	var out []int
	for next := []int{pid}; len(next) > 0; {
		parent := next[0]
		next = next[1:]
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) < 3 || f[1] != strconv.Itoa(parent) || strings.HasSuffix(f[2], "ps") || skipServers && strings.HasSuffix(f[2], "gopls") {
				continue
			}
			if p, err := strconv.Atoi(f[0]); err == nil {
				out, next = append(out, p), append(next, p)
			}
		}
	}
	return out
}

// killSession cannot be known without /proc; the reaper has killed its children.
func killSession(int) {}

// adopt is a thing of Linux.
func adopt() {}

func bury(int, int) {}

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// cellEnded, holders and reader cannot be known without /proc.
func cellEnded(int) bool { return false }

type process struct {
	pid  int
	name string
}

func holders(int, int) []process { return nil }

func reader(int) int { return 0 }
