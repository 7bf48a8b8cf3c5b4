package trust

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	maxStrangers = 32              // connections at once that have not proved who they are
	patience     = 5 * time.Second // for that
)

// listener hands out only connections of clients that have proved who they are.
type listener struct {
	net.Listener
	authority *Authority
	config    *tls.Config
	strangers chan struct{}
	ready     chan net.Conn
	done      chan struct{}
	once      sync.Once
	failed    error // why Accept of the socket failed; read after done

	mu     sync.Mutex
	guests map[*guest]bool
}

// Listen opens a TCP port (host:port) for the tokens of an authority.
func Listen(addr string, a *Authority) (net.Listener, error) {
	c, err := a.server()
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	l := &listener{Listener: tcp, authority: a, config: c, guests: map[*guest]bool{}, strangers: make(chan struct{}, maxStrangers), ready: make(chan net.Conn), done: make(chan struct{})}
	go l.run()
	go l.makeRounds()
	return l, nil
}

func (l *listener) run() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			l.end(err)
			return
		}
		select {
		case l.strangers <- struct{}{}:
			go l.prove(c)
		default: // the house is full; those inside have a deadline
			c.Close()
		}
	}
}

func (l *listener) prove(nc net.Conn) {
	defer func() { <-l.strangers }()
	c := tls.Server(nc, l.config)
	c.SetDeadline(time.Now().Add(patience))
	if c.Handshake() != nil {
		nc.Close()
		return
	}
	c.SetDeadline(time.Time{})
	g := &guest{Conn: c, house: l, cert: c.ConnectionState().PeerCertificates[0]}
	l.mu.Lock()
	l.guests[g] = true
	l.mu.Unlock()
	select {
	case l.ready <- g:
	case <-l.done:
		g.Close()
	}
}

// Accept returns a connection after its handshake.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, l.failed
	}
}

func (l *listener) end(why error) { l.once.Do(func() { l.failed = why; close(l.done) }) }

// Close ends the port.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.end(net.ErrClosed)
	return err
}

// Proved says whether a connection came through a [Listen]er.
func Proved(c net.Conn) bool {
	g, ok := c.(*guest)
	return ok && g.ConnectionState().HandshakeComplete && len(g.ConnectionState().VerifiedChains) > 0
}

// Join accepts from several listeners. It ends when one of them does.
func Join(all ...net.Listener) net.Listener {
	j := &joined{all: all, ready: make(chan net.Conn), done: make(chan struct{})}
	for _, l := range all {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					j.end(err)
					return
				}
				select {
				case j.ready <- c:
				case <-j.done:
					c.Close()
				}
			}
		}()
	}
	return j
}

type joined struct {
	all   []net.Listener
	ready chan net.Conn
	done  chan struct{}
	once  sync.Once
	why   error
}

func (j *joined) end(why error) { j.once.Do(func() { j.why = why; close(j.done) }) }

func (j *joined) Accept() (net.Conn, error) {
	select {
	case c := <-j.ready:
		return c, nil
	case <-j.done:
		return nil, j.why
	}
}

func (j *joined) Addr() net.Addr { return j.all[0].Addr() }

func (j *joined) Close() (err error) {
	j.end(net.ErrClosed)
	for _, l := range j.all {
		if e := l.Close(); err == nil {
			err = e
		}
	}
	return err
}
