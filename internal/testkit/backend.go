package testkit

import (
	"testing"

	"github.com/gomlx/compute"

	"ftlab/ftlib/backend"
)

// Backend is the backend that tests compute on: XLA on the processor if there is a
// plugin, else the pure Go backend. FTLAB_BACKEND overrides. The test log says which.
// It is shared by all tests of a package: do not finalize it.
func Backend(t testing.TB) compute.Backend {
	t.Helper()
	name := "" // FTLAB_BACKEND
	if r := backend.Survey(); r.Chosen == backend.CUDA && r.Why != backend.Env+" says so" {
		name = backend.CPU // tolerances are stated for float32 on a processor
		if !r.Candidate(name).Usable {
			name = backend.Go
		}
	}
	b, err := backend.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("backend: %s", b.Description())
	return b
}
