//go:build !linux

package backend

// HugePages does nothing on this system.
func HugePages() {}

func thp() string { return "" }
