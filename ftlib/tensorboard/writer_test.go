package tensorboard

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ftlab/ftlib"
)

// read decodes an event file with protobuf's own reader: "STEP TAG VALUE", "STEP start".
func read(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		if masked(data[:8]) != binary.LittleEndian.Uint32(data[8:]) || masked(data[12:12+n]) != binary.LittleEndian.Uint32(data[12+n:]) {
			t.Fatal("a checksum is wrong")
		}
		out = append(out, decode(t, data[12:12+n]))
		data = data[16+n:]
	}
	return out
}

func decode(t *testing.T, b []byte) string {
	t.Helper()
	var step uint64
	what := ""
	each(t, b, func(number protowire.Number, v uint64, data []byte) {
		switch number {
		case 1:
			if at := math.Float64frombits(v); at != 1e9 {
				t.Errorf("wall time %v", at)
			}
		case 2:
			step = v
		case 3:
			what = string(data)
		case 7:
			what = "start"
		case 5:
			each(t, data, func(_ protowire.Number, _ uint64, data []byte) {
				each(t, data, func(number protowire.Number, v uint64, data []byte) {
					if number == 1 {
						what = string(data)
					} else {
						what += fmt.Sprintf(" %g", math.Float32frombits(uint32(v)))
					}
				})
			})
		}
	})
	return strings.TrimSpace(fmt.Sprintf("%d %s", step, what))
}

func each(t *testing.T, b []byte, visit func(number protowire.Number, v uint64, data []byte)) {
	t.Helper()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v32 uint32
			v32, n = protowire.ConsumeFixed32(b)
			v = uint64(v32)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		visit(number, v, data)
		b = b[n:]
	}
}

func TestWriter(t *testing.T) {
	at := time.Unix(1e9, 0)
	loss, nan := 1.5, math.NaN()
	dir := filepath.Join(t.TempDir(), "tb")
	events := []ftlib.Event{
		{Type: ftlib.EventStart, Time: at},
		{Type: ftlib.EventStep, Time: at, Step: 1, Loss: &loss, LR: 0.25, GradNorm: 2, Epoch: 0.5, Metrics: map[string]float64{"reward": 3, "kl": math.Inf(1)}},
		{Type: ftlib.EventSave, Time: at, Step: 1},
		{Type: ftlib.EventEval, Time: at, Step: 1, Metrics: map[string]float64{"eval_loss": 1.25, "perplexity": 4}},
		{Type: ftlib.EventRollback, Time: at, Step: 0},
		{Type: ftlib.EventStep, Time: at, Step: 1, Loss: &nan},
	}
	for range 2 { // the second run beside the first
		if err := Write(dir, events); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.1000000000.*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	want := []string{
		"0 brain.Event:2",
		"1 train/loss 1.5", "1 train/learning_rate 0.25", "1 train/grad_norm 2", "1 train/epoch 0.5", "1 train/reward 3",
		"1 eval/loss 1.25", "1 eval/perplexity 4",
		"1 start",
		"1 train/learning_rate 0", "1 train/grad_norm 0", "1 train/epoch 0",
	}
	for _, f := range files {
		if got := read(t, f); !slices.Equal(got, want) {
			t.Errorf("%q\nwant\n%q", got, want)
		}
	}
	if err := Write(filepath.Join(files[0], "x"), events); err == nil || !strings.HasPrefix(err.Error(), "tensorboard: ") {
		t.Errorf("below a file: %v", err)
	}
}

// The check value of CRC-32C.
func TestMasked(t *testing.T) {
	for data, want := range map[string]uint32{"123456789": 0xe3069283} {
		m := masked([]byte(data)) - 0xa282ead8
		if got := m<<15 | m>>17; got != want {
			t.Errorf("%s: %x, want %x", data, got, want)
		}
	}
}
