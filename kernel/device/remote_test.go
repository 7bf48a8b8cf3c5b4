package device_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"ftlab/kernel/device"
	"ftlab/kernel/internal/trust"
	"ftlab/kernel/session"
)

// A program with a token computes over TCP; without one that counts nobody is let in,
// and the server goes on.
func TestOverTLS(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	l, err := device.Listen(filepath.Join(socketDir(t), "s", "device.sock"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := device.OpenAuthority("")
	if err != nil {
		t.Fatal(err)
	}
	both, port, err := device.ListenAlso(l, "127.0.0.1:0", a)
	if err != nil {
		t.Fatal(err)
	}
	s, done := device.New(goBackend(t), device.Options{}), make(chan error, 1)
	go func() { done <- s.Serve(both) }()
	defer func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	url := "tls://" + port.String()
	issue := func(a *device.Authority, valid time.Duration) (id string) {
		t.Helper()
		line, made, err := a.Issue("test", port.String(), valid)
		if err != nil {
			t.Fatal(err)
		}
		token, err := trust.Parse(line)
		if err == nil {
			err = token.Store()
		}
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	refused := func(what string) {
		t.Helper()
		if c, err := trust.Dial(url); err == nil { // the server's refusal comes with the first read
			c.SetReadDeadline(time.Now().Add(time.Minute))
			if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: let in, %d bytes, %v", what, n, err)
			}
			c.Close()
		}
	}
	refused("no token")
	id := issue(a, time.Hour)
	b, err := session.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	e := sum(t, b, "x", 2, 3)
	if got := read(t, execute(t, e, nil, upload(t, b, 1, 2), upload(t, b, 0, 1))); !slices.Equal(got, []float32{3, 7}) {
		t.Errorf("3x+y = %v", got)
	}
	silent, err := trust.Dial(url) // says nothing at all
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	held := upload(t, b, 7)
	if err := b.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke(id); err != nil {
		t.Fatal(err)
	}
	if err := held.ToFlatData(make([]float32, 1)); !errors.Is(err, session.ErrLost) {
		t.Errorf("a session whose token was revoked reads a tensor: %v", err)
	}
	silent.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent connection whose token was revoked stays: %d bytes, %v", n, err)
	}
	for s.Stats().Buffers > 0 { // what it held goes with it
		runtime.Gosched()
	}
	refused("a revoked token")
	issue(a, -time.Minute)
	refused("an expired token")
	other, err := device.OpenAuthority(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	issue(other, time.Hour)
	refused("another authority")
	issue(a, time.Hour)
	again, err := session.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 { // more than may wait, and none says a word
		c, err := net.Dial("tcp", port.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	plain, err := net.Dial("tcp", port.String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	plain.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	if got := read(t, upload(t, again, 5)); got[0] != 5 { // who is in stays
		t.Errorf("%v", got)
	}
}
