package device

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ftlab/kernel/internal/wire"
)

func (s *Server) statsLocked() wire.Stats {
	t := s.stats
	t.Backend, t.PID = s.backend.Description(), os.Getpid()
	t.Clients, t.Buffers, t.Bytes, t.PeakBytes, t.LimitBytes = len(s.sessions), len(s.buffers), s.bytes, s.usage.peak, s.options.LimitBytes
	t.Kept, t.KeptBytes, t.Executables, t.Memo = len(s.kept), s.keptBytes(), len(s.compiled), len(s.memo)
	t.Resident = resident()
	_, t.Available = memory()
	t.State, t.Checkpoint = s.options.State, s.saver.last
	if s.saver.err != nil {
		t.CheckpointError = s.saver.err.Error()
	}
	t.Sessions = []wire.Client{}
	for _, ss := range s.sessions {
		c := ss.client
		c.Buffers = len(ss.buffers)
		for _, b := range ss.buffers {
			c.Bytes += b.bytes
		}
		t.Sessions = append(t.Sessions, c)
	}
	slices.SortFunc(t.Sessions, func(a, b wire.Client) int { return int(a.Since - b.Since) })
	return t
}

// whoIs describes the program at the other end of a connection.
func whoIs(c net.Conn) wire.Client {
	w := wire.Client{PID: wire.PeerPID(c), Since: time.Now().UnixNano()}
	if w.PID == 0 {
		w.Program = c.RemoteAddr().String()
		return w
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", w.PID)); err == nil {
		words := strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
		words[0] = filepath.Base(words[0])
		w.Program = short(strings.Join(words, " "), 60)
	}
	return w
}

func short(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
