package llm

import (
	"hash/fnv"

	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// adapterSpec says how the adapter of one linear layer is applied.
type adapterSpec struct {
	R       int
	Scale   float64 // alpha/r, or alpha/sqrt(r) with rsLoRA
	Dropout float64
	DoRA    bool
}

// linear is the one linear layer of the model,
//
//	y = x·Wᵀ + s·drop(x)·Aᵀ·Bᵀ + b            (LoRA, Hu et al. 2021)
//	y = m/‖W + s·B·A‖ ∘ (the above without b) + b   (DoRA, Liu et al. 2024)
//
// with every product on matrices. It agrees with PEFT 0.21, whose DoRA norm takes
// no gradient and whose dropout feeds DoRA's correction too.
type linear struct {
	name    string // inside the layer
	w       matrix // [out, in]
	bias    *Node  // [out] or nil
	a, b, m *Node  // [r, in], [out, r], [out]; nil without an adapter
	spec    adapterSpec
	key     *Node // dropout key; nil when not training
}

// dropped is the adapter's input and its mask (nil without dropout).
func (l *linear) dropped(x *Node) (xd, mask *Node) {
	if l.key == nil || l.spec.Dropout == 0 {
		return x, nil
	}
	h := fnv.New32a()
	h.Write([]byte(l.name))
	mask = dropMask(l.key, x.Shape().Dimensions[0], x.Shape().Dimensions[1], l.spec.Dropout, h.Sum32())
	return Mul(x, mask), mask
}

// forward returns y and the adapter's hidden activations h = drop(x)·Aᵀ [N, r],
// nil without an adapter.
func (l *linear) forward(x *Node) (y, h *Node) {
	y = l.w.times(x)
	if l.a != nil {
		xd, mask := l.dropped(x)
		h = mulT(xd, l.a)
		z := mulT(h, MulScalar(l.b, l.spec.Scale))
		switch {
		case l.m == nil:
			y = Add(y, z)
		case mask == nil:
			y = Mul(Add(y, z), row(l.ratio()))
		default:
			c := row(l.ratio())
			y = Add(y, Add(Mul(l.w.times(xd), AddScalar(c, -1)), Mul(z, c)))
		}
	}
	if l.bias != nil {
		y = Add(y, row(l.bias))
	}
	return y, h
}

// hidden is the h of forward alone.
func (l *linear) hidden(x *Node) *Node {
	xd, _ := l.dropped(x)
	return mulT(xd, l.a)
}

// weightNorm is the norm of the rows of W + s·B·A, [out].
func (l *linear) weightNorm() *Node {
	w := Add(ConvertDType(l.w.whole(), l.a.DType()), MulScalar(mulN(l.b, l.a), l.spec.Scale))
	return Sqrt(ReduceSum(Square(w), 1))
}

// ratio is DoRA's magnitude over norm, [out].
func (l *linear) ratio() *Node { return Div(l.m, l.weightNorm()) }

// vjp returns the gradient of x and hands the gradients of trained parameters to
// grad under their names inside the layer.
func (l *linear) vjp(x, h, dy *Node, train map[string]bool, grad func(string, *Node)) (dx *Node) {
	if train[l.name+".bias"] {
		grad(l.name+".bias", columnSum(dy))
	}
	if l.a == nil {
		if train[l.name+".weight"] {
			grad(l.name+".weight", outer(dy, x))
		}
		return l.w.back(dy)
	}
	xd, mask := l.dropped(x)
	dz := dy // of the adapter's output
	dbase := dy
	if l.m != nil {
		c := row(l.ratio())
		dz = Mul(dy, c)
		if mask == nil {
			dbase = dz
		}
		if name := l.name + ".lora_m"; train[name] {
			z := Add(l.w.times(xd), mulT(h, MulScalar(l.b, l.spec.Scale)))
			grad(name, Div(columnSum(Mul(dy, z)), l.weightNorm()))
		}
	}
	if name := l.name + ".lora_B"; train[name] {
		// outer(dz, h) would turn all of dz; so would XLA, if it could see the transpose
		// of the small result beside the product (measured: 1.5 ms instead of 0.2).
		small := OptimizationBarriers(outer(h, dz), h)[0]
		grad(name, MulScalar(Transpose(small, 0, 1), l.spec.Scale))
	}
	dh := mulN(dz, MulScalar(l.b, l.spec.Scale)) // [N, r]
	if name := l.name + ".lora_A"; train[name] {
		grad(name, outer(dh, xd))
	}
	if train[l.name+".weight"] {
		grad(l.name+".weight", outer(dbase, x))
	}
	dx = l.w.back(dbase)
	dxd := mulN(dh, l.a)
	if mask != nil {
		if l.m != nil {
			dxd = Add(dxd, l.w.back(Sub(dz, dy)))
		}
		dxd = Mul(dxd, mask)
	}
	return Add(dx, dxd)
}
