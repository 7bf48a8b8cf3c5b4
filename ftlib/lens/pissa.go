package lens

import (
	"fmt"
	"math"
	"math/rand/v2"

	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/svd"
)

// PiSSAOptions say what is looked at. The zero value: all linear layers of the blocks, NF4.
type PiSSAOptions struct {
	Only   func(name string) bool // nil: the linear layers of the blocks
	Format quant.Config           // that the base is held in; zero: NF4 in blocks of 64
}

// Principal says what the first r directions of a weight hold, which PiSSA trains (Meng et
// al. 2024), and what a base in four bits loses with and without them.
type Principal struct {
	Place
	R        int     `json:"r"`
	Energy   float64 `json:"energy"`   // share of ‖W‖² in the first r directions
	Sum      float64 `json:"sum"`      // share of the sum of the singular values, of those that are known
	Effect   float64 `json:"rank"`     // effective rank of W
	Residual float64 `json:"residual"` // ‖W - BA‖ over ‖W‖

	// Errors of the whole weight over ‖W‖: of Q(W), as QLoRA begins; of Q(W - BA) + BA, as
	// QPiSSA does; and the part of the first that the second saves.
	QLoRA  float64 `json:"qlora"`
	QPiSSA float64 `json:"qpissa"`
	Saves  float64 `json:"saves"`

	S []float64 `json:"s"` // singular values of W, from the largest on
}

// PiSSA takes the weights of a model apart.
func PiSSA(m *llm.Model, r int, o PiSSAOptions) ([]Principal, error) {
	if r < 1 {
		return nil, fmt.Errorf("lens: a rank of %d", r)
	}
	names := linears(m, o.Only)
	if len(names) == 0 {
		return nil, fmt.Errorf("lens: no weights were chosen; names are those of Model.Names")
	}
	out := make([]Principal, len(names))
	err := each(len(names), func(i int) error {
		w, err := m.Weight(names[i])
		if err != nil {
			return fmt.Errorf("lens: %w", err)
		}
		rows, cols := matrixShape(m, names[i], len(w))
		p, err := principal(w, rows, cols, r, o.Format)
		if err != nil {
			return fmt.Errorf("lens: %s: %w", names[i], err)
		}
		p.Place = placeOf(names[i])
		out[i] = p
		return nil
	})
	return out, err
}

func principal(w []float32, rows, cols, r int, format quant.Config) (Principal, error) {
	x := svd.Of(w, rows, cols)
	s, err := spectrum(x, max(128, r))
	if err != nil {
		return Principal{}, err
	}
	p := Principal{R: min(r, len(s.S)), S: s.S, Effect: EffectiveRank(s.S)}
	whole := x.Norm()
	first := s.First(p.R)
	sum := 0.0
	for _, v := range s.S {
		sum += v
	}
	if whole == 0 || sum == 0 {
		return p, nil
	}
	for _, v := range first.S {
		p.Energy += v * v / (whole * whole)
		p.Sum += v / sum
	}
	left := svd.Matrix{Rows: first.Left.Rows, Cols: first.Left.Cols, Data: append([]float64{}, first.Left.Data...)}
	for k, v := range first.S {
		for j := range left.Row(k) {
			left.Row(k)[j] *= v
		}
	}
	part := svd.Mul(left.T(), first.Right)
	residual, square := make([]float32, len(w)), 0.0
	for k, v := range part.Data {
		d := x.Data[k] - v
		residual[k] = float32(d)
		square += d * d
	}
	p.Residual = math.Sqrt(square) / whole
	loss := func(values []float32) (float64, error) {
		q, err := quant.Quantize(values, []int{rows, cols}, format)
		if err != nil {
			return 0, err
		}
		back := make([]float32, len(values))
		if err := q.Dequantize(back); err != nil {
			return 0, err
		}
		sum := 0.0
		for k, v := range values {
			d := float64(v) - float64(back[k])
			sum += d * d
		}
		return math.Sqrt(sum) / whole, nil
	}
	if p.QLoRA, err = loss(w); err != nil {
		return p, err
	}
	if p.QPiSSA, err = loss(residual); err != nil {
		return p, err
	}
	if p.QLoRA > 0 {
		p.Saves = 1 - p.QPiSSA/p.QLoRA
	}
	return p, nil
}

// ScalingOptions say what is tried. The zero value: a layer of 256 to 256, lora_alpha 16,
// ranks 1 to 256.
type ScalingOptions struct {
	In, Out int     // zero: 256
	Alpha   float64 // zero: 16
	Ranks   []int   // nil: 1, 2, 4 ... 256
	Rate    float64 // learning rate of the step; zero: 0.01
	Seed    uint64
}

// ScalingRow is one rank with both scales.
type ScalingRow struct {
	R      int     `json:"r"`
	LoRA   float64 `json:"lora"`   // lora_alpha/r
	RSLoRA float64 `json:"rslora"` // lora_alpha/√r

	// What one step of gradient descent on B moves the layer's output by, RMS, for an input
	// and a gradient of the output of RMS 1. With lora_alpha/r it falls with the rank, a
	// higher rank learns no more; with lora_alpha/√r it stays (Kalajdzievski 2023).
	StepLoRA   float64 `json:"step_lora"`
	StepRSLoRA float64 `json:"step_rslora"`
}

// Scaling shows on a layer of random numbers why rsLoRA divides by √r.
func Scaling(o ScalingOptions) []ScalingRow {
	if o.In == 0 {
		o.In = 256
	}
	if o.Out == 0 {
		o.Out = 256
	}
	if o.Alpha == 0 {
		o.Alpha = 16
	}
	if o.Rate == 0 {
		o.Rate = 0.01
	}
	if o.Ranks == nil {
		for r := 1; r <= 256; r *= 2 {
			o.Ranks = append(o.Ranks, r)
		}
	}
	var rows []ScalingRow
	for _, r := range o.Ranks {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(r)))
		x, dy := unit(rng, o.In), unit(rng, o.Out)
		h := make([]float64, r) // A·x, A as LoRA draws it
		for k := range h {
			for _, v := range x {
				h[k] += v * (2*rng.Float64() - 1) / math.Sqrt(float64(o.In))
			}
		}
		// B = -rate·s·dy·hᵀ after a step, and the output moves by s·B·h.
		step := func(s float64) float64 {
			sum := 0.0
			for _, d := range dy {
				y := 0.0
				for _, v := range h {
					y += s * (-o.Rate * s * d * v) * v
				}
				sum += y * y
			}
			return math.Sqrt(sum / float64(len(dy)))
		}
		row := ScalingRow{R: r, LoRA: o.Alpha / float64(r), RSLoRA: o.Alpha / math.Sqrt(float64(r))}
		row.StepLoRA, row.StepRSLoRA = step(row.LoRA), step(row.RSLoRA)
		rows = append(rows, row)
	}
	return rows
}

// unit are n normal numbers, scaled to an RMS of 1.
func unit(rng *rand.Rand, n int) []float64 {
	x, sum := make([]float64, n), 0.0
	for i := range x {
		x[i] = rng.NormFloat64()
		sum += x[i] * x[i]
	}
	for i := range x {
		x[i] /= math.Sqrt(sum / float64(n))
	}
	return x
}
