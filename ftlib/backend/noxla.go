//go:build !(cgo && !noxla && !ftlab_session && ((linux && (amd64 || arm64)) || (darwin && arm64)))

package backend

import (
	"errors"

	"github.com/gomlx/compute"
)

// XLABuiltIn says whether this program was built with XLA: it needs cgo, that is, a
// C compiler at build time.
const XLABuiltIn = false

func openXLA(string, bool) (compute.Backend, error) {
	return nil, errors.New("backend: this program was built without XLA; install a C compiler (gcc) and build again")
}
