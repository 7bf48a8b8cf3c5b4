//go:build unix

package ckpt

import (
	"os"
	"syscall"
)

// lock takes the run for this process. The system gives it back when the process
// ends in any way. It reports false when another process has it.
func lock(path string) (*os.File, bool, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
	case nil:
		return f, true, nil
	case syscall.EWOULDBLOCK:
		f.Close()
		return nil, false, nil
	case syscall.ENOLCK, syscall.ENOTSUP, syscall.ENOSYS: // some network file systems
		return f, true, nil
	default:
		f.Close()
		return nil, false, err
	}
}

// locked reports whether a process has the run, without taking it.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}
