//go:build unix

package jupyter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/transport"
)

// The library for ZeroMQ trusts whoever connects: it believes the length of a frame
// before it has come, looks into frames that may be empty, and greets one connection
// after another, so that a silent one keeps all others out. Any program of the machine
// can connect to the ports of a kernel. So a kernel listens through a guard: it greets
// by itself, each connection at a time of its own, turns away other users, and passes on
// whole frames that are what they should be.

// Limits of what a front end may send.
const (
	maxMessage = 256 << 20 // bytes of all frames
	maxFrames  = 10_000
	maxCommand = 64 << 10         // bytes of a command of ZeroMQ itself
	greetTime  = 10 * time.Second // from a connection to the end of its greeting
	maxWaiting = 64               // connections that have not greeted
)

const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4
)

// guards are transports of the library by the names that addresses give them: the
// first for sockets that only subscriptions come on.
var guards = map[string]guard{
	"pubtcp": {transport.New("tcp"), true}, "safetcp": {transport.New("tcp"), false},
	"pubipc": {transport.New("unix"), true}, "safeipc": {transport.New("unix"), false},
}

func init() {
	for name, g := range guards {
		if err := zmq4.RegisterTransport(name, g); err != nil {
			panic(err) // the names are used by nobody else
		}
	}
}

type guard struct {
	transport.Transport
	subscriptions bool
}

// Listen is the library's, and the guard stands before it.
func (g guard) Listen(ctx context.Context, addr string) (net.Listener, error) {
	inner, err := g.Transport.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	l := &guardedListener{Listener: inner, guard: g, ready: make(chan net.Conn), closed: make(chan struct{}), waiting: make(chan struct{}, maxWaiting)}
	go l.accept()
	return l, nil
}

type guardedListener struct {
	net.Listener
	guard   guard
	ready   chan net.Conn
	closed  chan struct{} // the inner listener has ended
	waiting chan struct{}
}

func (l *guardedListener) accept() {
	defer close(l.closed)
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of one connection, or too many files are open
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case l.waiting <- struct{}{}:
		default:
			c.Close()
			continue
		}
		go func() {
			defer func() { <-l.waiting }()
			g := &guarded{Conn: c, in: bufio.NewReader(c), subscriptions: l.guard.subscriptions}
			if err := g.admit(); err != nil {
				c.Close()
				return
			}
			select {
			case l.ready <- g:
			case <-l.closed:
				c.Close()
			}
		}()
	}
}

// Accept returns a connection that has greeted.
func (l *guardedListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// guarded is a connection from which whole frames are read.
type guarded struct {
	net.Conn
	in            *bufio.Reader
	subscriptions bool
	checked       bytes.Buffer // what may be read
	greeting      int          // bytes of the library's greeting that were sent already
	bytes, frames int          // of the message that has begun
}

// greeting is ZeroMQ's, version 3.0, of a peer without encryption.
var greeting = func() (g [64]byte) {
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:], "NULL")
	return g
}()

// admit exchanges the greetings, and reads the peer's first command.
func (c *guarded) admit() error {
	if !sameUser(c.Conn) {
		return errors.New("jupyter: a connection of another user")
	}
	if err := c.SetDeadline(time.Now().Add(greetTime)); err != nil {
		return err
	}
	if _, err := c.Conn.Write(greeting[:]); err != nil {
		return err
	}
	c.greeting = len(greeting)
	var got [len(greeting)]byte
	if _, err := io.ReadFull(c.in, got[:]); err != nil {
		return err
	}
	if got[0] != greeting[0] || got[9] != greeting[9] || got[10] < 3 || !bytes.Equal(got[12:32], greeting[12:32]) {
		return errors.New("jupyter: a greeting that is not ZeroMQ's")
	}
	c.checked.Write(got[:])
	if err := c.frame(true); err != nil {
		return err
	}
	_ = c.SetDeadline(time.Time{}) // of a connection that has ended, reading tells
	return nil
}

// Write leaves out the greeting, which was sent.
func (c *guarded) Write(p []byte) (int, error) {
	skip := min(c.greeting, len(p))
	c.greeting -= skip
	if skip == len(p) {
		return skip, nil
	}
	n, err := c.Conn.Write(p[skip:])
	return skip + n, err
}

func (c *guarded) Read(p []byte) (int, error) {
	for c.checked.Len() == 0 {
		if err := c.frame(false); err != nil {
			c.Conn.Close()
			return 0, err
		}
	}
	return c.checked.Read(p)
}

// frame reads one frame and checks it. first says that it must be the command READY.
func (c *guarded) frame(first bool) error {
	flags, err := c.in.ReadByte()
	if err != nil {
		return err
	}
	head := make([]byte, 1, 9)
	if flags&flagLong != 0 {
		head = head[:8]
	}
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	var long [8]byte
	copy(long[8-len(head):], head)
	size := binary.BigEndian.Uint64(long[:])
	command := flags&flagCommand != 0
	c.frames++
	switch {
	case flags&^(flagMore|flagLong|flagCommand) != 0, command && flags&flagMore != 0, command && c.frames > 1, first && !command:
		return errors.New("jupyter: a frame with flags that do not exist")
	case command && size > maxCommand, size > maxMessage, c.bytes+int(size) > maxMessage, c.frames > maxFrames:
		return fmt.Errorf("jupyter: a message of more than %d bytes or %d frames", maxMessage, maxFrames)
	case c.subscriptions && !command && (size == 0 || flags&flagMore != 0):
		return errors.New("jupyter: a subscription that is none")
	}
	c.bytes += int(size)
	if flags&flagMore == 0 {
		c.bytes, c.frames = 0, 0
	}
	c.checked.WriteByte(flags)
	c.checked.Write(head)
	at := c.checked.Len()
	if _, err := io.CopyN(&c.checked, c.in, int64(size)); err != nil { // it grows with what comes
		return err
	}
	if command {
		return checkCommand(c.checked.Bytes()[at:], first)
	}
	return nil
}

// checkCommand checks a command's form; the first is READY, with properties.
func checkCommand(body []byte, first bool) error {
	bad := errors.New("jupyter: a command that is none")
	if len(body) == 0 || int(body[0]) > len(body)-1 || body[0] == 0 {
		return bad
	}
	name, rest := string(body[1:1+body[0]]), body[1+body[0]:]
	if (name == "READY") != first {
		return bad
	}
	kind := ""
	for first && len(rest) > 0 {
		n := 1 + int(rest[0])
		if n == 1 || len(rest) < n+4 {
			return bad
		}
		size := binary.BigEndian.Uint32(rest[n:])
		if uint64(size) > uint64(len(rest)-n-4) {
			return bad
		}
		key, value := string(rest[1:n]), string(rest[n+4:n+4+int(size)])
		if strings.EqualFold(key, "Socket-Type") {
			if kind = value; !slices.Contains(clients, kind) {
				return bad
			}
		}
		rest = rest[n+4+int(size):]
	}
	if first && kind == "" {
		return bad
	}
	return nil
}

// clients are the kinds of sockets that may connect to one of a kernel's.
var clients = []string{"DEALER", "REQ", "ROUTER", "SUB", "XSUB"}
