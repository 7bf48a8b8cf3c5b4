package session_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/backend"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// A program that the server has seen is built without asking anything: one request
// compiles it.
func TestBuildingAsksNothing(t *testing.T) {
	dir, err := os.MkdirTemp("", "ft")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "s", "device.sock")
	l, err := device.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	real, err := backend.Open(backend.Go)
	if err != nil {
		t.Fatal(err)
	}
	s, done := device.New(real, device.Options{}), make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	requests := func(ops int) int64 {
		b, err := session.NewSession(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Finalize()
		builder := b.Builder("deep")
		f := builder.Main()
		x, err := f.Parameter("x", shapes.Make(dtypes.Float32, 3), nil)
		for range ops {
			if err == nil {
				x, err = f.Neg(x)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Return([]compute.Value{x}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := builder.Compile(); err != nil {
			t.Fatal(err)
		}
		return b.Requests()
	}
	// Neg of this shape, the rest of the program, two for Compile.
	if n := requests(100); n != 4 {
		t.Errorf("a new program of 100 operations: %d requests", n)
	}
	if n := requests(100); n != 1 {
		t.Errorf("the same program in another session: %d requests", n)
	}
	if n := requests(101); n != 3 {
		t.Errorf("another program of the same operations: %d requests", n)
	}
}
