package wire

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"reflect"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// Replayer applies recorded calls to a real builder.
type Replayer struct {
	Builder compute.Builder
	OnMemo  func(key string, r Result) // called for each result that depends on shapes alone

	mu     sync.Mutex
	funcs  []compute.Function
	values []compute.Value
	shapes []shapes.Shape
	hash   hash.Hash
	spread bool
	size   int64
}

// NewReplayer replays on b.
func NewReplayer(b compute.Builder) *Replayer {
	return &Replayer{Builder: b, funcs: []compute.Function{b.Main()}, hash: sha256.New()}
}

// Sum is the hash of the calls that were applied.
func (r *Replayer) Sum() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.hash.Sum(nil))
}

// Size is the number of bytes of the calls that were applied, constants and all.
func (r *Replayer) Size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

// Spread says whether the program may run on several devices: the builder was told so.
func (r *Replayer) Spread() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spread
}

// Spreads says whether a call is about several devices.
func Spreads(on reflect.Type, method string) bool { return on == BuilderT && method != "NewFunction" }

// Memoised says whether the result of a method can be remembered by shapes. The
// others define things, or depend on data.
func Memoised(method string) bool {
	return method != "Parameter" && method != "Constant" && method != "Return" && method != "Closure"
}

// Apply makes one call: a function's number plus one (0: the builder), the method's
// number, the arguments. An error leaves the program as it was.
func (r *Replayer) Apply(call []byte) (res Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	funcs, values := len(r.funcs), len(r.values)
	defer func() {
		if err != nil {
			r.funcs, r.values, r.shapes = r.funcs[:funcs], r.values[:values], r.shapes[:values]
		}
	}()
	defer Guard(&err)

	d := &Dec{B: call,
		Value: func(id uint64) (compute.Value, *shapes.Shape) {
			if id >= uint64(len(r.values)) {
				panic(errMalformed)
			}
			return r.values[id], &r.shapes[id]
		},
		Func: func(id uint64) compute.Function {
			if id >= uint64(len(r.funcs)) {
				panic(errMalformed)
			}
			return r.funcs[id]
		}}
	onType, receiver, target := BuilderT, reflect.ValueOf(r.Builder), d.Uint()
	if target > 0 {
		onType, receiver = FuncT, reflect.ValueOf(d.Func(target-1))
	}
	d.startKey()
	number := d.Uint()
	if number >= uint64(onType.NumMethod()) {
		panic(errMalformed)
	}
	method := onType.Method(int(number))
	if Local[method.Name] {
		panic(errMalformed)
	}
	args := make([]reflect.Value, method.Type.NumIn())
	for i := range args {
		args[i] = reflect.New(method.Type.In(i)).Elem()
		d.get(args[i])
	}
	if !d.Done() {
		panic(errMalformed)
	}
	key := ""
	if target > 0 && !d.NoMemo && Memoised(method.Name) {
		key = d.memoKey()
	}
	var out []reflect.Value
	if fn := receiver.MethodByName(method.Name); method.Type.IsVariadic() {
		out = fn.CallSlice(args)
	} else {
		out = fn.Call(args)
	}
	if last := len(out) - 1; method.Type.Out(last) == ErrorT {
		failed := out[last]
		out = out[:last]
		if !failed.IsNil() {
			err := failed.Interface().(error)
			if !compute.IsNotImplemented(err) {
				return res, err
			}
			res.NotImplemented = err.Error()
			r.remember(key, res)
			return res, nil
		}
	}
	for i, o := range out {
		ss, err := r.output(o, method.Type.Out(i))
		if err != nil {
			return res, err
		}
		res.Outputs = append(res.Outputs, ss)
	}
	r.hash.Write(call)
	r.spread = r.spread || Spreads(onType, method.Name)
	r.size += int64(len(call))
	r.remember(key, res)
	return res, nil
}

func (r *Replayer) remember(key string, res Result) {
	if key != "" && r.OnMemo != nil {
		r.OnMemo(key, res)
	}
}

func (r *Replayer) output(o reflect.Value, t reflect.Type) (ss []shapes.Shape, err error) {
	add := func(v compute.Value) error {
		s, err := r.Builder.OpShape(v)
		if err != nil {
			return err
		}
		r.values, r.shapes, ss = append(r.values, v), append(r.shapes, s), append(ss, s)
		return nil
	}
	switch t {
	case FuncT:
		r.funcs = append(r.funcs, o.Interface().(compute.Function))
	case ValueT:
		err = add(o.Interface())
	case ValuesT:
		for i := range o.Len() {
			if err = add(o.Index(i).Interface()); err != nil {
				break
			}
		}
	default:
		err = fmt.Errorf("wire: an output of type %s", t)
	}
	return ss, err
}
