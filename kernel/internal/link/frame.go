package link

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the largest frame in bytes. A chart of some thousand points has 100 kB.
const MaxFrame = 16 << 20

// Version is that of the frames and of what is said in them.
const Version = 1

// Frame is one message.
type Frame struct {
	ID    uint64          `json:"id,omitempty"` // of a request and its answer; 0: an event
	Verb  string          `json:"verb,omitempty"`
	Error string          `json:"error,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// ErrMalformed says that what came is not a frame.
var ErrMalformed = errors.New("link: malformed frame")

// Write writes one frame in one piece.
func Write(w io.Writer, f Frame) error {
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("link: %s: %w", f.Verb, err)
	}
	if len(data) > MaxFrame {
		return fmt.Errorf("link: %s: a message of %d bytes; the limit is %d", f.Verb, len(data), MaxFrame)
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(data)), uint32(len(data))), data...))
	return err
}

// Read reads one frame. The error is io.EOF when the other end has closed between two
// frames.
func Read(r *bufio.Reader) (Frame, error) {
	var f Frame
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxFrame {
		return f, fmt.Errorf("%w: %d bytes announced; the limit is %d", ErrMalformed, n, MaxFrame)
	}
	// What is announced is not what comes: memory grows with the bytes that are there.
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return f, err
	}
	if len(data) < int(n) {
		return f, io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return f, nil
}
