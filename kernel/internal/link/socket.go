package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Listen makes the socket, in a folder of mode 0700 that it makes if needed. A socket
// that is there already, and that nobody listens to any more, is replaced.
func Listen(path string) (*net.UnixListener, error) {
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("link: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("link: %s (%v) must be a folder that only its user can enter", dir, info.Mode())
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("link: somebody listens to %s already", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("link: an old socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return l, nil
}

// sameUser returns an error unless the other end runs as this user.
func sameUser(c *net.UnixConn) error {
	user, err := peerUser(c)
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return checkUser(user, os.Getuid())
}

func checkUser(other, me int) error {
	if other != me {
		return fmt.Errorf("link: the other end belongs to user %d, not to %d", other, me)
	}
	return nil
}
