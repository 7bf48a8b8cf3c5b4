package backend

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute"
)

// session is the name of the backend that computes in the device server.
const session = "session:"

// openRemote opens a backend for a program that has none of its own.
func openRemote(name string) (compute.Backend, error) {
	kind := strings.ToLower(name)
	switch {
	case strings.HasPrefix(name, session) || kind == "session":
		kind = ""
	default:
		name = session
	}
	b, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("backend: this program computes in the device server alone (it was built with -tags ftlab_session), which cannot be reached: %w; start it with ft device start", err)
	}
	if has := kindOf(b.Description()); kind != "" && kind != "auto" && kind != has && canonical(kind) != has && (kind != "xla" || has == Go) {
		return nil, fmt.Errorf("backend: %s is wanted, but the device server computes with %s; leave the name out, or: ft device stop, then ft device start --backend %s", name, has, kind)
	}
	return b, nil
}

// kindOf is the name of the backend that gives this description of itself.
func kindOf(description string) string {
	description = strings.ToLower(description)
	switch {
	case !strings.HasPrefix(description, "xla:"):
		return Go
	case strings.Contains(description, "cuda"):
		return CUDA
	}
	return CPU
}
