//go:build unix

package jupyter

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"

	"ftlab/internal/testkit/port"
)

// behindGuard opens a kernel's sockets.
func behindGuard(t testing.TB) (*channels, Connection) {
	t.Helper()
	p := port.Free(t, 5)
	conn := Connection{Transport: "tcp", IP: "127.0.0.1", Shell: p[0], Control: p[1], Stdin: p[2], IOPub: p[3], Heartbeat: p[4], Key: randomID(), Scheme: "hmac-sha256"}
	ctx, stop := context.WithCancel(context.Background())
	cs, err := listen(ctx, conn, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); cs.close() })
	return cs, conn
}

var ready = []byte("\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ")

// A connection that is silent, or slow, keeps nobody else out.
func TestGuardSilentConnections(t *testing.T) {
	cs, conn := behindGuard(t)
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(conn.address(conn.Shell), "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(greeting[:11]); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	front, err := dial(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	defer front.close()
	m, err := NewMessage("kernel_info_request", "front", nil, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if err := front.shell.send(m); err != nil {
		t.Fatal(err)
	}
	got := make(chan *Message, 1)
	go cs.shell.receive(ctx, func(m *Message) { got <- m }, func(error) {})
	select {
	case back := <-got:
		if back.Head.ID != m.Head.ID {
			t.Errorf("got %+v", back.Head)
		}
	case <-ctx.Done():
		t.Error("the request of a front end does not come through")
	}
}

// What a guard lets through is what came, greeting and all.
func TestGuardPassesOn(t *testing.T) {
	long := append([]byte{flagLong | flagMore, 0, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 1<<16)...)
	sent := append(append(append(append([]byte{}, greeting[:]...), ready...), long...), "\x00\x03end"...)
	got, err := through(sent, false)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d: %v", len(got), len(sent), err)
	}
}

func TestGuardRefuses(t *testing.T) {
	hello := string(greeting[:]) + string(ready)
	for name, c := range map[string]struct {
		sent          string
		subscriptions bool
		passes        int // bytes
	}{
		"another protocol":           {"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,application/xhtml\r\n\r\n", false, 0},
		"no READY":                   {string(greeting[:]) + "\x00\x01a", false, 0},
		"a property without an end":  {string(greeting[:]) + "\x04\x0c\x05READY\x05Socke", false, 0},
		"a value without an end":     {string(greeting[:]) + "\x04\x0d\x05READY\x01S\xff\xff\xff\xff!", false, 0},
		"a frame without an end":     {hello + "\x02\x7f\xff\xff\xff\xff\xff\xff\xff", false, len(hello)},
		"a length below zero":        {hello + "\x02\xff\xff\xff\xff\xff\xff\xff\xff", false, len(hello)},
		"an empty subscription":      {hello + "\x00\x00", true, len(hello)},
		"a subscription in parts":    {hello + "\x01\x01\x01", true, len(hello)},
		"an empty command":           {hello + "\x04\x00", false, len(hello)},
		"a command beyond its end":   {hello + "\x04\x03\x09PI", false, len(hello)},
		"flags that do not exist":    {hello + "\x80\x01a", false, len(hello)},
		"a command among the frames": {hello + "\x01\x01a\x04\x05\x04PING", false, len(hello) + 3},
		"more frames than there are": {hello + strings.Repeat("\x01\x00", maxFrames+1), false, len(hello) + 2*maxFrames},
	} {
		got, err := through([]byte(c.sent), c.subscriptions)
		if err == nil || len(got) != c.passes {
			t.Errorf("%s: %d bytes passed, want %d: %v", name, len(got), c.passes, err)
		}
	}
}

// through sends bytes through a guard.
func through(sent []byte, subscriptions bool) ([]byte, error) {
	near, far := net.Pipe()
	go func() {
		go io.Copy(io.Discard, far) // until it is closed
		far.Write(sent)             // as far as it is taken
		far.Close()
	}()
	defer near.Close()
	defer far.Close()
	c := &guarded{Conn: near, in: bufio.NewReader(near), subscriptions: subscriptions}
	if err := c.admit(); err != nil {
		return nil, err
	}
	var got bytes.Buffer
	_, err := io.Copy(&got, c)
	return got.Bytes(), err
}

// Whatever comes, the guard lets through only its beginning, and the library behind it
// does not break.
func FuzzGuard(f *testing.F) {
	hello := append(append([]byte{}, greeting[:]...), ready...)
	f.Add([]byte("GET / HTTP/1.1\r\n"), false)
	f.Add(append(hello, "\x00\x01a"...), false)
	f.Add(append(hello, "\x00\x01\x01"...), true)
	f.Add(append(hello, "\x02\x7f\xff\xff\xff\xff\xff\xff\xff"...), false)
	f.Add(append(hello, "\x04\x05\x04PING\x00\x00"...), true)
	f.Fuzz(func(t *testing.T, sent []byte, subscriptions bool) {
		if got, _ := through(sent, subscriptions); !bytes.HasPrefix(sent, got) {
			t.Errorf("%q became %q", sent, got)
		}
		near, far := net.Pipe()
		go func() {
			go io.Copy(io.Discard, far)
			far.Write(sent)
			far.Close()
		}()
		defer near.Close()
		c := &guarded{Conn: near, in: bufio.NewReader(near), subscriptions: subscriptions}
		if c.admit() != nil {
			return
		}
		behind, err := zmq4.Open(c, null.Security(), zmq4.Router, nil, true, func(*zmq4.Conn) {})
		for err == nil {
			_, err = behind.RecvMsg()
		}
	})
}
