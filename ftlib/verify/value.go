package verify

import (
	"math"
	"math/big"
	"math/cmplx"
)

// maxBits bounds exact numbers; beyond it values are floating-point ones.
const maxBits = 4000

// exact is the rational value of an expression; ok is false where it has none, or
// where it is too large to write down.
func exact(n *node) (r *big.Rat, ok bool) {
	var kids [2]*big.Rat
	if n.op == 'f' && n.name != "binom" || n.op == 'v' || n.op == 'w' || n.op == 'c' {
		return nil, false
	}
	for i, k := range n.kids {
		if kids[i], ok = exact(k); !ok {
			return nil, false
		}
	}
	a, b := kids[0], kids[1]
	r = new(big.Rat)
	switch n.op {
	case 'n':
		r = n.num
	case '+':
		r.Add(a, b)
	case '*':
		r.Mul(a, b)
	case '-':
		r.Neg(a)
	case '/':
		if b.Sign() == 0 {
			return nil, false
		}
		r.Quo(a, b)
	case '^':
		e := b.Num().Int64()
		if !b.IsInt() || !b.Num().IsInt64() || e > maxBits || e < -maxBits || a.Sign() == 0 && e < 0 ||
			int64(a.Num().BitLen()+a.Denom().BitLen())*max(e, -e) > maxBits {
			return nil, false
		}
		p := big.NewInt(max(e, -e))
		top, bottom := new(big.Int).Exp(a.Num(), p, nil), new(big.Int).Exp(a.Denom(), p, nil)
		if e < 0 {
			top, bottom = bottom, top
		}
		r.SetFrac(top, bottom)
	case '!':
		if !a.IsInt() || a.Sign() < 0 || !a.Num().IsInt64() || a.Num().Int64() > 400 {
			return nil, false
		}
		r.SetInt(new(big.Int).MulRange(1, a.Num().Int64()))
	case 'f':
		if !a.IsInt() || !b.IsInt() || !a.Num().IsInt64() || !b.Num().IsInt64() || a.Sign() < 0 || b.Sign() < 0 || a.Num().Int64() > 1000 {
			return nil, false
		}
		r.SetInt(new(big.Int).Binomial(a.Num().Int64(), b.Num().Int64()))
	default:
		return nil, false
	}
	if r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits {
		return nil, false
	}
	return r, true
}

// value is the value of an expression where variables have those of at.
func value(n *node, at func(name string) complex128) complex128 {
	if n.op == 'n' {
		f, _ := n.num.Float64()
		return complex(f, 0)
	}
	var kids [2]complex128
	for i, k := range n.kids {
		kids[i] = value(k, at)
	}
	a, b := kids[0], kids[1]
	switch n.op {
	case 'v', 'w':
		return at(n.name)
	case 'c':
		switch n.name {
		case "pi":
			return math.Pi
		case "e":
			return math.E
		case "i":
			return 1i
		}
		return complex(math.Inf(1), 0)
	case '+':
		return a + b
	case '-':
		return complex(0, 0) - a
	case '*':
		if imag(a) == 0 && imag(b) == 0 { // keeps infinities
			return complex(real(a)*real(b), 0)
		}
		return a * b
	case '/':
		if b == 0 {
			return cmplx.NaN()
		}
		return a / b
	case '^':
		if imag(a) == 0 && imag(b) == 0 && (real(a) >= 0 || real(b) == math.Trunc(real(b))) {
			return complex(math.Pow(real(a), real(b)), 0)
		}
		if imag(a) == 0 && real(a) < 0 && imag(b) == 0 { // the real cube root of -8 is -2
			if k := math.Round(1 / real(b)); math.Abs(1/real(b)-k) < 1e-9 && math.Mod(k, 2) != 0 {
				return complex(-math.Pow(-real(a), real(b)), 0)
			}
		}
		return cmplx.Pow(a, b)
	case '!':
		return complex(math.Gamma(real(a)+1), 0)
	}
	return apply(n.name, a, b)
}

func apply(name string, a, b complex128) complex128 {
	switch name {
	case "sqrt":
		return cmplx.Sqrt(a)
	case "abs":
		return complex(cmplx.Abs(a), 0)
	case "floor":
		return complex(math.Floor(real(a)+1e-12), 0)
	case "ceil":
		return complex(math.Ceil(real(a)-1e-12), 0)
	case "exp":
		return cmplx.Exp(a)
	case "ln":
		return cmplx.Log(a)
	case "log", "lg":
		return cmplx.Log10(a)
	case "sin":
		return cmplx.Sin(a)
	case "cos":
		return cmplx.Cos(a)
	case "tan":
		return cmplx.Tan(a)
	case "cot":
		return cmplx.Cot(a)
	case "sec":
		return 1 / cmplx.Cos(a)
	case "csc":
		return 1 / cmplx.Sin(a)
	case "arcsin":
		return cmplx.Asin(a)
	case "arccos":
		return cmplx.Acos(a)
	case "arctan":
		return cmplx.Atan(a)
	case "sinh":
		return cmplx.Sinh(a)
	case "cosh":
		return cmplx.Cosh(a)
	case "tanh":
		return cmplx.Tanh(a)
	case "overline":
		return a * 1.234567 // a segment, a conjugate: equal to itself alone
	case "binom":
		g := func(x float64) float64 { return math.Gamma(x + 1) }
		return complex(g(real(a))/(g(real(b))*g(real(a)-real(b))), 0)
	}
	return cmplx.NaN()
}

// names collects the variables of an expression; words only where asked.
func (n *node) names(words bool, into map[string]bool) {
	if n.op == 'v' || n.op == 'w' && words {
		into[n.name] = true
	}
	for _, k := range n.kids {
		k.names(words, into)
	}
}
