package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/svd"
)

// Combine says how several adapters become one, with the names of PEFT's
// add_weighted_adapter. The weights w are of the adapters in turn; s is an adapter's
// scale, A and B its matrices:
//
//	linear       A = Σ ±√|w·s|·A, B = Σ √|w·s|·B: cheap, and a rough approximation
//	cat          A = [w·s·A ...], B = [B ...]: exact; the rank is the sum of the ranks
//	svd          the best approximation of Σ w·s·B·A of rank Rank
//	ties         linear over what trimming and the vote on signs leave (Yadav et al. 2023)
//	dare_linear  linear over a random part, scaled up (Yu et al. 2024)
//	dare_ties    dare's random part, then the vote on signs
//
// ties_svd, dare_linear_svd and dare_ties_svd do the same with Σ w·s·B·A. It agrees with
// PEFT 0.21, but for rsLoRA, where PEFT multiplies the result by √r once more.
type Combine struct {
	Type     string    // as above; "": cat
	Weights  []float64 // one an adapter; nil: 1 each
	Rank     int       // of the svd types; 0: the largest of the adapters
	Density  float64   // part of the values that ties and dare keep; 0: 0.5
	Majority string    // how ties votes: "total" by magnitude, "frequency" by number; "": total
	Seed     int64     // of dare
}

// Combine makes one adapter of several and leaves them as they are. It is not switched on.
func (m *Model) Combine(adapters []*Adapter, o Combine) (*Adapter, error) {
	if err := o.check(adapters); err != nil {
		return nil, err
	}
	if len(adapters) == 1 && o.Type != "svd" {
		o.Type = "linear" // as PEFT has it
	}
	spec := adapters[0].Spec
	spec.RankPattern, spec.AlphaPattern, spec.Init, spec.RSLoRA, spec.Targets = nil, nil, "", false, nil
	ranks := make([]int, len(adapters))
	modules := map[string]bool{}
	for i, a := range adapters {
		for module, s := range a.specs {
			r := s.R
			if len(a.began) > 0 {
				r *= 2
			}
			ranks[i] = max(ranks[i], r)
			modules[module] = true
		}
		for _, t := range a.targetNames() {
			if !slices.Contains(spec.Targets, t) {
				spec.Targets = append(spec.Targets, t)
			}
		}
	}
	spec.R = slices.Max(ranks)
	switch {
	case o.Type == "cat":
		spec.R = 0
		for _, r := range ranks {
			spec.R += r
		}
	case strings.HasSuffix(o.Type, "svd"):
		if o.Rank > 0 {
			spec.R = o.Rank
		}
	case slices.Min(ranks) != spec.R:
		return nil, fmt.Errorf("llm: combining adapters by %s needs equal ranks; they are %v: use cat or svd", o.Type, ranks)
	}
	spec.Alpha = float64(spec.R)
	out := &Adapter{Spec: spec, files: m.baseOf(), origin: m.originOf(), specs: map[string]adapterSpec{}, params: map[string]*tensors.Tensor{}}
	rng := rand.New(rand.NewPCG(uint64(o.Seed), 0x9e3779b97f4a7c15))
	for _, module := range sortedKeys(modules) {
		down, up, err := o.module(m, adapters, module, spec.R, rng)
		if err == nil {
			rows, cols := m.moduleDims(module)
			out.specs[module] = adapterSpec{R: spec.R, Scale: 1}
			if err = out.put(m, downName(module), down, spec.R, cols); err == nil {
				err = out.put(m, upName(module), up, rows, spec.R)
			}
		}
		if err != nil {
			out.Close()
			return nil, fmt.Errorf("llm: combining %s: %w", module, err)
		}
	}
	return out, nil
}

func (o *Combine) check(adapters []*Adapter) error {
	if o.Type == "" {
		o.Type = "cat"
	}
	if o.Density == 0 {
		o.Density = 0.5
	}
	if o.Majority == "" {
		o.Majority = "total"
	}
	if o.Weights == nil {
		o.Weights = slices.Repeat([]float64{1}, len(adapters))
	}
	types := []string{"linear", "cat", "svd", "ties", "ties_svd", "dare_linear", "dare_linear_svd", "dare_ties", "dare_ties_svd"}
	switch {
	case len(adapters) == 0:
		return fmt.Errorf("llm: no adapters to combine")
	case len(o.Weights) != len(adapters):
		return fmt.Errorf("llm: %d weights for %d adapters", len(o.Weights), len(adapters))
	case !slices.Contains(types, o.Type):
		return fmt.Errorf("llm: combination type %q is not one of %s", o.Type, strings.Join(types, ", "))
	case !(o.Density > 0 && o.Density <= 1):
		return fmt.Errorf("llm: density is %v; it is above 0 and at most 1", o.Density)
	case o.Majority != "total" && o.Majority != "frequency":
		return fmt.Errorf("llm: majority sign method %q is not total or frequency", o.Majority)
	case o.Rank < 0:
		return fmt.Errorf("llm: rank is %d; it must be positive", o.Rank)
	}
	for i, w := range o.Weights {
		if math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("llm: weight %d is %v", i+1, w)
		}
	}
	for i, a := range adapters {
		if a.Spec.DoRA {
			return fmt.Errorf("llm: adapter %d is DoRA: its magnitudes cannot be combined; merge it into the model instead", i+1)
		}
		for name := range a.params {
			if strings.HasSuffix(name, rowsSuffix) {
				return fmt.Errorf("llm: adapter %d has rows of its own for some tokens, which cannot be combined; merge it into the model instead", i+1)
			}
			if !strings.Contains(name, ".lora_") {
				return fmt.Errorf("llm: adapter %d has a whole copy of %s, which cannot be combined; merge it into the model instead", i+1, name)
			}
		}
	}
	return nil
}

// module combines one module: A [r, in] and B [out, r].
func (o *Combine) module(m *Model, adapters []*Adapter, module string, r int, rng *rand.Rand) (down, up []float32, err error) {
	out, in := m.moduleDims(module)
	var downs, ups [][]float32
	var factors, scales, weights []float64 // factors: weight times scale
	for i, a := range adapters {
		s, ok := a.specs[module]
		if !ok {
			continue
		}
		d, u, err := a.pair(module)
		if err != nil {
			return nil, nil, err
		}
		downs, ups = append(downs, d), append(ups, u)
		factors, scales, weights = append(factors, o.Weights[i]*s.Scale), append(scales, s.Scale), append(weights, o.Weights[i])
	}
	switch {
	case o.Type == "cat":
		down, up = make([]float32, r*in), make([]float32, out*r)
		from := 0
		for i, d := range downs {
			n := len(d) / in
			for j, v := range d {
				down[from*in+j] = float32(factors[i]) * v
			}
			for row := range out {
				copy(up[row*r+from:], ups[i][row*n:(row+1)*n])
			}
			from += n
		}
		return down, up, nil
	case strings.HasSuffix(o.Type, "svd"):
		var deltas [][]float32
		for i, d := range downs {
			// The scale belongs to what is pruned, the weight does not.
			w := make([]float32, out*in)
			addProduct(w, ups[i], d, out, in, len(d)/in, scales[i])
			deltas = append(deltas, w)
		}
		sum := o.merge(strings.TrimSuffix(strings.TrimSuffix(o.Type, "svd"), "_"), deltas, weights, rng)
		return lowRank(sum, out, in, r)
	}
	for i := range downs {
		if len(downs[i]) != r*in {
			return nil, nil, fmt.Errorf("ranks differ (rank_pattern); use cat or svd")
		}
	}
	root, signed := make([]float64, len(factors)), make([]float64, len(factors))
	for i, f := range factors {
		root[i] = math.Sqrt(math.Abs(f))
		signed[i] = math.Copysign(root[i], f)
	}
	return o.merge(o.Type, downs, signed, rng), o.merge(o.Type, ups, root, rng), nil
}

// lowRank is the best approximation of a matrix by B·A of rank r: A orthonormal rows, B
// with the singular values. Values that there are none of are zeros.
func lowRank(w []float32, out, in, r int) (down, up []float32, err error) {
	s, err := svd.Thin(svd.Of(w, out, in))
	if err != nil {
		return nil, nil, err
	}
	left, right := svd.Zeros(r, out), svd.Zeros(r, in)
	copy(left.Data, s.Left.Data)
	copy(right.Data, s.Right.Data)
	down, up = factors(left, right, func(k int) (float64, float64) {
		if k >= len(s.S) {
			return 0, 0
		}
		return s.S[k], 1
	})
	return down, up, nil
}

// merge is PEFT's merge_utils: weighted sums of what pruning leaves.
func (o *Combine) merge(kind string, values [][]float32, weights []float64, rng *rand.Rand) []float32 {
	sum := make([]float32, len(values[0]))
	pruned := make([][]float32, len(values))
	for i, v := range values {
		switch {
		case kind == "ties":
			pruned[i] = largest(v, o.Density)
		case strings.HasPrefix(kind, "dare") && o.Density < 1:
			p := make([]float32, len(v))
			for j, x := range v {
				if rng.Float64() < o.Density {
					p[j] = float32(float64(x) / o.Density)
				}
			}
			pruned[i] = p
		default:
			pruned[i] = v
		}
	}
	vote := strings.HasSuffix(kind, "ties")
	for j := range sum {
		majority := float32(0)
		if vote {
			for _, v := range pruned {
				if o.Majority == "frequency" {
					majority += sign(v[j])
				} else {
					majority += v[j]
				}
			}
			if majority >= 0 {
				majority = 1
			} else {
				majority = -1
			}
		}
		total, n := float32(0), float32(0)
		for i, v := range pruned {
			if vote && sign(v[j]) != majority {
				continue
			}
			total += v[j] * float32(weights[i])
			n++
		}
		if vote {
			total /= max(n, 1)
		}
		sum[j] = total
	}
	return sum
}

func sign(v float32) float32 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// largest keeps a part of the values, those of largest magnitude, and zeros for the rest.
func largest(v []float32, density float64) []float32 {
	if density >= 1 {
		return v
	}
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	abs := func(i int) float64 { return math.Abs(float64(v[i])) }
	sort.SliceStable(order, func(i, j int) bool { return abs(order[i]) > abs(order[j]) })
	out := make([]float32, len(v))
	for _, i := range order[:int(density*float64(len(v)))] {
		out[i] = v[i]
	}
	return out
}
