package device

import (
	"errors"
	"fmt"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/wire"
)

// executable is a compiled program and who refers to it: sessions, running executions.
type executable struct {
	compute.Executable
	sum       string
	signature wire.Signature
	refs      int
	used      uint64 // tick of the last use
	bytes     int64  // about what it takes
	temporary int64  // what it takes more while it runs, beside inputs and outputs
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
func (s *Server) lookup(ss *session, builder uint64, sum string) wire.Signature {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.programs[sum]
	if x == nil {
		s.stats.Misses++
		return wire.Signature{}
	}
	s.stats.Hits++
	delete(ss.builders, builder)
	return s.use(ss, x)
}

// use counts a session's reference; s.mu is held.
func (s *Server) use(ss *session, x *executable) wire.Signature {
	s.tick++
	x.used = s.tick
	x.refs++
	ss.programs[x.signature.ID]++
	return x.signature
}

func (s *Server) compile(ss *session, builder uint64, sum string) (sig wire.Signature, err error) {
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
	x.temporary, x.bytes = needs(e)
	x.bytes += r.Size()
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.programs[sum]; other != nil { // another client was faster
		e.Finalize()
		return s.use(ss, other), nil
	}
	s.next++
	x.signature.ID = s.next
	s.programs[sum], s.compiled[s.next] = x, x
	s.stats.ExecutableBytes += x.bytes
	sig = s.use(ss, x)
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

// execution is what one Execute takes from the tables and gives back.
type execution struct {
	program *executable
	inputs  []compute.Buffer
	donate  []bool
	release []uint64
	ss      *session
	promise int64 // bytes it may still take
	seconds float64
}

// prepare takes references to all inputs, or none. A donated input leaves the session
// in any case; the backend gets it as donated only if nobody else refers to it.
func (s *Server) prepare(ss *session, program uint64, ids []uint64) (*execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss.programs[program] == 0 {
		return nil, fmt.Errorf("execute: program %d is not this session's", program)
	}
	x := &execution{program: s.compiled[program], inputs: make([]compute.Buffer, len(ids)), donate: make([]bool, len(ids)), ss: ss}
	need, donated := outputBytes(x.program.signature.Outputs)+x.program.temporary, map[uint64]int{}
	for i, id := range ids {
		if id&1 == 1 {
			donated[id>>1]++
		}
		if n := ss.buffers[id>>1]; n == 0 || n < donated[id>>1] {
			return nil, fmt.Errorf("execute: input %d: buffer %d is not this session's", i, id>>1)
		}
	}
	for _, id := range ids {
		s.buffers[id>>1].refs++
	}
	for id := range donated {
		if s.buffers[id].refs == 2 { // this session's and this execution's
			need -= s.buffers[id].bytes
		}
	}
	x.promise = max(need, 0)
	if err := s.room(x.promise); err != nil {
		for _, id := range ids {
			s.unref(id >> 1)
			if id&1 == 1 && s.disown(ss, id>>1) { // as after any failed execution
				s.unref(id >> 1)
			}
		}
		return nil, err
	}
	for i, id := range ids {
		b := s.buffers[id>>1]
		x.inputs[i] = b.Buffer
		if id&1 == 0 {
			x.release = append(x.release, id>>1)
		} else if s.disown(ss, id>>1); b.refs == 2 {
			x.donate[i] = true
		} else {
			b.refs--
			x.release = append(x.release, id>>1)
		}
	}
	for i, id := range ids {
		if x.donate[i] {
			s.forget(id >> 1)
		}
	}
	x.program.refs++
	s.tick++
	x.program.used = s.tick
	s.usage.reserved += x.promise
	ss.client.Waiting++
	return x, nil
}

func (s *Server) finish(x *execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range x.release {
		s.unref(id)
	}
	x.program.refs--
	s.evict()
	s.usage.reserved -= x.promise
	s.stats.Executions++
	s.stats.Seconds += x.seconds
	x.ss.client.Waiting--
	x.ss.client.Executions++
	x.ss.client.Seconds += x.seconds
}

func outputBytes(out []shapes.Shape) (n int64) {
	for _, o := range out {
		bytes, _ := wire.FlatBytes(o)
		n += bytes
	}
	return n
}

func (s *Server) execute(ss *session, program uint64, device compute.DeviceNum, ids []uint64) ([]wire.Kept, error) {
	x, err := s.prepare(ss, program, ids)
	if err != nil {
		return nil, err
	}
	out, err := x.run(device)
	s.finish(x)
	if err != nil {
		return nil, err
	}
	made := make([]wire.Kept, len(out))
	for i, b := range out {
		if made[i], err = s.add(ss, b); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func (x *execution) run(device compute.DeviceNum) (out []compute.Buffer, err error) {
	began := time.Now()
	defer func() { x.seconds = time.Since(began).Seconds() }()
	defer wire.Guard(&err)
	return x.program.Execute(x.inputs, x.donate, device)
}
