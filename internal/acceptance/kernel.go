//go:build unix

package acceptance

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"

	"ftlab/internal/testkit/port"
	"ftlab/kernel/jupyter"
)

// Kernel is a kernel that runs, and a front end that is connected to it.
type Kernel struct {
	*Mark
	Conn jupyter.Connection
	Cmd  *exec.Cmd

	t        testing.TB
	ended    chan struct{} // closed when the kernel's process has ended
	log      string
	session  string
	channels map[string]*channel
	stop     context.CancelFunc

	mu       sync.Mutex
	requests map[string]*Request
}

type channel struct {
	zmq4.Socket
	write sync.Mutex
}

// Setup says how a kernel is started.
type Setup struct {
	Mark *Mark    // zero: a new one
	Env  []string // NAME=value, on top of the kernelspec's
	Wrap []string // a program and arguments that the kernel is started with
}

// Start starts the installed kernel and connects to it as Jupyter does.
func Start(t testing.TB, setup Setup) *Kernel {
	t.Helper()
	place := Installed(t)
	k := &Kernel{Mark: setup.Mark, t: t, ended: make(chan struct{}), session: randomWord(), channels: map[string]*channel{}, requests: map[string]*Request{}}
	if k.Mark == nil {
		k.Mark = NewMark(t)
	}
	file := k.connection()
	argv := append([]string{}, setup.Wrap...)
	for _, arg := range place.Argv {
		argv = append(argv, strings.ReplaceAll(arg, "{connection_file}", file))
	}
	k.Cmd = exec.Command(argv[0], argv[1:]...)
	k.Cmd.Env = append(append(append(place.Environ(), place.Env...), k.Mark.Environ()...), setup.Env...)
	k.Cmd.Dir = k.Dir
	k.Cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	k.log = file + ".log"
	out, err := os.Create(k.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	k.Cmd.Stdout, k.Cmd.Stderr = out, out
	if err := k.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = k.Cmd.Wait(); close(k.ended) }()
	t.Cleanup(func() {
		_ = k.Cmd.Process.Kill()
		<-k.ended
		k.Disconnect()
		if t.Failed() {
			t.Logf("the kernel wrote:\n%s", k.Log())
		}
	})
	k.Connect()
	return k
}

// Log is what the kernel wrote to its standard error.
func (k *Kernel) Log() string {
	data, err := os.ReadFile(k.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// connection writes the connection file.
func (k *Kernel) connection() string {
	k.t.Helper()
	ports := port.Free(k.t, 5)
	k.Conn = jupyter.Connection{Transport: "tcp", IP: "127.0.0.1", Shell: ports[0], Control: ports[1], Stdin: ports[2], IOPub: ports[3],
		Heartbeat: ports[4], Key: randomWord(), Scheme: "hmac-sha256"}
	data, err := json.Marshal(k.Conn)
	if err != nil {
		k.t.Fatal(err)
	}
	file := filepath.Join(k.Dir, "kernel-"+randomWord()[:6]+".json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		k.t.Fatal(err)
	}
	return file
}

// Connect connects a front end, and returns when the kernel answers it.
func (k *Kernel) Connect() {
	k.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	options := []zmq4.Option{zmq4.WithID(zmq4.SocketIdentity(randomWord())), zmq4.WithDialerRetry(20 * time.Millisecond), zmq4.WithDialerMaxRetries(1000),
		zmq4.WithLogger(log.New(io.Discard, "", 0))}
	sub := zmq4.NewSub(ctx, options[1:]...)
	if err := sub.SetOption(zmq4.OptionSubscribe, ""); err != nil {
		k.t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		socket zmq4.Socket
		port   int
	}{
		{"shell", zmq4.NewDealer(ctx, options...), k.Conn.Shell}, {"control", zmq4.NewDealer(ctx, options...), k.Conn.Control},
		{"stdin", zmq4.NewDealer(ctx, options...), k.Conn.Stdin}, {"iopub", sub, k.Conn.IOPub},
	} {
		if err := c.socket.Dial("tcp://127.0.0.1:" + itoa(c.port)); err != nil {
			k.t.Fatalf("acceptance: the kernel does not listen: %v\n%s", err, k.Log())
		}
		k.channels[c.name] = &channel{Socket: c.socket}
		go k.receive(ctx, c.name, c.socket)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); { // until the subscription has arrived
		r := k.Send("shell", "kernel_info_request", struct{}{})
		if r.waitFor(200*time.Millisecond, func() bool { return r.idle && r.reply != nil }) {
			return
		}
		select {
		case <-k.ended:
			k.t.Fatalf("acceptance: the kernel ended at its start:\n%s", k.Log())
		default:
		}
	}
	k.t.Fatalf("acceptance: the kernel does not answer:\n%s", k.Log())
}

// Disconnect closes the front end's connections without a word.
func (k *Kernel) Disconnect() {
	k.stop()
	for _, c := range k.channels {
		_ = c.Close()
	}
}

func (k *Kernel) receive(ctx context.Context, name string, socket zmq4.Socket) {
	for ctx.Err() == nil {
		raw, err := socket.Recv()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		m, err := jupyter.Parse(raw.Frames, []byte(k.Conn.Key))
		if err != nil {
			k.t.Errorf("acceptance: on %s: %v", name, err)
			continue
		}
		k.mu.Lock()
		r := k.requests[m.Answer.ID]
		k.mu.Unlock()
		if r != nil {
			r.got(name, m)
		}
	}
}

// Send sends a request.
func (k *Kernel) Send(on, kind string, content any) *Request {
	k.t.Helper()
	m, err := jupyter.NewMessage(kind, k.session, nil, content)
	if err != nil {
		k.t.Fatal(err)
	}
	r := &Request{ID: m.Head.ID, Kind: kind, k: k, changed: make(chan struct{}, 1)}
	k.mu.Lock()
	k.requests[r.ID] = r
	k.mu.Unlock()
	k.SendFrames(on, m.Frames([]byte(k.Conn.Key)))
	return r
}

// SendFrames sends frames as they are.
func (k *Kernel) SendFrames(on string, frames [][]byte) {
	k.t.Helper()
	c := k.channels[on]
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.SendMulti(zmq4.NewMsgFrom(frames...)); err != nil {
		k.t.Errorf("acceptance: sending on %s: %v", on, err)
	}
}

// Cell sends a cell.
func (k *Kernel) Cell(code string) *Request {
	k.t.Helper()
	return k.Send("shell", "execute_request", map[string]any{"code": code, "silent": false, "store_history": true, "allow_stdin": false, "stop_on_error": true})
}

// Run sends a cell and waits until it is done.
func (k *Kernel) Run(code string) *Request {
	k.t.Helper()
	r := k.Cell(code)
	r.Done()
	return r
}

// Want runs a cell, which must succeed and whose output and result must hold a text.
func (k *Kernel) Want(code, want string) {
	k.t.Helper()
	if r := k.Run(code); r.Status() != "ok" || !strings.Contains(r.Text(), want) {
		k.t.Fatalf("acceptance: cell %q: %s, %q, want %q", code, r.Status(), r.Text(), want)
	}
}

// Interrupt asks for it, and waits until that is acknowledged.
func (k *Kernel) Interrupt() {
	k.t.Helper()
	k.Send("control", "interrupt_request", struct{}{}).Replied()
}

// Shutdown ends the kernel as Jupyter does, and waits until its process has ended.
func (k *Kernel) Shutdown() {
	k.t.Helper()
	k.Send("control", "shutdown_request", map[string]bool{"restart": false}).Replied()
	k.Ended()
}

// Ended waits until the kernel's process has ended.
func (k *Kernel) Ended() {
	k.t.Helper()
	select {
	case <-k.ended:
	case <-time.After(patience):
		k.t.Fatal("acceptance: the kernel does not end")
	}
}
