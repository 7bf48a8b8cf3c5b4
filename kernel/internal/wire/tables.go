package wire

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// Stats is what a device server tells about itself.
type Stats struct {
	Backend     string // description of the real backend
	PID         int
	Clients     int
	Buffers     int
	Bytes       int64 // in buffers
	LimitBytes  int64 // 0: no limit
	Kept        int   // names
	KeptBytes   int64 // in buffers that have a name
	Executables int
	Hits        int64 // programs that were compiled already when a client asked
	Misses      int64
	Executions  int64
	Memo        int // entries of the shape memo
}

// Kept is a name and its buffer.
type Kept struct {
	Name   string
	ID     uint64
	Shape  shapes.Shape
	Device compute.DeviceNum
}

// Result of one call: the shapes of each output (none for a function), or the text of
// "not implemented".
type Result struct {
	NotImplemented string
	Outputs        [][]shapes.Shape
}

// Signature of an executable.
type Signature struct {
	ID              uint64 // 0: not compiled yet
	Inputs, Outputs []shapes.Shape
}

// FlatBytes is the size of a buffer's data on the wire, and whether the shape has one:
// no dimension is open or negative and the size is no nonsense.
func FlatBytes(s shapes.Shape) (n int64, ok bool) {
	if !s.DType.IsADType() || !s.DType.IsSupported() || len(s.TupleShapes) > 0 {
		return 0, false
	}
	n = 1
	for _, d := range s.Dimensions {
		if d < 0 || d > 0 && n > (1<<46)/int64(d) {
			return 0, false
		}
		n *= int64(d)
	}
	return (n*int64(s.DType.Bits()) + 7) / 8, true
}
