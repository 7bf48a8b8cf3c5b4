package device_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/backend"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// role makes the test binary a server or a client of its own; see [TestMain].
const role = "FTLAB_DEVICE_TEST_ROLE"

func TestMain(m *testing.M) {
	as := os.Getenv(role)
	if as != "" && slices.Equal(os.Args[1:], []string{"device", "run"}) { // started by a program in its role
		as = "server"
	}
	switch as {
	case "cell":
		os.Exit(beCell())
	case "server":
		os.Exit(beServer())
	case "old":
		os.Exit(beOldServer())
	case "client":
		os.Exit(beClient())
	case "stranger":
		os.Exit(beStranger())
	case "trainer":
		beTrainer()
	}
	os.Exit(m.Run())
}

// kinds runs a test on the pure Go backend and, where its plugin is, on XLA.
func kinds(t *testing.T, test func(t *testing.T, real compute.Backend)) {
	for _, name := range []string{backend.Go, backend.CPU} {
		t.Run(name, func(t *testing.T) {
			b, err := backend.Open(name)
			if err != nil {
				t.Skip(err)
			}
			test(t, b)
		})
	}
}

func goBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve runs a server until the test ends; its Serve must end without an error.
func serve(t testing.TB, real compute.Backend, o device.Options) (s *device.Server, addr string) {
	t.Helper()
	s = device.New(real, o)
	return s, serveThis(t, s)
}

func serveThis(t testing.TB, s *device.Server) (addr string) {
	t.Helper()
	addr = filepath.Join(socketDir(t), "s", "device.sock")
	l, err := device.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if left := s.Stats(); left.Buffers != 0 || left.Bytes != 0 || left.Executables != 0 || left.Clients != 0 {
			t.Errorf("left behind by a server that ended: %+v", left)
		}
	})
	return addr
}

// socketDir is a folder with a short path: sockets have at most a hundred letters.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

var clients int

// client connects a session of its own: one process has one session for an address, so
// each goes by another name of the socket.
func client(t testing.TB, addr string) *session.Backend {
	t.Helper()
	clients++
	alias := fmt.Sprintf("%s.%d", addr, clients)
	if err := os.Symlink(addr, alias); err != nil {
		t.Fatal(err)
	}
	b, err := session.Connect(alias)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	return b
}

func upload(t testing.TB, b compute.Backend, values ...float32) compute.Buffer {
	t.Helper()
	x, err := b.BufferFromFlatData(0, values, shapes.Make(dtypes.Float32, len(values)))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func read(t testing.TB, x compute.Buffer) []float32 {
	t.Helper()
	s, err := x.Shape()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, s.Size())
	if err := x.ToFlatData(values); err != nil {
		t.Fatal(err)
	}
	return values
}

// sum compiles x*c+y over n numbers; name is of the first parameter.
func sum(t testing.TB, b compute.Backend, name string, n int, c float32) compute.Executable {
	t.Helper()
	builder := b.Builder("sum")
	f := builder.Main()
	must := func(v compute.Value, err error) compute.Value {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	s := shapes.Make(dtypes.Float32, n)
	x, y := must(f.Parameter(name, s, nil)), must(f.Parameter("y", s, nil))
	constant := make([]float32, n)
	for i := range constant {
		constant[i] = c
	}
	out := must(f.Add(must(f.Mul(x, must(f.Constant(constant, n)))), y))
	if err := f.Return([]compute.Value{out}, nil); err != nil {
		t.Fatal(err)
	}
	e, err := builder.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func execute(t testing.TB, e compute.Executable, donate []bool, in ...compute.Buffer) compute.Buffer {
	t.Helper()
	out, err := e.Execute(in, donate, 0)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}
