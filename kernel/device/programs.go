package device

import (
	"errors"
	"sync/atomic"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/wire"
)

// executable is a compiled program and who refers to it: sessions, running executions.
type executable struct {
	compute.Executable
	sum       string
	signature wire.Signature
	known     bool  // how large the results are
	results   int64 // their bytes, if known
	refs      int
	used      uint64 // tick of the last use
	bytes     int64  // about what it takes
	measured  atomic.Bool
	temporary atomic.Int64 // bytes that it takes more while it runs, beside inputs and outputs
}

// use is a session's view of a program.
type use struct {
	refs int
	name string // the session's, for errors
}

// apply replays calls on a session's builder.
func (s *Server) apply(ss *session, id uint64, name string, calls [][]byte, out *wire.Enc) {
	s.mu.Lock()
	r := ss.builders[id]
	if r == nil {
		r = wire.NewReplayer(s.backend.Builder(name))
		r.OnMemo = s.remember
		ss.builders[id] = r
	}
	s.mu.Unlock()
	var res wire.Result
	for i, call := range calls {
		var err error
		if res, err = r.Apply(call); err != nil {
			out.Uint(uint64(i))
			out.Str(err.Error() + " ") // never empty
			return
		}
	}
	out.Uint(uint64(len(calls)))
	out.Str("")
	out.Put(res)
}

func (s *Server) remember(key string, r wire.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.memo) < maxMemo {
		s.memo[key] = r
	}
}

// lookup answers with the number 0 for a program that is not compiled.
func (s *Server) lookup(ss *session, builder uint64, sum, name string) wire.Signature {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.programs[sum]
	if x == nil {
		s.stats.Misses++
		return wire.Signature{}
	}
	s.stats.Hits++
	delete(ss.builders, builder)
	return s.use(ss, x, name)
}

// use counts a session's reference; s.mu is held.
func (s *Server) use(ss *session, x *executable, name string) wire.Signature {
	s.tick++
	x.used = s.tick
	x.refs++
	u := ss.programs[x.signature.ID]
	if u == nil {
		u = &use{}
		ss.programs[x.signature.ID] = u
	}
	u.refs++
	u.name = name
	return x.signature
}

func (s *Server) compile(ss *session, builder uint64, sum, name string) (sig wire.Signature, err error) {
	s.mu.Lock()
	r := ss.builders[builder]
	delete(ss.builders, builder)
	s.mu.Unlock()
	if r == nil {
		return sig, errors.New("compile: no such builder")
	}
	if r.Sum() != sum {
		return sig, errors.New("compile: the program is not the one that was recorded")
	}
	e, err := r.Builder.Compile()
	if err != nil {
		return sig, err
	}
	x := &executable{Executable: e, sum: sum}
	_, x.signature.Inputs = e.Inputs()
	x.signature.Outputs = e.Outputs()
	x.known = !r.Spread()
	for _, o := range x.signature.Outputs {
		bytes, ok := wire.FlatBytes(o)
		x.known, x.results = x.known && ok, x.results+bytes
	}
	temporary, code := needs(e)
	x.temporary.Store(temporary)
	x.bytes = code + r.Size()
	x.measured.Store(s.usage.total == 0 || temporary > 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.programs[sum]; other != nil { // another client was faster
		e.Finalize()
		return s.use(ss, other, name), nil
	}
	s.next++
	x.signature.ID = s.next
	s.programs[sum], s.compiled[s.next] = x, x
	s.stats.ExecutableBytes += x.bytes
	sig = s.use(ss, x, name)
	s.evict()
	return sig, nil
}

// evict drops the least recently used executables above the limits; s.mu is held.
func (s *Server) evict() { s.evictTo(s.options.Executables, s.options.ExecutableBytes) }

// evictAll drops all executables that nobody refers to; s.mu is held.
func (s *Server) evictAll() { s.evictTo(0, 0) }

func (s *Server) evictTo(count int, bytes int64) {
	for len(s.compiled) > count || s.stats.ExecutableBytes > bytes {
		var oldest *executable
		for _, x := range s.compiled {
			if x.refs == 0 && (oldest == nil || x.used < oldest.used) {
				oldest = x
			}
		}
		if oldest == nil {
			return
		}
		delete(s.compiled, oldest.signature.ID)
		delete(s.programs, oldest.sum)
		s.stats.ExecutableBytes -= oldest.bytes
		s.stats.Evicted++
		oldest.Finalize()
	}
}
