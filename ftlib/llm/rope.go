package llm

import (
	"fmt"
	"math"
)

// Rope describes rotary position embeddings (Su et al. 2021) with the scalings
// that model files ask for. It agrees with transformers' modeling_rope_utils.
type Rope struct {
	Theta  float64
	Dim    int     // rotated dimensions of a head; the rest pass unchanged (Phi)
	Type   string  // "default", "linear", "dynamic", "llama3", "yarn"
	Factor float64 // of the context extension

	LowFreq, HighFreq  float64 // llama3
	Original           int     // llama3, yarn: positions before the extension
	BetaFast, BetaSlow float64 // yarn
	Attention          float64 // yarn: factor on cos and sin; 0: from Factor
	Truncate           bool    // yarn: whole-numbered correction range
	MaxPositions       int     // dynamic: longer inputs need another base
}

func number(m map[string]any, key string, zero float64) float64 {
	if v, ok := m[key].(float64); ok {
		return v
	}
	return zero
}

// rope reads rope_parameters (transformers 5) or rope_theta and rope_scaling (4).
func (f *configFile) rope(c Config) (Rope, error) {
	p := f.RopeParams
	if p == nil {
		p = f.RopeScaling
	}
	theta := 10000.0
	if f.RopeTheta != nil {
		theta = *f.RopeTheta
	}
	partial := 1.0
	if c.Family == "phi" {
		partial = 0.5
	}
	if f.Partial != nil {
		partial = *f.Partial
	}
	partial = number(p, "partial_rotary_factor", partial)
	r := Rope{Theta: number(p, "rope_theta", theta), Dim: int(float64(c.HeadDim) * partial), Type: "default", MaxPositions: c.MaxPositions}
	if r.Dim <= 0 || r.Dim > c.HeadDim || r.Dim%2 != 0 {
		return r, fmt.Errorf("rotary dimension is %d of a head of %d; it must be even and fit", r.Dim, c.HeadDim)
	}
	for _, key := range []string{"rope_type", "type"} {
		if t, ok := p[key].(string); ok {
			r.Type = t
			break
		}
	}
	r.Factor = number(p, "factor", 1)
	r.Original = int(number(p, "original_max_position_embeddings", float64(c.MaxPositions)))
	switch r.Type {
	case "default":
	case "linear", "dynamic":
		if r.Factor < 1 {
			return r, fmt.Errorf("rope scaling factor is %v; it must be at least 1", r.Factor)
		}
	case "llama3":
		r.LowFreq, r.HighFreq = number(p, "low_freq_factor", 1), number(p, "high_freq_factor", 4)
	case "yarn":
		r.BetaFast, r.BetaSlow = number(p, "beta_fast", 32), number(p, "beta_slow", 1)
		r.Attention = number(p, "attention_factor", 0)
		r.Truncate = true
		if t, ok := p["truncate"].(bool); ok {
			r.Truncate = t
		}
		if r.Attention == 0 {
			r.Attention = yarnAttention(r.Factor, number(p, "mscale", 0), number(p, "mscale_all_dim", 0))
		}
	default:
		return r, fmt.Errorf("rope scaling %q is not supported; supported are default, linear, dynamic, llama3 and yarn", r.Type)
	}
	return r, nil
}

func yarnAttention(factor, mscale, mscaleAll float64) float64 {
	get := func(scale float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*scale*math.Log(factor) + 1
	}
	if mscale != 0 && mscaleAll != 0 {
		return get(mscale) / get(mscaleAll)
	}
	return get(1)
}

// frequencies are the angles per position, one for each pair of dimensions, and
// the factor on cosine and sine.
func (r Rope) frequencies() (freq []float32, factor float64) {
	freq = make([]float32, r.Dim/2)
	factor = 1
	for i := range freq {
		f := 1 / math.Pow(r.Theta, float64(2*i)/float64(r.Dim))
		switch r.Type {
		case "linear":
			f /= r.Factor
		case "llama3": // long wavelengths are stretched, short ones kept, between them a blend
			wave := 2 * math.Pi / f
			low, high := float64(r.Original)/r.LowFreq, float64(r.Original)/r.HighFreq
			switch {
			case wave > low:
				f /= r.Factor
			case wave >= high:
				s := (float64(r.Original)/wave - r.LowFreq) / (r.HighFreq - r.LowFreq)
				f = (1-s)*f/r.Factor + s*f
			}
		case "yarn":
			at := func(rotations float64) float64 {
				return float64(r.Dim) * math.Log(float64(r.Original)/(rotations*2*math.Pi)) / (2 * math.Log(r.Theta))
			}
			low, high := at(r.BetaFast), at(r.BetaSlow)
			if r.Truncate {
				low, high = math.Floor(low), math.Ceil(high)
			}
			low, high = max(low, 0), min(high, float64(r.Dim-1))
			if low == high {
				high += 0.001
			}
			ramp := min(max((float64(i)-low)/(high-low), 0), 1)
			f = f/r.Factor*ramp + f*(1-ramp)
			factor = r.Attention
		}
		freq[i] = float32(f)
	}
	return freq, factor
}

// check refuses positions whose angles would depend on the length of the input.
func (r Rope) check(length int) error {
	if r.Type == "dynamic" && length > r.MaxPositions {
		return fmt.Errorf("llm: %d positions with dynamic rope scaling, which holds unchanged only up to %d; shorten the rows (max_length)", length, r.MaxPositions)
	}
	return nil
}
