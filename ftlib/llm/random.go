package llm

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/gomlx/compute"

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
	shape, ok := s.specs[name]
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("llm: no tensor %q", name)
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	values := make([]float32, n)
	switch {
	case strings.HasSuffix(name, ".bias"):
	case isNormOrBias(name):
		for i := range values {
			values[i] = 1
		}
	default:
		std := 0.02
		if m := localName(name); m == s.cfg.names().o+".weight" || m == s.cfg.names().down+".weight" {
			std /= math.Sqrt(2 * float64(s.cfg.Layers))
		}
		h := fnv.New64a()
		h.Write([]byte(name))
		rng := rand.New(rand.NewPCG(uint64(s.seed), h.Sum64()))
		for i := range values {
			values[i] = float32(rng.NormFloat64() * std)
		}
	}
	return safetensors.FromFloat32s(name, safetensors.F32, shape, values)
}

// New makes a model with random weights: the start of pretraining, or a model of a
// certain shape for a measurement. The same seed gives the same weights.
func New(b compute.Backend, c Config, seed int64, o LoadOptions) (*Model, error) {
	src := randomSource{c, map[string][]int{}, seed}
	for _, w := range c.weights() {
		src.specs[w.name] = w.shape
	}
	return load(b, "", c, src, o)
}
