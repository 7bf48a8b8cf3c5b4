package jupyter

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// sameUser says whether the other end of a connection from this machine belongs to
// this user, or to root: the kernel's table of connections names the owner of each. A
// connection from elsewhere, which only a kernel that was told to listen there gets,
// passes, and so does all where there is no such table.
func sameUser(c net.Conn) bool {
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	own, _ := c.LocalAddr().(*net.TCPAddr)
	if !ok || own == nil || !peer.IP.IsLoopback() {
		return true
	}
	table := false // it shows this connection's own end
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 8 {
				continue
			}
			switch {
			case isAddr(f[1], own) && isAddr(f[2], peer):
				table = true
			case isAddr(f[1], peer) && isAddr(f[2], own):
				uid, err := strconv.Atoi(f[7])
				return err == nil && (uid == os.Geteuid() || uid == 0)
			}
		}
	}
	return !table
}

// isAddr compares an address with one as the table writes it: words of four bytes in
// the machine's order, which is little-endian wherever this runs, and the port.
func isAddr(text string, a *net.TCPAddr) bool {
	ip, port, ok := strings.Cut(text, ":")
	if !ok || port != fmt.Sprintf("%04X", a.Port) {
		return false
	}
	words := func(ip net.IP) string {
		out := ""
		for word := range slices.Chunk(ip, 4) {
			out += fmt.Sprintf("%02X%02X%02X%02X", word[3], word[2], word[1], word[0])
		}
		return out
	}
	return ip == words(a.IP.To16()) || a.IP.To4() != nil && ip == words(a.IP.To4())
}
