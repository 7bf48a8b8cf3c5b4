package device

import (
	"fmt"
	"time"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/wire"
)

// execution is what one Execute takes from the tables and gives back.
type execution struct {
	program *executable
	device  compute.DeviceNum
	inputs  []compute.Buffer
	donate  []bool
	release []uint64
	ss      *session
	promise int64 // bytes it may still take
	seconds float64
}

// prepare takes references to all inputs, or none. A donated input leaves the session
// in any case; the backend gets it as donated only if nobody else refers to it.
func (s *Server) prepare(ss *session, program uint64, device compute.DeviceNum, ids []uint64) (*execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &execution{program: s.compiled[program], device: device, inputs: make([]compute.Buffer, len(ids)), donate: make([]bool, len(ids)), ss: ss}
	held := make([]*buffer, len(ids))
	for i, id := range ids {
		var err error
		if held[i], err = ss.owned(id >> 1); err != nil {
			s.dropDonated(ss, ids)
			return nil, err
		}
	}
	for _, b := range held {
		b.refs++
	}
	x.promise = x.program.results + x.program.temporary.Load()
	for i, id := range ids {
		if id&1 == 1 && held[i].refs == 2 { // this session's and this execution's; a shared one goes right after
			x.promise -= held[i].bytes
		}
	}
	x.promise = max(x.promise, 0)
	if err := s.room(x.promise); err != nil {
		for _, b := range held {
			s.unref(b.info.ID)
		}
		s.dropDonated(ss, ids)
		return nil, err
	}
	for i, id := range ids {
		b := held[i]
		x.inputs[i] = b.Buffer
		if id&1 == 1 && ss.buffers[id>>1] != nil {
			delete(ss.buffers, id>>1)
			b.refs-- // not the last: this execution has one
			x.donate[i] = b.refs == 1 && !b.shared
		}
		if x.donate[i] {
			s.forget(b.info.ID)
		} else {
			x.release = append(x.release, b.info.ID)
		}
	}
	x.program.refs++
	s.tick++
	x.program.used = s.tick
	s.usage.reserved += x.promise
	ss.client.Waiting++
	return x, nil
}

// dropDonated is what a failed execution leaves: its donated inputs are gone too; s.mu is
// held.
func (s *Server) dropDonated(ss *session, ids []uint64) {
	for _, id := range ids {
		if id&1 == 1 {
			s.disown(ss, id>>1)
		}
	}
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

// program is what a session may execute.
func (s *Server) program(ss *session, id uint64) (*use, *executable, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := ss.programs[id]
	if u == nil {
		return nil, nil, fmt.Errorf("execute: program %d is not this session's", id)
	}
	return u, s.compiled[id], nil
}

// execute runs a program. The buffers are not in the table yet.
func (c *conn) execute(u *use, program uint64, device compute.DeviceNum, ids []uint64) ([]*buffer, error) {
	s, ss := c.s, c.ss
	x, err := s.prepare(ss, program, device, ids)
	var made []*buffer
	if err == nil {
		s.turns.enter(&ss.used)
		made, err = x.run()
		c.keeps = s.turns.leave(&ss.used, x.seconds, c.Whole)
		s.finish(x)
	}
	if _, old := err.(*failure); err != nil && !old {
		err = fmt.Errorf("the execution of %q failed: %w", u.name, err)
	}
	return made, err
}

func (x *execution) run() (made []*buffer, err error) {
	defer x.program.measure()()
	began := time.Now()
	defer func() {
		x.seconds = time.Since(began).Seconds()
	}()
	defer wire.Guard(&err)
	out, err := x.program.Execute(x.inputs, x.donate, x.device)
	if err != nil {
		return nil, err
	}
	if n := len(x.program.signature.Outputs); x.program.known && len(out) != n {
		return nil, fmt.Errorf("%d results, not %d", len(out), n)
	}
	for i, b := range out {
		if x.program.known { // asking each one costs more than a short execution
			shape := x.program.signature.Outputs[i]
			bytes, _ := wire.FlatBytes(shape)
			made = append(made, &buffer{Buffer: b, info: wire.Kept{Shape: shape, Device: x.device}, bytes: bytes})
			continue
		}
		m, err := describe(b)
		if err != nil {
			return nil, err
		}
		made = append(made, m)
	}
	return made, nil
}

// perform answers Execute, which has no reply: a failure becomes that of its results.
func (c *conn) perform(d *wire.Dec) error {
	program, device, first, ids := c.inputs(d)
	u, x, err := c.s.program(c.ss, program)
	if err != nil || !x.known || !c.s.free(c.ss, first, len(x.signature.Outputs)) {
		return errHangUp
	}
	made, err := c.execute(u, program, device, ids)
	c.s.fill(c.ss, first, made, len(x.signature.Outputs), err)
	return nil
}

// performAndTell answers ExecuteAndTell.
func (c *conn) performAndTell(d *wire.Dec) error {
	program, device, _, ids := c.inputs(d)
	u, _, err := c.s.program(c.ss, program)
	if err != nil {
		return err
	}
	made, err := c.execute(u, program, device, ids)
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	list := []wire.Kept{}
	for _, b := range made {
		c.s.enter(b)
		list = append(list, c.s.give(c.ss, b))
	}
	c.out.Put(list)
	return nil
}

func (c *conn) inputs(d *wire.Dec) (program uint64, device compute.DeviceNum, first uint64, ids []uint64) {
	program, device, first = d.Uint(), compute.DeviceNum(d.Uint()), d.Uint()
	ids = make([]uint64, d.Len())
	for i := range ids {
		ids[i] = d.Uint()
	}
	return program, device, first, ids
}
