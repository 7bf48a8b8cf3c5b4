package quant_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

func open(t *testing.T, name string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(testkit.Golden(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func tensor(t *testing.T, f *safetensors.File, name string) safetensors.Tensor {
	t.Helper()
	x, err := f.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func floats(t *testing.T, f *safetensors.File, name string) []float32 {
	t.Helper()
	v, err := tensor(t, f, name).Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestGoldenQuantDynamic: the maps of bitsandbytes bit for bit, and its block-wise codes.
func TestGoldenQuantDynamic(t *testing.T) {
	f := open(t, "quant/dynamic8bit.safetensors")
	for name, signed := range map[string]bool{"dynamic_map_signed": true, "dynamic_map_unsigned": false} {
		if !slices.Equal(quant.DynamicMap(signed), floats(t, f, name)) {
			t.Errorf("%s differs", name)
		}
	}
	codes, absmax := quant.Blockwise(floats(t, f, "blockwise_x"), quant.DynamicMap(true), 256)
	if !slices.Equal(absmax, floats(t, f, "blockwise_absmax")) {
		t.Error("absmax differ")
	}
	equalToOne(t, codes, tensor(t, f, "blockwise_q").Data, tensor(t, f, "blockwise_q_nearest").Data)
}

// equalToOne: every byte is one of those that bitsandbytes makes on its two ways.
func equalToOne(t *testing.T, have, a, b []byte) {
	t.Helper()
	if len(have) != len(a) {
		t.Fatalf("%d codes, want %d", len(have), len(a))
	}
	for i, c := range have {
		if c != a[i] && c != b[i] {
			t.Fatalf("code %d is %d, want %d or %d", i, c, a[i], b[i])
		}
	}
}

func TestGoldenQuantNF4(t *testing.T) {
	for _, name := range []string{"nf4_normal_single", "nf4_normal_double", "nf4_outliers_tail_single", "nf4_outliers_tail_double"} {
		t.Run(name, func(t *testing.T) {
			f := open(t, "quant/"+name+".safetensors")
			in := tensor(t, f, "input")
			double := f.Has("nested_absmax")
			w, err := quant.Quantize(floats(t, f, "input"), in.Shape, quant.Config{Double: double})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(w.Packed, tensor(t, f, "packed").Data) {
				t.Error("packed bytes differ")
			}
			if double {
				equalToOne(t, w.Codes, tensor(t, f, "absmax").Data, tensor(t, f, "absmax_nearest_code").Data)
				if want := floats(t, f, "offset")[0]; math.Abs(float64(w.Offset/want)-1) > 1e-6 {
					t.Errorf("offset %v, want %v", w.Offset, want)
				}
			} else if !slices.Equal(w.Absmax, floats(t, f, "absmax")) {
				t.Error("absmax differ")
			}
			// What bitsandbytes stored dequantises to its values exactly, and is written as it was.
			stored, err := quant.Read(f, "linear4bit.weight")
			if err != nil {
				t.Fatal(err)
			}
			values := make([]float32, stored.Elements())
			if err := stored.Dequantize(values); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(values, floats(t, f, "dequantized")) {
				t.Error("dequantised values differ")
			}
			for _, x := range stored.Tensors("linear4bit.weight") {
				want := tensor(t, f, x.Name)
				if x.DType != want.DType || !slices.Equal(x.Shape, want.Shape) {
					t.Errorf("%s is %s%v, want %s%v", x.Name, x.DType, x.Shape, want.DType, want.Shape)
				}
				if !bytes.Equal(x.Data, want.Data) {
					t.Errorf("%s differs", x.Name)
				}
			}
		})
	}
}

func TestGoldenQuantHalfSources(t *testing.T) {
	f := open(t, "quant/nf4_half_sources.safetensors")
	for _, dtype := range []string{"bfloat16", "float16"} {
		in := tensor(t, f, dtype+".input")
		w, err := quant.Quantize(floats(t, f, dtype+".input"), in.Shape, quant.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(w.Packed, tensor(t, f, dtype+".packed").Data) || !slices.Equal(w.Absmax, floats(t, f, dtype+".absmax")) {
			t.Errorf("%s: bytes or absmax differ", dtype)
		}
		values := make([]float32, w.Elements())
		if err := w.Dequantize(values); err != nil {
			t.Fatal(err)
		}
		want := tensor(t, f, dtype+".dequantized")
		have, err := safetensors.FromFloat32s("", want.DType, want.Shape, values)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have.Data, want.Data) {
			t.Errorf("%s: dequantised values differ", dtype)
		}
	}
}

func random(n int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func TestHalves(t *testing.T) {
	for _, shape := range [][]int{{8, 64}, {7, 64}, {33, 50}, {5, 3}, {1, 1}} {
		w, err := quant.Quantize(random(shape[0]*shape[1], 7), shape, quant.Config{Block: 32})
		if err != nil {
			t.Fatal(err)
		}
		half := make([]byte, quant.Halves(shape[0])*shape[1])
		if err := w.PackHalves(half); err != nil {
			t.Fatal(err)
		}
		for r := range shape[0] {
			for c := range shape[1] {
				i, h := r*shape[1]+c, quant.Halves(shape[0])
				want := w.Packed[i/2] >> (4 * (1 - i%2)) & 15
				have := half[r%h*shape[1]+c] >> (4 * (r / h)) & 15
				if have != want {
					t.Fatalf("%v: row %d, column %d is %d, want %d", shape, r, c, have, want)
				}
			}
		}
		packed := slices.Clone(w.Packed)
		if shape[0]*shape[1]%2 == 1 { // the last low nibble stands for nothing
			packed[len(packed)-1] &= 0xf0
		}
		if err := w.UnpackHalves(half); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(w.Packed, packed) {
			t.Errorf("%v: the bytes do not come back", shape)
		}
	}
}

// TestError: the error of a value is at most half the widest step of its type times the
// scale of its block.
func TestError(t *testing.T) {
	x := random(128*96, 3)
	for _, c := range []quant.Config{{}, {Type: quant.FP4}, {Type: quant.Int8}, {Double: true}, {Block: 4096, Type: quant.FP4, Double: true}} {
		w, err := quant.Quantize(x, []int{128, 96}, c)
		if err != nil {
			t.Fatal(err)
		}
		y := make([]float32, len(x))
		if err := w.Dequantize(y); err != nil {
			t.Fatal(err)
		}
		scales, widest := w.Scales(), map[quant.Type]float64{quant.NF4: 0.31, quant.FP4: 1.0 / 3, quant.Int8: 1.0 / 127}[w.Type]
		for i := range x {
			at := i / 96
			if w.Block > 0 {
				at = i / w.Block
			}
			slack := 1e-5
			if w.Double { // the scale itself is off
				slack = 0.05
			}
			if e := math.Abs(float64(x[i] - y[i])); e > (widest/2+slack)*float64(scales[at]) {
				t.Fatalf("%+v: %v became %v in a block of %v", c, x[i], y[i], scales[at])
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []quant.Config{{Type: "nf3"}, {Block: 48}, {Block: 16}, {Block: 8192}, {Type: quant.Int8, Double: true}} {
		if _, err := c.Resolve(); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	if _, err := quant.Quantize(make([]float32, 5), []int{2, 3}, quant.Config{}); err == nil {
		t.Error("five values fill a shape of six")
	}
	w, err := quant.Quantize(random(256, 1), []int{4, 64}, quant.Config{Double: true})
	if err != nil {
		t.Fatal(err)
	}
	all := w.Tensors("x.weight")
	for i := range all {
		damaged := slices.Clone(all)
		damaged[i].Data = damaged[i].Data[:len(damaged[i].Data)/2/4*4]
		damaged[i].Shape = []int{len(damaged[i].Data) / damaged[i].DType.Size()}
		path := filepath.Join(t.TempDir(), "w.safetensors")
		if err := safetensors.Write(path, damaged, nil); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := quant.Read(f, "x.weight"); err == nil {
			t.Errorf("%s cut in half is read", damaged[i].Name)
		}
		f.Close()
	}
}

// TestPeer compares bytes with a Python that has bitsandbytes, named by FTLAB_PYTHON.
func TestPeer(t *testing.T) {
	python := os.Getenv("FTLAB_PYTHON")
	if python == "" || exec.Command(python, "-c", "import bitsandbytes").Run() != nil {
		t.Skip("SKIPPED: FTLAB_PYTHON names no Python with bitsandbytes")
	}
	dir := t.TempDir()
	shape := []int{48, 128} // of whole blocks: bitsandbytes on a processor misreads others
	x := random(48*128, 11)
	x[5], x[6] = 0, 20
	in, err := safetensors.FromFloat32s("x", safetensors.F32, shape, x)
	if err != nil {
		t.Fatal(err)
	}
	all := []safetensors.Tensor{in}
	var names []string
	for _, c := range []quant.Config{{Double: true}, {Block: 32}, {Block: 4096, Double: true}, {Type: quant.FP4, Double: true}, {Type: quant.FP4, Block: 128}} {
		w, err := quant.Quantize(x, shape, c)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s_%d_%v.weight", w.Type, w.Block, w.Double)
		values := make([]float32, len(x))
		if err := w.Dequantize(values); err != nil {
			t.Fatal(err)
		}
		dq, err := safetensors.FromFloat32s(name+"/dequantized", safetensors.F32, shape, values)
		if err != nil {
			t.Fatal(err)
		}
		all, names = append(append(all, w.Tensors(name)...), dq), append(names, name)
	}
	path := filepath.Join(dir, "w.safetensors")
	if err := safetensors.Write(path, all, nil); err != nil {
		t.Fatal(err)
	}
	script := `
import sys, torch
from safetensors.torch import load_file
from bitsandbytes.functional import QuantState, quantize_4bit, dequantize_4bit
d = load_file(sys.argv[1])
for name in sys.argv[2:]:
    state = {k[len(name) + 1:]: v for k, v in d.items() if k.startswith(name + ".")}
    qs = QuantState.from_dict(state, device="cpu")
    same = torch.equal(dequantize_4bit(d[name], qs), d[name + "/dequantized"])
    q, theirs = quantize_4bit(d["x"], blocksize=qs.blocksize, quant_type=qs.quant_type, compress_statistics=qs.nested)
    assert same, name + ": dequantised values differ"
    assert torch.equal(q, d[name]), name + ": bytes differ"
`
	if out, err := exec.Command(python, append([]string{"-c", script, path}, names...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
