package jupyter

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// A run in the background is not one of the processes that go with the kernel; one that
// only says so, in the session of another, is.
func TestReaperLeavesRunsInTheBackground(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kernel")
	if err := exec.Command("mkdir", dir).Run(); err != nil {
		t.Fatal(err)
	}
	const family = `FTLAB_DETACHED=1 setsid sh -c 'echo $$; exec sleep 300' & FTLAB_DETACHED=1 sh -c 'echo -$$; exec sleep 300' & wait`
	argv := append(reaper(t), dir, "sh", "-c", family)
	cmd := exec.Command(argv[0], argv[1:]...)
	keep, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var run, child int
	for scan := bufio.NewScanner(out); (run == 0 || child == 0) && scan.Scan(); {
		if n, _ := strconv.Atoi(scan.Text()); n > 0 {
			run = n
		} else {
			child = -n
		}
	}
	defer syscall.Kill(run, syscall.SIGKILL)
	keep.Close()
	cmd.Wait()
	gone(t, "the child", []int{child})
	if run == 0 || !alive(run) {
		t.Errorf("the run in the background, process %d, is gone", run)
	}
}
