package session

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/wire"
)

// executable is a compiled program in the server, which does not drop it while this
// session refers to it.
type executable struct {
	b       *Backend
	id      uint64
	names   []string
	in, out []shapes.Shape
	dead    atomic.Bool
	cleanup runtime.Cleanup
}

// Compile finds the program in the server's cache, or sends and compiles it.
func (f *builder) Compile() (compute.Executable, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	sum := string(f.hash.Sum(nil))
	sig, err := f.signature(wire.Lookup, sum)
	if err == nil && sig.ID == 0 {
		if f.sent < len(f.calls) || f.sent == 0 {
			if _, err := f.flush(nil); err != nil {
				return nil, err
			}
		}
		sig, err = f.signature(wire.Compile, sum)
	}
	runtime.KeepAlive(f)
	if err != nil {
		return nil, err
	}
	if len(sig.Inputs) != len(f.inputs) {
		return nil, fmt.Errorf("session: %s: %d parameters were recorded, the program has %d", f.name, len(f.inputs), len(sig.Inputs))
	}
	x := &executable{b: f.b, id: sig.ID, names: f.inputs, in: sig.Inputs, out: sig.Outputs}
	b := f.b
	x.cleanup = runtime.AddCleanup(x, func(id uint64) { b.free(id, wire.FreeExecutable) }, x.id)
	return x, nil
}

func (f *builder) signature(kind uint64, sum string) (sig wire.Signature, err error) {
	d, err := f.b.request(kind, func(e *wire.Enc) { e.Uint(f.id); e.Str(sum) })
	if err != nil {
		return sig, err
	}
	defer wire.Guard(&err)
	d.Get(&sig)
	return sig, nil
}

func (x *executable) Finalize() {
	if !x.dead.Swap(true) {
		x.cleanup.Stop()
		x.b.free(x.id, wire.FreeExecutable)
	}
}

func (x *executable) Inputs() ([]string, []shapes.Shape) { return x.names, x.in }
func (x *executable) Outputs() []shapes.Shape            { return x.out }

func (x *executable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) (_ []compute.Buffer, err error) {
	if x.dead.Load() {
		return nil, fmt.Errorf("session: an executable that was finalized")
	}
	if len(donate) > 0 && len(donate) != len(inputs) {
		return nil, fmt.Errorf("session: %d inputs and %d marks of donation", len(inputs), len(donate))
	}
	ids := make([]uint64, len(inputs))
	for i, in := range inputs {
		own, err := x.b.buffer(in)
		if err != nil {
			return nil, fmt.Errorf("%w (input %d)", err, i)
		}
		ids[i] = own.id << 1
		if len(donate) > 0 && donate[i] {
			ids[i] |= 1
		}
	}
	d, err := x.b.request(wire.Execute, func(e *wire.Enc) { e.Uint(x.id); e.Put(device); e.Put(ids) })
	for i, in := range inputs {
		if ids[i]&1 == 1 {
			if own := in.(*Buffer); own.kill() { // the server took the reference
				x.b.collector.sub(own.reference().bytes)
			}
		}
	}
	runtime.KeepAlive(inputs)
	runtime.KeepAlive(x)
	if err != nil {
		return nil, err
	}
	defer wire.Guard(&err)
	var made []wire.Kept
	d.Get(&made)
	out := make([]compute.Buffer, len(made))
	for i, k := range made {
		out[i] = x.b.own(k.ID, k.Shape, k.Device)
	}
	return out, nil
}
