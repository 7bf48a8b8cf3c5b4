package session

import (
	"sync"

	"ftlab/kernel/internal/wire"
)

// window is after how many requests that have no reply the server is asked how far it
// is. At most twice as many are under way: enough for the server never to wait for this
// program, and few enough for what it holds and owes to stay close to what this program
// believes.
const window = 64

// flushAt is how many bytes of requests wait for company at most.
const flushAt = 32 << 10

// stream is the connection of everything that touches buffers: what is sent on it is
// done in that order, and most of it has no reply.
type stream struct {
	mu    sync.Mutex // held while something is queued or written
	c     *wire.Conn
	last  *turn // of the newest request that has a reply
	ahead int   // requests since the newest turn
	ack   *turn // of the newest Ack
}

// turn is the place of a reply in the order of replies.
type turn struct {
	before *turn         // whose reply comes first
	done   chan struct{} // closed when this one has been read
	ack    sync.Once     // an Ack's reply is read by whoever is the first to need that
	isAck  bool
}

// turn is the next place; s.mu is held.
func (s *stream) turn(isAck bool) *turn {
	t := &turn{before: s.last, done: make(chan struct{}), isAck: isAck}
	s.last, s.ahead = t, 0
	return t
}

// read waits until t's reply is the next one.
func (t *turn) read(b *Backend) {
	if t.before != nil {
		t.before.wait(b)
		t.before = nil // a chain would grow for ever
	}
}

// wait returns when t's reply has been read.
func (t *turn) wait(b *Backend) {
	if t.isAck {
		t.ack.Do(func() {
			t.read(b)
			b.reply(b.stream.c) // an error is the end of the connection, which the next request finds
			close(t.done)
		})
	}
	<-t.done
}

// queue writes a request into the stream's buffer; s.mu is held.
func (b *Backend) queue(kind uint64, body func(e *wire.Enc), up []byte) error {
	freed, err := b.takeFreed()
	if err != nil {
		return err
	}
	s := &b.stream
	err = s.c.Queue(func(e *wire.Enc) {
		e.Uint(kind)
		e.Uint(uint64(len(freed)))
		for _, x := range freed {
			e.Uint(x)
		}
		if body != nil {
			body(e)
		}
	})
	if err != nil {
		b.giveFreed(freed)
		return err
	}
	if err := s.c.QueueBulk(up); err != nil {
		return b.lost(err)
	}
	return nil
}

// send makes a request that has no reply. It is written at once or, unless now, with
// what comes next.
func (b *Backend) send(kind uint64, body func(e *wire.Enc), up []byte, now bool) error {
	s := &b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := b.queue(kind, body, up); err != nil {
		return err
	}
	if s.ahead++; s.ahead >= window {
		if s.ack != nil {
			if err := b.flush(); err != nil {
				return err
			}
			s.ack.wait(b)
		}
		if err := b.queue(wire.Ack, nil, nil); err != nil {
			return err
		}
		s.ack = s.turn(true)
		now = true
	}
	if now || s.c.Queued() > flushAt {
		return b.flush()
	}
	return nil
}

// flush writes what is queued; stream.mu is held.
func (b *Backend) flush() error {
	if err := b.stream.c.Flush(); err != nil {
		return b.lost(err)
	}
	return nil
}

// ask makes a request that has a reply, and reads down after it.
func (b *Backend) ask(kind uint64, body func(e *wire.Enc), down []byte) (*wire.Dec, error) {
	s := &b.stream
	s.mu.Lock()
	err := b.queue(kind, body, nil)
	if err == nil {
		err = b.flush()
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	b.requests.Add(1)
	t := s.turn(false)
	s.mu.Unlock()

	defer close(t.done)
	t.read(b)
	d, err := b.reply(s.c)
	if err == nil && down != nil {
		if err := s.c.ReadBulk(down); err != nil {
			return nil, b.lost(err)
		}
	}
	return d, err
}

// Wait returns when everything that was asked for so far is done. The error is the first
// of an execution, upload or copy whose results were not read yet, if one failed.
func (b *Backend) Wait() error {
	_, err := b.ask(wire.Wait, nil, nil)
	return err
}

func (b *Backend) takeFreed() ([]uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	freed := b.freed
	b.freed = nil
	return freed, b.dead
}

func (b *Backend) giveFreed(freed []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.freed = append(b.freed, freed...)
	}
}

// free tells the server, with the next request of the stream, that something is no
// longer used.
func (b *Backend) free(id uint64, what uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.freed = append(b.freed, id<<2|what)
	}
}
