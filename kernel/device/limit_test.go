package device_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/backend"
	"ftlab/kernel/device"
)

// An error of a full server says what is kept, how big it is and what to do.
func TestLimitSaysWhatIsKept(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{LimitBytes: 1e6})
	b := client(t, addr)
	keepValues(t, b, map[string][]float32{"models/big/w": make([]float32, 150e3), "models/big/v": make([]float32, 10), "lora/a": make([]float32, 25e3)})
	big := make([]float32, 100e3)
	refused := upload(t, b, big...)
	err := refused.ToFlatData(big)
	for _, want := range []string{"0.4 MB more", "limit of 1.0 MB", "0.7 MB are in use, 0.7 MB of them kept", "models/big 0.6 MB (2), lora 0.1 MB (1)", "ft device drop models/big", "ft device restart --memory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := b.Drop("models/big"); err != nil {
		t.Fatal(err)
	}
	if err := refused.Finalize(); err != nil {
		t.Fatal(err)
	}
	x := upload(t, b, big...)
	// An execution is refused before it runs, and costs nothing but what it donates.
	e := sum(t, b, "x", len(big), 2)
	y := upload(t, b, make([]float32, 100e3)...)
	if err := execute(t, e, nil, x, y).ToFlatData(big); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("%v", err)
	}
	read(t, execute(t, e, []bool{true, false}, x, y)) // with room that the input leaves
	if st := s.Stats(); st.PeakBytes > 1e6 || st.PeakBytes < 9e5 {
		t.Errorf("peak %d", st.PeakBytes)
	}
}

// By default the limit is most of the machine's memory; no more than there is can be
// asked for, whatever limit is set.
func TestLimitOfTheMachine(t *testing.T) {
	if _, err := os.Stat("/proc/meminfo"); err != nil {
		t.Skip("SKIPPED: this system does not say how much memory it has")
	}
	s, _ := serve(t, goBackend(t), device.Options{})
	st := s.Stats()
	if st.LimitBytes < 100e6 || st.Available <= 0 || st.Resident <= 0 || st.Resident > st.LimitBytes*2 {
		t.Errorf("%+v", st)
	}
	s, addr := serve(t, goBackend(t), device.Options{LimitBytes: 1 << 50})
	b := client(t, addr)
	// The request is refused before its data is read: none is sent.
	_, err := b.LoadFile(hugeFile(t), "m", loadAll)
	if err == nil || !strings.Contains(err.Error(), "without swapping") {
		t.Errorf("%v", err)
	}
	if st := s.Stats(); st.Buffers != 0 {
		t.Errorf("%+v", st)
	}
}

// What a program took more than its outputs when it ran first counts when it runs again.
func TestLimitCountsTemporaries(t *testing.T) {
	real, err := backend.Open(backend.CPU) // pure Go takes what is left over in its heap
	if err != nil {
		t.Skip(err)
	}
	const n = 4e6 // numbers
	s, addr := serve(t, real, device.Options{LimitBytes: 4 * n * 4})
	b := client(t, addr)
	if s.Stats().Resident == 0 {
		t.Skip("SKIPPED: this system does not say how large a process is")
	}
	builder := b.Builder("sorted")
	f := builder.Main()
	x, err := f.Parameter("x", shapes.Make(dtypes.Float32, n), nil)
	var y compute.Value
	if err == nil { // a whole tensor more, at least, between input and output
		y, err = f.Reverse(x, 0)
	}
	if err == nil {
		y, err = f.DotGeneral(x, []int{0}, nil, y, []int{0}, nil, compute.DotGeneralConfig{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Return([]compute.Value{y}, nil); err != nil {
		t.Fatal(err)
	}
	e, err := builder.Compile()
	if err != nil {
		t.Fatal(err)
	}
	in := upload(t, b, make([]float32, n)...)
	debug.FreeOSMemory() // what is left over here would hide what it takes
	run := func() error {
		t.Helper()
		return execute(t, e, nil, in).ToFlatData(make([]float32, 1))
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	more := []compute.Buffer{upload(t, b, make([]float32, n)...), upload(t, b, make([]float32, n)...), upload(t, b, make([]float32, n-1e6)...)}
	if err := run(); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("room for the input and no temporary: %v", err)
	}
	if err := more[0].Finalize(); err != nil {
		t.Fatal(err)
	}
	if err := more[1].Finalize(); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Errorf("room for all: %v", err)
	}
}

// Executables are bounded by their size together; those that are used last stay.
func TestExecutablesAreBoundedBySize(t *testing.T) {
	kinds(t, func(t *testing.T, real compute.Backend) {
		s, addr := serve(t, real, device.Options{ExecutableBytes: 250e3})
		b := client(t, addr)
		build := func(i int) {
			e := sum(t, b, "x", 20e3, float32(i)) // with a constant of 80 kB
			e.Finalize()
		}
		for i := range 6 {
			build(i)
			build(0) // used all the time
		}
		st := s.Stats()
		if st.Executables != 3 || st.ExecutableBytes > 250e3 || st.Evicted != 3 {
			t.Errorf("%+v", st)
		}
		if st.Misses != 6 {
			t.Errorf("%d programs were compiled, the first was asked for all the time", st.Misses)
		}
	})
}

// What is dropped goes back to the machine.
func TestDroppedMemoryIsGivenBack(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	if s.Stats().Resident == 0 {
		t.Skip("SKIPPED: this system does not say how large a process is")
	}
	b := client(t, addr)
	const n = 20e6
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	keepValues(t, b, map[string][]float32{"w": ones})
	ones = nil
	full := s.Stats().Resident
	if _, err := b.Drop("w"); err != nil {
		t.Fatal(err)
	}
	for s.Stats().Resident > full-4*n { // the buffer, or this program's copy of it
		runtime.Gosched()
	}
}

// A program's share of everything is known while it is there.
func TestStatsOfPrograms(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{})
	b := client(t, addr)
	e := sum(t, b, "x", 3, 2)
	x := upload(t, b, 1, 2, 3)
	for range 5 {
		execute(t, e, nil, x, x)
	}
	read(t, x) // when all is done
	st := s.Stats()
	if len(st.Sessions) != 1 || st.Started == 0 || st.Executions != 5 || st.Seconds <= 0 {
		t.Fatalf("%+v", st)
	}
	c := st.Sessions[0]
	if c.PID != os.Getpid() || !strings.Contains(c.Program, "device.test") || c.Executions != 5 || c.Seconds != st.Seconds || c.Waiting != 0 {
		t.Errorf("%+v", c)
	}
	if c.Buffers != st.Buffers || c.Bytes != st.Bytes || c.Bytes < 12 {
		t.Errorf("%+v of %+v", c, st)
	}
	if remote, err := b.Stats(); err != nil || fmt.Sprint(remote.Sessions) != fmt.Sprint(s.Stats().Sessions) {
		t.Errorf("%+v, %v", remote.Sessions, err)
	}
}
