//go:build !unix

package wire

import (
	"errors"
	"os/exec"
)

// ErrLocked says that another process holds a lock.
var ErrLocked = errors.New("locked by another process")

var errNoUnix = errors.New("device servers run on unix systems only")

// Lock always fails here.
func Lock(string, bool) (func(), error) { return nil, errNoUnix }

// Detach does nothing here.
func Detach(*exec.Cmd) {}

// PrivateDir always fails here.
func PrivateDir(string) error { return errNoUnix }
