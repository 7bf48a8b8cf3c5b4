package quant

import (
	"fmt"
	"runtime"
	"sync"
)

// Halves is the size of the first half of rows in the layout of [Weight.PackHalves].
func Halves(rows int) int { return (rows + 1) / 2 }

// PackHalves writes the codes of a four-bit matrix [out, in] as a model computes with
// them: byte [r, c] of ceil(out/2) rows holds row r in the low nibble and row r +
// ceil(out/2) in the high one. Both halves are then whole matrices that no interleaving
// puts together. A row beyond the last is zero.
func (w *Weight) PackHalves(dst []byte) error {
	out, in, err := w.matrix()
	if err != nil {
		return err
	}
	half := Halves(out)
	if len(dst) != half*in {
		return fmt.Errorf("quant: %d bytes for the halves of %v", len(dst), w.Shape)
	}
	nibble := func(i int) byte { return w.Packed[i/2] >> (4 * (1 - i%2)) & 15 }
	eachRow(half, func(r int) {
		low, high, row := r*in, (r+half)*in, dst[r*in:(r+1)*in]
		whole := r+half < out
		if whole && in%2 == 0 {
			a, b := w.Packed[low/2:low/2+in/2], w.Packed[high/2:high/2+in/2]
			for i, x := range a {
				y := b[i]
				row[2*i], row[2*i+1] = x>>4|y&0xf0, x&15|y<<4
			}
			return
		}
		for c := range row {
			row[c] = nibble(low + c)
			if whole {
				row[c] |= nibble(high+c) << 4
			}
		}
	})
	return nil
}

// UnpackHalves reads the layout of [Weight.PackHalves] into Packed.
func (w *Weight) UnpackHalves(src []byte) error {
	out, in, err := w.matrix()
	if err != nil {
		return err
	}
	half := Halves(out)
	if len(src) != half*in {
		return fmt.Errorf("quant: %d bytes for the halves of %v", len(src), w.Shape)
	}
	w.Packed = make([]byte, (out*in+1)/2)
	at := func(i int) byte {
		r, c := i/in, i%in
		switch {
		case r >= out:
			return 0
		case r < half:
			return src[r*in+c] & 15
		}
		return src[(r-half)*in+c] >> 4
	}
	if in%2 == 1 {
		for i := range w.Packed {
			w.Packed[i] = at(2*i)<<4 | at(2*i+1)
		}
		return nil
	}
	eachRow(out, func(r int) {
		row := w.Packed[r*in/2 : (r+1)*in/2]
		for i := range row {
			row[i] = at(r*in+2*i)<<4 | at(r*in+2*i+1)
		}
	})
	return nil
}

func (w *Weight) matrix() (out, in int, err error) {
	if len(w.Shape) != 2 || w.Type == Int8 {
		return 0, 0, fmt.Errorf("quant: %s %v is no four-bit matrix", w.Type, w.Shape)
	}
	return w.Shape[0], w.Shape[1], nil
}

// eachRow calls do for every row, on all processors.
func eachRow(rows int, do func(r int)) {
	workers := runtime.GOMAXPROCS(0)
	var wait sync.WaitGroup
	for k := range workers {
		wait.Go(func() {
			for r := k * rows / workers; r < (k+1)*rows/workers; r++ {
				do(r)
			}
		})
	}
	wait.Wait()
}
