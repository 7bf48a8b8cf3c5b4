//go:build !linux

package sandbox

import (
	"context"
	"fmt"
	"runtime"
)

func unavailable(reason string) error { return fmt.Errorf("%w: %s", ErrUnavailable, reason) }

func run(context.Context, Job, bool) (Result, error) {
	return Result{}, unavailable("namespaces are a matter of Linux, this is " + runtime.GOOS)
}
