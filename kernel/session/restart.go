package session

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ftlab/kernel/internal/wire"
)

// StateDir is where the server at a socket ("" for [DefaultAddr]) saves what it keeps,
// unless it was told otherwise: the folder state beside the socket. Where that would not
// outlive the login (below XDG_RUNTIME_DIR) it is ftlab/state in the user's cache folder.
func StateDir(addr string) (string, error) {
	addr, err := address(addr)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(addr)
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" && strings.HasPrefix(dir+"/", filepath.Clean(runtime)+"/") {
		if dir, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("session: no folder for what the device server saves: %w", err)
		}
		dir = filepath.Join(dir, "ftlab")
	}
	return filepath.Join(dir, "state"), nil
}

// Restart ends the server at addr, which saves what it keeps, and starts it again with a
// command, which restores that. Without a server it is [Start].
func Restart(addr string, command ...string) (*Backend, error) {
	b, err := Connect(addr)
	if errors.Is(err, ErrVersion) {
		_, err = End(addr)
		if err == nil {
			err = ErrNoServer
		}
	}
	if errors.Is(err, ErrNoServer) {
		return Start(addr, command...)
	}
	if err != nil {
		return nil, err
	}
	before, err := b.Stats()
	if err == nil {
		err = b.Stop()
	}
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, err := Start(addr, command...)
		if err != nil {
			return nil, err
		}
		if now, err := b.Stats(); err == nil && now.PID != before.PID {
			return b, nil
		}
	}
	return nil, fmt.Errorf("session: the device server (process %d) does not end", before.PID)
}

// versioned marks the refusal of a server of another version.
func versioned(err error) error {
	if strings.Contains(err.Error(), wire.OtherVersion) {
		return fmt.Errorf("%w (%w)", err, ErrVersion)
	}
	return err
}

// End ends the server at addr ("" for [DefaultAddr]), of whatever version it is, by a
// signal: it saves what it keeps, if it can, and has ended when End returns.
func End(addr string) (pid int, err error) {
	if addr, err = address(addr); err != nil {
		return 0, err
	}
	c, err := net.Dial("unix", addr)
	if err != nil {
		return 0, fmt.Errorf("session: %w at %s: %w", ErrNoServer, addr, err)
	}
	defer c.Close()
	if err := wire.SameUser(c); err != nil {
		return 0, fmt.Errorf("session: %s: %w", addr, err)
	}
	pid = wire.PeerPID(c)
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(syscall.SIGTERM)
	}
	if err != nil {
		return pid, fmt.Errorf("session: the device server, process %d: %w", pid, err)
	}
	for end := time.Now().Add(patience); p.Signal(syscall.Signal(0)) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return pid, fmt.Errorf("session: the device server, process %d, does not end", pid)
		}
	}
	return pid, nil
}
