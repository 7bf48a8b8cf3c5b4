package gguf

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func draw(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// What is stored comes back, as near as the type allows.
func TestQuantize(t *testing.T) {
	x := draw(1024)
	for name, most := range map[string]float64{"F32": 0, "F16": 2e-3, "BF16": 1.6e-2, "Q8_0": 2e-2, "Q4_0": 0.3, "Q4_K": 0.25} {
		data, err := Quantize(Types[name], x)
		if err != nil {
			t.Fatal(err)
		}
		y, err := Dequantize(Types[name], data)
		if err != nil {
			t.Fatal(err)
		}
		worst, squares := 0.0, 0.0
		for i := range x {
			d := math.Abs(float64(x[i] - y[i]))
			worst, squares = max(worst, d), squares+d*d
		}
		t.Logf("%-5s %4.2f bits, largest error %.4f, root mean square %.4f", name, float64(len(data))/128, worst, math.Sqrt(squares/1024))
		if worst > most {
			t.Errorf("%s: largest error %g, should be at most %g", name, worst, most)
		}
		zeros, err := Quantize(Types[name], make([]float32, 256))
		if err != nil {
			t.Fatal(err)
		}
		if y, _ := Dequantize(Types[name], zeros); slices.ContainsFunc(y, func(v float32) bool { return v != 0 }) {
			t.Errorf("%s: zeros do not stay zeros", name)
		}
	}
	if _, err := Quantize(Q4_K, x[:100]); err == nil || !strings.Contains(err.Error(), "no whole blocks of Q4_K") {
		t.Errorf("100 values: %v", err)
	}
}

func writeSample(t *testing.T) (path string, tensors []Tensor, values []float32) {
	t.Helper()
	values = draw(4 * 256)
	for _, name := range []string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K"} {
		tensors = append(tensors, Tensor{Name: name, Shape: []int{4, 256}, Type: Types[name]})
	}
	path = filepath.Join(t.TempDir(), "x.gguf")
	meta := []KV{{"general.architecture", "llama"}, {"a.text", "ü"}, {"a.list", []string{"x", ""}}, {"a.ids", []int32{1, -2}}, {"a.scores", []float32{-1.5}},
		{"a.on", true}, {"a.count", uint32(7)}, {"a.big", uint64(1 << 40)}, {"a.eps", float32(1e-5)}}
	if err := Write(path, meta, tensors, func(int) ([]float32, error) { return values, nil }); err != nil {
		t.Fatal(err)
	}
	return path, tensors, values
}

func TestFile(t *testing.T) {
	path, tensors, values := writeSample(t)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Meta["a.text"] != "ü" || f.Meta["a.on"] != true || f.Meta["a.count"] != uint32(7) || f.Meta["a.big"] != uint64(1<<40) ||
		!slices.Equal(f.Meta["a.list"].([]string), []string{"x", ""}) || !slices.Equal(f.Meta["a.ids"].([]int32), []int32{1, -2}) {
		t.Errorf("metadata: %v", f.Meta)
	}
	for _, want := range tensors {
		got, ok := f.Tensor(want.Name)
		if !ok || got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
			t.Errorf("%+v, want %+v", got, want)
		}
		y, err := f.Values(got)
		if err != nil {
			t.Fatal(err)
		}
		data, err := Quantize(want.Type, values)
		if err != nil {
			t.Fatal(err)
		}
		if x, _ := Dequantize(want.Type, data); !slices.Equal(x, y) {
			t.Errorf("%s reads back otherwise", want.Name)
		}
	}
}

// Files that end early or hold nonsense are errors that say so, at every length.
func TestDamagedFiles(t *testing.T) {
	path, _, _ := writeSample(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.gguf")
	for n := 0; n < len(data); n += 1 + n/7 {
		if err := os.WriteFile(cut, data[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(cut); err == nil {
			f.Close()
			t.Fatalf("%d of %d bytes open", n, len(data))
		} else if !strings.Contains(err.Error(), "damaged or incomplete") {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 300 { // must neither panic nor take all memory
		bad := slices.Clone(data)
		for range 4 {
			bad[rng.IntN(700)] = byte(rng.Uint32())
		}
		if err := os.WriteFile(cut, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(cut); err == nil {
			for _, x := range f.Tensors {
				_, _ = f.Values(x)
			}
			f.Close()
		}
	}
}

const peerScript = `
import sys, json, numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize, quantize
r = GGUFReader(sys.argv[1])
out = {"fields": sorted(k for k in r.fields if not k.startswith("GGUF.")), "tensors": {}, "same": {}}
x = None
for t in r.tensors:
    v = dequantize(t.data, t.tensor_type) if t.tensor_type.name != "F32" else t.data
    out["tensors"][t.name] = [float(f) for f in np.asarray(v, dtype=np.float32).reshape(-1)]
    if t.name == "F32":
        x = np.array(t.data, dtype=np.float32).reshape(4, 256)
for t in r.tensors:
    if t.tensor_type.name in ("Q8_0", "Q4_0", "BF16", "F16"):
        out["same"][t.name] = bool((quantize(x, t.tensor_type).view(np.uint8).reshape(-1) == np.asarray(t.data).view(np.uint8).reshape(-1)).all())
print(json.dumps(out))
`

// The Python package gguf reads the same values from a file of ours, and makes the same
// bytes of Q8_0 and Q4_0. It needs a Python with it, named by FTLAB_GGUF_PYTHON.
func TestPeer(t *testing.T) {
	python := os.Getenv("FTLAB_GGUF_PYTHON")
	if python == "" || exec.Command(python, "-c", "import gguf").Run() != nil {
		t.Skip("SKIPPED: FTLAB_GGUF_PYTHON does not name a Python with the package gguf")
	}
	path, tensors, values := writeSample(t)
	cmd := exec.Command(python, "-c", peerScript, path)
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Fields  []string
		Tensors map[string][]float32
		Same    map[string]bool
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Fields) != 9 || len(got.Tensors) != len(tensors) || len(got.Same) != 4 {
		t.Fatalf("%d fields, %d tensors", len(got.Fields), len(got.Tensors))
	}
	for _, want := range tensors {
		raw, err := Quantize(want.Type, values)
		if err != nil {
			t.Fatal(err)
		}
		x, err := Dequantize(want.Type, raw)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i := range x {
			worst = max(worst, math.Abs(float64(x[i]-got.Tensors[want.Name][i])))
		}
		if worst > 1e-7 {
			t.Errorf("%s: gguf reads values %g off", want.Name, worst)
		}
	}
	for name, same := range got.Same {
		if !same {
			t.Errorf("%s: gguf makes other bytes", name)
		}
	}
}
