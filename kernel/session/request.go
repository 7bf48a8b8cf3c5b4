package session

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/wire"
)

// request is a round trip on a connection of its own, for what touches no buffer of this
// session: it does not wait for executions, nor they for it.
func (b *Backend) request(kind uint64, body func(e *wire.Enc)) (*wire.Dec, error) {
	c, err := b.take()
	if err != nil {
		return nil, err
	}
	err = c.Queue(func(e *wire.Enc) {
		e.Uint(kind)
		e.Uint(0)
		if body != nil {
			body(e)
		}
	})
	if err != nil {
		b.put(c)
		return nil, err
	}
	b.requests.Add(1)
	if err := c.Flush(); err != nil {
		return nil, b.lost(err)
	}
	d, err := b.reply(c)
	if !errors.Is(err, ErrLost) {
		b.put(c)
	}
	return d, err
}

// take returns a connection that nobody uses.
func (b *Backend) take() (c *wire.Conn, err error) {
	b.mu.Lock()
	if b.dead != nil {
		defer b.mu.Unlock()
		return nil, b.dead
	}
	if n := len(b.idle); n > 0 {
		c, b.idle = b.idle[n-1], b.idle[:n-1]
	}
	b.mu.Unlock()
	if c == nil {
		if c, err = b.dial(false); errors.Is(err, ErrNoServer) {
			err = b.lost(err)
		}
	}
	return c, err
}

func (b *Backend) put(c *wire.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.idle = append(b.idle, c)
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
