package session

import (
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/gomlx/compute"

	"ftlab/kernel/internal/wire"
)

// Stats is what a device server tells about itself.
type Stats = wire.Stats

// Kept is a name and the buffer behind it.
type Kept = wire.Kept

// Keep binds names to buffers, all at once: whoever binds them sees all of the old ones
// or all of the new ones. The buffers outlive this program; names that are not in the
// snapshot stay as they are.
func (b *Backend) Keep(snapshot map[string]compute.Buffer) error {
	names := slices.Sorted(maps.Keys(snapshot))
	ids := make([]uint64, len(names))
	for i, name := range names {
		if name == "" {
			return fmt.Errorf("session: keep: a name is empty")
		}
		own, err := b.buffer(snapshot[name])
		if err != nil {
			return fmt.Errorf("%w (keep %q)", err, name)
		}
		ids[i] = own.id
	}
	_, err := b.ask(wire.Keep, func(e *wire.Enc) { e.Put(names); e.Put(ids) }, nil)
	runtime.KeepAlive(snapshot)
	return err
}

// Bind returns the kept buffers of a name and of all names below it ("" for all), as
// they were at one moment. Nothing is copied. No such name gives an empty map.
func (b *Backend) Bind(name string) (map[string]compute.Buffer, error) {
	kept, err := b.kept(wire.Bind, name)
	if err != nil {
		return nil, err
	}
	m := make(map[string]compute.Buffer, len(kept))
	for _, k := range kept {
		m[k.Name] = b.own(k.ID, k.Shape, k.Device)
	}
	return m, nil
}

// Drop forgets a name and all names below it ("" for all), and says which they were.
// Buffers that a program still uses live on for it.
func (b *Backend) Drop(name string) ([]Kept, error) { return b.kept(wire.Drop, name) }

// List returns what is kept, by name.
func (b *Backend) List() ([]Kept, error) { return b.kept(wire.List, "") }

func (b *Backend) kept(kind uint64, name string) (kept []Kept, err error) {
	d, err := b.ask(kind, func(e *wire.Enc) { e.Str(name) }, nil)
	if err != nil {
		return nil, err
	}
	defer wire.Guard(&err)
	d.Get(&kept)
	return kept, nil
}

// Stats asks the server about itself.
func (b *Backend) Stats() (s Stats, err error) {
	d, err := b.ask(wire.Statistics, nil, nil)
	if err != nil {
		return s, err
	}
	defer wire.Guard(&err)
	d.Get(&s)
	return s, nil
}

// Stop ends the server. What it keeps is saved first, if it has a folder for that; if that
// is not possible, it does not end. See [Backend.Abandon].
func (b *Backend) Stop() error {
	_, err := b.ask(wire.Stop, nil, nil)
	if err == nil {
		b.Finalize()
	}
	return err
}
