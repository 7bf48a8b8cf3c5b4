package device_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// accelerator does one thing at a time, for as long as the program's name says.
type accelerator struct{ compute.Backend }

func (accelerator) Description() string { return "cuda" }

func (a accelerator) Builder(name string) compute.Builder {
	return timedBuilder{a.Backend.Builder(name), name}
}

type timedBuilder struct {
	compute.Builder
	takes string
}

func (b timedBuilder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	takes, err := time.ParseDuration(b.takes)
	return timed{e, takes}, err
}

type timed struct {
	compute.Executable
	takes time.Duration
}

func (e timed) Execute(in []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	time.Sleep(e.takes)
	return e.Executable.Execute(in, donate, device)
}

// Two clients that always want the device get the same time of it, though the executions
// of one take ten times as long as those of the other: from their sockets to the backend,
// by what the server says of them.
func TestFairTime(t *testing.T) {
	_, addr := serve(t, accelerator{goBackend(t)}, device.Options{})
	var wg sync.WaitGroup
	long, short := client(t, addr), client(t, addr)
	stop := make(chan struct{})
	for takes, b := range map[string]*session.Backend{"20ms": long, "2ms": short} {
		builder := b.Builder(takes)
		f := builder.Main()
		x, err := f.Constant([]byte(takes), len(takes)) // two programs, not one with two names
		if err == nil {
			err = f.Return([]compute.Value{x}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := builder.Compile()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for range 10 { // more are under way than are done: it always waits for a turn
					out, err := e.Execute(nil, nil, 0)
					if err != nil {
						t.Error(err)
						return
					}
					out[0].Finalize()
				}
			}
		})
	}
	watch := client(t, addr)
	var of map[string]usedTime
	for of["20ms"].executions < 15 || of["2ms"].executions < 30 {
		time.Sleep(5 * time.Millisecond)
		of = usedBy(t, watch)
	}
	close(stop)
	wg.Wait()
	a, b := of["20ms"], of["2ms"]
	if ratio := a.seconds / b.seconds; ratio < 0.6 || ratio > 1.7 {
		t.Errorf("%d long executions had %.3f s of the device, %d short ones %.3f s", a.executions, a.seconds, b.executions, b.seconds)
	}
}

type usedTime struct {
	executions int64
	seconds    float64
}

// usedBy tells the two clients apart by how long one of their executions takes.
func usedBy(t *testing.T, b *session.Backend) map[string]usedTime {
	t.Helper()
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]usedTime{}
	for _, s := range st.Sessions {
		if s.Executions == 0 {
			continue
		}
		name := "2ms"
		if s.Seconds/float64(s.Executions) > 0.015 {
			name = "20ms"
		}
		of[name] = usedTime{s.Executions, s.Seconds}
	}
	return of
}
