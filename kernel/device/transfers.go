package device

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/wire"
)

// upload reads the data behind the request in any case; what goes wrong then is the
// buffer's failure.
func (c *conn) upload(d *wire.Dec) error {
	var device compute.DeviceNum
	var shape shapes.Shape
	id := d.Uint()
	d.Get(&device)
	d.Get(&shape)
	n, ok := wire.FlatBytes(shape)
	if !ok || !c.s.free(c.ss, id, 1) {
		return errHangUp // how much follows is not known
	}
	if n > sharedBytes || c.keeps && !c.Has(int(n)) {
		c.letGo()
	}
	c.s.mu.Lock()
	err := c.s.room(n)
	c.s.mu.Unlock()
	if err != nil {
		if c.SkipBulk(n) != nil {
			return errHangUp
		}
		return c.made(id, nil, fmt.Errorf("a tensor of shape %s: %w", shape, err))
	}
	if b, flat := c.s.shared(device, shape, n); b != nil { // straight to where it is computed with
		if c.ReadBulk(dtypes.UnsafeByteSliceFromAny(flat)) != nil {
			_ = b.Finalize()
			return errHangUp
		}
		x := &buffer{Buffer: b, info: wire.Kept{Shape: shape, Device: device}, bytes: n, shared: true}
		c.s.fill(c.ss, id, []*buffer{x}, 1, nil)
		return nil
	}
	flat, err := c.readFlat(shape, n)
	if err != nil {
		return errHangUp
	}
	b, err := c.receive(device, flat, shape)
	return c.made(id, b, err)
}

// sharedBytes is the largest upload that goes straight into the backend's memory: for
// scalars and batches of token ids, what the backend does to copy them takes longer than
// a small program.
const sharedBytes = 64 << 10

// shared makes a small buffer in memory that the server can write; nil where the backend
// has no such, or if anything is wrong, which [conn.receive] then tells.
func (s *Server) shared(device compute.DeviceNum, shape shapes.Shape, n int64) (b compute.Buffer, flat any) {
	if n == 0 || n > sharedBytes || !s.backend.HasSharedBuffers() {
		return nil, nil
	}
	defer func() {
		if recover() != nil {
			b, flat = nil, nil
		}
	}()
	b, flat, err := s.backend.NewSharedBuffer(device, shape)
	if err != nil {
		return nil, nil
	}
	if int64(len(dtypes.UnsafeByteSliceFromAny(flat))) != n {
		_ = b.Finalize()
		return nil, nil
	}
	return b, flat
}

// believed is how much memory a client gets for an upload of which nothing has come yet.
const believed = 64 << 20

// readFlat reads a tensor's data. Memory for a large one grows with what arrives, eight
// times at once, so that little is copied.
func (c *conn) readFlat(shape shapes.Shape, n int64) (any, error) {
	if n <= believed {
		flat := dtypes.MakeAnySlice(shape.DType, shape.Size())
		return flat, c.ReadBulk(dtypes.UnsafeByteSliceFromAny(flat))
	}
	var words []uint64 // aligned for any type
	for have := int64(0); have < n; {
		want := min(n, max(believed, 8*have))
		more := make([]uint64, (want+7)/8)
		copy(more, words)
		words = more
		raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), want)
		if err := c.ReadBulk(raw[have:]); err != nil {
			return nil, err
		}
		have = want
	}
	return dtypes.UnsafeAnySliceFromBytes(unsafe.Pointer(unsafe.SliceData(words)), shape.DType, shape.Size()), nil
}

func (c *conn) receive(device compute.DeviceNum, flat any, shape shapes.Shape) (b compute.Buffer, err error) {
	defer wire.Guard(&err)
	return c.s.backend.BufferFromFlatData(device, flat, shape)
}

// made ends what should have made one buffer.
func (c *conn) made(id uint64, b compute.Buffer, err error) error {
	var x *buffer
	if err == nil {
		x, err = describe(b)
	}
	c.s.fill(c.ss, id, []*buffer{x}, 1, err)
	return nil
}

// download replies with small buffers that the client will want next, and the data of
// one buffer behind the reply.
func (c *conn) download(d *wire.Dec) error {
	id, extra := d.Uint(), d.Len()
	if extra > wire.MaxExtra {
		return fmt.Errorf("a download that brings %d buffers along", extra)
	}
	b, err := c.s.hold(c.ss, id)
	if err != nil {
		return err
	}
	release := func() { c.s.release(b.info.ID) }
	if err := c.s.untold(c.ss); err != nil {
		release()
		return err
	}
	raw, shared, err := c.s.read(b)
	if err != nil {
		release()
		return err
	}
	for range extra {
		c.out.Bytes(c.s.small(c.ss, d.Uint()))
	}
	if c.bulk = raw; shared {
		c.then = release
	} else {
		release()
	}
	return nil
}

// read returns a buffer's data: its own memory, if it is shared.
func (s *Server) read(b *buffer) (raw []byte, shared bool, err error) {
	n, ok := wire.FlatBytes(b.info.Shape)
	if !ok {
		return nil, false, fmt.Errorf("a buffer of shape %s cannot be read", b.info.Shape)
	}
	if s.backend.HasSharedBuffers() {
		if flat, err := b.Data(); err == nil {
			if raw := dtypes.UnsafeByteSliceFromAny(flat); int64(len(raw)) == n {
				return raw, true, nil
			}
		}
	}
	flat := dtypes.MakeAnySlice(b.info.Shape.DType, b.info.Shape.Size())
	return dtypes.UnsafeByteSliceFromAny(flat), false, b.ToFlatData(flat)
}

// small returns a small buffer's data, nothing if that is not possible: nobody has asked
// for it yet.
func (s *Server) small(ss *session, id uint64) []byte {
	s.mu.Lock()
	b, err := ss.owned(id)
	if err != nil || b.bytes > wire.MaxSmall {
		s.mu.Unlock()
		return nil
	}
	b.refs++
	s.mu.Unlock()
	defer s.release(b.info.ID)
	raw, _, err := s.read(b)
	if err != nil {
		return nil
	}
	return bytes.Clone(raw)
}

func (c *conn) copyTo(d *wire.Dec) error {
	from, id := d.Uint(), d.Uint()
	var device compute.DeviceNum
	d.Get(&device)
	if !c.s.free(c.ss, id, 1) {
		return errHangUp
	}
	copied, err := c.copied(from, device)
	return c.made(id, copied, err)
}

func (c *conn) copied(from uint64, device compute.DeviceNum) (_ compute.Buffer, err error) {
	defer wire.Guard(&err)
	b, err := c.s.hold(c.ss, from)
	if err != nil {
		return nil, err
	}
	defer c.s.release(b.info.ID)
	c.s.mu.Lock()
	err = c.s.room(b.bytes)
	c.s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("a copy of a tensor of shape %s: %w", b.info.Shape, err)
	}
	return b.CopyToDevice(device)
}
