package session

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

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
	x := &Buffer{b: b, id: id, shape: s, device: device}
	bytes, _ := wire.FlatBytes(s)
	x.cleanup = runtime.AddCleanup(x, reference.release, reference{b, id, bytes})
	b.collector.add(bytes)
	return x
}

// kill says whether x was alive; it is not any more.
func (x *Buffer) kill() bool {
	if x.dead.Swap(true) {
		return false
	}
	x.cleanup.Stop()
	return true
}

func (x *Buffer) reference() reference {
	bytes, _ := wire.FlatBytes(x.shape)
	return reference{x.b, x.id, bytes}
}

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
	d, err := x.b.request(wire.CopyToDevice, func(e *wire.Enc) { e.Uint(x.id); e.Put(device) })
	runtime.KeepAlive(x)
	if err != nil {
		return nil, err
	}
	return x.b.ownNext(d)
}

// BufferFromFlatData copies data to the server.
func (b *Backend) BufferFromFlatData(device compute.DeviceNum, flat any, s shapes.Shape) (compute.Buffer, error) {
	raw := dtypes.UnsafeByteSliceFromAny(flat)
	if n, ok := wire.FlatBytes(s); !ok || n != int64(len(raw)) {
		return nil, fmt.Errorf("session: %d bytes of data for a buffer of shape %s", len(raw), s)
	}
	d, err := b.transfer(wire.Upload, func(e *wire.Enc) { e.Put(device); e.Put(s) }, raw, nil)
	runtime.KeepAlive(flat)
	if err != nil {
		return nil, err
	}
	return b.ownNext(d)
}

// ToFlatData copies the data from the server into a flat slice.
func (x *Buffer) ToFlatData(flat any) error {
	if _, err := x.b.buffer(x); err != nil {
		return err
	}
	raw := dtypes.UnsafeByteSliceFromAny(flat)
	if n, ok := wire.FlatBytes(x.shape); !ok || n != int64(len(raw)) {
		return fmt.Errorf("session: a slice of %d bytes for a buffer of shape %s", len(raw), x.shape)
	}
	_, err := x.b.transfer(wire.Download, func(e *wire.Enc) { e.Uint(x.id) }, nil, raw)
	runtime.KeepAlive(x)
	return err
}

// ownNext reads a buffer from a reply.
func (b *Backend) ownNext(d *wire.Dec) (_ compute.Buffer, err error) {
	defer wire.Guard(&err)
	var k wire.Kept
	d.Get(&k)
	return b.own(k.ID, k.Shape, k.Device), nil
}
