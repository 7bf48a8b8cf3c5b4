package quant

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// Config says how weights are quantised. The zero value is NF4 in blocks of 64 with
// float32 scales.
type Config struct {
	Type   Type `json:"quant_type,omitempty"` // zero: NF4
	Block  int  `json:"blocksize,omitempty"`  // weights that share a scale: 32, 64 ... 4096; zero: 64. Int8 has one a row
	Double bool `json:"double,omitempty"`     // scales in 8 bits, 256 to a block
}

// nestedBlock is how many scales share one of their own.
const nestedBlock = 256

// Resolve checks the configuration and writes the defaults in.
func (c Config) Resolve() (Config, error) {
	if c.Type == "" {
		c.Type = NF4
	}
	switch c.Type {
	case Int8:
		if c.Double || c.Block != 0 {
			return c, fmt.Errorf("quant: int8 has one float32 scale a row: no blocks, no double quantization")
		}
		return c, nil
	case NF4, FP4:
	default:
		return c, fmt.Errorf("quant: unknown type %q: nf4, fp4 and int8 are supported", c.Type)
	}
	if c.Block == 0 {
		c.Block = 64
	}
	if c.Block < 32 || c.Block > 4096 || c.Block&(c.Block-1) != 0 {
		return c, fmt.Errorf("quant: blocks of %d: a power of two from 32 to 4096 is supported", c.Block)
	}
	return c, nil
}

// Bits a weight takes, scales included, in a large matrix of rows of the given width.
func (c Config) Bits(in int) float64 {
	switch {
	case c.Type == Int8:
		return 8 + 32/float64(in)
	case c.Double:
		return 4 + (8+32.0/nestedBlock)/float64(c.Block)
	}
	return 4 + 32/float64(c.Block)
}

// Weight is a quantised array, in the form that bitsandbytes has.
type Weight struct {
	Config
	Shape  []int
	DType  string // that it was quantised from: "float32", "bfloat16", "float16"
	Packed []byte // two codes a byte, the first in the high nibble; int8: one, signed

	Absmax []float32 // a block; int8: a row. Nil with Double
	Codes  []byte    // Double: the absmax less Offset in the signed dynamic map
	Nested []float32 // Double: absmax of 256 Codes
	Offset float32   // Double: mean of the absmax
}

// Elements is the number of weights.
func (w *Weight) Elements() int {
	n := 1
	for _, d := range w.Shape {
		n *= d
	}
	return n
}

// Bytes is the memory of codes and scales.
func (w *Weight) Bytes() int {
	return len(w.Packed) + 4*len(w.Absmax) + len(w.Codes) + 4*len(w.Nested)
}

// Quantize quantises row-major values.
func Quantize(values []float32, shape []int, c Config) (*Weight, error) {
	w := &Weight{Shape: shape}
	if w.Elements() != len(values) {
		return nil, fmt.Errorf("quant: %d values for shape %v", len(values), shape)
	}
	return Stream(shape, "float32", c, func(from int, dst []float32) error {
		copy(dst, values[from:])
		return nil
	})
}

// Stream quantises an array that is read piece by piece: read fills dst with values from
// a flat index on, for several goroutines at once. dtype is what the values are stored
// as: "float32", "bfloat16" or "float16". A value that is not finite is an error.
func Stream(shape []int, dtype string, c Config, read func(from int, dst []float32) error) (*Weight, error) {
	c, err := c.Resolve()
	if err != nil {
		return nil, err
	}
	if len(shape) == 0 {
		return nil, fmt.Errorf("quant: a scalar cannot be quantised")
	}
	w := &Weight{Config: c, Shape: slices.Clone(shape), DType: dtype}
	n := w.Elements()
	chunk := 1 << 18 // a multiple of every block
	if c.Type == Int8 {
		in := shape[len(shape)-1]
		w.Packed, w.Absmax = make([]byte, n), make([]float32, n/max(in, 1))
		chunk = max(1, chunk/max(in, 1)) * in
		err = w.pieces(n, chunk, read, func(from int, x []float32) error { return w.rows(from, x, in) })
		return w, err
	}
	w.Packed, w.Absmax = make([]byte, (n+1)/2), make([]float32, (n+c.Block-1)/c.Block)
	err = w.pieces(n, chunk, read, w.blocks)
	if err == nil && c.Double {
		w.nest()
	}
	return w, err
}

// pieces reads and quantises chunks on all processors.
func (w *Weight) pieces(n, chunk int, read func(int, []float32) error, quantise func(from int, x []float32) error) error {
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for k := range workers {
		wait.Go(func() {
			buf := make([]float32, min(chunk, n))
			for from := k * chunk; from < n; from += workers * chunk {
				x := buf[:min(chunk, n-from)]
				if errs[k] = read(from, x); errs[k] == nil {
					errs[k] = quantise(from, x)
				}
				if errs[k] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// blocks quantises x, which stands at the flat index from, to four bits.
func (w *Weight) blocks(from int, x []float32) error {
	near := nearestNF4
	if w.Type == FP4 {
		near = nearestFP4
	}
	for at := 0; at < len(x); at += w.Block {
		part := x[at:min(at+w.Block, len(x))]
		top, scale := largest(part)
		if !finite(top) {
			return notFinite(from+at, part)
		}
		if len(part) < w.Block { // bitsandbytes divides in the last block
			top = max(top, 1e-38)
			divisor := top
			scale = func(v float32) float32 { return v / divisor }
		}
		w.Absmax[(from+at)/w.Block] = top
		out := w.Packed[(from+at)/2:]
		for i := 0; i < len(part); i += 2 {
			low := float32(0) // of an odd number of weights
			if i+1 < len(part) {
				low = part[i+1]
			}
			out[i/2] = near.code(clamp(scale(part[i])))<<4 | near.code(clamp(scale(low)))
		}
	}
	return nil
}

func finite(v float32) bool { return v-v == 0 }

// notFinite says which value of a block cannot be quantised.
func notFinite(from int, x []float32) error {
	i := slices.IndexFunc(x, func(v float32) bool { return !finite(v) })
	return fmt.Errorf("quant: value %d is %v; the file is damaged, or the training that made it diverged", from+i, x[i])
}

// rows quantises whole rows to 8 bits.
func (w *Weight) rows(from int, x []float32, in int) error {
	for at := 0; at < len(x); at += in {
		row := x[at : at+in]
		top, _ := largest(row)
		if !finite(top) {
			return notFinite(from+at, row)
		}
		w.Absmax[(from+at)/in] = top
		scale := float32(127) / max(top, 1e-38)
		for i, v := range row {
			w.Packed[from+at+i] = byte(int8(math.RoundToEven(float64(v * scale))))
		}
	}
	return nil
}

// nest quantises the scales.
func (w *Weight) nest() {
	sum := 0.0
	for _, v := range w.Absmax {
		sum += float64(v)
	}
	w.Offset = float32(sum / float64(len(w.Absmax)))
	for i := range w.Absmax {
		w.Absmax[i] -= w.Offset
	}
	w.Codes, w.Nested = blockwise(w.Absmax, nearestDynamic, nestedBlock)
	w.Absmax = nil
}

// Scales are the absmax as they are computed with, one a block or, int8, a row.
func (w *Weight) Scales() []float32 {
	if !w.Double {
		return w.Absmax
	}
	out := make([]float32, len(w.Codes))
	for i, c := range w.Codes {
		product := dynamicSigned[c] * w.Nested[i/nestedBlock] // rounded before the sum, as there
		out[i] = float32(product) + w.Offset
	}
	return out
}

// Dequantize writes the values into dst, row-major. bitsandbytes rounds them to DType
// where that is half a float32; here they are not rounded.
func (w *Weight) Dequantize(dst []float32) error {
	if len(dst) != w.Elements() {
		return fmt.Errorf("quant: %d values for shape %v", len(dst), w.Shape)
	}
	scales := w.Scales()
	if w.Type == Int8 {
		in := w.Shape[len(w.Shape)-1]
		for i := range dst {
			v := float32(int8(w.Packed[i])) * scales[i/in]
			dst[i] = v * int8Step
		}
		return nil
	}
	codes := w.Type.Codes()
	for i := range dst {
		b := w.Packed[i/2]
		if i%2 == 0 {
			b >>= 4
		}
		dst[i] = codes[b&15] * scales[i/w.Block]
	}
	return nil
}

// int8Step is 1/127, as bitsandbytes writes it.
const int8Step = 0.007874015718698502

// Int8Step is what a code of type int8 times the scale of its row is multiplied by.
const Int8Step float32 = int8Step

// Random is an NF4 weight of about normal values with the given standard deviation, for
// models that are made to be measured: NF4's codes are quantiles of a normal
// distribution, so codes that are drawn alike are close to one, and no float is made.
func Random(shape []int, c Config, std float64, seed [2]uint64) (*Weight, error) {
	c, err := c.Resolve()
	if err != nil {
		return nil, err
	}
	if c.Type != NF4 {
		return nil, fmt.Errorf("quant: random weights are nf4, not %s", c.Type)
	}
	w := &Weight{Config: c, Shape: slices.Clone(shape), DType: "float32"}
	n := w.Elements()
	w.Packed, w.Absmax = make([]byte, (n+1)/2), make([]float32, (n+c.Block-1)/c.Block)
	rng := rand.New(rand.NewPCG(seed[0], seed[1]))
	for i := 0; i < len(w.Packed); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		copy(w.Packed[i:], word[:])
	}
	for i := range w.Absmax { // the largest of 64 normal values is at 2.4 of their deviations
		w.Absmax[i] = float32(std * (2.2 + 0.4*rng.Float64()))
	}
	if c.Double {
		w.nest()
	}
	return w, nil
}
