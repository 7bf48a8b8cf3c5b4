//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"ftlab/ftlib/backend"
	"ftlab/kernel/session"
)

// deviceServer is the device server of a notebook kernel: started in the background when
// the kernel starts, looked after before each cell, and left running when it ends.
type deviceServer struct {
	addr    string
	command []string
	own     string        // FTLAB_BACKEND, as the user has set it
	flags   string        // GOFLAGS of cells
	needed  func()        // begins the start at once
	up      chan struct{} // closed when the first start has come to an end

	mu     sync.Mutex
	b      *session.Backend
	err    error
	tried  time.Time
	inCell bool // cells compute in their own process: there is no server
}

// sessionTag, among the flags of go build, leaves the backends out of a cell.
const sessionTag = "ftlab_session,"

// tryAgain is how long a kernel waits before it starts a server again that does not start.
const tryAgain = 30 * time.Second

// startLater is how long the start of the server waits, unless a cell computes: the first
// result of a notebook comes before it.
const startLater = time.Second

// startDeviceServer sees to it that the server is started. Programs of this process use it, too.
func startDeviceServer(self string) (*deviceServer, error) {
	addr, err := session.DefaultAddr()
	if err != nil {
		return nil, err
	}
	d := &deviceServer{addr: addr, own: os.Getenv(backend.Env), flags: os.Getenv("GOFLAGS"), up: make(chan struct{})}
	if strings.HasPrefix(d.own, "session") {
		d.own = ""
	}
	d.command = []string{self, "device", "run", "--backend", d.own}
	for name, value := range map[string]string{backend.Env: "session:", session.EnvAddr: addr} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	begin := make(chan struct{})
	d.needed = sync.OnceFunc(func() { close(begin) })
	time.AfterFunc(startLater, d.needed)
	go func() {
		defer close(d.up)
		<-begin
		d.mu.Lock()
		defer d.mu.Unlock()
		d.start()
	}()
	return d, nil
}

func (d *deviceServer) start() {
	d.tried = time.Now()
	d.b, d.err = session.Start(d.addr, d.command...)
}

// prepare is for [jupyter.Config].Prepare. A cell that does not compute does not wait for
// the server.
func (d *deviceServer) prepare(code string) (env []string, notice string) {
	if strings.Contains(code, "ftlab/") || strings.Contains(code, "gomlx/") || strings.HasPrefix(code, "%") {
		d.needed()
		<-d.up
	}
	select {
	case <-d.up:
	default:
		return nil, ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		if _, err := d.b.Stats(); err != nil {
			d.start()
		}
	} else if time.Since(d.tried) > tryAgain {
		d.start()
	}
	if d.err != nil {
		if d.inCell {
			return nil, ""
		}
		d.inCell = true
		// Cells are built without backends, which a server has: with them it takes longer.
		env = []string{backend.Env + "=" + d.own, "GOFLAGS=" + strings.ReplaceAll(d.flags, sessionTag, "")}
		return env, fmt.Sprintf("there is no device server: %v. Cells compute in their own process, and what they compute ends with them.", d.err)
	}
	if d.inCell {
		d.inCell = false
		env = []string{backend.Env + "=session:", "GOFLAGS=" + d.flags}
	}
	return env, d.b.Notice()
}
