package safetensors

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ftlab/internal/testkit"
)

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var want []Tensor
	for i, d := range []DType{F32, F16, BF16} {
		x, err := FromFloat32s(fmt.Sprint("t", i), d, []int{2, 3}, []float32{0, 1, -2.5, 3.25, -0.125, 65504})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, x)
	}
	want = append(want, Tensor{Name: "scalar", DType: I64, Data: make([]byte, 8)}, Tensor{Name: "empty", DType: F32, Shape: []int{0, 4}})
	if err := Write(path, want, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata["format"] != "pt" || len(f.Names()) != len(want) {
		t.Fatalf("metadata %v, names %v", f.Metadata, f.Names())
	}
	for _, w := range want {
		got, err := f.Tensor(w.Name)
		if err != nil || got.DType != w.DType || !bytes.Equal(got.Data, w.Data) || got.Elements() != w.Elements() {
			t.Errorf("%s: got %v %v (%v), want %v", w.Name, got.DType, got.Shape, err, w.Shape)
		}
	}
	if v, err := f.Tensor("t2"); err != nil {
		t.Error(err)
	} else if x, _ := v.Float32s(); x[2] != -2.5 {
		t.Errorf("bfloat16 value %v", x)
	}
}

// Every half-precision pattern survives the way to float32 and back.
func TestHalfExhaustive(t *testing.T) {
	for i := 0; i < 1<<16; i++ {
		h := uint16(i)
		v := halfToFloat(h)
		if v != v {
			if w := halfToFloat(floatToHalf(v)); w == w {
				t.Fatalf("%#x: NaN became %v", h, w)
			}
			continue
		}
		if got := floatToHalf(v); got != h {
			t.Fatalf("%#x -> %v -> %#x", h, v, got)
		}
	}
	for v, want := range map[float32]uint16{1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02, 65520: 0x7c00, 65519: 0x7bff, float32(math.Ldexp(1, -25)): 0, float32(math.Ldexp(1.5, -25)): 1} {
		if got := floatToHalf(v); got != want {
			t.Errorf("half(%v) = %#x, want %#x (round to nearest even)", v, got, want)
		}
	}
}

func TestDamagedFilesAreErrors(t *testing.T) {
	good, err := os.ReadFile(testkit.Golden(t, "models/llama/model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"empty": nil, "short": good[:5], "headless": good[:100], "cut": good[:len(good)-1],
		"nojson": append([]byte{3, 0, 0, 0, 0, 0, 0, 0}, "abc"...),
		"shape":  append([]byte{71, 0, 0, 0, 0, 0, 0, 0}, fmt.Sprintf("%-71s", `{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`)[:71]...),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(path); err == nil {
			f.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error does not name the file: %v", name, err)
		}
	}
}

func TestSharded(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a", "b"} {
		x, _ := FromFloat32s(name, F32, []int{1}, []float32{float32(i)})
		if err := Write(filepath.Join(dir, "model-"+name+".safetensors"), []Tensor{x}, nil); err != nil {
			t.Fatal(err)
		}
	}
	index := `{"weight_map":{"a":"model-a.safetensors","b":"model-b.safetensors"}}`
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if x, err := m.Tensor("b"); err != nil || fmt.Sprint(m.Names()) != "[a b]" {
		t.Fatalf("%v %v", m.Names(), err)
	} else if v, _ := x.Float32s(); v[0] != 1 {
		t.Fatal(v)
	}
	os.Remove(filepath.Join(dir, "model-b.safetensors"))
	if _, err := OpenModel(dir); err == nil || !strings.Contains(err.Error(), "model-b.safetensors") {
		t.Fatalf("missing shard: %v", err)
	}
}
