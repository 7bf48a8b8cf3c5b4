package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// MaxFrame is the largest frame in bytes: a program with its constants must fit.
// Tensors are not in frames.
const MaxFrame = 256 << 20

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
	Free // nothing but the list of things no longer used
)

// What a client no longer uses, in the low two bits of a number in a request's list.
const (
	FreeBuffer = iota
	FreeBuilder
	FreeExecutable
)

// Status of a reply, its first byte.
const (
	StatusOK = iota
	StatusError
	StatusNotImplemented // wraps compute.ErrNotImplemented
)

// Conn reads and writes frames. One goroutine at a time may use it.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// NewConn speaks frames over c.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)} }

// WriteFrame writes one frame, and bulk data after it.
func (c *Conn) WriteFrame(payload, bulk []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("wire: a message of %d bytes; the limit is %d: pass large constants as parameters", len(payload), MaxFrame)
	}
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(payload)))
	if len(payload) < 32<<10 && len(bulk) == 0 {
		_, err := c.Write(append(append(make([]byte, 0, 4+len(payload)), head[:]...), payload...))
		return err
	}
	parts := net.Buffers{head[:], payload}
	if len(bulk) > 0 {
		parts = append(parts, bulk)
	}
	_, err := parts.WriteTo(c.Conn)
	return err
}

// ReadFrame reads a frame of at most limit bytes.
func (c *Conn) ReadFrame(limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n > int64(limit) {
		return nil, fmt.Errorf("wire: a frame of %d bytes; the limit is %d", n, limit)
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(c.r, payload)
	return payload, err
}

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
