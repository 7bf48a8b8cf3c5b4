package llm

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// savedModel writes a random model of quantConfig.
func savedModel(t *testing.T, dtype safetensors.DType) string {
	t.Helper()
	m, err := New(testkit.Backend(t), quantConfig(t), 5, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	if err := m.Save(dir, dtype); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is quantised from file to file, in one file or in shards, is what is quantised
// while it is loaded, weight by weight and bit by bit.
func TestQuantizeFiles(t *testing.T) {
	for name, c := range quantKinds {
		for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.BF16} {
			if dtype == safetensors.BF16 && name != "nf4_double" {
				continue
			}
			dir, out := savedModel(t, dtype), t.TempDir()
			most := int64(shardBytes)
			if name == "nf4_double" {
				most = 20_000
			}
			done, err := quantizeFiles(dir, out, QuantOptions{Config: c, Compute: dtypes.BFloat16}, most)
			if err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(filepath.Join(out, "*.safetensors"))
			if want := name == "nf4_double"; done.Weights != 14 || want != (len(files) > 2) || done.After >= done.Before {
				t.Errorf("%s: %+v in %d files", name, done, len(files))
			}
			want, err := Load(testkit.Backend(t), dir, LoadOptions{Quantize: &QuantOptions{Config: c}})
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			have, err := Load(testkit.Backend(t), out, LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer have.Close()
			if !slices.Equal(have.Names(), want.Names()) || have.Quantized().Config != want.Quantized().Config {
				t.Fatalf("%s: %+v, want %+v", name, have.Quantized(), want.Quantized())
			}
			if c.Type != quant.Int8 && have.Quantized().Compute != dtypes.BFloat16 {
				t.Errorf("%s: products in %s", name, have.Quantized().Compute)
			}
			for _, w := range want.Names() {
				a, errA := have.Weight(w)
				b, errB := want.Weight(w)
				if errA != nil || errB != nil || !slices.Equal(a, b) {
					t.Fatalf("%s: %s differs (%v, %v)", name, w, errA, errB)
				}
			}
		}
	}
}

// An adapter of quantised weights belongs to what these were made from as well, and the
// other way round; it does not belong to others.
func TestQuantisedBaseIsTheSameBase(t *testing.T) {
	b := testkit.Backend(t)
	dir, out := savedModel(t, safetensors.F32), t.TempDir()
	if _, err := QuantizeFiles(dir, out, QuantOptions{}); err != nil {
		t.Fatal(err)
	}
	other := savedModel(t, safetensors.BF16)
	adapters := map[string]string{}
	for _, base := range []string{dir, out} {
		m, err := Load(b, base, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.NewAdapter(ftlib.LoRA{R: 2}, 1)
		if err != nil {
			t.Fatal(err)
		}
		adapters[base] = t.TempDir()
		if err := a.Save(adapters[base], base); err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
	for _, base := range []string{dir, out, other} {
		m, err := Load(b, base, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for from, path := range adapters {
			a, err := m.LoadAdapter(path)
			if base == other {
				if err == nil || !strings.Contains(err.Error(), "other weights") {
					t.Errorf("an adapter of %s on others: %v", from, err)
				}
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			m.SetAdapter(nil)
			a.Close()
		}
		m.Close()
	}
}

// What is damaged, missing or senseless is refused by name, before or while it is read.
func TestQuantizeFilesRefusals(t *testing.T) {
	edit := func(change func(all map[string]safetensors.Tensor)) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, "model.safetensors")
			f, err := safetensors.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			all := map[string]safetensors.Tensor{}
			for _, name := range f.Names() {
				x, err := f.Tensor(name)
				if err != nil {
					return err
				}
				x.Data = slices.Clone(x.Data)
				all[name] = x
			}
			change(all)
			var list []safetensors.Tensor
			for _, name := range sortedKeys(all) {
				list = append(list, all[name])
			}
			return safetensors.Write(path, list, nil)
		}
	}
	const q, norm = "model.layers.1.self_attn.q_proj.weight", "model.norm.weight"
	nan := func(at int, v float64) func(map[string]safetensors.Tensor) {
		return func(all map[string]safetensors.Tensor) {
			for i := range 4 {
				all[q].Data[4*at+i] = byte(math.Float32bits(float32(v)) >> (8 * i))
			}
		}
	}
	for name, c := range map[string]struct {
		damage func(dir string) error
		o      QuantOptions
		want   string
	}{
		"a cut file": {func(dir string) error { return os.Truncate(filepath.Join(dir, "model.safetensors"), 60_000) }, QuantOptions{}, "damaged or incomplete"},
		"no header": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("<!DOCTYPE html>"), 0o644)
		}, QuantOptions{}, "damaged or incomplete"},
		"no config":        {func(dir string) error { return os.Remove(filepath.Join(dir, "config.json")) }, QuantOptions{}, "config.json"},
		"no weights":       {func(dir string) error { return os.Remove(filepath.Join(dir, "model.safetensors")) }, QuantOptions{}, "holds no model.safetensors"},
		"a missing weight": {edit(func(all map[string]safetensors.Tensor) { delete(all, q) }), QuantOptions{}, q + " [48 48] is missing"},
		"one too many":     {edit(func(all map[string]safetensors.Tensor) { x := all[norm]; x.Name = "model.layers.7.x"; all[x.Name] = x }), QuantOptions{}, "model.layers.7.x is left over"},
		"another shape":    {edit(func(all map[string]safetensors.Tensor) { x := all[q]; x.Shape = []int{96, 24}; all[q] = x }), QuantOptions{}, q + " is [96 24]"},
		"integers":         {edit(func(all map[string]safetensors.Tensor) { x := all[q]; x.DType = safetensors.I32; all[q] = x }), QuantOptions{}, "F32, BF16 and F16"},
		"a NaN":            {edit(nan(700, math.NaN())), QuantOptions{}, q + ": quant: value 700 is NaN"},
		"infinity, double": {edit(nan(0, math.Inf(-1))), QuantOptions{Config: quant.Config{Double: true}}, "value 0 is -Inf"},
		"a NaN in int8":    {edit(nan(5, math.NaN())), QuantOptions{Config: quant.Config{Type: quant.Int8}}, "value 5 is NaN"},
		"an unknown type":  {nil, QuantOptions{Config: quant.Config{Type: "nf5"}}, "unknown type \"nf5\""},
		"blocks of int8":   {nil, QuantOptions{Config: quant.Config{Type: quant.Int8, Block: 64}}, "int8"},
		"a block of 48":    {nil, QuantOptions{Config: quant.Config{Block: 48}}, "48"},
		"quantised already": {func(dir string) error {
			_, err := QuantizeFiles(savedModel(t, safetensors.F32), dir, QuantOptions{})
			return err
		}, QuantOptions{}, "quantised already"},
	} {
		dir, out := savedModel(t, safetensors.F32), t.TempDir()
		if c.damage != nil {
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := QuantizeFiles(dir, out, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if left, _ := os.ReadDir(out); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}
