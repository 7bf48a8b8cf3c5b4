package session

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"ftlab/kernel/internal/wire"
)

// Buffer is a reference to a buffer in the server.
type Buffer struct {
	b       *Backend
	id      uint64
	shape   shapes.Shape
	device  compute.DeviceNum
	bytes   int64
	value   atomic.Pointer[[]byte] // what another download brought along
	dead    atomic.Bool
	cleanup runtime.Cleanup
}

var _ compute.Buffer = (*Buffer)(nil)

// reference is what a Buffer leaves behind when it is collected.
type reference struct {
	b     *Backend
	id    uint64
	bytes int64
}

func (r reference) release() {
	r.b.collector.sub(r.bytes)
	r.b.free(r.id, wire.FreeBuffer)
}

// own makes a Buffer of a reference that the server counts for this session.
func (b *Backend) own(id uint64, s shapes.Shape, device compute.DeviceNum) *Buffer {
	x := b.refer(id, s, device)
	b.collector.add(x.bytes)
	return x
}

// refer is own for who tells the collector.
func (b *Backend) refer(id uint64, s shapes.Shape, device compute.DeviceNum) *Buffer {
	x := &Buffer{b: b, id: id, shape: s, device: device}
	x.bytes, _ = wire.FlatBytes(s)
	x.cleanup = runtime.AddCleanup(x, reference.release, reference{b, id, x.bytes})
	return x
}

// numbers returns the first of n numbers for new buffers; the others follow in steps of
// two. Odd ones are the server's to give.
func (b *Backend) numbers(n int) uint64 { return (b.buffers.Add(uint64(n)) - uint64(n)) << 1 }

// kill says whether x was alive; it is not any more.
func (x *Buffer) kill() bool {
	if x.dead.Swap(true) {
		return false
	}
	x.cleanup.Stop()
	return true
}

func (x *Buffer) reference() reference { return reference{x.b, x.id, x.bytes} }

// buffer checks that a buffer is this backend's and alive.
func (b *Backend) buffer(x compute.Buffer) (*Buffer, error) {
	own, ok := x.(*Buffer)
	switch {
	case !ok || own == nil:
		return nil, fmt.Errorf("session: a %T is no buffer of this backend", x)
	case own.b != b:
		return nil, errors.New("session: a buffer of another session")
	case own.dead.Load():
		return nil, errors.New("session: a buffer that was finalized or donated")
	}
	return own, nil
}

// Backend that the buffer belongs to.
func (x *Buffer) Backend() compute.Backend { return x.b }

// Finalize gives the reference back; a kept buffer stays kept.
func (x *Buffer) Finalize() error {
	if x.kill() {
		x.reference().release()
	}
	return nil
}

// Shape of the data.
func (x *Buffer) Shape() (shapes.Shape, error) { return x.shape, nil }

// DeviceNum is the real backend's number of the device.
func (x *Buffer) DeviceNum() (compute.DeviceNum, error) { return x.device, nil }

// Data always fails: there are no shared buffers.
func (x *Buffer) Data() (any, error) {
	return nil, errors.New("session: buffers are in another process and cannot be shared")
}

// CopyToDevice makes a copy in the server.
func (x *Buffer) CopyToDevice(device compute.DeviceNum) (compute.Buffer, error) {
	if _, err := x.b.buffer(x); err != nil {
		return nil, err
	}
	if device < 0 || int(device) >= len(x.b.devices) {
		return nil, fmt.Errorf("session: no device %d; there are %d", device, len(x.b.devices))
	}
	id := x.b.numbers(1)
	err := x.b.send(wire.CopyToDevice, func(e *wire.Enc) { e.Uint(x.id); e.Uint(id); e.Put(device) }, nil, true)
	runtime.KeepAlive(x)
	if err != nil {
		return nil, err
	}
	return x.b.own(id, x.shape, device), nil
}

// BufferFromFlatData copies data to the server.
func (b *Backend) BufferFromFlatData(device compute.DeviceNum, flat any, s shapes.Shape) (compute.Buffer, error) {
	raw := dtypes.UnsafeByteSliceFromAny(flat)
	if n, ok := wire.FlatBytes(s); !ok || n != int64(len(raw)) {
		return nil, fmt.Errorf("session: %d bytes of data for a buffer of shape %s", len(raw), s)
	}
	if device < 0 || int(device) >= len(b.devices) {
		return nil, fmt.Errorf("session: no device %d; there are %d", device, len(b.devices))
	}
	id := b.numbers(1)
	err := b.send(wire.Upload, func(e *wire.Enc) { e.Uint(id); e.Put(device); e.Put(s) }, raw, false)
	runtime.KeepAlive(flat)
	if err != nil {
		return nil, err
	}
	return b.own(id, s.Clone(), device), nil
}

// ToFlatData copies the data from the server into a flat slice.
func (x *Buffer) ToFlatData(flat any) (err error) {
	if _, err := x.b.buffer(x); err != nil {
		return err
	}
	raw := dtypes.UnsafeByteSliceFromAny(flat)
	if n, ok := wire.FlatBytes(x.shape); !ok || n != int64(len(raw)) {
		return fmt.Errorf("session: a slice of %d bytes for a buffer of shape %s", len(raw), x.shape)
	}
	if v := x.value.Load(); v != nil {
		copy(raw, *v)
		return nil
	}
	with := x.b.small.take(x)
	d, err := x.b.ask(wire.Download, func(e *wire.Enc) {
		e.Uint(x.id)
		e.Uint(uint64(len(with)))
		for _, o := range with {
			e.Uint(o.id)
		}
	}, raw)
	runtime.KeepAlive(x)
	if err != nil {
		return err
	}
	defer wire.Guard(&err)
	for _, o := range with {
		if v := bytes.Clone(d.Bytes()); int64(len(v)) == o.bytes {
			o.value.Store(&v)
		}
	}
	return nil
}

// smallResults are results of a few bytes that nobody has read: losses, norms, counts.
// Programs read them one after the other, so that the first download brings them all.
type smallResults struct {
	mu   sync.Mutex
	list []weak.Pointer[Buffer]
}

func (r *smallResults) add(x *Buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == wire.MaxExtra {
		r.list = append(r.list[:0], r.list[wire.MaxExtra/2:]...)
	}
	r.list = append(r.list, weak.Make(x))
}

// take hands out those that are alive, but for x.
func (r *smallResults) take(x *Buffer) (with []*Buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.list {
		if o := w.Value(); o != nil && o != x && !o.dead.Load() {
			with = append(with, o)
		}
	}
	r.list = r.list[:0]
	return with
}
