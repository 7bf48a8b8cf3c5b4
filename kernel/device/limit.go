package device

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/gomlx/compute"
)

// defaultLimit is the share of the machine's memory that buffers may take together, in
// percent, for a backend that computes in it. The rest is for the system, the programs
// and the backend itself.
const defaultLimit = 80

// glance is how many bytes are handed out before the machine's memory is looked at
// again: reading it takes about as long as a small execution.
const glance = 64 << 20

// returned is how many freed bytes are given back to the machine at once.
const returned = 64 << 20

// usage is how memory is accounted for; Server.mu guards it.
type usage struct {
	peak     int64 // of Server.bytes
	reserved int64 // by executions and loads that are going on
	since    int64 // handed out since the machine was looked at
	freed    int64 // since memory was given back
	total    int64 // of the machine; 0: not known, or not what buffers are in
	returns  chan struct{}
}

// setLimits fills in the options' defaults.
func (s *Server) setLimits() {
	if inHostMemory(s.backend) {
		s.usage.total, _ = memory()
	}
	o := &s.options
	if o.LimitBytes == 0 {
		o.LimitBytes = s.usage.total / 100 * defaultLimit
	}
	o.LimitBytes = max(o.LimitBytes, 0)
	if o.Executables == 0 {
		o.Executables = 256
	}
	if o.ExecutableBytes == 0 {
		o.ExecutableBytes = 2 << 30
		if o.LimitBytes > 0 {
			o.ExecutableBytes = max(o.LimitBytes/8, 64<<20)
		}
	}
}

// room returns an error if so many more bytes would be over the limit, or more than the
// machine has left; s.mu is held. Executables that nobody uses make room first.
func (s *Server) room(more int64) error {
	if limit := s.options.LimitBytes; limit > 0 && s.bytes+s.usage.reserved+more > limit {
		return s.full(more, fmt.Sprintf("over the limit of %s", size(limit)), "start the server with a higher limit (ft device restart --memory GB)")
	}
	if s.usage.since += more; s.usage.since < glance || s.usage.total == 0 || s.options.LimitBytes == 0 {
		return nil
	}
	s.usage.since = 0
	spare := min(s.usage.total/20, 1<<30)
	if _, left := memory(); left-spare > more {
		return nil
	}
	s.evictAll()
	giveBack()
	_, left := memory()
	if left-spare > more {
		return nil
	}
	return s.full(more, fmt.Sprintf("more than this machine can give without swapping (it has %s left)", size(left)), "end other programs")
}

// full is the error of a server that has no room; s.mu is held.
func (s *Server) full(more int64, why, what string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s more would be %s: %s are in use, %s of them kept", size(more), why, size(s.bytes), size(s.keptBytes()))
	groups := s.groups()
	for i, g := range groups[:min(len(groups), 5)] {
		text.WriteString([]string{": ", ", "}[min(i, 1)])
		fmt.Fprintf(&text, "%s %s (%d)", g.name, size(g.bytes), g.names)
	}
	if s.usage.reserved > 0 {
		fmt.Fprintf(&text, "; %s are promised to executions that run now", size(s.usage.reserved))
	}
	if len(groups) > 0 {
		fmt.Fprintf(&text, "; drop a name (ft device drop %s)", groups[0].name)
	}
	fmt.Fprintf(&text, "; let go of buffers that a program holds; %s", what)
	return errors.New(text.String())
}

// group is what is kept below one name.
type group struct {
	name  string
	names int
	bytes int64
}

// groups are what is kept, by the first parts of the names, the largest first; s.mu is
// held.
func (s *Server) groups() []group {
	by, seen := map[string]*group{}, map[uint64]bool{}
	for name, id := range s.kept {
		parts := strings.Split(name, "/")
		key := strings.Join(parts[:max(1, min(2, len(parts)-1))], "/")
		g := by[key]
		if g == nil {
			g = &group{name: key}
			by[key] = g
		}
		g.names++
		if !seen[id] {
			seen[id] = true
			g.bytes += s.buffers[id].bytes
		}
	}
	list := []group{}
	for _, g := range by {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b group) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name)) })
	return list
}

// keptBytes counts a buffer with two names once; s.mu is held.
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

// took counts bytes of a new buffer; s.mu is held.
func (s *Server) took(n int64) {
	s.bytes += n
	s.usage.peak = max(s.usage.peak, s.bytes)
}

// tidy gives memory back to the machine when a lot was freed for good: after Drop and
// at the end of a session, not in a loop that frees what it takes again. s.mu is held.
func (s *Server) tidy() {
	if s.usage.freed < returned {
		return
	}
	s.usage.freed = 0
	select {
	case s.usage.returns <- struct{}{}:
	default: // it is being done
	}
}

// needs is what a program needs while it runs beside its inputs and outputs, and what
// its code takes, in bytes, as XLA's compiler says; zeros for other backends, and on
// a processor, where it does not say. GoMLX does not hand these numbers on, so they are
// read where go-xla keeps them.
func needs(e compute.Executable) (temporary, code int64) {
	v := reflect.ValueOf(e)
	for _, name := range []string{"exec", "OnDeviceMemoryUsageStats"} {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return 0, 0
		}
		v = v.FieldByName(name)
	}
	if v.Kind() != reflect.Struct {
		return 0, 0
	}
	read := func(name string) int64 {
		if f := v.FieldByName(name); f.Kind() == reflect.Int64 {
			return max(f.Int(), 0)
		}
		return 0
	}
	return read("Temporary"), read("GeneratedCode")
}

// small is how many bytes of a measurement may be chance.
const small = 8 << 20

// measure watches the first execution of a program whose needs are not known, in this
// machine's memory: what the process grew by at its peak, the outputs apart, is what the
// next one will need. That is too much if another execution ran at the same time, and
// too little if the process had memory left over, as pure Go often has.
func (x *executable) measure() (done func()) {
	if x.measured.Swap(true) {
		return func() {}
	}
	if os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) != nil { // the peak begins anew
		return func() {}
	}
	before := resident()
	return func() {
		grown := field("/proc/self/status", "VmHWM:")<<10 - before - x.results
		if grown > small {
			x.temporary.Store(grown)
		}
	}
}

// size writes bytes for people.
func size(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// sortedKeys are a map's, for messages and files that do not change by chance.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
