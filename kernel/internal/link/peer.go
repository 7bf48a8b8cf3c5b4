package link

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Peer is one end of a connection. Its methods may be called by many goroutines.
type Peer struct {
	c       *net.UnixConn
	r       *bufio.Reader
	write   sync.Mutex
	onEvent func(verb string, body json.RawMessage)

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan Frame
	err     error // why the connection has ended
	done    chan struct{}
}

// ErrClosed says that the connection has ended.
var ErrClosed = errors.New("link: the connection to the kernel has ended")

type hello struct {
	Version int `json:"version"`
}

// Dial connects to the kernel that listens at path. Events go to onEvent, one after
// another, in a goroutine that also delivers answers: it must not call.
func Dial(path string, onEvent func(verb string, body json.RawMessage)) (*Peer, error) {
	c, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("link: no kernel listens: %w", err)
	}
	p := newPeer(c.(*net.UnixConn))
	p.onEvent = onEvent
	if err := sameUser(p.c); err != nil {
		c.Close()
		return nil, err
	}
	go func() {
		for {
			f, err := Read(p.r)
			if err != nil {
				p.end(err)
				return
			}
			p.take(f)
		}
	}()
	var got hello
	if err := p.Call("hello", hello{Version}, &got); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func newPeer(c *net.UnixConn) *Peer {
	return &Peer{c: c, r: bufio.NewReaderSize(c, 64<<10), waiting: map[uint64]chan Frame{}, done: make(chan struct{})}
}

// take gives an answer to the call that waits for it, or an event to onEvent.
func (p *Peer) take(f Frame) {
	if f.ID == 0 {
		if p.onEvent != nil {
			p.onEvent(f.Verb, f.Body)
		}
		return
	}
	p.mu.Lock()
	answer := p.waiting[f.ID]
	delete(p.waiting, f.ID)
	p.mu.Unlock()
	if answer != nil {
		answer <- f
	}
}

func (p *Peer) end(err error) {
	p.c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = fmt.Errorf("%w: %w", ErrClosed, err)
	for _, answer := range p.waiting {
		close(answer)
	}
	p.waiting = nil
	close(p.done)
}

// Close ends the connection; calls that wait return ErrClosed.
func (p *Peer) Close() { p.end(net.ErrClosed) }

// Done is closed when the connection has ended.
func (p *Peer) Done() <-chan struct{} { return p.done }

func (p *Peer) send(f Frame) error {
	p.write.Lock()
	defer p.write.Unlock()
	return Write(p.c, f)
}

// Call sends a request and waits for its answer, which it stores in out (nil: dropped).
func (p *Peer) Call(verb string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("link: %s: %w", verb, err)
	}
	answer := make(chan Frame, 1)
	p.mu.Lock()
	if p.err != nil {
		defer p.mu.Unlock()
		return p.err
	}
	p.next++
	id := p.next
	p.waiting[id] = answer
	p.mu.Unlock()
	if err := p.send(Frame{ID: id, Verb: verb, Body: body}); err != nil {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
		return err
	}
	f, ok := <-answer
	switch {
	case !ok:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case f.Error != "":
		return errors.New(f.Error)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(f.Body, out); err != nil {
		return fmt.Errorf("link: answer to %s: %w", verb, err)
	}
	return nil
}

// Tell sends an event. It waits while the other end does not read.
func (p *Peer) Tell(verb string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("link: %s: %w", verb, err)
	}
	return p.send(Frame{Verb: verb, Body: data})
}

// Handler answers the requests of one connection, one after another. Close is called
// once, when the connection has ended.
type Handler interface {
	Call(verb string, body json.RawMessage) (any, error)
	Close()
}

// Serve takes connections until l is closed. made gives each its handler.
func Serve(l *net.UnixListener, made func(*Peer) Handler) error {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("link: %w", err)
		}
		go serve(c, made)
	}
}

// helloTime is how long a connection may take to say what it is.
const helloTime = 10 * time.Second

func serve(c *net.UnixConn, made func(*Peer) Handler) {
	p := newPeer(c)
	defer p.Close()
	if sameUser(c) != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(helloTime))
	f, err := Read(p.r)
	if err != nil || f.Verb != "hello" || f.ID == 0 {
		return
	}
	var h hello
	if json.Unmarshal(f.Body, &h) != nil || h.Version != Version {
		p.send(Frame{ID: f.ID, Error: fmt.Sprintf("link: this kernel speaks version %d, the cell %d: restart the kernel", Version, h.Version)})
		return
	}
	c.SetReadDeadline(time.Time{})
	if p.send(Frame{ID: f.ID, Body: json.RawMessage(fmt.Sprintf(`{"version":%d}`, Version))}) != nil {
		return
	}
	handler := made(p)
	defer handler.Close()
	for {
		f, err := Read(p.r)
		if err != nil || f.ID == 0 {
			return
		}
		answer := Frame{ID: f.ID}
		if out, err := handler.Call(f.Verb, f.Body); err != nil {
			answer.Error = err.Error()
		} else if answer.Body, err = json.Marshal(out); err != nil {
			answer.Error = err.Error()
		}
		if err := p.send(answer); err != nil {
			if len(answer.Body) <= MaxFrame {
				return
			}
			if p.send(Frame{ID: f.ID, Error: err.Error()}) != nil {
				return
			}
		}
	}
}
