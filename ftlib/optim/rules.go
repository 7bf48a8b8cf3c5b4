package optim

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// rule is how gradients become weights with one kind of state.
type rule struct {
	slots   []slot
	block   int                   // weights that are handled together: 1, or those that share a scale
	alone   bool                  // looks at a whole tensor: no two are updated as one
	scalars func(Hyper) []float32 // what differs from step to step
	// update makes new weights and state. Weights and gradients are float32, in the shape
	// [blocks, block] where block is above 1; gradients are clipped.
	update func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node)
}

// slot is one array of a rule's state.
type slot struct {
	name  string
	bytes bool                   // uint8 instead of float32
	scale bool                   // one value a block
	zero  byte                   // the code of 0
	shape func(dims []int) []int // nil: the weight's own
}

// clipAt is where all rules have the factor of clipping.
const clipAt = 0

// adamw is Adam with decoupled weight decay (Loshchilov and Hutter 2019). With g the
// clipped gradient and t the step:
//
//	p <- p - lr·wd·p
//	m <- b1·m + (1-b1)·g          v <- b2·v + (1-b2)·g²
//	p <- p - lr/(1-b1^t) · m / (sqrt(v)/sqrt(1-b2^t) + eps)
//
// It agrees with torch.optim.AdamW.
var adamw = &rule{
	slots: []slot{{name: "m"}, {name: "v"}},
	block: 1,
	// The complements are taken in double precision, as torch does: 1-0.999 in float32 is
	// off by 5e-5.
	scalars: func(h Hyper) []float32 {
		return []float32{float32(h.LR / (1 - math.Pow(h.Beta1, float64(h.Step)))), float32(1 - h.LR*h.WeightDecay),
			float32(h.Beta1), float32(1 - h.Beta1), float32(h.Beta2), float32(1 - h.Beta2), float32(h.Epsilon),
			float32(1 / math.Sqrt(1-math.Pow(h.Beta2, float64(h.Step))))}
	},
	update: func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node) {
		lr, keep, b1, c1, b2, c2, eps, root := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		m := Add(Mul(state[0], b1), Mul(g, c1))
		v := Add(Mul(state[1], b2), Mul(Square(g), c2))
		if decay {
			p = Mul(p, keep)
		}
		return Sub(p, Mul(Div(m, Add(Mul(Sqrt(v), root), eps)), lr)), []*Node{m, v}
	},
}

// lion follows the sign of a momentum (Chen et al. 2023):
//
//	p <- p - lr·wd·p - lr·sign(b1·m + (1-b1)·g)          m <- b2·m + (1-b2)·g
//
// It agrees with bitsandbytes' Lion.
var lion = &rule{
	slots: []slot{{name: "m"}},
	block: 1,
	scalars: func(h Hyper) []float32 {
		return []float32{float32(h.LR), float32(1 - h.LR*h.WeightDecay), float32(h.Beta1), float32(1 - h.Beta1), float32(h.Beta2), float32(1 - h.Beta2)}
	},
	update: func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node) {
		lr, keep, b1, c1, b2, c2 := s[0], s[1], s[2], s[3], s[4], s[5]
		if decay {
			p = Mul(p, keep)
		}
		p = Sub(p, Mul(Sign(Add(Mul(state[0], b1), Mul(g, c1))), lr))
		return p, []*Node{Add(Mul(state[0], b2), Mul(g, c2))}
	},
}

func sgdScalars(h Hyper) []float32 {
	return []float32{float32(h.LR), float32(1 - h.LR*h.WeightDecay), float32(h.Momentum)}
}

// sgd is gradient descent, p <- p - lr·wd·p - lr·g, and has no state.
var sgd = &rule{
	block:   1,
	scalars: sgdScalars,
	update: func(s []*Node, decay bool, p, g *Node, _ []*Node) (*Node, []*Node) {
		if decay {
			p = Mul(p, s[1])
		}
		return Sub(p, Mul(g, s[0])), nil
	},
}

// sgdMomentum adds a momentum mu, as torch.optim.SGD has it:
//
//	m <- mu·m + g          p <- p - lr·wd·p - lr·m
//
// Weight decay is decoupled (Loshchilov and Hutter 2019, SGDW); torch adds it to g.
var sgdMomentum = &rule{
	slots:   []slot{{name: "m"}},
	block:   1,
	scalars: sgdScalars,
	update: func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node) {
		if decay {
			p = Mul(p, s[1])
		}
		m := Add(Mul(state[0], s[2]), g)
		return Sub(p, Mul(m, s[0])), []*Node{m}
	},
}

// Constants of Adafactor, transformers' defaults.
const (
	adafactorEps   = 1e-30 // added to squared gradients
	adafactorClip  = 1.0   // largest root mean square of an update
	adafactorDecay = -0.8  // power of the step that b2 falls short of 1 by
)

func adafactorScalars(h Hyper) []float32 {
	fresh := math.Pow(float64(h.Step), adafactorDecay)
	return []float32{float32(h.LR), float32(1 - h.LR*h.WeightDecay), float32(1 - fresh), float32(fresh)}
}

// limited takes the step of Adafactor with an update of any size.
func limited(s []*Node, decay bool, p, u *Node) *Node {
	rms := Sqrt(ReduceAllMean(Square(u)))
	u = Div(u, MaxScalar(MulScalar(rms, 1/adafactorClip), 1.0))
	if decay {
		p = Mul(p, s[1])
	}
	return Sub(p, Mul(u, s[0]))
}

// adafactor scales like Adam and stores second moments of matrices as their means over
// rows and over columns (Shazeer and Stern 2018). With b = 1 - t^-0.8:
//
//	R <- b·R + (1-b)·mean_columns(g² + eps)      C <- b·C + (1-b)·mean_rows(g² + eps)
//	u = g / sqrt(R/mean(R) · C)                  u <- u / max(1, rms(u))
//	p <- p - lr·wd·p - lr·u
//
// It agrees with transformers' Adafactor as its Trainer sets it: relative_step and
// scale_parameter off, no first moment.
var adafactor = &rule{
	slots: []slot{
		{name: "v.row", shape: func(dims []int) []int { return dims[:len(dims)-1] }},
		{name: "v.col", shape: func(dims []int) []int {
			return append(append([]int{}, dims[:len(dims)-2]...), dims[len(dims)-1])
		}},
	},
	block: 1, alone: true,
	scalars: adafactorScalars,
	update: func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node) {
		b2, c2 := s[2], s[3]
		squares := AddScalar(Square(g), adafactorEps)
		row := Add(Mul(state[0], b2), Mul(ReduceMean(squares, -1), c2))
		col := Add(Mul(state[1], b2), Mul(ReduceMean(squares, -2), c2))
		r := Rsqrt(Div(row, InsertAxes(ReduceMean(row, -1), -1)))
		u := Mul(g, Mul(InsertAxes(r, -1), InsertAxes(Rsqrt(col), -2)))
		return limited(s, decay, p, u), []*Node{row, col}
	},
}

// adafactorVector is adafactor for what has no rows and columns.
var adafactorVector = &rule{
	slots: []slot{{name: "v"}},
	block: 1, alone: true,
	scalars: adafactorScalars,
	update: func(s []*Node, decay bool, p, g *Node, state []*Node) (*Node, []*Node) {
		v := Add(Mul(state[0], s[2]), Mul(AddScalar(Square(g), adafactorEps), s[3]))
		return limited(s, decay, p, Mul(g, Rsqrt(v))), []*Node{v}
	},
}
