package device_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/kernel/device"
)

// faulty is a backend of which the executions fail while broken says so.
type faulty struct {
	compute.Backend
	mu     sync.Mutex
	broken error
}

func (f *faulty) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
}

func (f *faulty) Builder(name string) compute.Builder {
	return faultyBuilder{f.Backend.Builder(name), f}
}

type faultyBuilder struct {
	compute.Builder
	f *faulty
}

func (b faultyBuilder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	return faultyExecutable{e, b.f}, err
}

type faultyExecutable struct {
	compute.Executable
	f *faulty
}

func (e faultyExecutable) Execute(in []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	if err := e.f.broken; err != nil {
		for i := range donate {
			if donate[i] {
				in[i].Finalize()
			}
		}
		if err.Error() == "panic" {
			panic("of the backend")
		}
		return nil, err
	}
	return e.Executable.Execute(in, donate, device)
}

// What fails without a reply is told by whatever depends on it, and by the next request
// that must not go on as if nothing had happened; it names the program.
func TestDeferredFailures(t *testing.T) {
	real := &faulty{Backend: goBackend(t)}
	s, addr := serve(t, real, device.Options{})
	b := client(t, addr)
	e := sum(t, b, "x", 2, 3)
	good := upload(t, b, 1, 2)
	broken := func(how string, donate ...bool) compute.Buffer {
		real.fail(errors.New(how))
		defer real.fail(nil)
		out := execute(t, e, donate, upload(t, b, 1, 2), upload(t, b, 1, 2))
		if err := b.Wait(); err == nil { // so that it fails before real is whole again
			t.Error("nothing failed")
		}
		return out
	}
	told := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), `the execution of "sum" failed`) || !strings.Contains(err.Error(), "no memory") {
			t.Errorf("%s: %v", what, err)
		}
	}
	x := broken("no memory", true, false)
	told("read", x.ToFlatData(make([]float32, 2)))
	y := execute(t, e, nil, x, good) // what is computed from it
	told("read of a result", y.ToFlatData(make([]float32, 2)))
	told("keep", b.Keep(map[string]compute.Buffer{"good": good, "y": y}))
	copied, err := y.CopyToDevice(0)
	if err != nil {
		t.Fatal(err)
	}
	told("read of a copy", copied.ToFlatData(make([]float32, 2)))
	if err := b.Wait(); err != nil {
		t.Errorf("told again without need: %v", err)
	}
	if got := read(t, execute(t, e, nil, good, good)); !slices.Equal(got, []float32{4, 8}) {
		t.Errorf("afterwards 3x+x = %v", got)
	}
	p := broken("panic")
	if err := p.ToFlatData(make([]float32, 2)); err == nil || !strings.Contains(err.Error(), "panic: of the backend") {
		t.Errorf("a panic: %v", err)
	}

	// Nobody reads the results: whoever keeps, reads or compiles next is told, once.
	for what, next := range map[string]func() error{
		"keep":     func() error { return b.Keep(map[string]compute.Buffer{"good": good}) },
		"download": func() error { return good.ToFlatData(make([]float32, 2)) },
		"compile": func() error {
			f := b.Builder("next").Main()
			if err := f.Return(nil, nil); err != nil {
				return err
			}
			_, err := f.Builder().Compile()
			return err
		},
	} {
		real.fail(errors.New("no memory"))
		e.Execute([]compute.Buffer{good, good}, nil, 0)
		told(what, next())
		real.fail(nil)
		if err := b.Wait(); err != nil {
			t.Errorf("%s: told twice: %v", what, err)
		}
	}
	if kept, err := b.List(); err != nil || len(kept) != 0 {
		t.Errorf("kept in spite of a failure: %v, %v", kept, err)
	}
	x.Finalize()
	y.Finalize()
	if err := b.Wait(); err != nil {
		t.Error(err)
	}
	if n := s.Stats().Bytes; n > 6*8 {
		t.Errorf("%d bytes in use: inputs of failed executions stay", n)
	}
}

// Requests of many goroutines find their replies; far more are made than may be under
// way.
func TestPipeline(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	e := sum(t, b, "x", 1, 1)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			total, one := upload(t, b, 0), upload(t, b, float32(g))
			for i := range 1000 {
				out, err := e.Execute([]compute.Buffer{total, one}, []bool{true, false}, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if total = out[0]; i%(100+g) == 0 {
					got := make([]float32, 1)
					if err := total.ToFlatData(got); err != nil || got[0] != float32(g*(i+1)) {
						t.Errorf("%v after %d steps of %d: %v", got, i+1, g, err)
					}
				}
			}
			total.Finalize()
			one.Finalize()
		})
	}
	wg.Wait()
	if err := b.Wait(); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Buffers != 0 || st.Executions != 4000 {
		t.Errorf("%+v", st)
	}
}

// What a program that is gone has asked for and not waited for is not done any more.
func TestQueueEndsWithTheProgram(t *testing.T) {
	real := &faulty{Backend: goBackend(t)}
	s, addr := serve(t, real, device.Options{})
	b := client(t, addr)
	e, x := sum(t, b, "x", 1, 1), upload(t, b, 1)
	if err := b.Wait(); err != nil {
		t.Fatal(err)
	}
	real.mu.Lock() // executions wait
	for range 50 {
		execute(t, e, nil, x, x)
	}
	b.Finalize()
	real.mu.Unlock()
	for s.Stats().Clients > 0 {
		runtime.Gosched()
	}
	if n := s.Stats().Executions; n > 1 {
		t.Errorf("%d executions for nobody", n)
	}
}
