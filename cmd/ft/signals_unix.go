//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// A file that reaches a limit of size (ulimit -f) is an error of the write, which cleans
// up after itself, not the end of the program in the middle of it.
func init() { signal.Ignore(syscall.SIGXFSZ) }
