package device_test

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ftlab/kernel/device"
	"ftlab/kernel/internal/wire"
)

// hello opens a raw connection that speaks the protocol by hand.
func hello(t testing.TB, addr, fingerprint string) (*wire.Conn, []byte) {
	t.Helper()
	nc, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := wire.NewConn(nc)
	var e wire.Enc
	e.Uint(wire.Hello)
	e.Uint(0)
	e.Str(fingerprint)
	e.Str("raw")
	e.Put(true)
	if err := c.WriteFrame(e.B, nil); err != nil {
		t.Fatal(err)
	}
	reply, err := c.ReadFrame(wire.MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	return c, reply
}

func TestOtherVersionIsRefused(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	c, reply := hello(t, addr, "0123456789abcdef")
	if reply[0] != wire.StatusError || !strings.Contains(string(reply), "ft device stop") || !strings.Contains(string(reply), wire.Fingerprint()) {
		t.Errorf("reply %q", reply)
	}
	if _, err := c.ReadFrame(wire.MaxFrame); err == nil {
		t.Error("the connection stays open")
	}
	if n := s.Stats().Clients; n != 0 {
		t.Errorf("%d clients", n)
	}
}

// Before the versions are compared nothing else is answered, and nothing large is read.
func TestFirstFrame(t *testing.T) {
	_, addr := serve(t, goBackend(t), device.Options{})
	for _, first := range [][]byte{{wire.Statistics, 0}, {wire.Stop, 0}, {}, make([]byte, wire.MaxHello+1)} {
		nc, err := net.Dial("unix", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := wire.NewConn(nc)
		if err := c.WriteFrame(first, nil); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.ReadFrame(wire.MaxFrame); err == nil && reply[0] != wire.StatusError {
			t.Errorf("%v: answered %q", first[:min(len(first), 8)], reply)
		}
		nc.Close()
	}
	if _, err := client(t, addr).Stats(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestListen(t *testing.T) {
	dir := socketDir(t)
	addr := filepath.Join(dir, "s", "device.sock")
	l, err := device.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Dir(addr)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	if _, err := device.Listen(addr); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second server: %v", err)
	}
	l.Close()
	if err := os.WriteFile(addr, nil, 0o600); err != nil { // what a crash leaves
		t.Fatal(err)
	}
	if l, err = device.Listen(addr); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.Chmod(filepath.Dir(addr), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := device.Listen(addr); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a folder that others can enter: %v", err)
	}
}

// The server ends by itself when nobody needs it, and not while something is kept.
func TestIdle(t *testing.T) {
	addr := filepath.Join(socketDir(t), "s", "device.sock")
	l, err := device.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := device.New(goBackend(t), device.Options{Idle: 1})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", addr); err == nil {
		t.Error("the socket is still there")
	}
}

// Whatever a client sends, it gets errors and the others get answers.
func FuzzRequest(f *testing.F) {
	_, addr := serve(f, goBackend(f), device.Options{LimitBytes: 1 << 20})
	witness := client(f, addr)
	x := upload(f, witness, 1, 2, 3)
	e := sum(f, witness, "x", 3, 2)
	for kind := byte(0); kind <= wire.Notice+1; kind++ {
		if kind <= wire.ExecuteAndTell+1 || kind >= wire.Load {
			f.Add([]byte{kind, 0, 1, 1, 1, 1})
			f.Add([]byte{kind, 1, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
		}
	}
	for _, call := range [][]byte{{0, 0, 1, 97}, {1, 3, 1, 1}, {1, 60, 1, 2}, {9, 3, 0}} {
		var ops wire.Enc
		ops.Uint(wire.Ops)
		ops.Uint(0)
		ops.Uint(1)
		ops.Str("b")
		ops.Put([][]byte{call})
		f.Add(ops.B)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		switch kind, _ := binary.Uvarint(request); kind {
		case wire.Stop, wire.Abandon, wire.Checkpoint: // they would be obeyed
			return
		}
		c, _ := hello(t, addr, wire.Fingerprint())
		if err := c.WriteFrame(request, nil); err != nil {
			return
		}
		c.Conn.(*net.UnixConn).CloseWrite() // no bulk data follows
		if reply, err := c.ReadFrame(wire.MaxFrame); err == nil && (len(reply) == 0 || reply[0] > wire.StatusNotImplemented) {
			t.Errorf("reply %q", reply)
		}
		if got := read(t, execute(t, e, nil, x, x)); !slices.Equal(got, []float32{3, 6, 9}) {
			t.Fatalf("2x+x = %v", got)
		}
	})
}
