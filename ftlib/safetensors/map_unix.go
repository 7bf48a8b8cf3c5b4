//go:build unix

package safetensors

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFile maps a whole file read-only.
func mapFile(path string) ([]byte, func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() == 0 {
		return nil, func() error { return nil }, nil
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, &os.PathError{Op: "mmap", Path: path, Err: err}
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

// releaseMapped drops whole pages of a mapped file from memory.
func releaseMapped(data []byte) {
	if len(data) == 0 {
		return
	}
	page := os.Getpagesize()
	from := (page - int(uintptr(unsafe.Pointer(&data[0]))%uintptr(page))) % page
	if size := (len(data) - from) / page * page; size > 0 {
		_ = unix.Madvise(data[from:from+size], unix.MADV_DONTNEED) // only memory is at stake
	}
}
