package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// given holds the ports that Free gave out in this process.
var given sync.Map

// Free finds n free TCP ports of the loopback interface, for a server that another process
// starts. They lie below the range that the system gives to clients and to servers that ask
// for any port (32768 and up on Linux): between this call and the start of the server no
// test beside it is given one by accident.
func Free(t testing.TB, n int) []int {
	t.Helper()
	const lowest, highest = 12_000, 32_000
	ports := make([]int, 0, n)
	for range 1000 {
		if len(ports) == n {
			return ports
		}
		port := lowest + rand.IntN(highest-lowest)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		ports = append(ports, port)
	}
	t.Fatalf("port: found %d free ports of the loopback interface from %d to %d, wanted %d", len(ports), lowest, highest, n)
	return nil
}
