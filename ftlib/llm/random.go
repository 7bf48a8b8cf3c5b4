package llm

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"

	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
)

// randomSource draws weights: N(0, 0.02), the projections into the residual stream
// scaled by 1/sqrt(2 layers) as GPT-2 does, norms 1, biases 0.
type randomSource struct {
	cfg   Config
	specs map[string][]int
	seed  int64
}

func (s randomSource) Names() []string { return sortedKeys(s.specs) }

func (s randomSource) Tensor(name string) (safetensors.Tensor, error) {
	return safetensors.Tensor{}, fmt.Errorf("llm: random weights are made where they are needed, %s too", name)
}

// std is the deviation of a matrix.
func (s randomSource) std(name string) float64 {
	if m := localName(name); m == s.cfg.names().o+".weight" || m == s.cfg.names().down+".weight" {
		return 0.02 / math.Sqrt(2*float64(s.cfg.Layers))
	}
	return 0.02
}

// key seeds the values of a weight.
func (s randomSource) key(name string) [2]uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return [2]uint64{uint64(s.seed), h.Sum64()}
}

// fill writes the values of a weight into a slice of float32 or bfloat16.
func (s randomSource) fill(name string, flat any) error {
	set := func(i int, v float32) { flat.([]float32)[i] = v }
	n := 0
	switch dst := flat.(type) {
	case []float32:
		n = len(dst)
	case []bfloat16.BFloat16:
		n = len(dst)
		set = func(i int, v float32) { dst[i] = bfloat16.FromFloat32(v) }
	}
	next := func() float32 { return 0 }
	switch {
	case strings.HasSuffix(name, ".bias"):
	case isNormOrBias(name):
		next = func() float32 { return 1 }
	default:
		std, key := s.std(name), s.key(name)
		rng := rand.New(rand.NewPCG(key[0], key[1]))
		next = func() float32 { return float32(rng.NormFloat64() * std) }
	}
	for i := range n {
		set(i, next())
	}
	return nil
}

// New makes a model with random weights: the start of pretraining, or a model of a
// certain shape for a measurement. The same seed gives the same weights. With NF4 the
// codes are drawn, not the values.
func New(b compute.Backend, c Config, seed int64, o LoadOptions) (*Model, error) {
	src := randomSource{c, map[string][]int{}, seed}
	for _, w := range c.weights() {
		src.specs[w.name] = w.shape
	}
	return load(b, "", c, src, o)
}

// WriteRandom writes the model that [New] makes with the same options as a directory that
// [Load] reads, one weight in memory at a time: files of a certain size to measure with.
func WriteRandom(dir string, c Config, seed int64, o LoadOptions) error {
	src := randomSource{c, map[string][]int{}, seed}
	m := &Model{Config: c, dtype: o.DType}
	if m.dtype == dtypes.InvalidDType {
		m.dtype = dtypes.Float32
	}
	l, err := m.loader(src, o)
	if err != nil {
		return err
	}
	var list []safetensors.Tensor
	var of []weightSpec // that a tensor of the list belongs to
	for _, w := range c.weights() {
		ts, err := l.randomFile(src, w) // made twice: how long a tensor is depends on its values
		if err != nil {
			return err
		}
		for _, t := range ts {
			t.Data = nil
			list, of = append(list, t), append(of, w)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	var now []safetensors.Tensor
	err = safetensors.WriteFunc(filepath.Join(dir, "model.safetensors"), list, map[string]string{"format": "pt"}, func(i int) ([]byte, error) {
		if i == 0 || of[i].name != of[i-1].name {
			if now, err = l.randomFile(src, of[i]); err != nil {
				return nil, err
			}
		}
		t := now[0]
		now = now[1:]
		return t.Data, nil
	})
	if err != nil {
		return err
	}
	config, err := c.JSON(map[dtypes.DType]safetensors.DType{dtypes.Float32: safetensors.F32, dtypes.BFloat16: safetensors.BF16}[m.dtype])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644)
	}
	return err
}

// randomFile makes the tensors of a weight as files have them.
func (l *loader) randomFile(r randomSource, w weightSpec) ([]safetensors.Tensor, error) {
	if l.spec != nil && l.linear[w.name] {
		q, err := quant.Random(w.shape, *l.spec, r.std(w.name), r.key(w.name))
		if err != nil {
			return nil, err
		}
		return q.Tensors(w.name), nil
	}
	n := 1
	for _, d := range w.shape {
		n *= d
	}
	t := safetensors.Tensor{Name: w.name, Shape: w.shape, DType: safetensors.F32}
	var flat any = make([]float32, n)
	if l.dtype(w.name) == dtypes.BFloat16 {
		t.DType, flat = safetensors.BF16, make([]bfloat16.BFloat16, n)
	}
	if err := r.fill(w.name, flat); err != nil {
		return nil, err
	}
	t.Data = dtypes.UnsafeByteSliceFromAny(flat)
	return []safetensors.Tensor{t}, nil
}
