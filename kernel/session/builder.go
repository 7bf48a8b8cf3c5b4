package session

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"reflect"
	"runtime"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/wire"
)

// builder records the calls that make a program.
type builder struct {
	b          *Backend
	id         uint64
	name       string
	main       *function
	values     uint64
	functions  uint64
	parameters uint64
	inputs     []string // the caller's names of main's parameters

	calls  [][]byte // all that succeeded
	sent   int      // calls[:sent] are in the server
	hash   hash.Hash
	broken error // a call that was thought good failed in the server
	spread bool  // the program may run on several devices
}

type function struct {
	b      *builder
	id     uint64
	name   string
	parent *function
}

// value is what a call returned; its number is its place in the recording.
type value struct {
	b     *builder
	id    uint64
	shape shapes.Shape
}

var (
	_ compute.Builder  = (*builder)(nil)
	_ compute.Function = (*function)(nil)
)

// Builder records a new program.
func (b *Backend) Builder(name string) compute.Builder {
	x := &builder{b: b, id: b.builders.Add(1), name: name, functions: 1, hash: sha256.New()}
	x.main = &function{b: x, name: compute.MainName}
	runtime.AddCleanup(x, func(id uint64) { b.free(id, wire.FreeBuilder) }, x.id)
	return x
}

func (f *builder) Name() string           { return f.name }
func (f *builder) Main() compute.Function { return f.main }

func (f *builder) OpShape(v compute.Value) (shapes.Shape, error) {
	x, err := f.value(v)
	if err != nil {
		return shapes.Invalid(), err
	}
	return x.shape, nil
}

func (f *builder) value(v any) (*value, error) {
	x, ok := v.(*value)
	if !ok || x == nil || x.b != f {
		return nil, fmt.Errorf("session: %s: a %T is no value of this builder", f.name, v)
	}
	return x, nil
}

func (f *function) Shape(v compute.Value) (shapes.Shape, error) { return f.b.OpShape(v) }
func (f *function) Name() string                                { return f.name }
func (f *function) Builder() compute.Builder                    { return f.b }

func (f *function) Parent() compute.Function {
	if f.parent == nil {
		return nil
	}
	return f.parent
}

func (f *builder) call(method int, args ...any) (results, error) {
	f.spread = f.spread || wire.Spreads(wire.BuilderT, wire.BuilderT.Method(method).Name)
	return f.record(wire.BuilderT.Method(method), nil, args)
}

func (f *function) call(method int, args ...any) (results, error) {
	return f.b.record(wire.FuncT.Method(method), f, args)
}

// record is one call of the builder (on is nil) or of a function.
func (f *builder) record(m reflect.Method, on *function, args []any) (results, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	name := ""
	if on != nil && m.Name == "Parameter" {
		name = args[0].(string)
		args = append([]any{fmt.Sprintf("p%d", f.parameters+1)}, args[1:]...)
	}
	e := f.encode(m, on, args)
	if e.Err != nil {
		return nil, e.Err
	}
	key := ""
	if on != nil && !e.NoMemo && wire.Memoised(m.Name) {
		key = e.Key()
	}
	res, known := f.predict(m, on, args, key)
	if !known {
		var err error
		if res, err = f.flush(e.B); err != nil {
			return nil, err
		}
		f.b.remember(key, res)
	}
	if res.NotImplemented != "" {
		return nil, fmt.Errorf("%s: %w", res.NotImplemented, compute.ErrNotImplemented)
	}
	f.calls = append(f.calls, e.B)
	f.hash.Write(e.B)
	if !known {
		f.sent = len(f.calls)
	}
	if on != nil && m.Name == "Parameter" {
		f.parameters++
		if on == f.main {
			f.inputs = append(f.inputs, name)
		}
	}
	return f.results(m, on, args, res), nil
}

func (f *builder) encode(m reflect.Method, on *function, args []any) *wire.Enc {
	e := &wire.Enc{
		Value: func(v any) (uint64, *shapes.Shape, error) {
			x, err := f.value(v)
			if err != nil {
				return 0, nil, fmt.Errorf("%w (in %s)", err, m.Name)
			}
			return x.id, &x.shape, nil
		},
		Func: func(g any) (uint64, error) {
			x, ok := g.(*function)
			if !ok || x == nil || x.b != f {
				return 0, fmt.Errorf("session: %s: a %T is no function of this builder (in %s)", f.name, g, m.Name)
			}
			return x.id, nil
		}}
	if on == nil {
		e.Uint(0)
	} else {
		e.Uint(on.id + 1)
	}
	e.StartKey()
	e.Uint(uint64(m.Index))
	e.PutArgs(m.Type, args)
	return e
}

// predict says what the server will answer, if that is known.
func (f *builder) predict(m reflect.Method, on *function, args []any, key string) (res wire.Result, known bool) {
	if on == nil {
		return res, false
	}
	switch m.Name {
	case "Parameter":
		return wire.Result{Outputs: [][]shapes.Shape{{args[1].(shapes.Shape)}}}, true
	case "Constant":
		dims := args[1].([]int)
		if slices.ContainsFunc(dims, func(d int) bool { return d < 0 }) {
			return res, false
		}
		dtype := dtypes.FromGoType(reflect.TypeOf(args[0]).Elem())
		return wire.Result{Outputs: [][]shapes.Shape{{shapes.Make(dtype, dims...)}}}, true
	case "Return":
		return res, true
	case "Closure":
		return wire.Result{Outputs: [][]shapes.Shape{nil}}, true
	}
	if key == "" {
		return res, false
	}
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	res, known = f.b.memo[key]
	return res, known
}

func (b *Backend) remember(key string, res wire.Result) {
	if key != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.memo[key] = res
	}
}

func (f *builder) results(m reflect.Method, on *function, args []any, res wire.Result) results {
	var r results
	for i, ss := range res.Outputs {
		if m.Type.Out(i) == wire.FuncT {
			g := &function{b: f, id: f.functions, parent: on}
			if on == nil {
				g.name = args[0].(string)
			}
			f.functions++
			r = append(r, g)
			continue
		}
		vs := make([]compute.Value, len(ss))
		for j, s := range ss {
			vs[j] = &value{f, f.values, s}
			f.values++
		}
		r = append(r, vs)
	}
	return r
}

// flush applies in the server what is only recorded, and one more call unless it is
// nil; the result is that call's.
func (f *builder) flush(last []byte) (res wire.Result, err error) {
	pending := f.calls[f.sent:]
	d, err := f.b.request(wire.Ops, func(e *wire.Enc) {
		e.Uint(f.id)
		e.Str(f.name)
		if last == nil {
			e.Put(pending)
		} else {
			e.Put(append(slices.Clone(pending), last))
		}
	})
	runtime.KeepAlive(f)
	if err != nil {
		f.broken = err
		return res, err
	}
	defer wire.Guard(&err)
	applied := int(d.Uint())
	if text := d.Str(); text != "" {
		err = errors.New(text)
		if applied < len(pending) {
			f.broken = fmt.Errorf("session: %s: an earlier call: %w", f.name, err)
			return res, f.broken
		}
		f.sent = len(f.calls)
		return res, err
	}
	d.Get(&res)
	f.sent = len(f.calls)
	return res, nil
}
