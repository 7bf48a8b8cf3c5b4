package gguf

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Alignment is where the data of tensors begin: at multiples of it.
const Alignment = 32

// KV is an entry of the metadata. Value is a string, bool, uint32, int32, uint64,
// float32, []string, []int32 or []float32.
type KV struct {
	Key   string
	Value any
}

// Tensor describes a tensor: rows of Shape as other formats have it, the last axis
// contiguous. Files store the axes the other way round.
type Tensor struct {
	Name  string
	Shape []int
	Type  Type

	offset uint64
}

func (t Tensor) elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of the data.
func (t Tensor) Bytes() int {
	n, bytes := t.Type.Block()
	if n == 0 {
		return 0
	}
	return t.elements() / n * bytes
}

// Numbers of the types of metadata.
const (
	kindUint32, kindInt32, kindFloat32, kindBool, kindString, kindArray, kindUint64 = 4, 5, 6, 7, 8, 9, 10
)

type encoder struct{ bytes.Buffer }

func (e *encoder) u32(v uint32)    { e.Write(le.AppendUint32(nil, v)) }
func (e *encoder) u64(v uint64)    { e.Write(le.AppendUint64(nil, v)) }
func (e *encoder) text(s string)   { e.u64(uint64(len(s))); e.WriteString(s) }
func (e *encoder) float(f float32) { e.u32(math.Float32bits(f)) }

func (e *encoder) value(v any) error {
	array := func(kind uint32, n int) { e.u32(kindArray); e.u32(kind); e.u64(uint64(n)) }
	switch v := v.(type) {
	case uint32:
		e.u32(kindUint32)
		e.u32(v)
	case int32:
		e.u32(kindInt32)
		e.u32(uint32(v))
	case uint64:
		e.u32(kindUint64)
		e.u64(v)
	case float32:
		e.u32(kindFloat32)
		e.float(v)
	case bool:
		e.u32(kindBool)
		b := byte(0)
		if v {
			b = 1
		}
		e.WriteByte(b)
	case string:
		e.u32(kindString)
		e.text(v)
	case []string:
		array(kindString, len(v))
		for _, s := range v {
			e.text(s)
		}
	case []int32:
		array(kindInt32, len(v))
		for _, i := range v {
			e.u32(uint32(i))
		}
	case []float32:
		array(kindFloat32, len(v))
		for _, f := range v {
			e.float(f)
		}
	default:
		return fmt.Errorf("metadata of type %T", v)
	}
	return nil
}

// Write writes a file; data gives the values of tensor i, row-major. The file appears
// whole or not at all.
func Write(path string, meta []KV, tensors []Tensor, data func(i int) ([]float32, error)) (err error) {
	fail := func(err error) error { return fmt.Errorf("gguf: writing %s: %w", path, err) }
	e := &encoder{}
	e.WriteString("GGUF")
	e.u32(3)
	e.u64(uint64(len(tensors)))
	e.u64(uint64(len(meta)))
	seen := map[string]bool{}
	for _, kv := range meta {
		if seen[kv.Key] {
			return fail(fmt.Errorf("metadata %s twice", kv.Key))
		}
		seen[kv.Key] = true
		e.text(kv.Key)
		if err := e.value(kv.Value); err != nil {
			return fail(fmt.Errorf("%s: %w", kv.Key, err))
		}
	}
	clear(seen)
	offset := uint64(0)
	for _, t := range tensors {
		n, _ := t.Type.Block()
		switch {
		case seen[t.Name]:
			return fail(fmt.Errorf("tensor %s twice", t.Name))
		case n == 0:
			return fail(fmt.Errorf("tensor %s: cannot write %s", t.Name, t.Type))
		case len(t.Shape) == 0 || t.Shape[len(t.Shape)-1]%n != 0:
			return fail(fmt.Errorf("tensor %s: rows of %v are no whole blocks of %s (%d)", t.Name, t.Shape, t.Type, n))
		}
		seen[t.Name] = true
		e.text(t.Name)
		e.u32(uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			e.u64(uint64(d))
		}
		e.u32(uint32(t.Type))
		e.u64(offset)
		offset += uint64(t.Bytes()+Alignment-1) / Alignment * Alignment
	}
	pad := func(w io.Writer, n int) error {
		_, err := w.Write(make([]byte, (Alignment-n%Alignment)%Alignment))
		return err
	}
	if err := pad(e, e.Len()); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fail(err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err = w.Write(e.Bytes()); err != nil {
		return err
	}
	for i, t := range tensors {
		values, err := data(i)
		if err != nil {
			return err
		}
		if len(values) != t.elements() {
			return fmt.Errorf("tensor %s: %d values for %v", t.Name, len(values), t.Shape)
		}
		raw, err := Quantize(t.Type, values)
		if err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
		if err := pad(w, len(raw)); err != nil {
			return err
		}
	}
	if err = w.Flush(); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// File is an open GGUF file.
type File struct {
	Path    string
	Meta    map[string]any // as in [KV]; arrays of numbers of other types as []int64
	Tensors []Tensor
	f       *os.File
	data    int64 // where tensors begin
}

// Open reads the head of a file and checks that all tensors lie inside it.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	g := &File{Path: path, Meta: map[string]any{}, f: f}
	if err := g.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("gguf: %s: %w; the file is damaged or incomplete", path, err)
	}
	return g, nil
}

// Close closes the file.
func (g *File) Close() error { return g.f.Close() }

// decoder reads the head; the first error stays.
type decoder struct {
	r    *bufio.Reader
	at   int64
	size int64
	err  error
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err != nil || n > uint64(d.size-d.at) {
		if d.err == nil {
			d.err = fmt.Errorf("%d bytes at %d, behind the end at %d", n, d.at, d.size)
		}
		return make([]byte, 8)
	}
	b := make([]byte, max(n, 8))
	_, d.err = io.ReadFull(d.r, b[:n])
	d.at += int64(n)
	return b
}

func (d *decoder) u32() uint32 { return le.Uint32(d.bytes(4)) }
func (d *decoder) u64() uint64 { return le.Uint64(d.bytes(8)) }
func (d *decoder) text() string {
	n := d.u64()
	b := d.bytes(n)
	if d.err != nil {
		return ""
	}
	return string(b[:n])
}

func (d *decoder) value(kind uint32) any {
	switch kind {
	case 0, 1, kindBool:
		b := d.bytes(1)[0]
		if kind == kindBool {
			return b != 0
		}
		return int64(b)
	case 2, 3:
		return int64(le.Uint16(d.bytes(2)))
	case kindUint32:
		return d.u32()
	case kindInt32:
		return int32(d.u32())
	case kindFloat32:
		return math.Float32frombits(d.u32())
	case kindString:
		return d.text()
	case kindUint64, 11:
		return d.u64()
	case 12:
		return math.Float64frombits(d.u64())
	case kindArray:
		return d.array()
	}
	if d.err == nil {
		d.err = fmt.Errorf("metadata of an unknown type %d", kind)
	}
	return nil
}

func (d *decoder) array() any {
	kind, n := d.u32(), d.u64()
	if n > uint64(d.size) {
		d.err = fmt.Errorf("a list of %d", n)
		return nil
	}
	var texts []string
	var ints []int32
	var floats []float32
	var rest []any
	for range n {
		if d.err != nil {
			return nil
		}
		switch v := d.value(kind).(type) {
		case string:
			texts = append(texts, v)
		case int32:
			ints = append(ints, v)
		case float32:
			floats = append(floats, v)
		default:
			rest = append(rest, v)
		}
	}
	switch kind {
	case kindString:
		return texts
	case kindInt32:
		return ints
	case kindFloat32:
		return floats
	}
	return rest
}

func (g *File) read() error {
	info, err := g.f.Stat()
	if err != nil {
		return err
	}
	d := &decoder{r: bufio.NewReaderSize(g.f, 1<<20), size: info.Size()}
	if magic := string(d.bytes(4)[:4]); magic != "GGUF" {
		return fmt.Errorf("it begins with %q, not GGUF", magic)
	}
	if v := d.u32(); v != 3 && v != 2 {
		return fmt.Errorf("version %d; 2 and 3 are read", v)
	}
	tensors, pairs := d.u64(), d.u64()
	for i := uint64(0); i < pairs && d.err == nil; i++ {
		key := d.text()
		g.Meta[key] = d.value(d.u32())
	}
	for i := uint64(0); i < tensors && d.err == nil; i++ {
		t := Tensor{Name: d.text()}
		n := d.u32()
		if n > 8 {
			return fmt.Errorf("tensor %q has %d axes", t.Name, n)
		}
		for range n {
			t.Shape = append(t.Shape, int(d.u64()))
		}
		slices.Reverse(t.Shape)
		t.Type, t.offset = Type(d.u32()), d.u64()
		g.Tensors = append(g.Tensors, t)
	}
	if d.err != nil {
		return d.err
	}
	g.data = (d.at + Alignment - 1) / Alignment * Alignment
	for _, t := range g.Tensors {
		elements := int64(1)
		for _, n := range t.Shape {
			if n < 0 || n > 0 && elements > info.Size()*256/int64(n)+1 {
				return fmt.Errorf("tensor %q: %v does not fit the file", t.Name, t.Shape)
			}
			elements *= int64(n)
		}
		if t.offset > uint64(info.Size()) || g.data+int64(t.offset)+int64(t.Bytes()) > info.Size() {
			return fmt.Errorf("tensor %q ends at %d, the file at %d", t.Name, g.data+int64(t.offset)+int64(t.Bytes()), info.Size())
		}
	}
	return nil
}

// Values reads a tensor as float32.
func (g *File) Values(t Tensor) ([]float32, error) {
	raw := make([]byte, t.Bytes())
	if _, err := g.f.ReadAt(raw, g.data+int64(t.offset)); err != nil {
		return nil, fmt.Errorf("gguf: %s: tensor %s: %w", g.Path, t.Name, err)
	}
	return Dequantize(t.Type, raw)
}

// Tensor finds a tensor by name.
func (g *File) Tensor(name string) (Tensor, bool) {
	i := slices.IndexFunc(g.Tensors, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return Tensor{}, false
	}
	return g.Tensors[i], true
}
