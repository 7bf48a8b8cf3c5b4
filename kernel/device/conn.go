package device

import (
	"errors"
	"fmt"
	"net"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/wire"
)

// errHangUp ends a connection without a word: what follows on it makes no sense.
var errHangUp = errors.New("hang up")

// conn is a client's connection.
type conn struct {
	*wire.Conn
	s    *Server
	id   string
	ss   *session // nil before Hello
	out  *wire.Enc
	bulk []byte // sent after the reply
	then func() // after the reply
}

func (s *Server) serve(nc net.Conn) {
	c := &conn{Conn: wire.NewConn(nc), s: s}
	defer s.running.Done()
	defer func() {
		nc.Close()
		if c.ss != nil {
			s.detach(c.id, c.ss)
		}
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	}()
	if wire.SameUser(nc) != nil {
		return
	}
	limit := wire.MaxHello
	for {
		request, err := c.ReadFrame(limit)
		if err != nil {
			return
		}
		c.out, c.bulk, c.then = &wire.Enc{B: []byte{wire.StatusOK}}, nil, nil
		err = c.answer(request)
		if err == nil {
			err = c.out.Err
		}
		if errors.Is(err, errHangUp) {
			return
		}
		if err != nil {
			status := byte(wire.StatusError)
			if compute.IsNotImplemented(err) {
				status = wire.StatusNotImplemented
			}
			c.out, c.bulk = &wire.Enc{B: []byte{status}}, nil
			c.out.Str(err.Error())
		}
		err = c.WriteFrame(c.out.B, c.bulk)
		if c.then != nil {
			c.then()
		}
		if err != nil || c.ss == nil {
			return
		}
		limit = wire.MaxFrame
	}
}

// answer writes the reply to c.out.
func (c *conn) answer(request []byte) (err error) {
	defer wire.Guard(&err)
	d := &wire.Dec{B: request}
	kind := d.Uint()
	if (kind == wire.Hello) != (c.ss == nil) {
		return errors.New("the first message, and only the first, must be a hello")
	}
	freed := make([]uint64, d.Len())
	for i := range freed {
		freed[i] = d.Uint()
	}
	if c.ss == nil {
		return c.hello(d)
	}
	c.free(freed)
	s, ss, out := c.s, c.ss, c.out
	switch kind {
	case wire.Free:
	case wire.Ops:
		id, name := d.Uint(), d.Str()
		var calls [][]byte
		d.Get(&calls)
		s.apply(ss, id, name, calls, out)
	case wire.Lookup:
		out.Put(s.lookup(ss, d.Uint(), d.Str()))
	case wire.Compile:
		sig, err := s.compile(ss, d.Uint(), d.Str())
		if err != nil {
			return err
		}
		out.Put(sig)
	case wire.Execute:
		program := d.Uint()
		var device compute.DeviceNum
		var ids []uint64
		d.Get(&device)
		d.Get(&ids)
		made, err := s.execute(ss, program, device, ids)
		if err != nil {
			return err
		}
		out.Put(made)
	case wire.Upload:
		return c.upload(d)
	case wire.Download:
		return c.download(d.Uint())
	case wire.CopyToDevice:
		return c.copyTo(d)
	case wire.Keep:
		var names []string
		var ids []uint64
		d.Get(&names)
		d.Get(&ids)
		return s.keep(ss, names, ids)
	case wire.Bind, wire.Drop, wire.List:
		out.Put(s.names(ss, kind, d.Str()))
	case wire.Statistics:
		out.Put(s.Stats())
	case wire.Stop:
		if err := s.saveChanges(); err != nil {
			return fmt.Errorf("nothing is stopped, since what is kept could not be saved: %w; ft device stop --discard ends the server without", err)
		}
		c.then = s.Close
	case wire.Load, wire.Checkpoint, wire.Restore, wire.Abandon, wire.Notice:
		return c.verb(kind, d)
	default:
		return fmt.Errorf("no message of kind %d", kind)
	}
	return nil
}

func (c *conn) hello(d *wire.Dec) error {
	theirs, id := d.Str(), d.Str()
	var first bool
	d.Get(&first)
	if theirs != wire.Fingerprint() {
		return fmt.Errorf("this program and the device server were built with different versions of ftlab or GoMLX (%s, %s): stop the server with ft device stop, or build the program again", theirs, wire.Fingerprint())
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errHangUp
	}
	c.id, c.ss = id, s.attach(id)
	if first {
		c.ss.client = whoIs(c.Conn.Conn)
	}
	if !first {
		return nil
	}
	devices := make([]string, s.backend.NumDevices())
	for i := range devices {
		devices[i] = s.backend.DeviceDescription(compute.DeviceNum(i))
	}
	c.out.Str(s.backend.Description())
	c.out.Put(devices)
	c.out.Put(s.backend.Capabilities())
	c.out.Uint(uint64(len(s.memo)))
	for key, r := range s.memo {
		c.out.Str(key)
		c.out.Put(r)
	}
	return nil
}

func (c *conn) free(list []uint64) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, x := range list {
		switch id := x >> 2; x & 3 {
		case wire.FreeBuffer:
			if c.s.disown(c.ss, id) {
				c.s.unref(id)
			}
		case wire.FreeBuilder:
			delete(c.ss.builders, id)
		case wire.FreeExecutable:
			if c.ss.programs[id] == 0 {
				continue
			}
			if c.ss.programs[id]--; c.ss.programs[id] == 0 {
				delete(c.ss.programs, id)
			}
			c.s.compiled[id].refs--
		}
	}
	c.s.evict()
}

func (c *conn) upload(d *wire.Dec) error {
	var device compute.DeviceNum
	var shape shapes.Shape
	d.Get(&device)
	d.Get(&shape)
	n, ok := wire.FlatBytes(shape)
	if !ok {
		return errHangUp // how much follows is not known
	}
	c.s.mu.Lock()
	err := c.s.room(n)
	c.s.mu.Unlock()
	if err != nil {
		if c.SkipBulk(n) != nil {
			return errHangUp
		}
		return err
	}
	flat := dtypes.MakeAnySlice(shape.DType, shape.Size())
	if c.ReadBulk(dtypes.UnsafeByteSliceFromAny(flat)) != nil {
		return errHangUp
	}
	b, err := c.s.backend.BufferFromFlatData(device, flat, shape)
	if err != nil {
		return err
	}
	return c.own(b)
}

// own replies with a new buffer of this session.
func (c *conn) own(b compute.Buffer) error {
	info, err := c.s.add(c.ss, b)
	if err == nil {
		c.out.Put(info)
	}
	return err
}

func (c *conn) download(id uint64) error {
	b, err := c.s.hold(c.ss, id)
	if err != nil {
		return err
	}
	done := func() { c.s.release(id) }
	n, ok := wire.FlatBytes(b.info.Shape)
	if !ok {
		done()
		return fmt.Errorf("a buffer of shape %s cannot be read", b.info.Shape)
	}
	if c.s.backend.HasSharedBuffers() {
		if flat, err := b.Data(); err == nil {
			if raw := dtypes.UnsafeByteSliceFromAny(flat); int64(len(raw)) == n {
				c.bulk, c.then = raw, done
				return nil
			}
		}
	}
	defer done()
	flat := dtypes.MakeAnySlice(b.info.Shape.DType, b.info.Shape.Size())
	if err := b.ToFlatData(flat); err != nil {
		return err
	}
	c.bulk = dtypes.UnsafeByteSliceFromAny(flat)
	return nil
}

func (c *conn) copyTo(d *wire.Dec) error {
	id := d.Uint()
	var device compute.DeviceNum
	d.Get(&device)
	b, err := c.s.hold(c.ss, id)
	if err != nil {
		return err
	}
	defer c.s.release(id)
	c.s.mu.Lock()
	err = c.s.room(b.bytes)
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	copied, err := b.CopyToDevice(device)
	if err != nil {
		return err
	}
	return c.own(copied)
}
