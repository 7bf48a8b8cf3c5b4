package device_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
	"ftlab/kernel/device"
	"ftlab/kernel/session"
)

// A model's file becomes kept tensors: as stored bit for bit, converted as safetensors
// converts.
func TestLoadFile(t *testing.T) {
	kinds(t, func(t *testing.T, real compute.Backend) {
		path := testkit.Golden(t, "models/llama/model.safetensors")
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, addr := serve(t, real, device.Options{})
		b := client(t, addr)
		for _, dtype := range []string{"", "bfloat16", "f32"} {
			kept, err := b.LoadFile(path, "m"+dtype+"/", session.LoadOptions{DType: dtype})
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) != len(f.Names()) {
				t.Errorf("%q: %d of %d tensors", dtype, len(kept), len(f.Names()))
			}
			bound, err := b.Bind("m" + dtype)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range f.Names() {
				want, err := f.Tensor(name)
				if err != nil {
					t.Fatal(err)
				}
				if dtype == "bfloat16" && want.DType != safetensors.BF16 {
					values, err := want.Float32s()
					if err != nil {
						t.Fatal(err)
					}
					if want, err = safetensors.FromFloat32s(name, safetensors.BF16, want.Shape, values); err != nil {
						t.Fatal(err)
					}
				}
				x := bound["m"+dtype+"/"+name]
				if x == nil {
					t.Fatalf("%q: no %s", dtype, name)
				}
				shape, _ := x.Shape()
				flat := dtypes.MakeAnySlice(shape.DType, shape.Size())
				if err := x.ToFlatData(flat); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(shape.Dimensions, want.Shape) || !slices.Equal(dtypes.UnsafeByteSliceFromAny(flat), want.Data) {
					t.Errorf("%q: %s differs from the file", dtype, name)
				}
			}
		}
		if st := s.Stats(); st.Buffers != st.Kept {
			t.Errorf("%d buffers, %d names", st.Buffers, st.Kept)
		}
	})
}

// writeShards makes a model of two files: a and b, and c.
func writeShards(t *testing.T, dir string, extra ...safetensors.Tensor) {
	t.Helper()
	tensor := func(name string, v ...float32) safetensors.Tensor {
		x, err := safetensors.FromFloat32s(name, safetensors.F32, []int{len(v)}, v)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	where := map[string]string{}
	for file, tensors := range map[string][]safetensors.Tensor{"m-1.safetensors": {tensor("l.0.a", 1, 2), tensor("l.0.b", 3)}, "m-2.safetensors": append(extra, tensor("l.1.a", 4))} {
		if err := safetensors.Write(filepath.Join(dir, file), tensors, nil); err != nil {
			t.Fatal(err)
		}
		for _, x := range tensors {
			where[x.Name] = file
		}
	}
	index, err := json.Marshal(map[string]any{"weight_map": where})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), index, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadChosenTensors(t *testing.T) {
	_, addr := serve(t, goBackend(t), device.Options{})
	b, dir := client(t, addr), t.TempDir()
	writeShards(t, dir)
	if _, err := b.LoadFile(dir, "m", session.LoadOptions{Only: []string{"l.*.a"}}); err != nil {
		t.Fatal(err)
	}
	if got := keptValues(t, b); !same(got, map[string][]float32{"m/l.0.a": {1, 2}, "m/l.1.a": {4}}) {
		t.Errorf("kept %v", got)
	}
	if _, err := b.LoadFile(dir, "m", session.LoadOptions{Only: []string{"l.0.b"}, Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := keptValues(t, b); !same(got, map[string][]float32{"m/l.0.b": {3}}) {
		t.Errorf("kept %v", got)
	}
	if _, err := b.LoadFile(dir, "", session.LoadOptions{Only: []string{"l.1.a"}}); err != nil {
		t.Fatal(err)
	}
	if got := keptValues(t, b); !same(got, map[string][]float32{"m/l.0.b": {3}, "l.1.a": {4}}) {
		t.Errorf("kept %v", got)
	}
}

// Whatever goes wrong, at whatever tensor: the error names the file and no name appears.
func TestLoadAllOrNothing(t *testing.T) {
	s, addr := serve(t, goBackend(t), device.Options{LimitBytes: 1000, Quantize: func(how string, x safetensors.Tensor) ([]safetensors.Tensor, error) {
		if how != "halve" {
			return nil, fmt.Errorf("no way to %s", how)
		}
		if x.Name == "l.1.a" {
			return nil, errors.New("not this one")
		}
		return []safetensors.Tensor{x}, nil
	}})
	b := client(t, addr)
	keepValues(t, b, map[string][]float32{"m/l.0.a": {7}})
	for what, c := range map[string]struct {
		damage func(dir string) error
		o      session.LoadOptions
		says   string
	}{
		"missing shard": {func(dir string) error { return os.Remove(filepath.Join(dir, "m-2.safetensors")) }, session.LoadOptions{}, "m-2.safetensors"},
		"cut shard":     {func(dir string) error { return os.Truncate(filepath.Join(dir, "m-2.safetensors"), 70) }, session.LoadOptions{}, "m-2.safetensors"},
		"no index":      {func(dir string) error { return os.Remove(filepath.Join(dir, "model.safetensors.index.json")) }, session.LoadOptions{}, "model.safetensors"},
		"no folder":     {os.RemoveAll, session.LoadOptions{}, "no such file"},
		"no such type":  {nil, session.LoadOptions{DType: "float7"}, "float7"},
		"not a weight":  {nil, session.LoadOptions{DType: "int8"}, "int8"},
		"no tensor":     {nil, session.LoadOptions{Only: []string{"l.0.a", "x*"}}, `"x*"`},
		"bad pattern":   {nil, session.LoadOptions{Only: []string{"["}}, "pattern"},
		"quantised":     {nil, session.LoadOptions{Quantize: "squash"}, "squash"},
		"last tensor":   {nil, session.LoadOptions{Quantize: "halve", Replace: true}, "l.1.a"},
		"strange type": {func(dir string) error {
			writeShards(t, dir, safetensors.Tensor{Name: "z", DType: "F8_E4M3"})
			return nil
		}, session.LoadOptions{Replace: true}, "F8_E4M3"},
		"too large": {func(dir string) error {
			x, err := safetensors.FromFloat32s("z", safetensors.F32, []int{300}, make([]float32, 300))
			writeShards(t, dir, x)
			return err
		}, session.LoadOptions{Replace: true}, "over the limit"},
	} {
		dir := filepath.Join(t.TempDir(), "model")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		writeShards(t, dir)
		if c.damage != nil {
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.LoadFile(dir, "m", c.o)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", what, err)
		}
		if got := keptValues(t, b); !same(got, map[string][]float32{"m/l.0.a": {7}}) {
			t.Errorf("%s: kept %v", what, got)
		}
		if _, err := b.Stats(); err != nil { // carries what keptValues no longer uses
			t.Fatal(err)
		}
		if n := s.Stats().Buffers; n != 1 {
			t.Errorf("%s: %d buffers", what, n)
		}
	}
	// Nothing of all this is still promised to anybody.
	if err := b.Keep(map[string]compute.Buffer{"most": upload(t, b, make([]float32, 240)...)}); err != nil {
		t.Error(err)
	}
}

// A file that is cut while it is read is an error, not the end of the server.
func TestLoadFileThatShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	_, addr := serve(t, goBackend(t), device.Options{Quantize: func(_ string, x safetensors.Tensor) ([]safetensors.Tensor, error) {
		return []safetensors.Tensor{x}, os.Truncate(path, 100)
	}})
	b := client(t, addr)
	x := safetensors.Tensor{Name: "x", DType: safetensors.U8, Shape: []int{1 << 20}, Data: make([]byte, 1<<20)}
	if err := safetensors.Write(path, []safetensors.Tensor{x}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LoadFile(path, "m", session.LoadOptions{Quantize: "cut"}); err == nil || !strings.Contains(err.Error(), "became shorter") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if kept, err := b.List(); err != nil || len(kept) != 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// How long a file of 200 MB takes to be there.
func BenchmarkLoadFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.safetensors")
	var tensors []safetensors.Tensor
	for i := range 20 {
		tensors = append(tensors, safetensors.Tensor{Name: fmt.Sprint(i), DType: safetensors.F32, Shape: []int{2500, 1000}, Data: make([]byte, 10e6)})
	}
	if err := safetensors.Write(path, tensors, nil); err != nil {
		b.Fatal(err)
	}
	_, addr := serve(b, testkit.Backend(b), device.Options{})
	c := client(b, addr)
	b.SetBytes(200e6)
	for b.Loop() {
		if _, err := c.LoadFile(path, "m", session.LoadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

var loadAll = session.LoadOptions{}

// hugeFile claims to hold a tensor of a terabyte, and is a hole.
func hugeFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "huge.safetensors")
	const bytes = 1 << 40
	header := fmt.Sprintf(`{"x":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, bytes, bytes)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(8 + int64(len(header)) + bytes); err != nil {
		t.Skip(err)
	}
	return path
}

// How long a checkpoint of 200 MB takes, all of it new, and one of which nothing is new.
func BenchmarkCheckpoint(b *testing.B) {
	_, addr := serve(b, testkit.Backend(b), device.Options{})
	c, dir := client(b, addr), b.TempDir()
	values := map[string][]float32{}
	for i := range 20 {
		values[fmt.Sprint("w/", i)] = make([]float32, 2.5e6)
	}
	for _, fresh := range []bool{true, false} {
		b.Run(map[bool]string{true: "new", false: "same"}[fresh], func(b *testing.B) {
			keepValues(b, c, values)
			for i := 0; b.Loop(); i++ {
				if fresh {
					b.StopTimer()
					keepValues(b, c, values)
					b.StartTimer()
				}
				saved, err := c.Checkpoint(dir)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(saved.Bytes)
			}
		})
	}
}
