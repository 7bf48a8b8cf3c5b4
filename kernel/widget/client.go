package widget

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"ftlab/kernel/internal/link"
)

// SocketEnv is the environment variable with the kernel's socket, which cells connect to.
const SocketEnv = "FTLAB_KERNEL"

// Requests on the link.
type (
	idRequest struct {
		ID string `json:"id"`
	}
	nameRequest struct {
		Name string `json:"name"`
	}
	findAnswer struct {
		Found bool  `json:"found"`
		Model Model `json:"model"`
	}
	updateRequest struct {
		ID    string `json:"id"`
		State State  `json:"state"`
	}
	sendRequest struct {
		ID      string          `json:"id"`
		Content json.RawMessage `json:"content"`
	}
	startRequest struct {
		Function string          `json:"function"`
		Arg      json.RawMessage `json:"arg"`
	}
)

// Client is the [UI] of a cell.
type Client struct {
	p *link.Peer

	mu       sync.Mutex
	watchers map[string]map[*watcher]bool
}

// Connect connects to the hub of the kernel that this program runs in.
func Connect() (*Client, error) {
	path := os.Getenv(SocketEnv)
	if path == "" {
		return nil, errors.New("widget: " + SocketEnv + " is not set: this program does not run in a cell of the FTLab kernel")
	}
	return Dial(path)
}

// Dial connects to the hub that serves the socket.
func Dial(path string) (*Client, error) {
	c := &Client{watchers: map[string]map[*watcher]bool{}}
	p, err := link.Dial(path, c.event)
	if err != nil {
		return nil, err
	}
	c.p = p
	return c, nil
}

// event is called for each event of the kernel.
func (c *Client) event(_ string, body json.RawMessage) {
	var e Event
	if json.Unmarshal(body, &e) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.watchers[e.ID] {
		w.put(e)
	}
	if e.Closed {
		delete(c.watchers, e.ID)
	}
}

// Open is [UI.Open].
func (c *Client) Open(s Spec) (m Model, err error) {
	err = c.p.Call("open", s, &m)
	return m, err
}

// Find is [UI.Find].
func (c *Client) Find(name string) (Model, bool, error) {
	var a findAnswer
	err := c.p.Call("find", nameRequest{name}, &a)
	return a.Model, a.Found, err
}

// Get is [UI.Get].
func (c *Client) Get(id string) (s State, err error) {
	err = c.p.Call("get", idRequest{id}, &s)
	return s, err
}

// Update is [UI.Update].
func (c *Client) Update(id string, traits State) error {
	return c.p.Call("update", updateRequest{id, traits}, nil)
}

// Send is [UI.Send].
func (c *Client) Send(id string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("widget: %w", err)
	}
	return c.p.Call("send", sendRequest{id, data}, nil)
}

// Watch is [UI.Watch].
func (c *Client) Watch(id string, on func(Event)) (stop func(), err error) {
	w := &watcher{on: on}
	c.mu.Lock()
	first := len(c.watchers[id]) == 0
	if first {
		c.watchers[id] = map[*watcher]bool{}
	}
	c.watchers[id][w] = true
	c.mu.Unlock()
	stop = func() {
		w.stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers[id], w)
	}
	if err := c.p.Call("watch", idRequest{id}, nil); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// Close is [UI.Close].
func (c *Client) Close(id string) error { return c.p.Call("close", idRequest{id}, nil) }

// Start is [UI.Start].
func (c *Client) Start(function string, arg any) (string, error) {
	data, err := json.Marshal(arg)
	if err != nil {
		return "", fmt.Errorf("widget: argument of %s: %w", function, err)
	}
	var a idRequest
	err = c.p.Call("start", startRequest{function, data}, &a)
	return a.ID, err
}

// Done is closed when the kernel has gone.
func (c *Client) Done() <-chan struct{} { return c.p.Done() }

// Disconnect ends the connection. The widgets stay.
func (c *Client) Disconnect() { c.p.Close() }

// Listen makes the socket of a kernel. Its folder is this user's alone.
func Listen(path string) (*net.UnixListener, error) { return link.Listen(path) }

// Serve answers cells until l is closed.
func (h *Hub) Serve(l *net.UnixListener) error {
	return link.Serve(l, func(p *link.Peer) link.Handler {
		return &session{hub: h, p: p, watches: map[string]func(){}, ended: make(chan struct{})}
	})
}

// session is the connection of one cell.
type session struct {
	hub     *Hub
	p       *link.Peer
	watches map[string]func() // id -> stop
	ended   chan struct{}
}

func (s *session) held() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// Close ends the watches of a cell that has ended.
func (s *session) Close() {
	close(s.ended)
	for _, stop := range s.watches {
		stop()
	}
}

// answer calls f with a request.
func answer[In any](body json.RawMessage, f func(In) (any, error)) (any, error) {
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("widget: malformed request: %w", err)
	}
	return f(in)
}

// Call answers one request of a cell.
func (s *session) Call(verb string, body json.RawMessage) (any, error) {
	h := s.hub
	switch verb {
	case "open":
		return answer(body, func(in Spec) (any, error) { return h.open(in, s.held) })
	case "find":
		return answer(body, func(in nameRequest) (any, error) {
			m, found, err := h.Find(in.Name)
			return findAnswer{found, m}, err
		})
	case "get":
		return answer(body, func(in idRequest) (any, error) { return h.Get(in.ID) })
	case "update":
		return answer(body, func(in updateRequest) (any, error) { return nil, h.Update(in.ID, in.State) })
	case "send":
		return answer(body, func(in sendRequest) (any, error) { return nil, h.Send(in.ID, in.Content) })
	case "close":
		return answer(body, func(in idRequest) (any, error) { return nil, h.Close(in.ID) })
	case "watch":
		return answer(body, func(in idRequest) (any, error) {
			if s.watches[in.ID] != nil {
				return nil, nil
			}
			stop, err := h.Watch(in.ID, func(e Event) { s.p.Tell("event", e) }) // a cell that has gone is told nothing
			if err == nil {
				s.watches[in.ID] = stop
			}
			return nil, err
		})
	case "start":
		return answer(body, func(in startRequest) (any, error) {
			id, err := h.Start(in.Function, in.Arg)
			return idRequest{id}, err
		})
	case "list":
		return h.List(), nil
	}
	return nil, fmt.Errorf("widget: this kernel knows no request %q", verb)
}
