package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// round is how often connections that say nothing are looked at.
const round = time.Second

// guest is the connection of a client that has proved who it is. Whatever it sends is
// read only while its token counts: the list of tokens is looked at with every read (as
// a file: it is read again only when it has changed), and every [round] for those that
// wait.
type guest struct {
	*tls.Conn
	house *listener
	cert  *x509.Certificate

	mu   sync.Mutex
	list os.FileInfo // as which the token was last looked up
}

// Read is that of the connection, which it ends when the token does not count any more.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if err == nil {
		if err = g.check(); err != nil {
			g.Close()
			n = 0
		}
	}
	return n, err
}

func (g *guest) check() error {
	if time.Now().After(g.cert.NotAfter) {
		return fmt.Errorf("trust: the token has expired")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now, err := os.Stat(g.house.authority.list())
	if err == nil && g.list != nil && os.SameFile(now, g.list) && now.ModTime().Equal(g.list.ModTime()) {
		return nil
	}
	if err := g.house.authority.valid(g.cert); err != nil { // also without a list
		return err
	}
	g.list = now
	return nil
}

// Close ends the connection, without a word to the other side.
func (g *guest) Close() error {
	g.house.mu.Lock()
	delete(g.house.guests, g)
	g.house.mu.Unlock()
	return g.NetConn().Close()
}

// makeRounds ends connections of tokens that do not count any more, until the listener
// ends.
func (l *listener) makeRounds() {
	t := time.NewTicker(round)
	defer t.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-t.C:
		}
		l.mu.Lock()
		var all []*guest
		for g := range l.guests {
			all = append(all, g)
		}
		l.mu.Unlock()
		for _, g := range all {
			if g.check() != nil {
				g.Close()
			}
		}
	}
}
