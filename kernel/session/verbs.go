package session

import (
	"fmt"
	"os"
	"path/filepath"

	"ftlab/kernel/internal/wire"
)

// Saved says what a checkpoint holds.
type Saved = wire.Saved

// EnvKernel names the variable with the socket of the notebook kernel that a program
// runs for. It tells the server who has read a notice already.
const EnvKernel = "FTLAB_KERNEL"

// LoadOptions say how files are loaded; the zero value loads all tensors as stored.
type LoadOptions struct {
	DType   string   // "float32", "bfloat16" or "float16": floating-point tensors become this; "": as stored
	Only    []string // names or patterns (path.Match) of tensors; none: all
	Replace bool     // the names below the prefix that are not among the loaded ones are dropped, in the same moment

	// Quantize names a way to make weights smaller as they come in. The server must know
	// it; one that knows none says so. "": not.
	Quantize string
}

// LoadFile makes the server read a safetensors file, or the folder of a model with one
// or many of them, into kept buffers: the tensor NAME is kept as PREFIX/NAME ("" for no
// prefix). Nothing passes through this program. All names appear at once, or none with
// an error that names the file. The path is one on the server's machine; a relative one
// is below this program's folder.
func (b *Backend) LoadFile(path, prefix string, o LoadOptions) (kept []Kept, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	r := wire.LoadRequest{Path: path, Prefix: prefix, DType: o.DType, Quantize: o.Quantize, Only: o.Only, Replace: o.Replace}
	d, err := b.request(wire.Load, func(e *wire.Enc) { e.Put(r) })
	if err != nil {
		return nil, err
	}
	defer wire.Guard(&err)
	d.Get(&kept)
	return kept, nil
}

// Checkpoint makes the server write everything kept to a folder on its machine ("" for
// its own, which it restores when it starts again). An earlier checkpoint there is
// replaced when the new one is whole; only what it does not hold is written.
func (b *Backend) Checkpoint(dir string) (Saved, error) { return b.saved(wire.Checkpoint, dir) }

// Restore makes the server keep again what a checkpoint holds, all of it or none. Names
// that the checkpoint does not have stay as they are.
func (b *Backend) Restore(dir string) (Saved, error) { return b.saved(wire.Restore, dir) }

func (b *Backend) saved(kind uint64, dir string) (s Saved, err error) {
	if dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			return s, fmt.Errorf("session: %w", err)
		}
	}
	d, err := b.request(kind, func(e *wire.Enc) { e.Str(dir) })
	if err != nil {
		return s, err
	}
	defer wire.Guard(&err)
	d.Get(&s)
	return s, nil
}

// Notice is what a user must be told about this server: that the one before it died, and
// what was restored or not. Each notebook kernel is told once, and so are the programs
// without one, together; "" is nothing new.
func (b *Backend) Notice() string {
	d, err := b.request(wire.Notice, func(e *wire.Enc) { e.Str(os.Getenv(EnvKernel)) })
	if err != nil {
		return "" // the next request says so
	}
	defer wire.Guard(&err)
	return d.Str()
}

// Abandon ends the server without saving what it keeps; its last checkpoint stays.
func (b *Backend) Abandon() error {
	_, err := b.request(wire.Abandon, nil)
	if err == nil {
		b.Finalize()
	}
	return err
}
