package jupyter

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gone waits for processes to be no more.
func gone(t *testing.T, what string, pids []int) {
	t.Helper()
	for range 100 {
		left := 0
		for _, pid := range pids {
			if alive(pid) {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%s: processes are left of %v", what, pids)
}

// A program with a child in a session of its own, which no process group reaches.
const family = "setsid sleep 300 & sleep 300 & wait"

func TestReaper(t *testing.T) {
	for _, how := range []string{"the kernel closes", "the program is killed", "the reaper is asked to end"} {
		dir := filepath.Join(t.TempDir(), "kernel")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		argv := append(reaper(t), dir, "sh", "-c", family)
		cmd := exec.Command(argv[0], argv[1:]...)
		keep, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var pids []int
		for deadline := time.Now().Add(20 * time.Second); len(pids) < 3 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			pids = descendants(cmd.Process.Pid)
		}
		time.Sleep(100 * time.Millisecond) // for setsid to become sleep
		pids = descendants(cmd.Process.Pid)
		if len(pids) < 3 {
			t.Fatalf("only %v started", pids)
		}
		switch how {
		case "the kernel closes":
			keep.Close()
		case "the program is killed":
			syscall.Kill(pids[0], syscall.SIGKILL)
		default:
			cmd.Process.Signal(syscall.SIGTERM)
		}
		cmd.Wait()
		gone(t, how, pids)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the folder is left", how)
		}
	}
}

// gonb that dies is started again and the user is told; a shutdown leaves nothing.
func TestNothingIsLeft(t *testing.T) {
	f := startFrontEnd(t)
	f.run("type T struct{ N int }\nconst seven = 7\nfunc kept() T { return T{seven} }\nvar greeting = strings.ToUpper(\"hi\")")
	f.run("import \"math/rand\"\nfunc gone() int { return rand.Int() }")
	f.run("%rm gone")
	m := f.send("shell", "execute_request", map[string]any{"code": "fmt.Println(\"up\")\ntime.Sleep(time.Minute)"})
	for got := range f.iopub {
		if got.Head.Type == "stream" {
			break
		}
	}
	c := f.kernel.child.Load()
	old := descendants(c.cmd.Process.Pid)
	if len(old) < 2 { // gonb, the cell, gopls if it is there
		t.Fatalf("below the reaper run only %v", old)
	}
	syscall.Kill(c.pid(), syscall.SIGKILL)
	if r := f.wait("shell", m); r["status"] != "error" || !strings.Contains(r["evalue"].(string), "started again") {
		t.Errorf("the cell: %v", r)
	}
	gone(t, "gonb was killed", old)
	if _, kinds, contents := f.run("fmt.Sprint(kept().N, greeting)"); fmt.Sprint(kinds) != "[busy execute_input execute_result idle]" || !strings.Contains(fmt.Sprint(contents), "7HI") {
		t.Errorf("the declarations after the new start: %v %v", kinds, contents)
	}
	if r, _, _ := f.run("gone()"); r["status"] != "error" {
		t.Errorf("what was forgotten is back: %v", r)
	}
	c = f.kernel.child.Load()
	old = append(descendants(c.cmd.Process.Pid), c.cmd.Process.Pid)
	syscall.Kill(c.cmd.Process.Pid, syscall.SIGKILL) // the reaper itself
	gone(t, "the reaper was killed", old)
	// Between cells: the next one runs, and says so once.
	if r, kinds, contents := f.run("kept().N"); r["status"] != "ok" || fmt.Sprint(kinds) != "[busy execute_input stream execute_result idle]" || !strings.Contains(fmt.Sprint(contents), "the 5 declarations of earlier cells are there") {
		t.Errorf("the first cell after the reaper was killed: %v %v", r, contents)
	}
	if _, kinds, _ := f.run("kept().N"); fmt.Sprint(kinds) != "[busy execute_input execute_result idle]" {
		t.Errorf("it is said again: %v", kinds)
	}
	c = f.kernel.child.Load()
	old = append(descendants(c.cmd.Process.Pid), c.cmd.Process.Pid)
	if r := f.request("control", "shutdown_request", map[string]bool{"restart": false}); r["status"] != "ok" {
		t.Errorf("shutdown: %v", r)
	}
	gone(t, "shutdown", old)
	if _, err := os.Stat(c.dir); err == nil {
		t.Error("the folder is left")
	}
}

// kill -9 of the kernel takes everything with it.
func TestKernelIsKilled(t *testing.T) {
	gonb := tool(t, "gonb")
	file, conn := connection(t)
	cmd := exec.Command(reaper(t)[0], kernelArg, file, gonb)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	front, err := dial(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	defer front.close()
	m, err := NewMessage("execute_request", "front", nil, map[string]any{"code": "!sleep 300"})
	if err != nil {
		t.Fatal(err)
	}
	if err := front.shell.send(m); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		for _, p := range below(cmd.Process.Pid) {
			if p.name == "sleep" {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(30 * time.Second); !running(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cell does not start")
		}
	}
	pids := descendants(cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	gone(t, "the kernel was killed", pids)
}
