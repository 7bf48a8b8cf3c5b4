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
	info  wire.Kept // without a name
	bytes int64
	refs  int
}

// add owns a new buffer for a session, or for the caller alone if ss is nil.
func (s *Server) add(ss *session, b compute.Buffer) (wire.Kept, error) {
	shape, err := b.Shape()
	if err != nil {
		return wire.Kept{}, err
	}
	device, err := b.DeviceNum()
	if err != nil {
		return wire.Kept{}, err
	}
	bytes, _ := wire.FlatBytes(shape)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	info := wire.Kept{ID: s.next, Shape: shape, Device: device}
	s.buffers[s.next] = &buffer{Buffer: b, info: info, bytes: bytes, refs: 1}
	s.took(bytes)
	if ss != nil {
		ss.buffers[s.next]++
	}
	return info, nil
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
func (s *Server) disown(ss *session, id uint64) bool {
	if ss.buffers[id] == 0 {
		return false
	}
	if ss.buffers[id]--; ss.buffers[id] == 0 {
		delete(ss.buffers, id)
	}
	return true
}

// hold takes a reference for the time of a request, to a buffer that the session owns.
func (s *Server) hold(ss *session, id uint64) (*buffer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss.buffers[id] == 0 {
		return nil, fmt.Errorf("buffer %d is not this session's", id)
	}
	b := s.buffers[id]
	b.refs++
	return b, nil
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
	for i, id := range ids {
		if ss.buffers[id] == 0 {
			return fmt.Errorf("keep %q: buffer %d is not this session's", names[i], id)
		}
	}
	for i, id := range ids {
		s.bind(names[i], id)
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
	for _, k := range list {
		switch kind {
		case wire.Bind:
			s.buffers[k.ID].refs++
			ss.buffers[k.ID]++
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
