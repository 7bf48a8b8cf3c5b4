package device

import (
	"errors"
	"fmt"
	"net"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/trust"
	"ftlab/kernel/internal/wire"
)

// errHangUp ends a connection without a word: what follows on it makes no sense.
var errHangUp = errors.New("hang up")

// conn is a client's connection.
type conn struct {
	*wire.Conn
	s        *Server
	id       string
	ss       *session // nil before Hello
	answered bool     // the request has a reply
	keeps    bool     // its turn at the device, for the next execution
	out      *wire.Enc
	bulk     []byte // sent after the reply
	then     func() // after the reply
}

func (s *Server) serve(nc net.Conn) {
	c := &conn{Conn: wire.NewConn(nc), s: s}
	defer s.running.Done()
	defer func() {
		nc.Close()
		c.letGo()
		if c.ss != nil {
			s.detach(c.id, c.ss)
		}
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	}()
	if wire.SameUser(nc) != nil && !trust.Proved(nc) {
		return
	}
	limit := wire.MaxHello
	for {
		if c.keeps && !c.Whole() {
			c.letGo()
		}
		request, err := c.ReadRequest(limit)
		if err != nil {
			return
		}
		c.answered = true
		c.out, c.bulk, c.then = &wire.Enc{B: []byte{wire.StatusOK}}, nil, nil
		err = c.answer(request)
		if err == nil {
			err = c.out.Err
		}
		if errors.Is(err, errHangUp) {
			return
		}
		if !c.answered {
			if err != nil { // no reply could say so
				return
			}
			continue
		}
		if err != nil {
			status := byte(wire.StatusError)
			if compute.IsNotImplemented(err) {
				status = wire.StatusNotImplemented
			}
			c.out, c.bulk = &wire.Enc{B: []byte{status}}, nil
			c.out.Str(err.Error())
		}
		limit = wire.MaxFrame
		err = c.WriteFrame(c.out.B, c.bulk)
		if c.then != nil {
			c.then()
		}
		if err != nil || c.ss == nil {
			return
		}
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
	c.answered = wire.Answered(kind)
	freed := make([]uint64, d.Len())
	for i := range freed {
		freed[i] = d.Uint()
	}
	if c.ss == nil {
		return c.hello(d)
	}
	c.free(freed)
	if c.keeps && !c.quick(kind) {
		c.letGo()
	}
	s, ss, out := c.s, c.ss, c.out
	switch kind {
	case wire.Free, wire.Ack:
	case wire.Wait:
		return s.untold(ss)
	case wire.Ops:
		id, name := d.Uint(), d.Str()
		var calls [][]byte
		d.Get(&calls)
		s.apply(ss, id, name, calls, out)
	case wire.Lookup:
		if err := s.untold(ss); err != nil {
			return err
		}
		out.Put(s.lookup(ss, d.Uint(), d.Str(), d.Str()))
	case wire.Compile:
		sig, err := s.compile(ss, d.Uint(), d.Str(), d.Str())
		if err != nil {
			return err
		}
		out.Put(sig)
	case wire.Execute:
		if c.gone() {
			return errHangUp
		}
		return c.perform(d)
	case wire.ExecuteAndTell:
		return c.performAndTell(d)
	case wire.Upload:
		return c.upload(d)
	case wire.Download:
		return c.download(d)
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
		s.end(c)
	case wire.Load, wire.Checkpoint, wire.Restore, wire.Abandon, wire.Notice:
		return c.verb(kind, d)
	default:
		return fmt.Errorf("no message of kind %d", kind)
	}
	return nil
}

// letGo gives up a turn that the connection keeps.
func (c *conn) letGo() {
	if c.keeps {
		c.s.turns.letGo(&c.ss.used)
		c.keeps = false
	}
}

// quick says whether others can wait for their turn until such a request is done: it
// comes before an execution and takes no time.
func (c *conn) quick(kind uint64) bool {
	switch kind {
	case wire.Execute, wire.ExecuteAndTell, wire.Free, wire.Ack, wire.Upload: // as upload looks at its size
		return true
	}
	return false
}

// gone says whether the client has ended, though requests of it are still to be read. It
// is asked only when there are any.
func (c *conn) gone() bool { return c.Waiting() > 0 && wire.HungUp(c.Conn.Conn) }

func (c *conn) hello(d *wire.Dec) error {
	theirs, id := d.Str(), d.Str()
	var first bool
	d.Get(&first)
	if theirs != wire.Fingerprint() {
		return fmt.Errorf("this program and the device server "+wire.OtherVersion+" (%s, %s): ft device restart starts the new one, with what is kept, and ft device stop ends the old one; or build the program again", theirs, wire.Fingerprint())
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ending {
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
	if len(list) == 0 {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	programs := false
	for _, x := range list {
		switch id := x >> 2; x & 3 {
		case wire.FreeBuffer:
			c.s.disown(c.ss, id)
		case wire.FreeBuilder:
			delete(c.ss.builders, id)
		case wire.FreeExecutable:
			u := c.ss.programs[id]
			if u == nil {
				continue
			}
			if u.refs--; u.refs == 0 {
				delete(c.ss.programs, id)
			}
			c.s.compiled[id].refs--
			programs = true
		}
	}
	if programs {
		c.s.evict()
	}
}
