package device

import (
	"net"
	"sync"
	"time"

	"github.com/gomlx/compute"

	"ftlab/ftlib/safetensors"
	"ftlab/kernel/internal/wire"
)

// Options of a server.
type Options struct {
	Executables     int           // how many compiled programs stay; 0: 256
	ExecutableBytes int64         // and how large they are together; 0: an eighth of LimitBytes, 2 GB without one
	LimitBytes      int64         // buffers together; 0: four fifths of the machine's memory if they are in it; negative: no limit
	Idle            time.Duration // end when for so long there was no client and nothing kept; 0: never

	State string        // folder of the checkpoints that the server makes itself; "": none are made
	Every time.Duration // how often, if what is kept has changed; 0: every minute

	// Quantize makes something smaller of a tensor that is loaded with a Quantize of
	// that name; nil: that is refused.
	Quantize func(how string, t safetensors.Tensor) ([]safetensors.Tensor, error)
}

// maxMemo bounds the shape memo; a program of any size uses a few hundred entries.
const maxMemo = 1 << 16

// Server owns a backend.
type Server struct {
	backend compute.Backend
	options Options

	mu       sync.Mutex
	next     uint64 // number of the next buffer or executable
	tick     uint64
	bytes    int64
	buffers  map[uint64]*buffer
	kept     map[string]uint64
	sessions map[string]*session
	memo     map[string]wire.Result
	programs map[string]*executable // by hash
	compiled map[uint64]*executable // by number
	stats    wire.Stats             // the counters among them
	usage    usage
	turns    turns
	saver    saver
	notice   notice
	conns    map[net.Conn]bool
	listener net.Listener
	idle     *time.Timer
	closed   bool
	ending   bool           // closed in a moment
	running  sync.WaitGroup // connections
}

// session is a client program.
type session struct {
	conns    int
	used     float64 // seconds of the device; guarded by Server.turns
	client   wire.Client
	buffers  map[uint64]*buffer // by the session's own numbers, each with one reference
	next     uint64             // number of the last buffer that the server named
	fault    *failure           // the first that the client was not told of
	programs map[uint64]*use
	builders map[uint64]*wire.Replayer
}

// New serves a backend, which stays the caller's to finalize.
func New(b compute.Backend, o Options) *Server {
	s := &Server{backend: b, options: o, buffers: map[uint64]*buffer{}, kept: map[string]uint64{}, sessions: map[string]*session{},
		memo: map[string]wire.Result{}, programs: map[string]*executable{}, compiled: map[uint64]*executable{}, conns: map[net.Conn]bool{}}
	s.stats.Started = time.Now().UnixNano()
	s.setLimits()
	s.turns.free = s.atOnce()
	return s
}

// Serve answers clients until Close, a client's Stop, or Options.Idle; these return
// nil. What is kept is saved, if Options.State says where, and all buffers are freed
// before it returns. It closes l.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	closed := s.closed
	s.watchIdle()
	s.mu.Unlock()
	stop := s.background()
	if closed {
		l.Close()
	}
	for {
		c, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			if s.closed {
				err = nil
			}
			s.mu.Unlock()
			s.Close()
			s.running.Wait()
			stop()
			s.lastSave()
			s.empty()
			if s.saver.release != nil {
				s.saver.release()
			}
			return err
		}
		s.mu.Lock()
		if s.closed {
			c.Close()
		} else {
			s.conns[c] = true
			s.running.Add(1)
			go s.serve(c)
		}
		s.mu.Unlock()
	}
}

// Close ends the server: no new request is read. Executions run to their end.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.listener != nil {
		s.listener.Close()
	}
	for c := range s.conns {
		c.Close()
	}
}

// empty frees what is kept and compiled.
func (s *Server) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, id := range s.kept {
		s.unref(id)
		delete(s.kept, name)
	}
	s.evictAll()
}

// unused says whether nobody would miss the server.
func (s *Server) unused() bool { return len(s.sessions) == 0 && len(s.kept) == 0 }

// watchIdle starts or stops the clock; s.mu is held.
func (s *Server) watchIdle() {
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	if s.options.Idle > 0 && s.unused() && !s.closed {
		s.idle = time.AfterFunc(s.options.Idle, func() {
			s.mu.Lock()
			unused := s.unused()
			s.mu.Unlock()
			if unused {
				s.Close()
			}
		})
	}
}

// attach counts a connection of a session; s.mu is held.
func (s *Server) attach(id string) *session {
	ss := s.sessions[id]
	if ss == nil {
		ss = &session{buffers: map[uint64]*buffer{}, programs: map[uint64]*use{}, builders: map[uint64]*wire.Replayer{}}
		s.sessions[id] = ss
	}
	ss.conns++
	s.watchIdle()
	return ss
}

// detach frees what a session holds when its last connection ends.
func (s *Server) detach(id string, ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss.conns--; ss.conns > 0 {
		return
	}
	for id := range ss.buffers {
		s.disown(ss, id)
	}
	for x, u := range ss.programs {
		s.compiled[x].refs -= u.refs
	}
	s.evict()
	s.tidy()
	delete(s.sessions, id)
	s.watchIdle()
}

// Stats of the server.
func (s *Server) Stats() wire.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statsLocked()
}
