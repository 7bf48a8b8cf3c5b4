//go:build unix

package jupyter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
)

// channel is a socket that messages are written to by many and read from by one.
type channel struct {
	zmq4.Socket
	key     []byte
	session string // of all messages that go out; "" leaves theirs
	write   sync.Mutex
}

// send writes a message. JupyterLab drops what it is about to handle when the next message
// has another session, as after a restart: gonb's messages get ours.
func (c *channel) send(m *Message) error {
	if c.session != "" && m.Head.Session != c.session {
		var err error
		if m, err = m.withSession(c.session); err != nil {
			return err
		}
	}
	c.write.Lock()
	defer c.write.Unlock()
	return c.SendMulti(zmq4.NewMsgFrom(m.Frames(c.key)...))
}

// receive reads messages until the socket is closed. What is not a message, or not
// signed with the key, goes to bad and is dropped.
func (c *channel) receive(ctx context.Context, got func(*Message), bad func(error)) {
	for ctx.Err() == nil {
		raw, err := c.Recv()
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) { // the other side has closed, as its process tells
				bad(err)
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		m, err := Parse(raw.Frames, c.key)
		if err != nil {
			bad(err)
			continue
		}
		got(m)
	}
}

// channels are the four that carry messages, of either side.
type channels struct {
	shell, control, stdin, iopub *channel
}

func (c *channels) close() {
	for _, ch := range []*channel{c.shell, c.control, c.stdin, c.iopub} {
		if ch != nil {
			ch.Close()
		}
	}
}

var quiet = zmq4.WithLogger(log.New(io.Discard, "", 0))

// listen opens the five sockets of a kernel, behind guards. The heartbeat is answered right away.
func listen(ctx context.Context, c Connection, session string) (*channels, error) {
	open := func(s zmq4.Socket) *channel { return &channel{Socket: s, key: []byte(c.Key), session: session} }
	cs := &channels{
		shell:   open(zmq4.NewRouter(ctx, quiet)),
		control: open(zmq4.NewRouter(ctx, quiet)),
		stdin:   open(zmq4.NewRouter(ctx, quiet)),
		iopub:   open(zmq4.NewPub(ctx, quiet)),
	}
	beat := zmq4.NewRep(ctx, quiet)
	for _, s := range []struct {
		zmq4.Socket
		port  int
		guard string
	}{{cs.shell, c.Shell, "safe"}, {cs.control, c.Control, "safe"}, {cs.stdin, c.Stdin, "safe"}, {cs.iopub, c.IOPub, "pub"}, {beat, c.Heartbeat, "safe"}} {
		if err := s.Listen(s.guard + c.address(s.port)); err != nil {
			cs.close()
			beat.Close()
			return nil, fmt.Errorf("jupyter: %w", err)
		}
	}
	go func() {
		defer beat.Close()
		for ctx.Err() == nil {
			m, err := beat.Recv()
			if err != nil {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			beat.Send(m) // a front end that has gone meanwhile is no fault
		}
	}()
	return cs, nil
}

// dial connects to a kernel as a front end does. All sockets carry the same identity:
// a kernel asks for input on the stdin channel under the identity of the shell's.
func dial(ctx context.Context, c Connection) (*channels, error) {
	key, id := []byte(c.Key), zmq4.WithID(zmq4.SocketIdentity(randomID()))
	retry, often := zmq4.WithDialerRetry(20*time.Millisecond), zmq4.WithDialerMaxRetries(500)
	cs := &channels{
		shell:   &channel{Socket: zmq4.NewDealer(ctx, id, quiet, retry, often), key: key},
		control: &channel{Socket: zmq4.NewDealer(ctx, id, quiet, retry, often), key: key},
		stdin:   &channel{Socket: zmq4.NewDealer(ctx, id, quiet, retry, often), key: key},
		iopub:   &channel{Socket: zmq4.NewSub(ctx, quiet, retry, often), key: key},
	}
	err := cs.iopub.SetOption(zmq4.OptionSubscribe, "")
	for _, s := range []struct {
		zmq4.Socket
		port int
	}{{cs.shell, c.Shell}, {cs.control, c.Control}, {cs.stdin, c.Stdin}, {cs.iopub, c.IOPub}} {
		if err == nil {
			err = s.Dial(c.address(s.port))
		}
	}
	if err != nil {
		cs.close()
		return nil, fmt.Errorf("jupyter: %w", err)
	}
	return cs, nil
}
