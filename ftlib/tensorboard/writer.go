package tensorboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ftlab/ftlib"
)

// Writer writes events into one file, which it makes with the first event.
type Writer struct {
	dir string
	now func() time.Time
	f   *os.File
}

var _ ftlib.Sink = (*Writer)(nil)

// NewWriter writes below dir, which it makes: what tensorboard --logdir names, or a
// directory of it. Files that are there are left alone: TensorBoard reads all of them.
func NewWriter(dir string) *Writer { return &Writer{dir: dir, now: time.Now} }

// Event writes what an event measured, at once: TensorBoard may be watching.
func (w *Writer) Event(e ftlib.Event) error {
	if e.Time.IsZero() {
		e.Time = w.now()
	}
	var out []byte
	switch e.Type {
	case ftlib.EventStart:
	case ftlib.EventResume, ftlib.EventRollback:
		// Steps after this one are void: TensorBoard drops them at a start of a session.
		out = record(event(e.Time, e.Step+1, field(7, varint(1, 1))))
	case ftlib.EventStep, ftlib.EventEval:
		for _, v := range scalars(e) {
			value := append(text(1, v.tag), fixed32(2, math.Float32bits(float32(v.value)))...)
			out = append(out, record(event(e.Time, e.Step, field(5, field(1, value))))...)
		}
	default:
		return nil
	}
	if w.f == nil {
		if err := w.create(e.Time); err != nil {
			return err
		}
	}
	if _, err := w.f.Write(out); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}

// create makes a file that is not there yet, and begins it as all begin.
func (w *Writer) create(at time.Time) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	for n := 0; ; n++ { // TensorBoard sorts by the name: seconds, then the number of the writer
		name := filepath.Join(w.dir, fmt.Sprintf("events.out.tfevents.%010d.ftlab.%d.%d", at.Unix(), os.Getpid(), n))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("tensorboard: %w", err)
		}
		w.f = f
		break
	}
	if _, err := w.f.Write(record(append(fixed64(1, math.Float64bits(seconds(at))), text(3, "brain.Event:2")...))); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}

// Close closes the file.
func (w *Writer) Close() error {
	if w.f == nil {
		return nil
	}
	return w.f.Close()
}

// Write writes the events of a whole run below dir.
func Write(dir string, events []ftlib.Event) error {
	w := NewWriter(dir)
	for _, e := range events {
		if err := w.Event(e); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

type scalar struct {
	tag   string
	value float64
}

// scalars are the numbers of an event under their tags, in a fixed order.
func scalars(e ftlib.Event) []scalar {
	var out []scalar
	add := func(tag string, v float64) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, scalar{tag, v})
		}
	}
	if e.Type == ftlib.EventStep {
		if e.Loss != nil {
			add("train/loss", *e.Loss)
		}
		add("train/learning_rate", e.LR)
		add("train/grad_norm", e.GradNorm)
		add("train/epoch", e.Epoch)
		if e.TokensPerSecond > 0 {
			add("train/tokens_per_second", e.TokensPerSecond)
		}
		if e.Seen > 0 {
			add("train/num_input_tokens_seen", float64(e.Seen))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Metrics)) {
		tag := "train/" + name
		if rest, ok := strings.CutPrefix(name, "eval_"); ok {
			tag = "eval/" + rest
		} else if e.Type == ftlib.EventEval {
			tag = "eval/" + name
		}
		add(tag, e.Metrics[name])
	}
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// event is an Event of TensorFlow: wall time, step, and what.
func event(at time.Time, step int, what []byte) []byte {
	return slices.Concat(fixed64(1, math.Float64bits(seconds(at))), varint(2, uint64(step)), what)
}

// The parts of the wire format of protocol buffers that are needed.

func key(number, kind int) []byte { return binary.AppendUvarint(nil, uint64(number<<3|kind)) }

func varint(number int, v uint64) []byte  { return binary.AppendUvarint(key(number, 0), v) }
func fixed64(number int, v uint64) []byte { return binary.LittleEndian.AppendUint64(key(number, 1), v) }
func fixed32(number int, v uint32) []byte { return binary.LittleEndian.AppendUint32(key(number, 5), v) }
func text(number int, s string) []byte    { return field(number, []byte(s)) }

func field(number int, data []byte) []byte {
	return append(binary.AppendUvarint(key(number, 2), uint64(len(data))), data...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a checksum as TFRecords have it, so that checksums of checksums stay good.
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// record frames data: its length, the checksum of that, the data, the checksum of those.
func record(data []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	out = binary.LittleEndian.AppendUint32(out, masked(out))
	out = append(out, data...)
	return binary.LittleEndian.AppendUint32(out, masked(data))
}
