package device_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gomlx/compute"

	"ftlab/kernel/session"
)

// EnvSteps asks for more steps than a test has time for.
const envSteps = "FTLAB_DEVICE_TEST_STEPS"

// The server's memory does not grow with the steps of a training that donates, keeps
// every third state and sometimes forgets to let go.
func TestMemoryIsFlat(t *testing.T) {
	steps := 4000
	if n, err := strconv.Atoi(os.Getenv(envSteps)); err == nil {
		steps = n
	}
	dir := socketDir(t)
	b, _ := startServer(t, filepath.Join(dir, "s", "device.sock"), filepath.Join(dir, "state"))
	const n = 100e3 // numbers of the state
	e := sum(t, b, "x", n, 0.5)
	y := upload(t, b, make([]float32, n)...)
	state := compute.Buffer(upload(t, b, make([]float32, n)...))
	take := func(count int) session.Stats {
		for i := range count {
			out, err := e.Execute([]compute.Buffer{state, y}, []bool{true, false}, 0)
			if err != nil {
				t.Fatal(err)
			}
			state = out[0]
			if i%3 == 0 {
				if err := b.Keep(map[string]compute.Buffer{"state": state}); err != nil {
					t.Fatal(err)
				}
			}
			if i%10 == 0 { // nobody finalizes this one
				execute(t, e, nil, state, y)
			}
		}
		st, err := b.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	warm := take(steps / 4)
	end := take(steps - steps/4)
	t.Logf("%d executions: %.1f MB resident after a quarter of them, %.1f MB at the end; at most %.1f MB in buffers", end.Executions,
		float64(warm.Resident)/1e6, float64(end.Resident)/1e6, float64(end.PeakBytes)/1e6)
	if end.PeakBytes > 150e6 || end.Executables != 1 {
		t.Errorf("%+v", end)
	}
	if grown := end.Resident - warm.Resident; grown > 100e6 {
		t.Errorf("the server has grown by %d bytes", grown)
	}
}
