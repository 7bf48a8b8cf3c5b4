package device

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"ftlab/kernel/internal/trust"
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

// Authority issues the tokens of clients on other machines.
type Authority = trust.Authority

// Token is what such a client needs.
type Token = trust.Token

// OpenAuthority reads the authority of a folder, "" for ftlab/trust in the user's
// configuration, and makes it if needed.
func OpenAuthority(dir string) (*Authority, error) {
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("device: %w", err)
		}
		dir = filepath.Join(config, "ftlab", "trust")
	}
	return trust.Open(dir)
}

// ParseToken reads the line that a client was given.
func ParseToken(line string) (Token, error) { return trust.Parse(line) }

// ListenAlso adds a TCP port (host:port) to a socket, for who has a token of the
// authority: TLS 1.3, both sides prove who they are before anything is read.
func ListenAlso(l net.Listener, addr string, a *Authority) (both net.Listener, port net.Addr, err error) {
	tcp, err := trust.Listen(addr, a)
	if err != nil {
		return nil, nil, err
	}
	return trust.Join(l, tcp), tcp.Addr(), nil
}
