package backend

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"

	_ "ftlab/kernel/session" // registers the backend "session"
)

// Names of the kinds of backend, best first.
const (
	CUDA = "xla:cuda"
	CPU  = "xla:cpu"
	Go   = "go"
)

// goOptions is how the pure Go backend is always opened. With its default, graph
// nodes run in parallel and share one condition variable between two kinds of
// waiters: on two cores the wrong one is woken and both sleep for ever.
const goOptions = "ops_sequential"

// Env names the variable that says which backend [Open] takes for an empty name.
const Env = "FTLAB_BACKEND"

// ErrUnavailable is what every error of [Open] wraps.
var ErrUnavailable = errors.New("backend not available")

var (
	openMu sync.Mutex
	opened = map[string]compute.Backend{}
)

// Open returns the backend of that name. The same name gives the same backend for
// the life of the process, so nobody may finalize it.
//
//	""                       what FTLAB_BACKEND or GOMLX_BACKEND says, else the best that starts
//	"xla:cuda" "cuda" "gpu"  XLA on the GPU
//	"xla:cpu" "cpu"          XLA on the processor
//	"xla"                    XLA on the GPU if there is one, else on the processor
//	"xla:/path/plugin.so"    XLA with this plugin
//	"go"                     pure Go
//	"session:" "session:S"   the device server of this user, or the one at the socket S
//	"NAME:OPTIONS"           any other backend that the program has registered with GoMLX
//
// A program that was built without backends of its own (see [InProcess]) takes the
// device server for an empty name, and for the kind that this server computes with.
//
// The error says what is missing and how to get it.
func Open(name string) (compute.Backend, error) {
	openMu.Lock()
	defer openMu.Unlock()
	b, err := openAny(name)
	if err != nil {
		return nil, unavailable{err}
	}
	return b, nil
}

// unavailable lets callers recognise errors of Open without changing their text.
type unavailable struct{ error }

func (e unavailable) Unwrap() []error { return []error{e.error, ErrUnavailable} }

func openAny(name string) (compute.Backend, error) {
	if name == "" {
		name = os.Getenv(Env)
	}
	if name == "" {
		name = os.Getenv(compute.ConfigEnvVar)
	}
	if !InProcess {
		return openRemote(name)
	}
	switch strings.ToLower(name) {
	case "", "auto":
		return openFirst(CUDA, CPU, Go)
	case "xla":
		return openFirst(CUDA, CPU)
	}
	return open(canonical(name))
}

// canonical maps the short names to the full ones.
func canonical(name string) string {
	switch strings.ToLower(name) {
	case "cuda", "gpu", CUDA:
		return CUDA
	case "cpu", CPU:
		return CPU
	case Go:
		return Go
	}
	return name
}

// openFirst opens the first usable of the kinds given. One that is there but does
// not start is reported on standard error and passed over: nobody should train on
// two cores for a night because a driver is broken, without having been told.
func openFirst(kinds ...string) (compute.Backend, error) {
	report := Survey()
	var reasons []string
	for _, kind := range kinds {
		c := report.Candidate(kind)
		if !c.Usable {
			reasons = append(reasons, c.Why)
			continue
		}
		b, err := open(kind)
		if err == nil {
			return b, nil
		}
		reasons = append(reasons, err.Error())
		fmt.Fprintf(os.Stderr, "backend: %s is here but does not start, trying the next: %v\n", kind, err)
	}
	return nil, fmt.Errorf("backend: none of %s can be used: %s", strings.Join(kinds, ", "), strings.Join(reasons, "; "))
}

// open opens one backend by its full name, once.
func open(name string) (b compute.Backend, err error) {
	remote := strings.HasPrefix(name, session) // knows itself which server is there now
	if b, ok := opened[name]; ok && !b.IsFinalized() && !remote {
		return b, nil
	}
	// GoMLX and its backends panic in places where they could return an error.
	defer func() {
		if r := recover(); r != nil {
			b, err = nil, fmt.Errorf("backend: opening %s: %v", name, r)
		}
		if err == nil {
			opened[name] = b
		}
	}()
	kind, options, _ := strings.Cut(name, ":")
	switch {
	case name == CUDA || name == CPU:
		c := Survey().Candidate(name)
		if !c.Usable {
			return nil, fmt.Errorf("backend: %s: %s", name, c.Why)
		}
		return openXLA(c.Plugin, name == CUDA)
	case kind == "xla":
		if _, err := os.Stat(options); err != nil {
			return nil, fmt.Errorf("backend: %s: no such plugin file; known names are xla:cpu and xla:cuda", name)
		}
		return openXLA(options, looksLikeCUDA(options))
	case name == Go:
		return compute.NewWithConfig("go:" + goOptions)
	case slices.Contains(compute.List(), kind):
		return compute.NewWithConfig(name)
	}
	return nil, fmt.Errorf("backend: no backend %q; known names are %s, %s and %s", name, CUDA, CPU, Go)
}
