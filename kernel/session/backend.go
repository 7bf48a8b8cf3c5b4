package session

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/trust"
	"ftlab/kernel/internal/wire"
)

//go:generate go run ./internal/gen

// EnvAddr names the variable with the path of the server's socket.
const EnvAddr = "FTLAB_DEVICE"

// Errors to test for with errors.Is.
var (
	ErrNoServer = errors.New("no device server")          // none listens there
	ErrLost     = errors.New("the device server is gone") // it was there
	ErrVersion  = errors.New("another version")           // it does not understand this program; [Restart] and [End] work
	errClosed   = errors.New("session: the backend is finalized")
)

func init() {
	compute.Register("session", func(addr string) (compute.Backend, error) {
		var command []string
		if ft, err := exec.LookPath("ft"); addr == "" && err == nil {
			command = []string{ft, "device", "run"}
		}
		b, err := Start(addr, command...)
		if err != nil {
			return nil, err
		}
		if text := b.Notice(); text != "" {
			fmt.Fprintln(os.Stderr, text)
		}
		return b, nil
	})
}

// DefaultAddr is where the device server of this user listens: FTLAB_DEVICE, else
// ftlab/device.sock below XDG_RUNTIME_DIR or the user's cache folder.
func DefaultAddr() (string, error) {
	if addr := os.Getenv(EnvAddr); addr != "" {
		return address(addr)
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("session: no folder for the device server's socket: %w; set %s", err, EnvAddr)
		}
	}
	return filepath.Join(dir, "ftlab", "device.sock"), nil
}

// Backend forwards to a device server. All methods may be called from any goroutine.
type Backend struct {
	addr         string
	id           string // of this session: several connections share what they own
	description  string
	devices      []string
	capabilities compute.Capabilities
	builders     atomic.Uint64
	buffers      atomic.Uint64
	stream       stream
	small        smallResults

	mu    sync.Mutex
	all   map[*wire.Conn]bool
	idle  []*wire.Conn
	freed []uint64 // told to the server with the stream's next request
	memo  map[string]wire.Result
	dead  error // why no call works any more

	ended atomic.Bool // dead is set; every tensor asks

	collector collector
	requests  atomic.Int64 // round trips, for tests
}

var _ compute.Backend = (*Backend)(nil)

var (
	openMu sync.Mutex
	open   = map[string]*Backend{}
)

// Connect returns the backend of the device server at a socket, "" for [DefaultAddr].
// The same server gives the same Backend for the life of the process, since GoMLX
// compares backends by identity. An error wraps [ErrNoServer] when nobody listens.
func Connect(addr string) (*Backend, error) {
	addr, err := address(addr)
	if err != nil {
		return nil, err
	}
	openMu.Lock()
	defer openMu.Unlock()
	if b := open[addr]; b != nil && b.alive() {
		return b, nil
	}
	b, err := connect(addr)
	if err == nil {
		open[addr] = b
	}
	return b, err
}

func address(addr string) (string, error) {
	switch {
	case addr == "":
		return DefaultAddr()
	case Remote(addr):
		return addr, nil
	}
	return filepath.Abs(addr)
}

// Remote says whether an address is of a server on another machine (tls://HOST:PORT).
func Remote(addr string) bool { return strings.HasPrefix(addr, trust.Scheme) }

// alive asks the server, so that a server that was replaced is noticed.
func (b *Backend) alive() bool {
	_, err := b.request(wire.Ack, nil)
	return err == nil
}

// connect opens a session of its own.
func connect(addr string) (*Backend, error) {
	b := &Backend{addr: addr, id: rand.Text(), all: map[*wire.Conn]bool{}, memo: map[string]wire.Result{}}
	c, err := b.dial(true)
	if err != nil {
		return nil, err
	}
	b.stream.c = c
	wire.Ballast()
	return b, nil
}

// dial opens a connection; the first one of a session learns what the backend is.
func (b *Backend) dial(first bool) (_ *wire.Conn, err error) {
	var nc net.Conn
	if Remote(b.addr) {
		if nc, err = trust.Dial(b.addr); err != nil {
			return nil, fmt.Errorf("session: %w at %s: %w", ErrNoServer, b.addr, err)
		}
	} else if nc, err = net.Dial("unix", b.addr); err != nil {
		return nil, fmt.Errorf("session: %w at %s (ft device start starts one): %w", ErrNoServer, b.addr, err)
	}
	defer func() {
		if err != nil {
			nc.Close()
		}
	}()
	if err := wire.SameUser(nc); err != nil && !Remote(b.addr) {
		return nil, fmt.Errorf("session: %s: %w", b.addr, err)
	}
	c := wire.NewConn(nc)
	var e wire.Enc
	e.Uint(wire.Hello)
	e.Uint(0)
	e.Str(wire.Fingerprint())
	e.Str(b.id)
	e.Put(first)
	if err := c.WriteFrame(e.B, nil); err != nil {
		return nil, b.lost(err)
	}
	d, err := b.reply(c)
	if err != nil {
		return nil, versioned(err)
	}
	if first {
		err = b.hello(d)
	}
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.dead != nil {
			return nil, b.dead
		}
		b.all[c] = true
	}
	return c, err
}

func (b *Backend) hello(d *wire.Dec) (err error) {
	defer wire.Guard(&err)
	b.description = d.Str()
	d.Get(&b.devices)
	d.Get(&b.capabilities)
	for range d.Len() {
		key := d.Str()
		var r wire.Result
		d.Get(&r)
		b.memo[key] = r
	}
	return nil
}

// Name is "session".
func (b *Backend) Name() string { return "session" }

// String is "session".
func (b *Backend) String() string { return "session" }

// Description is the real backend's, so that programs that read it decide as they
// would in its process.
func (b *Backend) Description() string { return b.description }

// NumDevices is the real backend's.
func (b *Backend) NumDevices() int { return len(b.devices) }

// DeviceDescription is the real backend's.
func (b *Backend) DeviceDescription(n compute.DeviceNum) string {
	if n < 0 || int(n) >= len(b.devices) {
		return fmt.Sprintf("no device %d", n)
	}
	return b.devices[n]
}

// Capabilities are the real backend's.
func (b *Backend) Capabilities() compute.Capabilities { return b.capabilities.Clone() }

// HasSharedBuffers is false: the memory is another process's.
func (b *Backend) HasSharedBuffers() bool { return false }

// NewSharedBuffer always fails, see [Backend.HasSharedBuffers].
func (b *Backend) NewSharedBuffer(compute.DeviceNum, shapes.Shape) (compute.Buffer, any, error) {
	return nil, nil, errors.New("session: buffers are in another process and cannot be shared")
}

// Finalize ends the session: the server frees all that was not kept.
func (b *Backend) Finalize() { b.end(errClosed) }

// IsFinalized says whether the session has ended, by Finalize or with the server.
func (b *Backend) IsFinalized() bool { return b.ended.Load() }

// end closes all connections; the first reason stays.
func (b *Backend) end(why error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.dead = why
		b.ended.Store(true)
		for c := range b.all {
			c.Close()
		}
		b.all, b.idle, b.freed = nil, nil, nil
	}
	return b.dead
}

func (b *Backend) lost(err error) error {
	return b.end(fmt.Errorf("session: %w (%s): %w; what it had not saved is lost; connect again (ft device start starts it with what it had saved)", ErrLost, b.addr, err))
}
