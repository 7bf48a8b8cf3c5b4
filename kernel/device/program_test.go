package device_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/compute/support/backendtest"

	"ftlab/kernel/device"
)

// GoMLX's own tests of a backend.
func TestBackendSuite(t *testing.T) {
	kinds(t, func(t *testing.T, real compute.Backend) {
		_, addr := serve(t, real, device.Options{})
		backendtest.RunAll(t, client(t, addr), nil)
	})
}

// A program is compiled once, whatever its parameters are called.
func TestExecutableCache(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	a, b := client(t, addr), client(t, addr)
	sum(t, a, "x_3f2a", 2, 3)
	e := sum(t, b, "x_99b1", 2, 3)
	if st := s.Stats(); st.Hits != 1 || st.Misses != 1 || st.Executables != 1 {
		t.Errorf("%+v", st)
	}
	if names, in := e.Inputs(); !slices.Equal(names, []string{"x_99b1", "y"}) || len(in) != 2 || in[0].Size() != 2 {
		t.Errorf("inputs %v %v", names, in)
	}
	if got := read(t, execute(t, e, nil, upload(t, b, 1, 2), upload(t, b, 0, 1))); !slices.Equal(got, []float32{3, 7}) {
		t.Errorf("3x+y = %v", got)
	}
	sum(t, b, "x", 2, 4) // another constant is another program
	if st := s.Stats(); st.Executables != 2 {
		t.Errorf("%+v", st)
	}
}

// The least recently used go first; those in use stay.
func TestExecutablesAreBounded(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{Executables: 2})
	b := client(t, addr)
	used := sum(t, b, "x", 1, 0)
	for c := range 4 {
		sum(t, b, "x", 1, float32(c+1)).Finalize()
	}
	if _, err := b.Stats(); err != nil { // carries the last Finalize
		t.Fatal(err)
	}
	if n := s.Stats().Executables; n != 2 {
		t.Errorf("%d executables; the limit is 2", n)
	}
	if got := read(t, execute(t, used, nil, upload(t, b, 1), upload(t, b, 5))); got[0] != 5 {
		t.Errorf("0x+5 = %v", got)
	}
	misses := s.Stats().Misses
	sum(t, b, "x", 1, 4)
	sum(t, b, "x", 1, 0)
	if st := s.Stats(); st.Misses != misses {
		t.Errorf("the latest or the one in use was dropped: %+v", st)
	}
}

func TestMemoryLimit(t *testing.T) {
	_, addr := serve(t, goBackend(t), device.Options{LimitBytes: 1000})
	b := client(t, addr)
	e := sum(t, b, "x", 100, 1)
	x := upload(t, b, make([]float32, 100)...)
	y := upload(t, b, make([]float32, 100)...)
	over := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "over the limit") {
			t.Errorf("%s: %v", what, err)
		}
	}
	into := make([]float32, 100)
	z, err := b.BufferFromFlatData(0, into, shapes.Make(dtypes.Float32, 100))
	if err != nil {
		t.Fatal(err)
	}
	over("upload", z.ToFlatData(into))
	over("execution", execute(t, e, nil, x, y).ToFlatData(into))
	if z, err = x.CopyToDevice(0); err != nil {
		t.Fatal(err)
	}
	over("copy", b.Wait())
	over("copy, again", z.ToFlatData(into))
	if got := read(t, execute(t, e, []bool{true, false}, x, y)); len(got) != 100 { // room by donation
		t.Errorf("%d values", len(got))
	}
}

// An operation that fails in the server leaves the program as it was.
func TestFailedCall(t *testing.T) {
	_, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	builder := b.Builder("failing")
	f := builder.Main()
	x, err := f.Parameter("x", shapes.Make(dtypes.Float32, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	y, err := f.Parameter("y", shapes.Make(dtypes.Float32, 3), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add(x, y); err == nil {
		t.Fatal("[2]+[3] is possible")
	}
	z, err := f.Add(x, x)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Return([]compute.Value{z}, nil); err != nil {
		t.Fatal(err)
	}
	e, err := builder.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, execute(t, e, nil, upload(t, b, 1, 2), upload(t, b, 1, 2, 3))); !slices.Equal(got, []float32{2, 4}) {
		t.Errorf("x+x = %v", got)
	}
	if _, err := b.Builder("other").Main().Neg(x); err == nil || !strings.Contains(err.Error(), "no value of this builder") {
		t.Errorf("a value of another builder: %v", err)
	}
}

// Memory that nobody finalizes is found by the garbage collector in time.
func TestRemoteGarbage(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	const each, count = 2 << 20, 200
	data := make([]float32, each/4)
	peak := int64(0)
	for range count {
		upload(t, b, data...)
		peak = max(peak, s.Stats().Bytes)
	}
	if peak > each*count/2 {
		t.Errorf("%d MB of %d MB were there at once", peak>>20, each*count>>20)
	}
}
