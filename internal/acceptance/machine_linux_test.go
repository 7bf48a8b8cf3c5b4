package acceptance

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// small mounts a file system of 48 MB: a cell's program has ten, and is linked beside
// the one that runs.
func small(dir string) (unmount func(), err error) {
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=48m"); err != nil {
		return nil, err
	}
	return func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}

// poke writes bytes to a port and waits for the other side's answer to them.
func poke(t *testing.T, port int, bytes string) {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte(bytes)) // it may be refused
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = c.Read(make([]byte, 1000))
}
