//go:build cgo && !noxla && !ftlab_session && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
)

// XLABuiltIn says whether this program was built with XLA: it needs cgo, that is, a
// C compiler at build time.
const XLABuiltIn = true

// openXLA loads the plugin at path (absolute) and makes a client of it.
func openXLA(path string, cuda bool) (compute.Backend, error) {
	// Its installer would download a plugin, and panics where there is no network.
	os.Setenv(xla.NoAutoInstallEnv, "1")
	xla.EnableAutoInstall(false)
	path, done, err := plainPath(path, cuda)
	if err != nil {
		return nil, err
	}
	defer done()
	config := path
	if cuda {
		config += ",noshared_buffers"
	}
	b, err := xla.New(config)
	if err != nil {
		return nil, fmt.Errorf("backend: plugin %s does not start: %w", path, err)
	}
	return b, nil
}

// plainPath returns a path to the same plugin that go-xla cannot misread. It takes
// the plugin's kind from the words "cpu", "cuda" and "nvidia" anywhere in the path,
// and splits it at commas; a processor plugin below .../cuda-course/... would run as
// a GPU's. Such a path is replaced by a link, which done removes: a loaded library
// needs its name no more.
func plainPath(path string, cuda bool) (plain string, done func(), err error) {
	upper := strings.ToUpper(path)
	awkward := strings.Contains(path, ",") || !cuda && (looksLikeCUDA(path) || !strings.Contains(upper, "CPU"))
	if !awkward || cuda { // a GPU plugin finds its libraries relative to its own place
		return path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "ftlab-plugin-")
	if err != nil {
		return "", nil, fmt.Errorf("backend: linking the plugin %s: %w", path, err)
	}
	link := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	if err := os.Symlink(path, link); err != nil {
		os.RemoveAll(dir)
		return "", nil, fmt.Errorf("backend: linking the plugin %s: %w", path, err)
	}
	return link, func() { os.RemoveAll(dir) }, nil
}
