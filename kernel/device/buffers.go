package device

import (
	"fmt"
	"log"
	"strings"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/wire"
)

// buffer is a real buffer and who refers to it: sessions, names, running executions.
type buffer struct {
	compute.Buffer
	info   wire.Kept // without a name
	bytes  int64
	refs   int
	failed *failure // there is no real buffer
	shared bool     // the server may write to its memory: the backend takes it for no donation
}

// add makes a buffer that the caller owns.
func (s *Server) add(b compute.Buffer) (wire.Kept, error) {
	x, err := describe(b)
	if err != nil {
		return wire.Kept{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(x)
	return x.info, nil
}

func describe(b compute.Buffer) (*buffer, error) {
	shape, err := b.Shape()
	if err != nil {
		return nil, err
	}
	device, err := b.DeviceNum()
	if err != nil {
		return nil, err
	}
	bytes, _ := wire.FlatBytes(shape)
	return &buffer{Buffer: b, info: wire.Kept{Shape: shape, Device: device}, bytes: bytes}, nil
}

// enter puts a buffer into the table, with one reference; s.mu is held.
func (s *Server) enter(x *buffer) {
	s.next++
	x.info.ID, x.refs = s.next, 1
	s.buffers[s.next] = x
	s.took(x.bytes)
}

// give makes a reference a session's, under a number of the server's; s.mu is held.
func (s *Server) give(ss *session, x *buffer) wire.Kept {
	ss.next += 2
	ss.buffers[ss.next|1] = x
	info := x.info
	info.ID = ss.next | 1
	return info
}

// failure is why a buffer does not exist. What is computed from it fails with the same.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// fill ends what makes buffers for a session under numbers that the client chose: with
// the buffers, or with the reason why there are none. A new failure is remembered until
// it has been told.
func (s *Server) fill(ss *session, first uint64, made []*buffer, count int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed *buffer
	if err != nil {
		f, old := err.(*failure)
		if !old {
			f = &failure{err}
		}
		if !old && ss.fault == nil {
			ss.fault = f
		}
		failed = &buffer{failed: f}
	}
	for i := range count {
		id := first + 2*uint64(i)
		if failed != nil {
			ss.buffers[id] = failed
			continue
		}
		s.enter(made[i])
		ss.buffers[id] = made[i]
	}
}

// free says whether a client may give new buffers these numbers.
func (s *Server) free(ss *session, first uint64, count int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range count {
		if id := first + 2*uint64(i); id&1 == 1 || ss.buffers[id] != nil {
			return false
		}
	}
	return true
}

// untold is the failure that the client does not know of; now it gets to.
func (s *Server) untold(ss *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ss.untold()
}

func (ss *session) untold() error {
	if f := ss.fault; f != nil {
		ss.fault = nil
		return f
	}
	return nil
}

// tell is owned for what has a reply.
func (ss *session) tell(id uint64) (*buffer, error) {
	b, err := ss.owned(id)
	if f, ok := err.(*failure); ok && f == ss.fault {
		ss.fault = nil
	}
	return b, err
}

// unref gives a reference back; s.mu is held.
func (s *Server) unref(id uint64) {
	b := s.buffers[id]
	if b.refs--; b.refs == 0 {
		s.forget(id)
		s.usage.freed += b.bytes
		if err := b.Finalize(); err != nil {
			log.Printf("device: buffer %d: %v", id, err)
		}
	}
}

// forget removes a buffer from the table without freeing it; s.mu is held.
func (s *Server) forget(id uint64) {
	s.bytes -= s.buffers[id].bytes
	delete(s.buffers, id)
}

// disown gives one of a session's references back; s.mu is held.
func (s *Server) disown(ss *session, id uint64) {
	if b := ss.buffers[id]; b != nil {
		delete(ss.buffers, id)
		if b.failed == nil {
			s.unref(b.info.ID)
		}
	}
}

// owned is a buffer of a session, or why it is none; s.mu is held.
func (ss *session) owned(id uint64) (*buffer, error) {
	switch b := ss.buffers[id]; {
	case b == nil:
		return nil, fmt.Errorf("buffer %d is not this session's", id)
	case b.failed != nil:
		return nil, b.failed
	default:
		return b, nil
	}
}

// hold takes a reference for the time of a request, to a buffer that the session owns.
func (s *Server) hold(ss *session, id uint64) (*buffer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := ss.tell(id)
	if err == nil {
		b.refs++
	}
	return b, err
}

func (s *Server) release(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unref(id)
}

// keep rebinds all names, or none.
func (s *Server) keep(ss *session, names []string, ids []uint64) error {
	if len(names) != len(ids) {
		return fmt.Errorf("keep: %d names and %d buffers", len(names), len(ids))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ss.untold(); err != nil { // the snapshot would look whole
		return err
	}
	held := make([]*buffer, len(ids))
	for i, id := range ids {
		var err error
		if held[i], err = ss.tell(id); err != nil {
			return fmt.Errorf("keep %q: %w", names[i], err)
		}
	}
	for i, b := range held {
		s.bind(names[i], b.info.ID)
	}
	s.saver.changes++
	return nil
}

// bind gives a name to a buffer; s.mu is held.
func (s *Server) bind(name string, id uint64) {
	s.buffers[id].refs++
	if old, ok := s.kept[name]; ok {
		s.unref(old)
	}
	s.kept[name] = id
}

// below lists what is kept under a name, sorted; s.mu is held.
func (s *Server) below(name string) []wire.Kept {
	list := []wire.Kept{}
	for _, n := range sortedKeys(s.kept) {
		if name == "" || n == name || strings.HasPrefix(n, strings.TrimSuffix(name, "/")+"/") {
			k := s.buffers[s.kept[n]].info
			k.Name = n
			list = append(list, k)
		}
	}
	return list
}

// names answers Bind, Drop and List.
func (s *Server) names(ss *session, kind uint64, name string) []wire.Kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.below(name)
	for i, k := range list {
		switch kind {
		case wire.Bind:
			b := s.buffers[k.ID]
			b.refs++
			list[i].ID = s.give(ss, b).ID
		case wire.Drop:
			s.unref(k.ID)
			delete(s.kept, k.Name)
			s.saver.changes++
		}
	}
	if kind == wire.Drop {
		s.tidy()
	}
	return list
}
