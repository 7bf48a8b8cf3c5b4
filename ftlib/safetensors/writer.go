package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Writer writes a file whose tensors are made one after another, so that none has to stay
// in memory. The file appears whole, when Close returns nil, or not at all.
type Writer struct {
	// Written, where it is set, is told of each piece of data that has reached the file: a
	// mapped source can give its memory back.
	Written func(piece []byte)

	path   string
	tmp    *os.File
	room   int64 // for the header
	offset int64
	header map[string]any
}

// HeaderRoom is enough room in a file's header for n tensors whose names have at most the
// given number of bytes.
func HeaderRoom(n, name int) int { return 64 + n*(name+192) }

// Create begins a file. room is how many bytes the header may take; see [HeaderRoom].
func Create(path string, metadata map[string]string, room int) (*Writer, error) {
	w := &Writer{path: path, header: map[string]any{}}
	if metadata != nil {
		w.header["__metadata__"] = metadata
		for k, v := range metadata {
			room += len(k) + len(v) + 16
		}
	}
	w.room = int64(room+7) / 8 * 8 // the data starts aligned
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	w.tmp = tmp
	if _, err := tmp.Seek(8+w.room, 0); err != nil {
		return nil, w.fail(err)
	}
	return w, nil
}

// Add appends a tensor.
func (w *Writer) Add(t Tensor) error {
	if w.tmp == nil {
		return fmt.Errorf("safetensors: %s is closed", w.path)
	}
	bytes := int64(t.Elements() * t.DType.Size())
	if bytes != int64(len(t.Data)) {
		return w.fail(fmt.Errorf("tensor %q: %d bytes for %s%v", t.Name, len(t.Data), t.DType, t.Shape))
	}
	if _, twice := w.header[t.Name]; twice {
		return w.fail(fmt.Errorf("tensor %q twice", t.Name))
	}
	const piece = 32 << 20
	for from := 0; from < len(t.Data); from += piece {
		part := t.Data[from:min(from+piece, len(t.Data))]
		if _, err := w.tmp.Write(part); err != nil {
			return w.fail(err)
		}
		if w.Written != nil {
			w.Written(part)
		}
	}
	shape := t.Shape
	if shape == nil {
		shape = []int{}
	}
	w.header[t.Name] = entry{t.DType, shape, [2]int64{w.offset, w.offset + bytes}}
	w.offset += bytes
	return nil
}

// Close writes the header and gives the file its name.
func (w *Writer) Close() error {
	if w.tmp == nil {
		return fmt.Errorf("safetensors: %s is closed", w.path)
	}
	head, err := json.Marshal(w.header)
	if err != nil {
		return w.fail(err)
	}
	if int64(len(head)) > w.room {
		return w.fail(fmt.Errorf("a header of %d bytes, room for %d", len(head), w.room))
	}
	first := binary.LittleEndian.AppendUint64(nil, uint64(w.room))
	first = append(first, head...)
	for int64(len(first)) < 8+w.room {
		first = append(first, ' ')
	}
	if _, err = w.tmp.WriteAt(first, 0); err == nil {
		err = w.tmp.Chmod(0o644)
	}
	if err == nil {
		err = w.tmp.Sync()
	}
	if err != nil {
		return w.fail(err)
	}
	name := w.tmp.Name()
	err = w.tmp.Close()
	w.tmp = nil
	if err == nil {
		err = os.Rename(name, w.path)
	}
	if err != nil {
		return fmt.Errorf("safetensors: writing %s: %w", w.path, errors.Join(err, os.Remove(name)))
	}
	return nil
}

// Abort gives up a file that is not finished; it does nothing after Close.
func (w *Writer) Abort() {
	if w.tmp != nil {
		w.tmp.Close()
		os.Remove(w.tmp.Name())
		w.tmp = nil
	}
}

func (w *Writer) fail(err error) error {
	w.Abort()
	return fmt.Errorf("safetensors: writing %s: %w", w.path, err)
}
