//go:build cgo && !noxla && !ftlab_session && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

import (
	"strings"
	"testing"
)

// A path that says "cuda" does not make a processor plugin a GPU's, and a comma in
// it does not cut it.
func TestOpenAwkwardPath(t *testing.T) {
	path, done, err := plainPath("/courses/cuda, nvidia/plugins/pjrt_c_api_cpu_plugin.so", false)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if strings.Contains(path, ",") || looksLikeCUDA(path) {
		t.Errorf("still awkward: %s", path)
	}
}
