package lens

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
)

// QuantOptions say what is looked at. The zero value: all linear layers of the blocks in
// the formats of [Formats].
type QuantOptions struct {
	Formats []quant.Config         // nil: Formats()
	Only    func(name string) bool // weights by Hugging Face name; nil: the linear layers of the blocks
}

// Formats are those that one compares at first: NF4 and FP4 with and without double
// quantization, NF4 in smaller and larger blocks, and int8.
func Formats() []quant.Config {
	return []quant.Config{
		{Type: quant.NF4}, {Type: quant.NF4, Double: true}, {Type: quant.FP4}, {Type: quant.FP4, Double: true},
		{Type: quant.NF4, Block: 32}, {Type: quant.NF4, Block: 256}, {Type: quant.NF4, Block: 1024}, {Type: quant.NF4, Block: 4096},
		{Type: quant.Int8},
	}
}

// FormatName is a short name of a format: "nf4/64", "nf4/64+dq", "int8".
func FormatName(c quant.Config) string {
	if r, err := c.Resolve(); err == nil {
		c = r
	}
	if c.Type == quant.Int8 {
		return string(c.Type)
	}
	name := fmt.Sprintf("%s/%d", c.Type, c.Block)
	if c.Double {
		name += "+dq"
	}
	return name
}

// Place says which weight a row is about.
type Place struct {
	Weight string `json:"weight"` // Hugging Face name
	Layer  int    `json:"layer"`  // -1 outside of the blocks
	Module string `json:"module"` // "q_proj"
}

func placeOf(weight string) Place {
	p := Place{Weight: weight, Layer: -1}
	name := strings.TrimSuffix(weight, ".weight")
	if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
		n, _, _ := strings.Cut(rest, ".")
		if layer, err := strconv.Atoi(n); err == nil {
			p.Layer = layer
		}
	}
	p.Module = name[strings.LastIndexByte(name, '.')+1:]
	return p
}

// outlier is how many standard deviations away from zero an outlier lies. Of normal
// weights one in 16,000 is one.
const outlier = 4

// Shape says how the values of a weight are spread: what a block's scale must cover.
type Shape struct {
	Place
	Rows     int     `json:"rows"`
	Cols     int     `json:"cols"`
	Std      float64 `json:"std"`
	Largest  float64 `json:"largest"`  // magnitude
	Peak     float64 `json:"peak"`     // largest over std; a normal matrix of 4096 x 4096 has about 5.5
	Kurtosis float64 `json:"kurtosis"` // 3 for normal weights; NF4 is made for these
	Outliers float64 `json:"outliers"` // share of values more than 4 std from zero; 6.3e-5 for normal weights
}

// QuantError is what one format does to one weight.
type QuantError struct {
	Place
	Format   string  `json:"format"`
	RMS      float64 `json:"rms"`      // root of the mean squared error
	Max      float64 `json:"max"`      // largest error
	Relative float64 `json:"relative"` // RMS error over the RMS of the weight
	Outlier  float64 `json:"outlier"`  // RMS error of values that share a scale with an outlier, over that of the others; 0: there are none
	Bits     float64 `json:"bits"`     // a value, scales included
	Bytes    int     `json:"bytes"`
}

// FormatTotal is one format over all weights that were looked at.
type FormatTotal struct {
	Format   string  `json:"format"`
	Bits     float64 `json:"bits"`     // a value, scales included
	Bytes    int     `json:"bytes"`    // of all weights
	Of16     float64 `json:"of_16bit"` // of the bytes of half precision
	Saved    int     `json:"saved"`    // bytes that double quantization saves; 0 without it
	Relative float64 `json:"relative"` // RMS error over the RMS of the weights
	Max      float64 `json:"max"`
	Worst    string  `json:"worst"` // weight with the largest relative error
}

// QuantReport is what [Quantization] finds.
type QuantReport struct {
	Shapes []Shape       `json:"shapes"`
	Errors []QuantError  `json:"errors"` // by weight, then by format
	Totals []FormatTotal `json:"totals"` // by format
}

// Quantization quantises the weights of a model in several formats and says what is lost,
// weight by weight. The model is left alone; it must be in full.
func Quantization(m *llm.Model, o QuantOptions) (*QuantReport, error) {
	if m.Quantized() != nil {
		return nil, fmt.Errorf("lens: the model is quantised already; load it in full")
	}
	if o.Formats == nil {
		o.Formats = Formats()
	}
	names := linears(m, o.Only)
	if len(names) == 0 {
		return nil, fmt.Errorf("lens: no weights were chosen; names are those of Model.Names")
	}
	r := &QuantReport{Shapes: make([]Shape, len(names)), Errors: make([]QuantError, len(names)*len(o.Formats))}
	err := each(len(names), func(i int) error {
		w, err := m.Weight(names[i])
		if err != nil {
			return fmt.Errorf("lens: %w", err)
		}
		rows, cols := matrixShape(m, names[i], len(w))
		s := shapeOf(placeOf(names[i]), w, rows, cols)
		r.Shapes[i] = s
		for k, c := range o.Formats {
			if r.Errors[i*len(o.Formats)+k], err = quantError(s, w, c); err != nil {
				return fmt.Errorf("lens: %s: %w", names[i], err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Totals = totals(r, o.Formats)
	return r, nil
}

// linears are the weights that are chosen, layer by layer.
func linears(m *llm.Model, only func(string) bool) []string {
	var names []string
	known := map[string]bool{}
	for _, module := range m.Config.Linears() {
		known[module] = true
	}
	for _, name := range m.Names() {
		if only != nil {
			if only(name) {
				names = append(names, name)
			}
			continue
		}
		if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
			_, local, _ := strings.Cut(rest, ".")
			if module, ok := strings.CutSuffix(local, ".weight"); ok && known[module] {
				names = append(names, name)
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(placeOf(a).Layer, placeOf(b).Layer) })
	return names
}

// matrixShape are the rows and columns of a weight of n values.
func matrixShape(m *llm.Model, name string, n int) (rows, cols int) {
	d := m.Folded().Shape(name)
	if len(d) == 2 && d[0]*d[1] == n {
		return d[0], d[1]
	}
	return 1, n
}

func shapeOf(p Place, w []float32, rows, cols int) Shape {
	s := Shape{Place: p, Rows: rows, Cols: cols}
	var two, four float64
	for _, v := range w {
		x := float64(v)
		two += x * x
		four += x * x * x * x
		s.Largest = max(s.Largest, math.Abs(x))
	}
	n := float64(len(w))
	s.Std = math.Sqrt(two / n) // about zero: weights have hardly a mean, and scales are about zero
	if s.Std > 0 {
		s.Peak, s.Kurtosis = s.Largest/s.Std, four/n/(two/n)/(two/n)
	}
	for _, v := range w {
		if math.Abs(float64(v)) > outlier*s.Std {
			s.Outliers += 1 / n
		}
	}
	return s
}

func quantError(s Shape, w []float32, c quant.Config) (QuantError, error) {
	e := QuantError{Place: s.Place, Format: FormatName(c)}
	q, err := quant.Quantize(w, []int{s.Rows, s.Cols}, c)
	if err != nil {
		return e, err
	}
	back := make([]float32, len(w))
	if err := q.Dequantize(back); err != nil {
		return e, err
	}
	block := q.Block
	if q.Type == quant.Int8 {
		block = s.Cols
	}
	var sum, with, without float64
	var nWith, nWithout int
	for from := 0; from < len(w); from += block {
		part, hit := 0.0, false
		to := min(from+block, len(w))
		for i := from; i < to; i++ {
			d := float64(back[i]) - float64(w[i])
			part += d * d
			e.Max = max(e.Max, math.Abs(d))
			hit = hit || math.Abs(float64(w[i])) > outlier*s.Std
		}
		sum += part
		if hit {
			with, nWith = with+part, nWith+to-from
		} else {
			without, nWithout = without+part, nWithout+to-from
		}
	}
	e.RMS = math.Sqrt(sum / float64(len(w)))
	if s.Std > 0 {
		e.Relative = e.RMS / s.Std
	}
	if nWith > 0 && nWithout > 0 && without > 0 {
		e.Outlier = math.Sqrt(with / float64(nWith) / (without / float64(nWithout)))
	}
	e.Bytes = q.Bytes()
	e.Bits = 8 * float64(e.Bytes) / float64(len(w))
	return e, nil
}

func totals(r *QuantReport, formats []quant.Config) []FormatTotal {
	var out []FormatTotal
	for k, c := range formats {
		t := FormatTotal{Format: FormatName(c)}
		var squares, of, worst float64
		values, plain := 0, 0
		for i, s := range r.Shapes {
			e, n := r.Errors[i*len(formats)+k], float64(s.Rows*s.Cols)
			squares += e.RMS * e.RMS * n
			of += s.Std * s.Std * n
			values += s.Rows * s.Cols
			t.Bytes += e.Bytes
			t.Max = max(t.Max, e.Max)
			if e.Relative >= worst {
				worst, t.Worst = e.Relative, e.Weight
			}
			if c.Double {
				codes, block := s.Rows*s.Cols, c.Block
				if block == 0 {
					block = 64
				}
				plain += (codes+1)/2 + 4*((codes+block-1)/block)
			}
		}
		t.Bits = 8 * float64(t.Bytes) / float64(values)
		t.Of16 = t.Bits / 16
		if of > 0 {
			t.Relative = math.Sqrt(squares / of)
		}
		if c.Double {
			t.Saved = plain - t.Bytes
		}
		out = append(out, t)
	}
	return out
}
