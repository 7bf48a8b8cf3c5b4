package device

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"ftlab/kernel/internal/wire"
)

// ErrRunning says that a server listens already.
var ErrRunning = errors.New("a device server runs already")

// Listener is a unix socket that only this user can reach, and the lock that goes
// with it.
type Listener struct {
	net.Listener
	release func()
}

// Listen makes the socket, in a folder of mode 0700 that it makes if needed. What a
// server that died has left there is replaced; a server that lives is [ErrRunning].
func Listen(addr string) (*Listener, error) {
	if err := wire.PrivateDir(filepath.Dir(addr)); err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	release, err := wire.Lock(addr+".lock", false)
	if errors.Is(err, wire.ErrLocked) {
		return nil, fmt.Errorf("device: %s: %w", addr, ErrRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	if err := os.Remove(addr); err != nil && !errors.Is(err, os.ErrNotExist) {
		release()
		return nil, fmt.Errorf("device: an old socket: %w", err)
	}
	l, err := net.Listen("unix", addr)
	if err != nil {
		release()
		return nil, fmt.Errorf("device: %w", err)
	}
	return &Listener{l, release}, nil
}

// Close removes the socket and gives the lock back.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.release()
	return err
}
