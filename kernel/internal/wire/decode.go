package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime/debug"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// errMalformed is what Dec panics with when the bytes end before the value does.
var errMalformed = errors.New("wire: malformed message")

// Guard turns a panic into an error; use it deferred. Panics that Dec did not raise
// come with their stack.
func Guard(err *error) {
	switch p := recover(); p {
	case nil:
	case errMalformed:
		*err = errMalformed
	default:
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// Dec reads what Enc wrote; its methods panic on malformed bytes.
type Dec struct {
	B      []byte
	NoMemo bool

	Value func(id uint64) (compute.Value, *shapes.Shape)
	Func  func(id uint64) compute.Function

	pos  int
	key  []byte
	mark int

	depth int
}

// maxDepth bounds how deep structs are nested: types can contain themselves.
const maxDepth = 100

func (d *Dec) rest() int { return len(d.B) - d.pos }

// Done says whether everything was read.
func (d *Dec) Done() bool { return d.rest() == 0 }

// Uint reads a number.
func (d *Dec) Uint() uint64 {
	x, n := binary.Uvarint(d.B[d.pos:])
	if n <= 0 {
		panic(errMalformed)
	}
	d.pos += n
	return x
}

// Len reads a count of things that each take at least one byte.
func (d *Dec) Len() int {
	n := d.Uint()
	if n > uint64(d.rest()) {
		panic(errMalformed)
	}
	return int(n)
}

// Byte reads one byte.
func (d *Dec) Byte() byte {
	if d.rest() < 1 {
		panic(errMalformed)
	}
	d.pos++
	return d.B[d.pos-1]
}

// Bytes reads a length and bytes; they stay part of the message.
func (d *Dec) Bytes() []byte { return d.take(d.Len()) }

func (d *Dec) take(n int) []byte {
	if n > d.rest() {
		panic(errMalformed)
	}
	d.pos += n
	return d.B[d.pos-n : d.pos]
}

// Str reads a string.
func (d *Dec) Str() string { return string(d.Bytes()) }

// Shape reads a shape.
func (d *Dec) Shape() (s shapes.Shape) {
	d.Get(&s)
	return s
}

// Get reads what Put wrote into the variable that to points to.
func (d *Dec) Get(to any) { d.get(reflect.ValueOf(to).Elem()) }

func (d *Dec) startKey() { d.key, d.mark = nil, d.pos }

func (d *Dec) memoKey() string { return string(append(d.key, d.B[d.mark:d.pos]...)) }

func (d *Dec) get(v reflect.Value) {
	if d.depth++; d.depth > maxDepth {
		panic(errMalformed)
	}
	defer func() { d.depth-- }()
	t := v.Type()
	switch t {
	case ValueT:
		d.key = append(d.key, d.B[d.mark:d.pos]...)
		if id := d.Uint(); id > 0 {
			x, s := d.Value(id - 1)
			v.Set(reflect.ValueOf(x))
			d.key = appendShape(d.key, s)
		} else {
			d.key = append(d.key, 0)
		}
		d.mark = d.pos
		return
	case FuncT:
		d.NoMemo = true
		v.Set(reflect.ValueOf(d.Func(d.Uint())))
		return
	case anyT:
		d.NoMemo = true
		v.Set(reflect.ValueOf(d.flat()))
		return
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(d.Byte() == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x, n := binary.Varint(d.B[d.pos:])
		if n <= 0 {
			panic(errMalformed)
		}
		d.pos += n
		v.SetInt(x)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(d.Uint())
	case reflect.Float32, reflect.Float64:
		v.SetFloat(math.Float64frombits(binary.LittleEndian.Uint64(d.take(8))))
	case reflect.String:
		v.SetString(d.Str())
	case reflect.Slice:
		n := d.Uint()
		if n == 0 {
			return
		}
		if n-1 > uint64(d.rest()) {
			panic(errMalformed)
		}
		if t.Elem().Kind() == reflect.Uint8 {
			v.SetBytes(bytes.Clone(d.take(int(n - 1))))
			return
		}
		d.slice(v, int(n-1))
	case reflect.Array:
		for i := range v.Len() {
			d.get(v.Index(i))
		}
	case reflect.Struct:
		for i := range t.NumField() {
			d.get(v.Field(i))
		}
	case reflect.Pointer:
		if d.Byte() == 1 {
			v.Set(reflect.New(t.Elem()))
			d.get(v.Elem())
		}
	case reflect.Map:
		n := d.Len()
		v.Set(reflect.MakeMapWithSize(t, n))
		for range n {
			key, x := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			d.get(key)
			d.get(x)
			v.SetMapIndex(key, x)
		}
	default:
		panic(errMalformed)
	}
}

// slice reads n elements. It grows with what is there: an element can take far more
// memory than bytes of the message.
func (d *Dec) slice(v reflect.Value, n int) {
	v.Set(reflect.MakeSlice(v.Type(), min(n, 1024), min(n, 1024)))
	for i := range n {
		if i == v.Len() {
			v.Grow(1)
			v.SetLen(i + 1)
			v.Index(i).SetZero()
		}
		d.get(v.Index(i))
	}
}

func (d *Dec) flat() any {
	dtype, n, raw := dtypes.DType(d.Uint()), d.Uint(), d.Bytes()
	if n > uint64(len(raw)) {
		panic(errMalformed)
	}
	flat := dtypes.MakeAnySlice(dtype, int(n)) // a copy: the message is not aligned
	dst := dtypes.UnsafeByteSliceFromAny(flat)
	if len(dst) != len(raw) {
		panic(errMalformed)
	}
	copy(dst, raw)
	return flat
}
