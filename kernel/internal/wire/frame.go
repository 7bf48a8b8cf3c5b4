package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
)

// MaxFrame is the largest frame in bytes: a program with its constants must fit.
// Tensors are not in frames.
const MaxFrame = 256 << 20

// A download brings up to MaxExtra buffers of at most MaxSmall bytes along.
const (
	MaxExtra = 64
	MaxSmall = 16
)

// MaxHello bounds the first frame of a connection, before the versions are compared.
const MaxHello = 4 << 10

// Message kinds, the first number of a request.
const (
	Hello = iota + 1
	Ops
	Lookup
	Compile
	Execute
	Upload
	Download
	CopyToDevice
	Keep
	Bind
	Drop
	List
	Statistics
	Stop
	Free           // nothing but the list of things no longer used
	Wait           // answered when all that came before it is done, with what failed of it
	Ack            // likewise, but says nothing of what failed
	ExecuteAndTell // Execute of which the reply tells the results
)

// What a client no longer uses, in the low two bits of a number in a request's list.
const (
	FreeBuffer = iota
	FreeBuilder
	FreeExecutable
)

// Answered says whether a request has a reply. The others are done in the order in which
// they come; what fails is told to whoever reads their results, or to the next request
// that has a reply and looks at tensors or programs.
func Answered(kind uint64) bool {
	return kind != Execute && kind != Upload && kind != CopyToDevice && kind != Free
}

// Status of a reply, its first byte.
const (
	StatusOK = iota
	StatusError
	StatusNotImplemented // wraps compute.ErrNotImplemented
)

// small is how much bulk data is copied behind its frame rather than written by itself.
const small = 16 << 10

// Conn reads and writes frames. One goroutine at a time may read, and one may write.
type Conn struct {
	net.Conn
	r   *bufio.Reader
	out []byte // frames that are queued
	in  []byte // see ReadRequest
}

// NewConn speaks frames over c.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)} }

// Queue makes body write one frame, which goes out with the next Flush.
func (c *Conn) Queue(body func(e *Enc)) error {
	start := len(c.out)
	e := Enc{B: append(c.out, 0, 0, 0, 0)}
	body(&e)
	n := len(e.B) - start - 4
	if e.Err == nil && n > MaxFrame {
		e.Err = tooLarge(n)
	}
	if e.Err != nil {
		return e.Err
	}
	binary.LittleEndian.PutUint32(e.B[start:], uint32(n))
	c.out = e.B
	return nil
}

// QueueBulk appends the data that belongs to the last frame; long data is written at
// once, with all that is queued.
func (c *Conn) QueueBulk(bulk []byte) error {
	if len(bulk) > small {
		return c.flush(bulk)
	}
	c.out = append(c.out, bulk...)
	return nil
}

// Queued is the number of bytes that wait for Flush.
func (c *Conn) Queued() int { return len(c.out) }

// Flush writes what is queued, with one call of the system.
func (c *Conn) Flush() error { return c.flush(nil) }

func (c *Conn) flush(bulk []byte) (err error) {
	parts := net.Buffers{c.out, bulk}
	switch {
	case len(bulk) > 0:
		_, err = parts.WriteTo(c.Conn)
	case len(c.out) > 0:
		_, err = c.Write(c.out)
	}
	if c.out = c.out[:0]; cap(c.out) > 1<<20 { // a program with its constants, once
		c.out = nil
	}
	return err
}

// WriteFrame writes one frame, and bulk data after it.
func (c *Conn) WriteFrame(payload, bulk []byte) error {
	if len(payload) > MaxFrame {
		return tooLarge(len(payload))
	}
	c.out = append(binary.LittleEndian.AppendUint32(c.out, uint32(len(payload))), payload...)
	if err := c.QueueBulk(bulk); err != nil {
		return err
	}
	return c.Flush()
}

func tooLarge(n int) error {
	return fmt.Errorf("wire: a message of %d bytes; the limit is %d: pass large constants as parameters", n, MaxFrame)
}

// ReadFrame reads a frame of at most limit bytes.
func (c *Conn) ReadFrame(limit int) ([]byte, error) {
	n, err := c.readHead(limit)
	if err != nil {
		return nil, err
	}
	return c.readLong(nil, n)
}

// ReadRequest is ReadFrame for who is done with a frame before reading the next: short
// ones share their memory.
func (c *Conn) ReadRequest(limit int) ([]byte, error) {
	n, err := c.readHead(limit)
	if err != nil {
		return nil, err
	}
	if n > small {
		return c.readLong(nil, n)
	}
	if c.in == nil {
		c.in = make([]byte, small)
	}
	_, err = io.ReadFull(c.r, c.in[:n])
	return c.in[:n:n], err
}

func (c *Conn) readHead(limit int) (int, error) {
	head, err := c.r.Peek(4)
	if err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint32(head))
	if n > int64(limit) {
		return 0, fmt.Errorf("wire: a frame of %d bytes; the limit is %d", n, limit)
	}
	_, err = c.r.Discard(4)
	return int(n), err
}

// readLong reads n bytes. Memory grows with what arrives: a length is only a claim.
func (c *Conn) readLong(b []byte, n int) ([]byte, error) {
	for len(b) < n {
		at := len(b)
		b = slices.Grow(b, min(n-at, max(1<<20, at)))
		b = b[:min(n, cap(b))]
		if _, err := io.ReadFull(c.r, b[at:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Has says whether n bytes can be read without waiting for the other end.
func (c *Conn) Has(n int) bool { return c.r.Buffered() >= n || c.r.Buffered()+arrived(c.Conn) >= n }

// Whole says whether the next frame can be read without waiting for the other end.
func (c *Conn) Whole() bool {
	if !c.Has(4) {
		return false
	}
	head, err := c.r.Peek(4)
	return err == nil && c.Has(4+int(binary.LittleEndian.Uint32(head)))
}

// Waiting is the number of bytes that have been received and not read.
func (c *Conn) Waiting() int { return c.r.Buffered() }

// ReadBulk reads the data after a frame into dst.
func (c *Conn) ReadBulk(dst []byte) error {
	_, err := io.ReadFull(c.r, dst)
	return err
}

// SkipBulk reads n bytes after a frame and forgets them.
func (c *Conn) SkipBulk(n int64) error {
	_, err := io.CopyN(io.Discard, c.r, n)
	return err
}
