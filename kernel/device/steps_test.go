package device_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib/backend"
)

// envSteps asks for more steps than a test has time for.
const envSteps = "FTLAB_DEVICE_TEST_STEPS"

// The server's memory does not grow with the steps of a training that donates, keeps
// every third state and sometimes forgets to let go, while what is kept is saved all the
// time.
func TestMemoryIsFlat(t *testing.T) {
	steps := 2000
	if n, err := strconv.Atoi(os.Getenv(envSteps)); err == nil {
		steps = n
	}
	for _, name := range []string{backend.Go, backend.CPU} {
		t.Run(name, func(t *testing.T) {
			if _, err := backend.Open(name); err != nil {
				t.Skip(err)
			}
			t.Setenv(backendEnv, name)
			memoryIsFlat(t, steps)
		})
	}
}

func memoryIsFlat(t *testing.T, steps int) {
	dir := socketDir(t)
	b, _ := startServer(t, filepath.Join(dir, "s", "device.sock"), filepath.Join(dir, "state"))
	const n, parts = 100e3, 10 // numbers of the state; looks at the memory
	e := sum(t, b, "x", n, 0.5)
	y := upload(t, b, make([]float32, n)...)
	state := compute.Buffer(upload(t, b, make([]float32, n)...))
	var sizes []int64 // MB
	for step := range steps {
		out, err := e.Execute([]compute.Buffer{state, y}, []bool{true, false}, 0)
		if err != nil {
			t.Fatal(err)
		}
		state = out[0]
		if step%3 == 0 {
			if err := b.Keep(map[string]compute.Buffer{"state": state}); err != nil {
				t.Fatal(err)
			}
		}
		if step%10 == 0 { // nobody finalizes this one
			execute(t, e, nil, state, y)
		}
		if (step+1)%(steps/parts) == 0 {
			st, err := b.Stats()
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, st.Resident/1e6)
		}
	}
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d executions: resident %v MB; at most %.1f MB in buffers; saved %v", st.Executions, sizes, float64(st.PeakBytes)/1e6, st.Checkpoint.Time > 0)
	if st.PeakBytes > 150e6 || st.Executables != 1 {
		t.Errorf("%+v", st)
	}
	// What the heap happens to have left over goes up and down by the size of a few dozen
	// states; a buffer lost in a thousand steps would be more than that in the long test.
	early, late := slices.Max(sizes[:parts/2]), slices.Max(sizes[parts/2:])
	if late > early+80 {
		t.Errorf("the server has grown from %d to %d MB", early, late)
	}
}
