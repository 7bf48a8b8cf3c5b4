package session

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/wire"
)

// request is a round trip: the message's body is written by body, which may be nil.
func (b *Backend) request(kind uint64, body func(e *wire.Enc)) (*wire.Dec, error) {
	return b.transfer(kind, body, nil, nil)
}

// transfer is a request that sends up after it, and reads down after the reply.
func (b *Backend) transfer(kind uint64, body func(e *wire.Enc), up, down []byte) (*wire.Dec, error) {
	c, freed, err := b.take()
	if err != nil {
		return nil, err
	}
	var e wire.Enc
	e.Uint(kind)
	e.Uint(uint64(len(freed)))
	for _, x := range freed {
		e.Uint(x)
	}
	if body != nil {
		body(&e)
	}
	if e.Err == nil && len(e.B) > wire.MaxFrame {
		e.Err = fmt.Errorf("session: a message of %d bytes; the limit is %d: pass large constants as parameters", len(e.B), wire.MaxFrame)
	}
	if e.Err != nil {
		b.put(c, freed)
		return nil, e.Err
	}
	b.requests.Add(1)
	if err := c.WriteFrame(e.B, up); err != nil {
		return nil, b.lost(err)
	}
	d, err := b.reply(c)
	if errors.Is(err, ErrLost) {
		return nil, err
	}
	if err == nil && down != nil {
		if err := c.ReadBulk(down); err != nil {
			return nil, b.lost(err)
		}
	}
	b.put(c, nil)
	return d, err
}

// take returns a connection that nobody uses, and what to tell the server with it.
func (b *Backend) take() (c *wire.Conn, freed []uint64, err error) {
	b.mu.Lock()
	if b.dead != nil {
		defer b.mu.Unlock()
		return nil, nil, b.dead
	}
	if n := len(b.idle); n > 0 {
		c, b.idle = b.idle[n-1], b.idle[:n-1]
		freed, b.freed = b.freed, nil
	}
	b.mu.Unlock()
	if c == nil {
		if c, err = b.dial(false); errors.Is(err, ErrNoServer) {
			err = b.lost(err)
		}
	}
	return c, freed, err
}

func (b *Backend) put(c *wire.Conn, freed []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.idle, b.freed = append(b.idle, c), append(b.freed, freed...)
	}
}

// free tells the server, with the next request, that something is no longer used.
func (b *Backend) free(id uint64, what uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.freed = append(b.freed, id<<2|what)
	}
}

func (b *Backend) reply(c *wire.Conn) (d *wire.Dec, err error) {
	payload, err := c.ReadFrame(wire.MaxFrame)
	if err != nil {
		return nil, b.lost(err)
	}
	defer wire.Guard(&err)
	d = &wire.Dec{B: payload}
	switch status := d.Byte(); status {
	case wire.StatusOK:
		return d, nil
	case wire.StatusNotImplemented:
		return nil, fmt.Errorf("%s: %w", d.Str(), compute.ErrNotImplemented)
	default:
		return nil, errors.New("device: " + d.Str())
	}
}
