package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// DType is an element type under the name that the format uses.
type DType string

// The element types of the format that fine-tuning meets.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size is the number of bytes of one element; 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}

// Tensor is one named array; Data is row-major and little-endian.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
}

// Elements is the product of the shape.
func (t Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// File is an open safetensors file. Tensors read from it point into the mapped
// file and are valid until Close.
type File struct {
	Path     string
	Metadata map[string]string // the "__metadata__" entry; nil when there is none
	entries  map[string]entry
	data     []byte // behind the header
	unmap    func() error
}

type entry struct {
	DType   DType    `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Open maps the file at path and checks its header: every tensor lies inside the
// file and its size fits its shape.
func Open(path string) (*File, error) {
	raw, unmap, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	f, err := parse(path, raw)
	if err != nil {
		return nil, errors.Join(err, unmap())
	}
	f.unmap = unmap
	return f, nil
}

func parse(path string, raw []byte) (*File, error) {
	bad := func(format string, args ...any) (*File, error) {
		return nil, fmt.Errorf("safetensors: %s: %s; the file is damaged or incomplete, fetch it again", path, fmt.Sprintf(format, args...))
	}
	if len(raw) < 8 {
		return bad("%d bytes are too few for a header", len(raw))
	}
	n := binary.LittleEndian.Uint64(raw)
	if n > uint64(len(raw)-8) {
		return bad("header of %d bytes in a file of %d", n, len(raw))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		return bad("header is not JSON: %v", err)
	}
	f := &File{Path: path, entries: make(map[string]entry, len(header)), data: raw[8+n:]}
	for name, value := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(value, &f.Metadata); err != nil {
				return bad("metadata: %v", err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(value, &e); err != nil {
			return bad("tensor %q: %v", name, err)
		}
		elements := int64(1)
		for _, d := range e.Shape {
			if d < 0 || (d > 0 && elements > int64(len(f.data))/int64(d)+1) {
				return bad("tensor %q: shape %v does not fit the file", name, e.Shape)
			}
			elements *= int64(d)
		}
		if e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > int64(len(f.data)) {
			return bad("tensor %q: bytes %v of %d", name, e.Offsets, len(f.data))
		}
		if size := int64(e.DType.Size()); size != 0 && elements*size != e.Offsets[1]-e.Offsets[0] {
			return bad("tensor %q: %d bytes for %s%v", name, e.Offsets[1]-e.Offsets[0], e.DType, e.Shape)
		}
		f.entries[name] = e
	}
	return f, nil
}

// Names are the tensor names, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.entries))
	for name := range f.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Has reports whether the file holds a tensor of this name.
func (f *File) Has(name string) bool { _, ok := f.entries[name]; return ok }

// Tensor returns a tensor without copying its data.
func (f *File) Tensor(name string) (Tensor, error) {
	e, ok := f.entries[name]
	if !ok {
		return Tensor{}, fmt.Errorf("safetensors: %s: no tensor %q", f.Path, name)
	}
	return Tensor{Name: name, DType: e.DType, Shape: slices.Clone(e.Shape), Data: f.data[e.Offsets[0]:e.Offsets[1]]}, nil
}

// Close unmaps the file.
func (f *File) Close() error {
	if f.unmap == nil {
		return nil
	}
	unmap := f.unmap
	f.unmap = nil
	return unmap()
}

// Write writes tensors to path in the given order with optional metadata. The
// file appears whole or not at all: it is written beside path, synced and renamed.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	for _, t := range tensors {
		if want := int64(t.Elements() * t.DType.Size()); want != int64(len(t.Data)) {
			return fmt.Errorf("safetensors: %s: tensor %q: %d bytes for %s%v", path, t.Name, len(t.Data), t.DType, t.Shape)
		}
	}
	return WriteFunc(path, tensors, metadata, func(i int) ([]byte, error) { return tensors[i].Data, nil })
}

// WriteFunc is [Write] for tensors that are not in memory all at once: data returns the
// bytes of tensor i, which may be overwritten when the next one is asked for.
func WriteFunc(path string, tensors []Tensor, metadata map[string]string, data func(i int) ([]byte, error)) (err error) {
	header := make(map[string]any, len(tensors)+1)
	if metadata != nil {
		header["__metadata__"] = metadata
	}
	offset := int64(0)
	for _, t := range tensors {
		if _, twice := header[t.Name]; twice {
			return fmt.Errorf("safetensors: %s: tensor %q twice", path, t.Name)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		bytes := int64(t.Elements() * t.DType.Size())
		header[t.Name] = entry{t.DType, shape, [2]int64{offset, offset + bytes}}
		offset += bytes
	}
	head, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("safetensors: %s: %w", path, err)
	}
	for len(head)%8 != 0 { // the data starts aligned, as the reference writer has it
		head = append(head, ' ')
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
			err = fmt.Errorf("safetensors: writing %s: %w", path, err)
		}
	}()
	if _, err = tmp.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))); err != nil {
		return err
	}
	if _, err = tmp.Write(head); err != nil {
		return err
	}
	for i, t := range tensors {
		bytes, err := data(i)
		if want := t.Elements() * t.DType.Size(); err == nil && want != len(bytes) {
			err = fmt.Errorf("tensor %q: %d bytes for %s%v", t.Name, len(bytes), t.DType, t.Shape)
		}
		if err == nil {
			_, err = tmp.Write(bytes)
		}
		if err != nil {
			return err
		}
	}
	if err = tmp.Chmod(0o644); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
