package device

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/ftlib/safetensors"
	"ftlab/kernel/internal/wire"
)

// stored says how a data type is called in a safetensors file.
var stored = map[dtypes.DType]safetensors.DType{
	dtypes.Float64: safetensors.F64, dtypes.Float32: safetensors.F32, dtypes.Float16: safetensors.F16, dtypes.BFloat16: safetensors.BF16,
	dtypes.Int64: safetensors.I64, dtypes.Int32: safetensors.I32, dtypes.Int16: safetensors.I16, dtypes.Int8: safetensors.I8,
	dtypes.Uint64: safetensors.U64, dtypes.Uint32: safetensors.U32, dtypes.Uint16: safetensors.U16, dtypes.Uint8: safetensors.U8,
	dtypes.Bool: safetensors.Bool,
}

var loaded = func() map[safetensors.DType]dtypes.DType {
	m := map[safetensors.DType]dtypes.DType{}
	for d, name := range stored {
		m[name] = d
	}
	return m
}()

// source is a file or the files of a model.
type source interface {
	Names() []string
	Tensor(name string) (safetensors.Tensor, error)
	Close() error
}

func openSource(name string) (source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return safetensors.OpenModel(name)
	}
	return safetensors.Open(name)
}

// load reads tensors into kept buffers, one after the other: beside the buffers there is
// never more than one tensor in memory. All names appear at once, or none.
func (s *Server) load(r wire.LoadRequest) (kept []wire.Kept, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("load %s: %w", r.Path, err)
		}
	}()
	want, err := wantedType(r.DType)
	if err != nil {
		return nil, err
	}
	if r.Quantize != "" && s.options.Quantize == nil {
		return nil, fmt.Errorf("quantize %q: this server cannot quantise what it loads; load as stored, and quantise in the program", r.Quantize)
	}
	src, err := openSource(r.Path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	names, err := choose(src.Names(), r.Only)
	if err != nil {
		return nil, err
	}
	var total int64 // the most it can be
	for _, name := range names {
		t, err := src.Tensor(name)
		if err != nil {
			return nil, err
		}
		shape, err := shapeOf(t, want)
		if err != nil {
			return nil, err
		}
		n, _ := wire.FlatBytes(shape)
		total += n
	}
	n, err := s.newIntake(total)
	if err != nil {
		return nil, err
	}
	defer n.done()
	for _, name := range names {
		t, err := src.Tensor(name)
		if err != nil {
			return nil, err
		}
		parts := []safetensors.Tensor{t}
		if r.Quantize != "" {
			if err := unmapped(func() (err error) { parts, err = s.options.Quantize(r.Quantize, t); return err }); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", name, err)
			}
		}
		for _, part := range parts {
			shape, err := shapeOf(part, want)
			if err != nil {
				return nil, err
			}
			fill := func(raw []byte) error {
				return unmapped(func() error { return convert(raw, part, shape.DType) })
			}
			if err := n.take([]string{below(r.Prefix, part.Name)}, shape, 0, fill); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", part.Name, err)
			}
		}
	}
	replaced := ""
	if r.Replace {
		replaced = r.Prefix
	}
	return n.bind(replaced), nil
}

func below(prefix, name string) string {
	if prefix = strings.TrimSuffix(prefix, "/"); prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// wantedType reads the name of a type that weights can be converted to; "" is none.
func wantedType(name string) (dtypes.DType, error) {
	if name == "" {
		return dtypes.InvalidDType, nil
	}
	switch d := dtypes.MapOfNames[strings.ToLower(name)]; d {
	case dtypes.Float32, dtypes.Float16, dtypes.BFloat16:
		return d, nil
	}
	return 0, fmt.Errorf("the type %q: it must be float32, bfloat16, float16, or empty for the type that is stored", name)
}

// choose returns the names that a pattern stands for; a pattern without any is an error.
func choose(names, patterns []string) (chosen []string, err error) {
	if len(patterns) == 0 {
		return names, nil
	}
	used := make([]bool, len(patterns))
	for _, name := range names {
		hit := false
		for i, p := range patterns {
			ok, err := path.Match(p, name)
			if err != nil {
				return nil, fmt.Errorf("the pattern %q: %w", p, err)
			}
			used[i] = used[i] || ok
			hit = hit || ok
		}
		if hit {
			chosen = append(chosen, name)
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, fmt.Errorf("no tensor is called %q; there are %d, the first %q", patterns[i], len(names), names[:min(len(names), 3)])
	}
	return chosen, nil
}

// shapeOf is the shape of the buffer that a tensor becomes.
func shapeOf(t safetensors.Tensor, want dtypes.DType) (shapes.Shape, error) {
	d, ok := loaded[t.DType]
	if !ok {
		return shapes.Shape{}, fmt.Errorf("tensor %q is of type %s, which no buffer has", t.Name, t.DType)
	}
	if want != dtypes.InvalidDType && d.IsFloat() {
		d = want
	}
	return shapes.Make(d, t.Shape...), nil
}

// convert writes a tensor's values to raw, as to; a piece at a time, so that large
// tensors need no second copy.
func convert(raw []byte, t safetensors.Tensor, to dtypes.DType) error {
	if loaded[t.DType] == to {
		copy(raw, t.Data)
		return nil
	}
	const piece = 1 << 18 // elements
	from, into, values := t.DType.Size(), to.Size(), make([]float32, min(piece, t.Elements()))
	for at, n := 0, t.Elements(); at < n; at += piece {
		end := min(at+piece, n)
		part := safetensors.Tensor{Name: t.Name, DType: t.DType, Shape: []int{end - at}, Data: t.Data[at*from : end*from]}
		if err := part.Float32sInto(values[:end-at]); err != nil {
			return err
		}
		c, err := safetensors.FromFloat32s(t.Name, stored[to], part.Shape, values[:end-at])
		if err != nil {
			return err
		}
		copy(raw[at*into:], c.Data)
	}
	return nil
}

// unmapped runs f, which reads a mapped file, and makes an error of a page that is not
// there any more: without it a file that somebody shortens would end the process.
func unmapped(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			err = errors.New("the file became shorter while it was read; the disk may be damaged, or somebody writes to it")
		default:
			panic(r)
		}
	}()
	return f()
}

// intake are buffers that are on their way in and have no name yet.
type intake struct {
	s       *Server
	promise int64 // bytes that are still to come
	scratch []uint64
	names   [][]string
	ids     []uint64
}

// newIntake promises room for so many bytes.
func (s *Server) newIntake(bytes int64) (*intake, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(bytes); err != nil {
		return nil, err
	}
	s.usage.reserved += bytes
	return &intake{s: s, promise: bytes}, nil
}

// take makes a buffer of what fill writes.
func (n *intake) take(names []string, shape shapes.Shape, device compute.DeviceNum, fill func(raw []byte) error) error {
	bytes, _ := wire.FlatBytes(shape)
	flat, raw := n.room(shape, bytes)
	return n.takeFlat(names, shape, device, flat, raw, fill)
}

func (n *intake) takeFlat(names []string, shape shapes.Shape, device compute.DeviceNum, flat any, raw []byte, fill func(raw []byte) error) error {
	if err := fill(raw); err != nil {
		return err
	}
	b, err := n.s.backend.BufferFromFlatData(device, flat, shape)
	if err != nil {
		return err
	}
	info, err := n.s.add(b)
	if err != nil {
		return err
	}
	n.names, n.ids = append(n.names, names), append(n.ids, info.ID)
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	got := min(int64(len(raw)), n.promise)
	n.promise -= got
	n.s.usage.reserved -= got
	return nil
}

// room is memory for one tensor, the same for each: backends copy it.
func (n *intake) room(shape shapes.Shape, bytes int64) (flat any, raw []byte) {
	if words := int(bytes/8) + 1; len(n.scratch) < words {
		n.scratch = nil // the old one can go first
		n.scratch = make([]uint64, words)
	}
	at := unsafe.Pointer(unsafe.SliceData(n.scratch))
	if bytes == 0 {
		return dtypes.MakeAnySlice(shape.DType, 0), nil
	}
	raw = unsafe.Slice((*byte)(at), bytes)
	if shape.DType.IsPacked() {
		return raw, raw // as long as this backend has it
	}
	return dtypes.UnsafeAnySliceFromBytes(at, shape.DType, shape.Size()), raw
}

// bind gives all buffers their names; what else is below replaced, if that is a name,
// goes.
func (n *intake) bind(replaced string) []wire.Kept {
	s := n.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if replaced != "" {
		for _, k := range s.below(replaced) {
			s.unref(k.ID)
			delete(s.kept, k.Name)
		}
	}
	kept := []wire.Kept{}
	for i, id := range n.ids {
		for _, name := range n.names[i] {
			s.bind(name, id)
			k := s.buffers[id].info
			k.Name = name
			kept = append(kept, k)
		}
	}
	s.saver.changes++
	return kept
}

// done gives back what was not bound.
func (n *intake) done() {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.s.usage.reserved -= n.promise
	for _, id := range n.ids {
		n.s.unref(id)
	}
	n.s.tidy()
}
