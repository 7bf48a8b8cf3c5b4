//go:build !linux

package wire

import (
	"errors"
	"net"
)

// SameUser returns an error: only Linux is asked who is at the other end.
func SameUser(net.Conn) error {
	return errors.New("who is at the other end of a socket is known on Linux only")
}

// PeerPID is not known here.
func PeerPID(net.Conn) int { return 0 }

// HungUp is not known here.
func HungUp(net.Conn) bool { return false }

// arrived is not known here.
func arrived(net.Conn) int { return 0 }
