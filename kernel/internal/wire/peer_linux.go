package wire

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// SameUser returns an error unless the program at the other end of a unix socket runs
// as this user.
func SameUser(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("not a unix socket: %T", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	return sameUser(int(cred.Uid), os.Getuid())
}

func sameUser(peer, me int) error {
	if peer != me {
		return fmt.Errorf("the other end belongs to user %d, not to %d", peer, me)
	}
	return nil
}
