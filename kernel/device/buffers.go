package device

import (
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
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

// add owns a new buffer for a session.
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
	s.bytes += bytes
	ss.buffers[s.next]++
	return info, nil
}

// unref gives a reference back; s.mu is held.
func (s *Server) unref(id uint64) {
	b := s.buffers[id]
	if b.refs--; b.refs == 0 {
		s.forget(id)
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

// room returns an error if so many more bytes would be over the limit; s.mu is held.
func (s *Server) room(more int64) error {
	if limit := s.options.LimitBytes; limit > 0 && s.bytes+more > limit {
		return fmt.Errorf("%.1f MB more would be over the limit of %.1f MB: %.1f MB are in use, %.1f MB of them kept; drop names, finalize buffers, or start the server with a higher limit",
			float64(more)/1e6, float64(limit)/1e6, float64(s.bytes)/1e6, float64(s.keptBytes())/1e6)
	}
	return nil
}

// keptBytes counts a buffer with two names once.
func (s *Server) keptBytes() (n int64) {
	seen := map[uint64]bool{}
	for _, id := range s.kept {
		if !seen[id] {
			seen[id] = true
			n += s.buffers[id].bytes
		}
	}
	return n
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
		s.buffers[id].refs++
		if old, ok := s.kept[names[i]]; ok {
			s.unref(old)
		}
		s.kept[names[i]] = id
	}
	return nil
}

// below lists what is kept under a name, sorted; s.mu is held.
func (s *Server) below(name string) []wire.Kept {
	list := []wire.Kept{}
	for _, n := range slices.Sorted(maps.Keys(s.kept)) {
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
		}
	}
	return list
}

func (s *Server) statsLocked() wire.Stats {
	t := s.stats
	t.Backend, t.PID = s.backend.Description(), os.Getpid()
	t.Clients, t.Buffers, t.Bytes, t.LimitBytes = len(s.sessions), len(s.buffers), s.bytes, s.options.LimitBytes
	t.Kept, t.KeptBytes, t.Executables, t.Memo = len(s.kept), s.keptBytes(), len(s.compiled), len(s.memo)
	return t
}
