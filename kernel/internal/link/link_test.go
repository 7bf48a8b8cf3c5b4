package link

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// echo answers with what it is asked.
type echo struct {
	p      *Peer
	closed chan bool
}

func (e echo) Call(verb string, body json.RawMessage) (any, error) {
	switch verb {
	case "fail":
		return nil, errors.New("link test: not today")
	case "large":
		return strings.Repeat("x", MaxFrame), nil
	case "events":
		for i := range 3 {
			if err := e.p.Tell("event", i); err != nil {
				return nil, err
			}
		}
	}
	return body, nil
}

func (e echo) Close() { e.closed <- true }

func listen(t *testing.T) (path string, closed chan bool) {
	t.Helper()
	path, closed = filepath.Join(t.TempDir(), "private", "socket"), make(chan bool, 100)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(l, func(p *Peer) Handler { return echo{p, closed} }) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return path, closed
}

func dial(t *testing.T, path string, onEvent func(string, json.RawMessage)) *Peer {
	t.Helper()
	p, err := Dial(path, onEvent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Many goroutines call over one connection, and each gets its own answer.
func TestCalls(t *testing.T) {
	path, closed := listen(t)
	var events []string
	p := dial(t, path, func(_ string, body json.RawMessage) { events = append(events, string(body)) })
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			var got int
			if err := p.Call("echo", i, &got); err != nil || got != i {
				t.Errorf("asked %d, got %d, %v", i, got, err)
			}
		})
	}
	wait.Wait()
	if err := p.Call("events", 0, nil); err != nil || fmt.Sprint(events) != "[0 1 2]" {
		t.Errorf("events before the answer: %v, %v", events, err)
	}
	if err := p.Call("fail", 0, nil); err == nil || err.Error() != "link test: not today" {
		t.Errorf("an error came as %v", err)
	}
	if err := p.Call("large", 0, nil); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("an answer that is too large: %v", err)
	}
	if err := p.Call("echo", strings.Repeat("x", MaxFrame), nil); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("a request that is too large: %v", err)
	}
	if err := p.Call("echo", 1, nil); err != nil {
		t.Errorf("after the errors: %v", err)
	}
	p.Close()
	<-closed
	if err := p.Call("echo", 1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// What does not begin as it should is closed without an answer, and harms nobody.
func TestHostileConnections(t *testing.T) {
	path, closed := listen(t)
	good := dial(t, path, nil)
	for _, bytes := range [][]byte{{1, 2}, {255, 255, 255, 255}, frame(t, Frame{Verb: "hello"}), frame(t, Frame{ID: 1, Verb: "open"}), append([]byte{3, 0, 0, 0}, "abc"...)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(c); len(answer) > 0 {
			t.Errorf("%q is answered %q, %v", bytes, answer, err)
		}
		c.Close()
	}
	if len(closed) != 0 {
		t.Error("a hostile connection got a handler")
	}
	if err := good.Call("echo", 1, nil); err != nil {
		t.Error(err)
	}
}

func TestOtherVersion(t *testing.T) {
	path, _ := listen(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(frame(t, Frame{ID: 1, Verb: "hello", Body: json.RawMessage(`{"version":99}`)})); err != nil {
		t.Fatal(err)
	}
	f, err := Read(bufio.NewReader(c))
	if err != nil || !strings.Contains(f.Error, "restart the kernel") {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	path, _ := listen(t)
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second listener: %v", err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(open, "socket")); err == nil || !strings.Contains(err.Error(), "only its user") {
		t.Errorf("in an open folder: %v", err)
	}
	if err := checkUser(os.Getuid()+1, os.Getuid()); err == nil {
		t.Error("another user may connect")
	}
	// A socket that a kernel left behind when it was killed is replaced.
	old := filepath.Join(t.TempDir(), "private", "socket")
	l, err := Listen(old)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if l, err = Listen(old); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func frame(t testing.TB, f Frame) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzRead: whatever comes, Read ends with a frame that can be written again or an
// error, and reads no more than the frame.
func FuzzRead(f *testing.F) {
	for _, seed := range []Frame{
		{ID: 1, Verb: "hello", Body: json.RawMessage(`{"version":1}`)},
		{ID: 7, Verb: "open", Body: json.RawMessage(`{"name":"lr","kind":"FloatSlider","state":{"value":0.5}}`)},
		{ID: 7, Error: "no"}, {Verb: "event", Body: json.RawMessage(`null`)}, {},
	} {
		f.Add(frame(f, seed))
	}
	f.Add([]byte{})
	f.Add([]byte{255, 255, 255, 255, '{'})
	f.Add([]byte{2, 0, 0, 0, '{', '}', 'x'})
	f.Add(append([]byte{6, 0, 0, 0}, `{"id":`...))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		got, err := Read(r)
		if err != nil {
			return
		}
		rest, err := io.ReadAll(r)
		if err != nil || len(rest) != len(data)-4-int(binary.LittleEndian.Uint32(data)) {
			t.Errorf("%d bytes are left of %d, %v", len(rest), len(data), err)
		}
		again, err := Read(bufio.NewReader(bytes.NewReader(frame(t, got))))
		if err != nil || again.ID != got.ID || again.Verb != got.Verb || again.Error != got.Error {
			t.Errorf("%+v came back as %+v, %v", got, again, err)
		}
	})
}
