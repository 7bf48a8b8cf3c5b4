package plan

import (
	"strings"

	"ftlab/ftlib"
)

// rate is the bytes of a weight of a type, packed scales included.
func (s Setup) rate(weights string) float64 {
	switch weights {
	case "bfloat16", "float16":
		return 2
	case "int8":
		return 1 + 4/float64(s.Shape.Hidden)
	case "nf4", "fp4":
		block := float64(max(1, s.Block))
		if s.Double { // a byte a block, and a float32 for 256 of them
			return 0.5 + 1/block + 4/(256*block)
		}
		return 0.5 + 4/block
	}
	return 4
}

// weightBytes are those of one base.
func (s Setup) weightBytes() int64 {
	outer := s.Shape.outerParams()
	if s.classifier() && s.LoRA == nil && !s.Shape.Tied { // the head for tokens is dropped
		outer /= 2
	}
	return int64(float64(s.Shape.linearParams())*s.rate(s.Weights)+float64(outer)*s.rate(s.Outer)) + 4*s.Shape.smallParams()
}

// adapterParams are the trained weights of an adapter; saved whole, modules besides.
func (s Setup) adapterParams() int64 {
	l := s.LoRA
	if l == nil {
		return 0
	}
	r, n := int64(l.R), int64(0)
	if r == 0 {
		r = 16
	}
	for _, m := range s.Shape.targets(l.Targets) {
		rank := r
		if own, ok := l.RankPattern[m.name]; ok {
			rank = int64(own)
		}
		n += rank * (m.in + m.out)
		if l.DoRA {
			n += m.out
		}
	}
	n *= int64(s.Shape.Layers)
	for _, module := range l.SaveModules {
		if module == "embed_tokens" || module == "lm_head" {
			n += int64(s.Shape.Vocab) * int64(s.Shape.Hidden)
		}
	}
	return n
}

// residualBytes are the weights without what PiSSA and OLoRA began with: a copy of the adapted matrices.
func (s Setup) residualBytes() int64 {
	if s.LoRA == nil || !strings.HasPrefix(s.LoRA.Init, "pissa") && s.LoRA.Init != "olora" {
		return 0
	}
	n := int64(0)
	for _, m := range s.Shape.targets(s.LoRA.Targets) {
		n += m.in * m.out
	}
	return int64(float64(n*int64(s.Shape.Layers)) * s.rate(s.Outer))
}

// trained are the weights that get gradients.
func (s Setup) trained() int64 {
	if s.LoRA != nil {
		return s.adapterParams()
	}
	return s.Shape.Params()
}

// stateRate is the optimizer's bytes for a trained weight: on the device and, of paged ones on a GPU, in
// host memory.
func (s Setup) stateRate() (device, host float64) {
	o := ftlib.Optim{Optim: s.Optim}
	moment := 4.0
	if o.EightBit() {
		moment = 1 + 4.0/256 // a code, and a scale for 256 of them
	}
	rate := 2 * moment
	switch o.Rule() {
	case "lion":
		rate = moment
	case "sgd":
		rate = 0
		if s.Moment {
			rate = moment
		}
	case "adafactor": // a row and a column for each matrix
		d := float64(s.Shape.Hidden)
		rate = 8 / d
		if s.LoRA != nil {
			rate = 4/float64(max(1, s.LoRA.R)) + 4/d
		}
	}
	if o.Paged() && s.GPU {
		return 0, rate
	}
	return rate, 0
}
