package jupyter

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// process is a line of the process table.
type process struct {
	pid, parent, session int
	name                 string
	zombie               bool
}

// processes reads the process table.
func processes() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var out []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if err != nil || open < 0 || end < open { // ended meanwhile
			continue
		}
		// The name may hold anything, also spaces and brackets: fields begin behind it.
		f := bytes.Fields(stat[end+1:])
		if len(f) < 4 {
			continue
		}
		parent, _ := strconv.Atoi(string(f[1]))
		session, _ := strconv.Atoi(string(f[3]))
		out = append(out, process{pid, parent, session, string(stat[open+1 : end]), f[0][0] == 'Z'})
	}
	return out
}

// detached says whether a process is a run in the background (the first of its session,
// and marked so): it goes on without the kernel and is not one of its processes.
func detached(p process) bool {
	if p.session != p.pid {
		return false
	}
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
	return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00FTLAB_DETACHED=1\x00"))
}

// below returns the processes under pid, at any depth, without those that are detached.
func below(pid int) []process {
	all := processes()
	var out []process
	for next := []int{pid}; len(next) > 0; {
		parent := next[0]
		next = next[1:]
		for _, p := range all {
			if p.parent == parent && !detached(p) {
				out = append(out, p)
				next = append(next, p.pid)
			}
		}
	}
	return out
}

// descendants are the living processes below pid.
func descendants(pid int) []int {
	var out []int
	for _, p := range below(pid) {
		if !p.zombie {
			out = append(out, p.pid)
		}
	}
	return out
}

// working are the processes that run for a cell: the cell, or what builds it.
func working(gonb int) []int {
	var out []int
	servers := map[int]bool{}
	for _, p := range below(gonb) { // parents come first
		if p.name == "gopls" || servers[p.parent] {
			servers[p.pid] = true
		} else if !p.zombie {
			out = append(out, p.pid)
		}
	}
	return out
}

// killSession kills what is left of a session of processes.
func killSession(id int) {
	for _, p := range processes() {
		if p.session == id && p.pid != os.Getpid() {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// adopt makes this process the parent of all orphans below it.
func adopt() {
	const setChildSubreaper = 36
	syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
}

// bury takes away the dead children of pid, this process, except one.
func bury(pid, except int) {
	for _, p := range processes() {
		if p.parent == pid && p.zombie && p.pid != except {
			syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// childAttr puts a child in a group of its own, and kills it when its parent dies.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// cellEnded says whether a program that gonb started has ended and was not waited for,
// with nothing else running for the cell.
func cellEnded(gonb int) bool {
	ended := false
	for _, p := range processes() {
		if p.parent == gonb && p.name != "gopls" {
			if !p.zombie {
				return false
			}
			ended = true
		}
	}
	return ended
}

// holders are the processes below the reaper, except gonb, that have one of gonb's pipes
// as their output.
func holders(reaper, gonb int) []process {
	pipes := pipesOf(gonb)
	var out []process
	for _, p := range below(reaper) {
		if p.pid == gonb || p.zombie {
			continue
		}
		for _, fd := range []string{"1", "2"} {
			if to, err := os.Readlink("/proc/" + strconv.Itoa(p.pid) + "/fd/" + fd); err == nil && pipes[to] {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

// readCall is the number of the system call read.
var readCall = map[string]string{"amd64": "0", "arm64": "63", "riscv64": "63"}[runtime.GOARCH]

// reader is a process that gonb has started and that waits for what gonb could give it on
// its standard input; 0 if none does, or it cannot be known.
func reader(gonb int) int {
	pipes := pipesOf(gonb)
	for _, p := range below(gonb) {
		base := "/proc/" + strconv.Itoa(p.pid)
		if to, err := os.Readlink(base + "/fd/0"); err != nil || !pipes[to] {
			continue
		}
		threads, err := os.ReadDir(base + "/task")
		if err != nil {
			continue
		}
		for _, t := range threads {
			call, err := os.ReadFile(base + "/task/" + t.Name() + "/syscall")
			if f := strings.Fields(string(call)); err == nil && len(f) > 1 && f[0] == readCall && f[1] == "0x0" {
				return p.pid
			}
		}
	}
	return 0
}

// pipesOf are the pipes that a process has open, of either end.
func pipesOf(pid int) map[string]bool {
	pipes := map[string]bool{}
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if to, err := os.Readlink(dir + e.Name()); err == nil && strings.HasPrefix(to, "pipe:") {
			pipes[to] = true
		}
	}
	return pipes
}
