package verify

import (
	"hash/fnv"
	"math"
	"math/big"
	"math/cmplx"
)

// trials is at how many points expressions with variables are compared; half of them
// have positive coordinates.
const trials = 8

// exprs compares two expressions by value.
func (c comparison) exprs(a, b *node) bool {
	x, okX := exact(a)
	y, okY := exact(b)
	if okX && okY {
		return x.Cmp(y) == 0 || c.near(x, y, a, b)
	}
	words := map[string]bool{}
	a.words(words)
	b.words(words)
	if len(words) > 0 { // 5 apples
		return c.exprs(a.bare(), b.bare())
	}
	vars := map[string]bool{}
	a.names(false, vars)
	b.names(false, vars)
	if len(vars) == 0 {
		u, v := value(a, nil), value(b, nil)
		if closely(u, v, max(c.tolerance, 1e-9)) {
			return true
		}
		places := max(a.decimals(), b.decimals())
		return places >= 6 && cmplx.Abs(u-v) <= math.Pow(10, -float64(places))
	}
	valid := 0
	for t := range trials {
		at := func(name string) complex128 { return point(name, t) }
		u, v := value(a, at), value(b, at)
		if !finite(u) || !finite(v) {
			continue
		}
		if !closely(u, v, 1e-8) {
			return false
		}
		valid++
	}
	return valid >= trials/2
}

// near allows for decimals that were cut: 0.333333 for 1/3, and for the tolerance.
func (c comparison) near(x, y *big.Rat, a, b *node) bool {
	d, _ := new(big.Rat).Sub(x, y).Float64()
	f, _ := y.Float64()
	g, _ := x.Float64()
	if c.tolerance > 0 && math.Abs(d) <= c.tolerance*max(math.Abs(f), math.Abs(g)) {
		return true
	}
	pa, pb := a.decimals(), b.decimals()
	if pa >= 6 && pb == 0 && !y.IsInt() || pb >= 6 && pa == 0 && !x.IsInt() {
		return math.Abs(d) <= math.Pow(10, -float64(max(pa, pb)))
	}
	return false
}

// decimals is the decimals of a literal with or without a sign; 0 for anything else.
func (n *node) decimals() int {
	if n.op == '-' {
		n = n.kids[0]
	}
	return n.places
}

// bare is an expression without the words that stand in products with others.
func (n *node) bare() *node {
	if n.op == 'w' {
		return &node{op: 'n', num: big.NewRat(1, 1)}
	}
	out := *n
	out.kids = make([]*node, len(n.kids))
	for i, k := range n.kids {
		out.kids[i] = k.bare()
	}
	return &out
}

// factor is the constant k with a = k b at all points.
func (c comparison) factor(a, b *node) (k float64, ok bool) {
	valid := 0
	var first complex128
	for t := range trials {
		at := func(name string) complex128 { return point(name, t) }
		u, v := value(a, at), value(b, at)
		if !finite(u) || !finite(v) || cmplx.Abs(v) < 1e-9 {
			continue
		}
		r := u / v
		if valid++; valid == 1 {
			first = r
		} else if !closely(r, first, 1e-7) {
			return 0, false
		}
	}
	if valid < trials/2 || cmplx.Abs(first) < 1e-9 || math.Abs(imag(first)) > 1e-9*cmplx.Abs(first) {
		return 0, false
	}
	return real(first), true
}

// point is a coordinate of trial t: the same at every call.
func point(name string, t int) complex128 {
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write([]byte{byte(t), 77})
	x := h.Sum64() * 0x9e3779b97f4a7c15
	u := float64((x^x>>29)>>11) / (1 << 53)
	r := 0.4 + 1.3*u
	if t == 1 || t%2 == 1 && x&(1<<40) != 0 { // once all are negative
		r = -r
	}
	return complex(r, 0)
}

func finite(z complex128) bool { return !cmplx.IsNaN(z) && !cmplx.IsInf(z) }

func closely(x, y complex128, tolerance float64) bool {
	if cmplx.IsNaN(x) || cmplx.IsNaN(y) {
		return false
	}
	if cmplx.IsInf(x) || cmplx.IsInf(y) {
		return x == y
	}
	d := cmplx.Abs(x - y)
	return d <= tolerance*max(cmplx.Abs(x), cmplx.Abs(y)) || d <= 1e-12
}
