package wire

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// Stats is what a device server tells about itself.
type Stats struct {
	Backend         string   `json:"backend"` // description of the real backend
	PID             int      `json:"pid"`
	Started         int64    `json:"started"` // nanoseconds since 1970
	Clients         int      `json:"clients"`
	Sessions        []Client `json:"sessions"` // one for each of Clients
	Buffers         int      `json:"buffers"`
	Bytes           int64    `json:"bytes"`       // in buffers
	PeakBytes       int64    `json:"peak_bytes"`  // the most that Bytes has been
	LimitBytes      int64    `json:"limit_bytes"` // 0: no limit
	Resident        int64    `json:"resident"`    // bytes of the process; 0: not known
	Available       int64    `json:"available"`   // bytes that the machine has left; 0: not known
	Kept            int      `json:"kept"`        // names
	KeptBytes       int64    `json:"kept_bytes"`  // in buffers that have a name
	Executables     int      `json:"executables"`
	ExecutableBytes int64    `json:"executable_bytes"` // estimated
	Evicted         int64    `json:"evicted"`          // executables that were dropped for others
	Hits            int64    `json:"hits"`             // programs that were compiled already when a client asked
	Misses          int64    `json:"misses"`
	Executions      int64    `json:"executions"`
	Seconds         float64  `json:"seconds"` // in executions, of all clients
	Memo            int      `json:"memo"`    // entries of the shape memo
	State           string   `json:"state"`   // folder of the checkpoints; "": none are made
	Checkpoint      Saved    `json:"checkpoint"`
	CheckpointError string   `json:"checkpoint_error,omitempty"` // of the last one, if it failed
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
