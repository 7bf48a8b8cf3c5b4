package wire

// Kinds of the server's own verbs. They leave room after those of frame.go.
const (
	Load       = iota + 64 // a LoadRequest; the reply is []Kept
	Checkpoint             // a folder, "" for the server's own; the reply is a Saved
	Restore                // a folder, "" for the server's own; the reply is a Saved
	Abandon                // like Stop, but nothing is saved
	Notice                 // who asks; the reply is a text, "" for nothing new
)

// OtherVersion is in the reply to a hello with another [Fingerprint], of any version.
const OtherVersion = "were built with different versions of ftlab or GoMLX"

// LoadRequest asks the server to read safetensors files into kept buffers.
type LoadRequest struct {
	Path     string   // a file, or the folder of a model, on the server's machine
	Prefix   string   // the names are below it
	DType    string   // floating-point tensors become this type; "": as stored
	Quantize string   // handed to the server's Options.Quantize; "": not
	Only     []string // tensors, by name or by pattern of path.Match; none: all
	Replace  bool     // names below Prefix that are not among the new ones are dropped
}

// Saved says what a checkpoint holds.
type Saved struct {
	Dir     string  `json:"dir"`
	Time    int64   `json:"time"`    // of the snapshot, nanoseconds since 1970; 0: there is none
	Tensors int     `json:"tensors"` // names
	Bytes   int64   `json:"bytes"`   // of these tensors
	Written int64   `json:"written"` // bytes that an earlier checkpoint did not hold already
	Seconds float64 `json:"seconds"`
}

// Client is a program that is connected, and what it has used.
type Client struct {
	PID        int     `json:"pid,omitempty"` // 0: on another machine
	Program    string  `json:"program"`
	Since      int64   `json:"since"` // nanoseconds since 1970
	Buffers    int     `json:"buffers"`
	Bytes      int64   `json:"bytes"`
	Executions int64   `json:"executions"`
	Seconds    float64 `json:"seconds"` // in executions
	Waiting    int     `json:"waiting"` // executions that were asked for and are not done
}
