package device

import (
	"errors"
	"path/filepath"

	"ftlab/kernel/internal/wire"
)

// verb answers what the server does by itself.
func (c *conn) verb(kind uint64, d *wire.Dec) error {
	s := c.s
	switch kind {
	case wire.Load:
		var r wire.LoadRequest
		d.Get(&r)
		kept, err := s.load(r)
		if err != nil {
			return err
		}
		c.out.Put(kept)
	case wire.Checkpoint, wire.Restore:
		dir, err := s.checkpointDir(d.Str())
		if err != nil {
			return err
		}
		do := s.checkpoint
		if kind == wire.Restore {
			do = s.restore
		}
		saved, err := do(dir)
		if err != nil {
			return err
		}
		c.out.Put(saved)
	case wire.Abandon:
		s.mu.Lock()
		s.saver.leave = true
		s.mu.Unlock()
		s.end(c)
	case wire.Notice:
		c.out.Str(s.news(d.Str()))
	}
	return nil
}

// end closes the server after the reply. From now on nobody new gets in: who has read
// the reply finds no server that is about to go.
func (s *Server) end(c *conn) {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	c.then = s.Close
}

// checkpointDir is the folder that a client means.
func (s *Server) checkpointDir(dir string) (string, error) {
	if dir == "" {
		dir = s.options.State
	}
	if dir == "" {
		return "", errors.New("checkpoint: this server has no folder of its own; name one")
	}
	if !filepath.IsAbs(dir) {
		return "", errors.New("checkpoint: the folder must be an absolute path on the server's machine")
	}
	return filepath.Clean(dir), nil
}
