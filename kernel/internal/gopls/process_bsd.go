//go:build unix && !linux

package gopls

import "syscall"

// dieWithParent cannot be asked for here: gopls ends when its standard input does.
func dieWithParent(*syscall.SysProcAttr) {}
