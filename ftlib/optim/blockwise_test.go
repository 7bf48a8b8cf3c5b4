package optim

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
	"ftlab/internal/testkit"
)

// The program's codes are the nearest ones, and those that package quant finds, for
// values of all sizes, bounds and zeros.
func TestDynamicCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, d := range map[string]*dynamic{"signed": signedMap, "unsigned": unsignedMap} {
		for bin, at := range d.first {
			y := math.Float32frombits(uint32(bin) << 16)
			if high := math.Float32frombits(uint32(bin)<<16 | 0xffff); high > y {
				y = high
			}
			if want, _ := slices.BinarySearch(d.bounds, y); y == y && want > int(at)+1 {
				t.Fatalf("%s: two bounds between values that begin with %#x", name, bin)
			}
		}
		x := make([]float32, 1<<14)
		for i := range x {
			x[i] = float32(math.Pow(10, -9*rng.Float64()))
			if name == "signed" && i%2 == 0 {
				x[i] = -x[i]
			}
		}
		copy(x[256:], d.bounds[:255]) // ties
		copy(x[512:], make([]float32, 256))
		copy(x[768:], d.values)
		e, err := graph.NewExec(testkit.Backend(t), func(x *graph.Node) []*graph.Node {
			codes, absmax := d.write(x)
			return []*graph.Node{codes, absmax, d.read(codes, absmax)}
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := e.Call(tensors.FromFlatDataAndDimensions(x, len(x)/256, 256))
		if err != nil {
			t.Fatal(err)
		}
		codes, absmax := tensors.MustCopyFlatData[uint8](out[0]), tensors.MustCopyFlatData[float32](out[1])
		want, scales := quant.Blockwise(x, d.values, 256)
		if !slices.Equal(absmax, scales) {
			t.Errorf("%s: other scales", name)
		}
		back := tensors.MustCopyFlatData[float32](out[2])
		for i, c := range codes {
			if v := d.values[c] * scales[i/256]; v != back[i] {
				t.Fatalf("%s: code %d reads as %v, want %v", name, c, back[i], v)
			}
			// A block's scale may be the inverse of a number or its quotient, so that a value
			// next to a bound is on either side of it.
			if a, b := float64(d.values[c]), float64(d.values[want[i]]); c != want[i] {
				y := float64(x[i] / scales[i/256])
				if math.Abs(math.Abs(a-y)-math.Abs(b-y)) > 1e-6*math.Abs(y) {
					t.Fatalf("%s: %v has code %d, want %d", name, x[i], c, want[i])
				}
			}
		}
	}
}

func TestGoldenAdamW8bit(t *testing.T) {
	f, err := safetensors.Open(testkit.Golden(t, "quant/adamw8bit_nearest.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var set struct {
		Betas [2]float64
		Block int `json:"blocksize"`
		Eps   float64
		LR    float64
		Small int     `json:"min_8bit_size"`
		Decay float64 `json:"weight_decay"`
	}
	testkit.GoldenJSON(t, "quant/adamw8bit_nearest.json", &set)
	if set.Block != scaleBlock || set.Small != smallest {
		t.Fatalf("blocks of %d from %d values on", set.Block, set.Small)
	}
	tensor := func(name string) safetensors.Tensor {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	read := func(name string) []float32 {
		v, err := tensor(name).Float32s()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if !slices.Equal(read("qmap1"), signedMap.values) || !slices.Equal(read("qmap2"), unsignedMap.values) {
		t.Error("other maps")
	}
	o, err := New(testkit.Backend(t), ftlib.Optim{Optim: "adamw_8bit"})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	w, shape := newTable(), tensor("param0").Shape
	w.value["w"] = tensors.FromFlatDataAndDimensions(read("param0"), shape...)
	for step := 1; f.Has("grad" + string(rune('0'+step))); step++ {
		n := string(rune('0' + step))
		w.grad["w"] = tensors.FromFlatDataAndDimensions(read("grad"+n), shape...)
		h := Hyper{LR: set.LR, WeightDecay: set.Decay, Beta1: set.Betas[0], Beta2: set.Betas[1], Epsilon: set.Eps, Step: step}
		if err := o.Step(w, []string{"w"}, h, 0, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		differ := 0
		for slot, theirs := range map[string]string{"m": "1", "v": "2"} {
			if !f.Has("state" + theirs + "_" + n) {
				continue
			}
			want := tensor("state" + theirs + "_" + n).Data
			for i, c := range tensors.MustCopyFlatData[uint8](o.State()[slot+"/w"]) {
				if c != want[i] {
					differ++
				}
			}
			for i, a := range read("absmax" + theirs + "_" + n) {
				if have := tensors.MustCopyFlatData[float32](o.State()[slot+".absmax/w"])[i]; math.Abs(float64(have/a)-1) > 1e-5 {
					t.Errorf("step %s: scale %d of %s is %v, want %v", n, i, slot, have, a)
				}
			}
		}
		want, worst, far := read("param"+n), 0.0, 0
		for i, v := range tensors.MustCopyFlatData[float32](w.value["w"]) {
			d := math.Abs(float64(v - want[i]))
			if worst = max(worst, d); d > 1e-5 {
				far++
			}
		}
		t.Logf("step %s: weights within %.2g, %d above 1e-5, %d codes differ", n, worst, far, differ)
		if step == 1 && worst > 1e-6 || far > len(want)/1000 || differ > 2*len(want)/1000 {
			t.Errorf("step %s: weights within %v, %d of them far, %d codes of %d differ", n, worst, far, differ, 2*len(want))
		}
	}
}

// wide are weights that have state in 8 bits, of whole blocks and not, joined with others
// and alone, and ones that stay in 32: small ones and the embedding.
var wide = map[string][]int{"a": {64, 80}, "b": {67, 71}, "c": {300, 260}, "norm": {64}, "model.embed_tokens.weight": {80, 64}}

func train(t *testing.T, o *Optimizer, w table, from, to int) {
	t.Helper()
	names := []string{"a", "b", "c", "norm", "model.embed_tokens.weight"}
	for step := from; step <= to; step++ {
		rng := rand.New(rand.NewPCG(uint64(step), 7))
		for _, name := range names {
			w.grad[name] = drawn(rng, wide[name])
			if w.value[name] == nil {
				w.value[name] = drawn(rng, wide[name])
			}
		}
		h := Hyper{LR: 1e-2, WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, MaxGradNorm: 1, Step: step}
		if err := o.Step(w, names, h, 3, func(name string) bool { return name != "norm" }); err != nil {
			t.Fatal(err)
		}
	}
}

func drawn(rng *rand.Rand, shape []int) *tensors.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp(3*rng.NormFloat64()))
	}
	return tensors.FromFlatDataAndDimensions(x, shape...)
}

func optimizer(t *testing.T, name string) *Optimizer {
	t.Helper()
	o, err := New(testkit.Backend(t), ftlib.Optim{Optim: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// State in 8 bits against the same rule with state that package quant rounds: each block
// by itself, whatever it is joined with.
func TestBlocks(t *testing.T) {
	for _, kind := range []string{"adamw_8bit", "lion_8bit"} {
		o, w := optimizer(t, kind), newTable()
		train(t, o, w, 1, 1)
		state := o.State()
		for name, shape := range wide {
			n := shape[0]
			if len(shape) > 1 {
				n *= shape[1]
			}
			eight := name == "a" || name == "b" || name == "c"
			if m := state["m/"+name]; (m.DType().Size() == 1) != eight {
				t.Errorf("%s: state of %s is %s", kind, name, m.Shape())
			}
			if !eight {
				continue
			}
			keep := 0.1 // of a gradient that was scaled down to a third
			if kind == "lion_8bit" {
				keep = 0.01
			}
			g := tensors.MustCopyFlatData[float32](w.grad[name])
			for i := range g {
				g[i] *= float32(keep / 3.000001)
			}
			want, scales := quant.Blockwise(g, signedMap.values, 256)
			have := tensors.MustCopyFlatData[uint8](state["m/"+name])
			differ := 0
			for i := range want {
				if want[i] != have[i] {
					differ++
				}
			}
			if len(have) != n || differ > n/500 {
				t.Errorf("%s: %d codes of %s, %d of %d differ", kind, len(have), name, differ, n)
			}
			for i, s := range tensors.MustCopyFlatData[float32](state["m.absmax/"+name]) {
				if math.Abs(float64(s/scales[i])-1) > 1e-5 {
					t.Errorf("%s: scale %d of %s is %v, want %v", kind, i, name, s, scales[i])
				}
			}
		}
	}
}

func same(t *testing.T, what string, a, b map[string]*tensors.Tensor) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d and %d tensors", what, len(a), len(b))
	}
	for name := range a {
		var x, y []byte
		if err := a[name].ConstBytes(func(d []byte) { x = bytes.Clone(d) }); err != nil {
			t.Fatal(err)
		}
		if err := b[name].ConstBytes(func(d []byte) { y = bytes.Clone(d) }); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

// A paged optimizer has its state on the host between steps, and computes the same bits.
func TestPaged(t *testing.T) {
	for paged, plain := range map[string]string{"paged_adamw_8bit": "adamw_8bit", "paged_lion_32bit": "lion"} {
		a, b, w, v := optimizer(t, paged), optimizer(t, plain), newTable(), newTable()
		for _, o := range []struct {
			*Optimizer
			table
		}{{a, w}, {b, v}} {
			train(t, o.Optimizer, o.table, 1, 4)
		}
		for key, s := range a.State() {
			if s.IsOnAnyDevice() || !s.HasLocal() {
				t.Errorf("%s: %s is still on the device", paged, key)
			}
		}
		for key, s := range b.State() {
			if !s.IsOnAnyDevice() {
				t.Errorf("%s: %s is not on the device", plain, key)
			}
		}
		same(t, paged, w.value, v.value)
		same(t, paged, a.State(), b.State())
	}
}

// A state that is handed on goes on as if nothing had been; another optimizer refuses it.
func TestHandedOn(t *testing.T) {
	for _, kind := range []string{"paged_adamw_8bit", "adafactor"} {
		straight, w := optimizer(t, kind), newTable()
		train(t, straight, w, 1, 4)
		first, v := optimizer(t, kind), newTable()
		train(t, first, v, 1, 2)
		second := optimizer(t, kind)
		state := first.Take()
		if err := second.Fits(state, v); err != nil {
			t.Fatal(err)
		}
		second.SetState(state)
		train(t, second, v, 3, 4)
		same(t, kind, w.value, v.value)
		if other := optimizer(t, "adamw_torch"); other.Fits(second.State(), v) == nil {
			t.Errorf("AdamW takes the state of %s", kind)
		}
	}
}
