package svd

import (
	"errors"
	"math"
	"math/rand/v2"
	"sort"
)

// SVD are singular values from the largest on and their vectors. Vectors of values that
// are zero but for rounding may be zero.
type SVD struct {
	S           []float64 // [k]
	Left, Right Matrix    // [k, rows] and [k, cols]: a vector a row
}

// ErrNotFinite is the answer to a matrix with NaN or infinite values.
var ErrNotFinite = errors.New("the singular values did not converge; are there NaN among the weights?")

// First keeps the k largest.
func (s SVD) First(k int) SVD {
	k = min(k, len(s.S))
	cut := func(m Matrix) Matrix { return Matrix{k, m.Cols, m.Data[:k*m.Cols]} }
	return SVD{s.S[:k], cut(s.Left), cut(s.Right)}
}

// Thin is the decomposition with k = min(rows, cols) values, by one-sided Jacobi rotations
// on the triangle that is left of a QR decomposition (Drmač and Veselić 2008): small values
// come out as exactly, for their size, as large ones.
func Thin(x Matrix) (SVD, error) {
	if n := dot(x.Data, x.Data); math.IsNaN(n) || math.IsInf(n, 0) {
		return SVD{}, ErrNotFinite
	}
	if x.Rows < x.Cols {
		s, err := Thin(x.T())
		s.Left, s.Right = s.Right, s.Left
		return s, err
	}
	t := x.T()
	q := Matrix{t.Rows, t.Cols, append([]float64{}, t.Data...)}
	orthonormal(q, true)
	triangle := mulT(q, t) // R of x = Qᵀ·R, q's rows being the columns of Q
	turn := Zeros(q.Rows, q.Rows)
	for i := range turn.Rows {
		turn.Data[i*turn.Cols+i] = 1
	}
	s, w, j, err := jacobi(triangle, turn)
	if err != nil {
		return SVD{}, err
	}
	return SVD{s, Mul(j, q), w}, nil
}

// Product is the decomposition of f·b·a, b [rows, r] and a [r, cols], with r values at
// most: exact, for the cost of a small matrix.
func Product(b, a Matrix, f float64) (SVD, error) {
	r := min(b.Cols, b.Rows, a.Cols)
	if r < b.Cols { // more inner than outer: nothing is saved
		m := Mul(b, a)
		scale(m.Data, f)
		return Thin(m)
	}
	bt := b.T()
	qb, qa := Matrix{r, b.Rows, append([]float64{}, bt.Data...)}, Matrix{r, a.Cols, append([]float64{}, a.Data...)}
	orthonormal(qb, true)
	orthonormal(qa, true)
	core := Mul(mulT(qb, bt), mulT(a, qa)) // [r, r]
	scale(core.Data, f)
	s, err := Thin(core)
	if err != nil {
		return SVD{}, err
	}
	return SVD{s.S, Mul(s.Left, qb), Mul(s.Right, qa)}, nil
}

// Top are the r largest by subspace iteration (Halko et al. 2011); the more iterations,
// the more exact. Without any, or of a small matrix, it is exact.
func Top(x Matrix, r, iterations int) (SVD, error) {
	const more = 8
	if iterations == 0 || r+more >= min(x.Rows, x.Cols) {
		s, err := Thin(x)
		return s.First(r), err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	omega := Zeros(r+more, x.Cols)
	for i := range omega.Data {
		omega.Data[i] = rng.NormFloat64()
	}
	y := mulT(omega, x) // [k, rows]
	orthonormal(y, false)
	for range iterations {
		z := Mul(y, x) // [k, cols]
		orthonormal(z, false)
		y = mulT(z, x)
		orthonormal(y, false)
	}
	s, err := Thin(Mul(y, x))
	if err != nil {
		return SVD{}, err
	}
	s.Left = Mul(s.Left, y)
	return s.First(r), nil
}

// QR are the first k columns of Q, a column a row, and the first k rows of R of x = QR;
// the diagonal of R is positive.
func QR(x Matrix, k int) (q, r Matrix) {
	t := x.T()
	q = Matrix{k, x.Rows, append([]float64{}, t.Data[:k*x.Rows]...)} // later columns do not change the first
	orthonormal(q, false)
	return q, Mul(q, x)
}

// orthonormal makes the rows of x orthonormal by Gram and Schmidt's method done twice, which is
// as exact as reflections (Giraud et al. 2005). Rows that are sums of those before become
// zero. With pivot the longest row that is left comes next, so that what follows is soon done.
func orthonormal(x Matrix, pivot bool) {
	left := make([]float64, x.Rows) // squared lengths of what is left of the rows
	for i := range left {
		left[i] = dot(x.Row(i), x.Row(i))
	}
	first := append([]float64{}, left...)
	for k := range x.Rows {
		if pivot {
			longest := k
			for i := k + 1; i < x.Rows; i++ {
				if left[i] > left[longest] {
					longest = i
				}
			}
			if longest != k {
				a, b := x.Row(k), x.Row(longest)
				for i := range a {
					a[i], b[i] = b[i], a[i]
				}
				left[k], left[longest], first[k], first[longest] = left[longest], left[k], first[longest], first[k]
			}
		}
		row := x.Row(k)
		for range 2 {
			for j := range k {
				q := x.Row(j)
				addScaled(row, -dot(q, row), q)
			}
		}
		if n := math.Sqrt(dot(row, row)); n > 1e-14*math.Sqrt(first[k]) {
			scale(row, 1/n)
		} else {
			clear(row)
		}
		if pivot {
			for i := k + 1; i < x.Rows; i++ {
				d := dot(row, x.Row(i))
				left[i] = max(0, left[i]-d*d)
			}
		}
	}
}

// jacobi turns the rows of w against each other until they are orthogonal, and the rows of
// turn with them. It returns their lengths, the rows of w at length one, and turn, in
// order of length.
func jacobi(w, turn Matrix) (s []float64, vectors, turned Matrix, err error) {
	const enough = 1e-15
	n := w.Rows
	rows, also, square := make([][]float64, n), make([][]float64, n), make([]float64, n)
	for i := range n {
		rows[i], also[i] = w.Row(i), turn.Row(i)
	}
	for sweep := 0; ; sweep++ {
		if sweep == 60 {
			return nil, w, turn, ErrNotFinite
		}
		for i, r := range rows {
			square[i] = dot(r, r)
		}
		rotated := false
		for p := range n {
			for q := p + 1; q < n; q++ {
				if square[p] < square[q] { // the longer first: fewer sweeps (de Rijk 1989)
					rows[p], rows[q], also[p], also[q], square[p], square[q] = rows[q], rows[p], also[q], also[p], square[q], square[p]
				}
				d := dot(rows[p], rows[q])
				if math.Abs(d) <= enough*math.Sqrt(float64(w.Cols)*square[p])*math.Sqrt(square[q]) {
					continue
				}
				rotated = true
				zeta := (square[q] - square[p]) / (2 * d)
				t := math.Copysign(1, zeta) / (math.Abs(zeta) + math.Hypot(1, zeta))
				c := 1 / math.Hypot(1, t)
				rotate(rows[p], rows[q], c, c*t)
				rotate(also[p], also[q], c, c*t)
				square[p], square[q] = square[p]-t*d, max(0, square[q]+t*d)
			}
		}
		if !rotated {
			break
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i], square[i] = i, math.Sqrt(square[i])
	}
	sort.SliceStable(order, func(i, j int) bool { return square[order[i]] > square[order[j]] })
	vectors, turned, s = Zeros(n, w.Cols), Zeros(n, turn.Cols), make([]float64, n)
	for i, from := range order {
		s[i] = square[from]
		copy(turned.Row(i), also[from])
		if s[i] > 0 {
			copy(vectors.Row(i), rows[from])
			scale(vectors.Row(i), 1/s[i])
		}
	}
	return s, vectors, turned, nil
}

func rotate(x, y []float64, c, s float64) {
	y = y[:len(x)]
	for i, v := range x {
		u := y[i]
		x[i], y[i] = c*v-s*u, s*v+c*u
	}
}
