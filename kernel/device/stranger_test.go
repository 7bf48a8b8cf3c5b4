package device_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ftlab/kernel/device"
	"ftlab/kernel/internal/wire"
	"ftlab/kernel/session"
)

// beStranger says hello in the right words, and then what it heard.
func beStranger() int {
	_, err := session.Connect("")
	fmt.Println("session:", err)
	nc, err := net.Dial("unix", os.Getenv(session.EnvAddr))
	if err != nil {
		fmt.Println("dial:", err)
		return 0
	}
	var e wire.Enc
	e.Uint(wire.Hello)
	e.Uint(0)
	e.Str(wire.Fingerprint())
	e.Str("stranger")
	e.Put(true)
	_ = wire.NewConn(nc).WriteFrame(e.B, nil) // it may have hung up
	heard, _ := io.ReadAll(nc)
	fmt.Printf("heard %d bytes\n", len(heard))
	return 0
}

// Another user of the machine reaches nothing: the folder is closed, and if somebody
// opens it, the server hangs up without a word, and the client does not talk either.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can try what another user can do")
	}
	const nobody = 65534
	dir := socketDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "stranger")
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	s := device.New(goBackend(t), device.Options{})
	addr := serveThis(t, s)
	if err := os.Chmod(filepath.Dir(filepath.Dir(addr)), 0o755); err != nil {
		t.Fatal(err)
	}
	keepValues(t, client(t, addr), map[string][]float32{"secret": {1}})
	before := s.Stats()
	try := func() string {
		cmd := exec.Command(program)
		cmd.Dir = "/"
		cmd.Env = []string{role + "=stranger", session.EnvAddr + "=" + addr}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if said := try(); strings.Count(said, "permission denied") != 2 {
		t.Errorf("with the folder closed: %s", said)
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(addr): 0o755, addr: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if said := try(); !strings.Contains(said, "belongs to user 0") || !strings.Contains(said, "heard 0 bytes") {
		t.Errorf("with the folder open: %s", said)
	}
	if after := s.Stats(); after.Clients != before.Clients || after.Kept != 1 {
		t.Errorf("%+v, then %+v", before, after)
	}
}
