package device_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/backend"
	"ftlab/kernel/device"
	"ftlab/kernel/internal/wire"
	"ftlab/kernel/session"
)

// beServer is a device server as ft device run is one.
func beServer() int {
	ready := os.NewFile(3, "ready")
	fail := func(err error) int {
		fmt.Fprint(ready, err)
		return 1
	}
	l, err := device.Listen(os.Getenv(session.EnvAddr))
	if err != nil {
		return fail(err)
	}
	b, err := backend.Open(cmp.Or(os.Getenv(backendEnv), backend.Go))
	if err != nil {
		return fail(err)
	}
	o := device.Options{State: os.Getenv(stateEnv), Every: 10 * time.Millisecond}
	if largest, err := strconv.ParseUint(os.Getenv(largestEnv), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: largest, Max: largest}); err != nil {
			return fail(err)
		}
		o.Every = time.Hour
	}
	s := device.New(b, o)
	if o.State != "" {
		if _, err := s.Recover(nil, false); err != nil {
			return fail(err)
		}
	}
	fmt.Fprint(ready, session.Ready)
	ready.Close()
	if s.Serve(l) != nil {
		return 1
	}
	return 0
}

// Variables of a server: its backend, its state folder, and the most bytes that a file
// may have.
const (
	backendEnv = "FTLAB_DEVICE_TEST_BACKEND"
	stateEnv   = "FTLAB_DEVICE_TEST_STATE"
	largestEnv = "FTLAB_DEVICE_TEST_LARGEST"
)

// beOldServer refuses everybody, as a server of another version does.
func beOldServer() int {
	l, err := device.Listen(os.Getenv(session.EnvAddr))
	if err != nil {
		return 1
	}
	fmt.Println("listening")
	for {
		nc, err := l.Accept()
		if err != nil {
			return 1
		}
		c := wire.NewConn(nc)
		if _, err := c.ReadFrame(wire.MaxHello); err == nil {
			e := wire.Enc{B: []byte{wire.StatusError}}
			e.Str("you and I " + wire.OtherVersion)
			_ = c.WriteFrame(e.B, nil) // the other side may be gone
		}
		nc.Close()
	}
}

// A server of another version is no dead end: it can be ended, and replaced.
func TestServerOfAnotherVersion(t *testing.T) {
	addr := filepath.Join(socketDir(t), "s", "device.sock")
	old := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), role+"=old", session.EnvAddr+"="+addr)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	first := old()
	go first.Wait() // reaped, or it would be there for ever
	if _, err := session.Connect(addr); !errors.Is(err, session.ErrVersion) {
		t.Errorf("%v", err)
	}
	if _, err := session.Start(addr, os.Args[0]); !errors.Is(err, session.ErrVersion) {
		t.Errorf("%v", err)
	}
	if pid, err := session.End(addr); err != nil || pid != first.Process.Pid {
		t.Errorf("%d, %v", pid, err)
	}
	if _, err := session.End(addr); !errors.Is(err, session.ErrNoServer) {
		t.Errorf("%v", err)
	}
	second := old()
	go second.Wait()
	t.Setenv(role, "server")
	b, err := session.Restart(addr, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, upload(t, b, 3)); got[0] != 3 {
		t.Errorf("%v", got)
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
}

// beClient keeps one buffer, holds a hundred, says so and waits for its end.
func beClient() int {
	b, err := session.Connect("")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var held []compute.Buffer
	for i := range 100 {
		x, err := b.BufferFromFlatData(0, []float32{float32(i)}, shapes.Make(dtypes.Float32))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		held = append(held, x)
	}
	if err := b.Keep(map[string]compute.Buffer{"last": held[99]}); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("holding", len(held))
	io.Copy(io.Discard, os.Stdin)
	return 0
}

func TestKilledClient(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	for _, how := range []os.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), role+"=client", session.EnvAddr+"="+addr)
		in, err := cmd.StdinPipe()
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
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding 100\n" {
			t.Fatalf("the client said %q, %v", line, err)
		}
		if st := s.Stats(); st.Buffers < 100 || st.Clients != 1 {
			t.Errorf("while it lives: %+v", st)
		}
		if err := cmd.Process.Signal(how); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%v did not end it", how)
		}
		in.Close()
		for s.Stats().Clients > 0 { // the server sees the end of the connection soon
			runtime.Gosched()
		}
		if st := s.Stats(); st.Buffers != 1 || st.Kept != 1 {
			t.Errorf("after %v: %+v", how, st)
		}
	}
	b := client(t, addr)
	m, err := b.Bind("last")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, m["last"]); got[0] != 99 {
		t.Errorf("kept %v", got)
	}
}

// Programs that need the server at once start one; when it is killed, they are told.
func TestStartAndLoss(t *testing.T) {
	addr := filepath.Join(socketDir(t), "s", "device.sock")
	if _, err := session.Connect(addr); !errors.Is(err, session.ErrNoServer) {
		t.Fatalf("nobody listens: %v", err)
	}
	t.Setenv(role, "server")
	var wg sync.WaitGroup
	started := make([]*session.Backend, 4)
	for i := range started {
		wg.Go(func() {
			var err error
			if started[i], err = session.Start(addr, os.Args[0]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	b := started[0]
	for _, other := range started {
		if other != b {
			t.Fatal("one process has two sessions with one server")
		}
	}
	x := upload(t, b, 1, 2)
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err = nil
	for err == nil { // the signal is on its way
		err = x.ToFlatData(make([]float32, 2))
	}
	if !errors.Is(err, session.ErrLost) || !strings.Contains(err.Error(), "ft device start") || !b.IsFinalized() {
		t.Errorf("the server was killed: %v", err)
	}
	next, err := session.Start(addr, os.Args[0]) // over the socket that was left
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := next.List(); err != nil || len(kept) != 0 || next == b {
		t.Errorf("the next server: %v, %v", kept, err)
	}
	if _, err := next.Builder("b").Main().Neg(nil); err == nil {
		t.Error("Neg of nothing is possible")
	}
	if err := next.Stop(); err != nil {
		t.Error(err)
	}
	if err := next.Keep(nil); err == nil {
		t.Error("a stopped server answers")
	}
}

// GoMLX's name for the backend starts the server with the ft on the PATH.
func TestRegisteredBackendStarts(t *testing.T) {
	dir := socketDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "ft")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(role, "server")
	t.Setenv(session.EnvAddr, filepath.Join(dir, "s", "device.sock"))
	b, err := compute.NewWithConfig("session:")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, upload(t, b, 1, 2)); got[1] != 2 {
		t.Errorf("%v came back", got)
	}
	if err := b.(*session.Backend).Stop(); err != nil {
		t.Error(err)
	}
}

func TestStartSaysWhyNot(t *testing.T) {
	addr := filepath.Join(socketDir(t), "s", "device.sock")
	l, err := device.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Remove(addr); err != nil { // locked, but not to be reached
		t.Fatal(err)
	}
	t.Setenv(role, "server")
	if _, err := session.Start(addr, os.Args[0]); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("%v", err)
	}
}
