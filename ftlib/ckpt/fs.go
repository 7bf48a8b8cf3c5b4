package ckpt

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// crashPoint is called before every operation that changes the disk. Tests kill
// the process in it.
var crashPoint = func() {}

// WriteFile makes path hold data, whole or not at all, and synced: a kill at any moment leaves
// what was there or what is new.
func WriteFile(path string, data []byte) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	crashPoint()
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	crashPoint()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return rename(tmp, path)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(data, '\n'))
}

// rename renames within one directory and makes the change last.
func rename(from, to string) error {
	crashPoint()
	if err := os.Rename(from, to); err != nil {
		return err
	}
	crashPoint()
	return syncDir(filepath.Dir(to))
}

// syncDir makes the names inside a directory survive a power cut. File systems
// that cannot do it say so, and nothing can be done about it.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	d.Sync()
	return nil
}

// syncTree syncs all files below dir and lists them with size and checksum.
func syncTree(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return syncDir(path)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil {
			return err
		}
		crc, size, err := checksum(f)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, File{Name: filepath.ToSlash(name), Size: size, CRC32C: crc})
		return err
	})
	return files, err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(r io.Reader) (crc string, size int64, err error) {
	h := crc32.New(castagnoli)
	size, err = io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, 1<<20))
	return fmt.Sprintf("%08x", h.Sum32()), size, err
}

// remove deletes a directory so that a half deleted one never has its old name.
func remove(dir string) error {
	trash := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp")
	os.RemoveAll(trash)
	if err := rename(dir, trash); err != nil {
		return err
	}
	crashPoint()
	return os.RemoveAll(trash)
}

// clean removes what a killed process left half done.
func clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".tmp") {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
