package svd

import "math"

// Matrix is dense and row-major.
type Matrix struct {
	Rows, Cols int
	Data       []float64
}

// Zeros is a matrix of zeros.
func Zeros(rows, cols int) Matrix { return Matrix{rows, cols, make([]float64, rows*cols)} }

// Of copies values, row-major.
func Of(values []float32, rows, cols int) Matrix {
	m := Zeros(rows, cols)
	for i, v := range values {
		m.Data[i] = float64(v)
	}
	return m
}

// Row is a row itself, not a copy.
func (m Matrix) Row(i int) []float64 { return m.Data[i*m.Cols : (i+1)*m.Cols] }

// T is the transpose, a copy.
func (m Matrix) T() Matrix {
	t := Zeros(m.Cols, m.Rows)
	for i := range m.Rows {
		for j, v := range m.Row(i) {
			t.Data[j*m.Rows+i] = v
		}
	}
	return t
}

// Norm is Frobenius' norm, the root of the sum of the squared singular values.
func (m Matrix) Norm() float64 { return math.Sqrt(dot(m.Data, m.Data)) }

// Mul is x·y.
func Mul(x, y Matrix) Matrix {
	z := Zeros(x.Rows, y.Cols)
	for i := range x.Rows {
		to := z.Row(i)
		for k, v := range x.Row(i) {
			if v != 0 {
				addScaled(to, v, y.Row(k))
			}
		}
	}
	return z
}

// mulT is x·yᵀ.
func mulT(x, y Matrix) Matrix {
	z := Zeros(x.Rows, y.Rows)
	for i := range x.Rows {
		to, row := z.Row(i), x.Row(i)
		for j := range y.Rows {
			to[j] = dot(row, y.Row(j))
		}
	}
	return z
}

func dot(x, y []float64) float64 {
	var a, b, c, d float64 // four sums: additions need not wait for each other
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a += x[i] * y[i]
		b += x[i+1] * y[i+1]
		c += x[i+2] * y[i+2]
		d += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		a += x[i] * y[i]
	}
	return a + b + c + d
}

// addScaled adds f·x to y.
func addScaled(y []float64, f float64, x []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += f * v
	}
}

func scale(x []float64, f float64) {
	for i := range x {
		x[i] *= f
	}
}
