//go:build unix && !linux

package jupyter

import "net"

// sameUser cannot be asked here: messages are signed, but outputs can be read.
func sameUser(net.Conn) bool { return true }
