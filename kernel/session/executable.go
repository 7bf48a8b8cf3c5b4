package session

import (
	"fmt"
	"runtime"
	"slices"
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
	name    string
	names   []string
	in, out []shapes.Shape
	spread  bool  // it may run on several devices
	known   bool  // how large the results are
	bytes   int64 // of the results, if known
	dead    atomic.Bool
	cleanup runtime.Cleanup
}

// Compile finds the program in the server's cache, or sends and compiles it.
func (f *builder) Compile() (compute.Executable, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	sum := string(f.hash.Sum(nil))
	sig, err := f.signature(wire.Lookup, sum, f.b.look)
	if err == nil && sig.ID == 0 {
		if f.sent < len(f.calls) || f.sent == 0 {
			if _, err := f.flush(nil); err != nil {
				return nil, err
			}
		}
		sig, err = f.signature(wire.Compile, sum, f.b.request)
	}
	runtime.KeepAlive(f)
	if err != nil {
		return nil, err
	}
	if len(sig.Inputs) != len(f.inputs) {
		return nil, fmt.Errorf("session: %s: %d parameters were recorded, the program has %d", f.name, len(f.inputs), len(sig.Inputs))
	}
	x := &executable{b: f.b, id: sig.ID, name: f.name, names: f.inputs, in: sig.Inputs, out: sig.Outputs, spread: f.spread, known: !f.spread}
	for _, s := range x.out {
		bytes, ok := wire.FlatBytes(s)
		x.known, x.bytes = x.known && ok, x.bytes+bytes
	}
	b := f.b
	x.cleanup = runtime.AddCleanup(x, func(id uint64) { b.free(id, wire.FreeExecutable) }, x.id)
	return x, nil
}

// look asks with the stream: finding a program is done at once and needs no connection
// more.
func (b *Backend) look(kind uint64, body func(e *wire.Enc)) (*wire.Dec, error) {
	return b.ask(kind, body, nil)
}

func (f *builder) signature(kind uint64, sum string, ask func(uint64, func(*wire.Enc)) (*wire.Dec, error)) (sig wire.Signature, err error) {
	d, err := ask(kind, func(e *wire.Enc) { e.Uint(f.id); e.Str(sum); e.Str(f.name) })
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

// Execute sends the program's inputs and returns at once: the results are buffers that
// the server is about to fill. A program of which the results' shapes are not known
// before is waited for.
func (x *executable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	if err := x.check(inputs, donate, device); err != nil {
		return nil, err
	}
	first := uint64(0)
	if x.known {
		first = x.b.numbers(len(x.out))
	}
	freed := int64(0)
	for i := range donate {
		if donate[i] {
			if own := inputs[i].(*Buffer); own.kill() { // the server takes the reference
				freed += own.bytes
			}
		}
	}
	body := func(e *wire.Enc) {
		e.Uint(x.id)
		e.Uint(uint64(device))
		e.Uint(first)
		e.Uint(uint64(len(inputs)))
		for i, in := range inputs {
			id := in.(*Buffer).id << 1
			if len(donate) > 0 && donate[i] {
				id |= 1
			}
			e.Uint(id)
		}
	}
	defer runtime.KeepAlive(x)
	defer runtime.KeepAlive(inputs)
	x.b.collector.sub(freed)
	if !x.known {
		return x.await(body)
	}
	if err := x.b.send(wire.Execute, body, nil, true); err != nil {
		return nil, err
	}
	out := make([]compute.Buffer, len(x.out))
	for i, s := range x.out {
		own := x.b.refer(first+2*uint64(i), s, device)
		if own.bytes <= wire.MaxSmall {
			x.b.small.add(own)
		}
		out[i] = own
	}
	x.b.collector.add(x.bytes)
	return out, nil
}

// check finds what can be wrong with inputs before they are sent.
func (x *executable) check(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) error {
	switch {
	case x.dead.Load():
		return fmt.Errorf("session: %s: an executable that was finalized", x.name)
	case device < 0 || int(device) >= len(x.b.devices):
		return fmt.Errorf("session: %s: no device %d; there are %d", x.name, device, len(x.b.devices))
	case len(donate) > 0 && len(donate) != len(inputs):
		return fmt.Errorf("session: %s: %d inputs and %d marks of donation", x.name, len(inputs), len(donate))
	case !x.spread && len(inputs) != len(x.in):
		return fmt.Errorf("session: %s: %d inputs; the program has %d", x.name, len(inputs), len(x.in))
	}
	for i, in := range inputs {
		own, err := x.b.buffer(in)
		if err != nil {
			return fmt.Errorf("%w (input %d of %s)", err, i, x.name)
		}
		if !x.spread && !fits(own.shape, x.in[i]) {
			return fmt.Errorf("session: %s: input %d (%s) is %s; the program has %s", x.name, i, x.names[i], own.shape, x.in[i])
		}
	}
	return nil
}

// fits says whether a buffer can be a program's input; negative dimensions are open.
func fits(s, want shapes.Shape) bool {
	return s.DType == want.DType && slices.EqualFunc(s.Dimensions, want.Dimensions, func(d, w int) bool { return d == w || w < 0 })
}

// await executes and waits for the results.
func (x *executable) await(body func(e *wire.Enc)) (_ []compute.Buffer, err error) {
	d, err := x.b.ask(wire.ExecuteAndTell, body, nil)
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
