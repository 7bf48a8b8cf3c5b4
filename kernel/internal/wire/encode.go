package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// The interfaces that are forwarded, and the types in them that get special care.
var (
	FuncT    = reflect.TypeFor[compute.Function]()
	BuilderT = reflect.TypeFor[compute.Builder]()
	ValueT   = reflect.TypeFor[compute.Value]()
	ValuesT  = reflect.TypeFor[[]compute.Value]()
	ErrorT   = reflect.TypeFor[error]()
	anyT     = reflect.TypeFor[any]()
)

// Local are the methods that the client answers itself.
var Local = map[string]bool{"Name": true, "Builder": true, "Parent": true, "Shape": true, "OpShape": true, "Main": true, "Compile": true}

// Enc appends values to B. The first thing that cannot be written is left in Err.
//
// For a call of a method, Enc also makes the key of the shape memo: the same bytes
// with the shapes of values in place of their numbers.
type Enc struct {
	B      []byte
	Err    error
	NoMemo bool // the result depends on more than shapes: a function or data is among the arguments

	Value func(v any) (id uint64, shape *shapes.Shape, err error)
	Func  func(f any) (id uint64, err error)

	key  []byte
	mark int // B[mark:] is not in key yet
}

// Uint appends a number.
func (e *Enc) Uint(x uint64) { e.B = binary.AppendUvarint(e.B, x) }

// Bytes appends a length and bytes.
func (e *Enc) Bytes(b []byte) {
	e.Uint(uint64(len(b)))
	e.B = append(e.B, b...)
}

// Str appends a string.
func (e *Enc) Str(s string) {
	e.Uint(uint64(len(s)))
	e.B = append(e.B, s...)
}

// Put appends any plain value: numbers, strings, structs, slices and maps of them.
func (e *Enc) Put(x any) { e.put(reflect.ValueOf(x), reflect.TypeOf(x)) }

// StartKey says that the memo's key begins with what is appended next.
func (e *Enc) StartKey() { e.key, e.mark = nil, len(e.B) }

// Key ends the memo's key.
func (e *Enc) Key() string {
	e.key, e.mark = append(e.key, e.B[e.mark:]...), len(e.B)
	return string(e.key)
}

func (e *Enc) fail(err error) {
	if e.Err == nil {
		e.Err = err
	}
}

func (e *Enc) put(v reflect.Value, t reflect.Type) {
	switch t {
	case ValueT:
		e.putValue(v)
		return
	case FuncT:
		e.NoMemo = true
		id, err := e.Func(v.Interface())
		if err != nil {
			e.fail(err)
		}
		e.Uint(id)
		return
	case anyT: // a constant's flat data
		e.NoMemo = true
		e.putFlat(v)
		return
	}
	switch t.Kind() {
	case reflect.Bool:
		b := byte(0)
		if v.Bool() {
			b = 1
		}
		e.B = append(e.B, b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.B = binary.AppendVarint(e.B, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.Uint(v.Uint())
	case reflect.Float32, reflect.Float64:
		e.B = binary.LittleEndian.AppendUint64(e.B, math.Float64bits(v.Float()))
	case reflect.String:
		e.Str(v.String())
	case reflect.Slice:
		if v.IsNil() {
			e.Uint(0)
			return
		}
		e.Uint(uint64(v.Len()) + 1)
		if t.Elem().Kind() == reflect.Uint8 {
			e.B = append(e.B, v.Bytes()...)
			return
		}
		for i := range v.Len() {
			e.put(v.Index(i), t.Elem())
		}
	case reflect.Array:
		for i := range v.Len() {
			e.put(v.Index(i), t.Elem())
		}
	case reflect.Struct:
		for i := range t.NumField() {
			e.put(v.Field(i), t.Field(i).Type)
		}
	case reflect.Pointer:
		if v.IsNil() {
			e.B = append(e.B, 0)
			return
		}
		e.B = append(e.B, 1)
		e.put(v.Elem(), t.Elem())
	case reflect.Map: // never part of a program, so the order does not matter
		e.Uint(uint64(v.Len()))
		for it := v.MapRange(); it.Next(); {
			e.put(it.Key(), t.Key())
			e.put(it.Value(), t.Elem())
		}
	default:
		e.fail(fmt.Errorf("wire: cannot send a %s", t))
	}
}

func (e *Enc) putValue(v reflect.Value) {
	e.key = append(e.key, e.B[e.mark:]...)
	if v.IsNil() {
		e.Uint(0)
		e.key = append(e.key, 0)
	} else if id, shape, err := e.Value(v.Interface()); err != nil {
		e.fail(err)
	} else {
		e.Uint(id + 1)
		e.key = appendShape(e.key, shape)
	}
	e.mark = len(e.B)
}

func (e *Enc) putFlat(v reflect.Value) {
	if v.IsNil() {
		e.fail(fmt.Errorf("wire: a constant without data"))
		return
	}
	flat := v.Elem()
	if flat.Kind() != reflect.Slice || dtypes.FromGoType(flat.Type().Elem()) == dtypes.InvalidDType {
		e.fail(fmt.Errorf("wire: a constant of %s; it must be a slice of a supported type", flat.Type()))
		return
	}
	e.Uint(uint64(dtypes.FromGoType(flat.Type().Elem())))
	e.Uint(uint64(flat.Len()))
	e.Bytes(dtypes.UnsafeByteSliceFromAny(flat.Interface()))
}

// appendShape appends what the result of an operation can depend on.
func appendShape(b []byte, s *shapes.Shape) []byte {
	b = binary.AppendUvarint(append(b, 1, byte(s.DType)), uint64(len(s.Dimensions)))
	for _, d := range s.Dimensions {
		b = binary.AppendVarint(b, int64(d))
	}
	b = binary.AppendUvarint(b, uint64(len(s.AxisNames)))
	for _, name := range s.AxisNames {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	b = binary.AppendUvarint(b, uint64(len(s.TupleShapes)))
	for i := range s.TupleShapes {
		b = appendShape(b, &s.TupleShapes[i])
	}
	return b
}

// PutArgs appends the arguments of a method by their static types.
func (e *Enc) PutArgs(method reflect.Type, args []any) {
	for i, x := range args {
		v := reflect.New(method.In(i)).Elem()
		if x != nil {
			v.Set(reflect.ValueOf(x))
		}
		e.put(v, method.In(i))
	}
}
