package lens

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"ftlab/ftlib/llm"
	"ftlab/ftlib/svd"
)

// Change is what training did to the matrices of a model.
type Change struct {
	names []string
	read  sync.Mutex
	both  func(name string) (before, after []float32, err error)
	shape func(name string) (rows, cols int)
	low   func(name string) (llm.Factors, bool) // of updates of low rank
}

// Adapter is the change that an adapter of a model stands for. Updates s·B·A are taken
// apart through their factors, at the cost of small matrices.
func Adapter(m *llm.Model, a *llm.Adapter) *Change {
	c := &Change{shape: func(name string) (int, int) {
		d := m.Folded().Shape(name)
		return d[0], d[1]
	}}
	for _, module := range a.Modules() {
		c.names = append(c.names, module+".weight")
	}
	c.low = func(name string) (llm.Factors, bool) {
		f, err := a.Factors(strings.TrimSuffix(name, ".weight"))
		return f, err == nil && !f.DoRA
	}
	c.both = func(name string) (before, after []float32, err error) {
		was := m.Adapter()
		m.SetAdapter(a)
		defer m.SetAdapter(was)
		if before, err = m.Weight(name); err != nil {
			return nil, nil, err
		}
		after, err = m.Folded().Values(name)
		return before, after, err
	}
	return c
}

// Models is the difference of two models of one shape: before and after full fine-tuning,
// with the adapters that they have on folded in. Only matrices that differ are in it.
func Models(before, after *llm.Model) (*Change, error) {
	if before.Config.Hidden != after.Config.Hidden || before.Config.Layers != after.Config.Layers || before.Config.Vocab != after.Config.Vocab {
		return nil, fmt.Errorf("lens: the models are not of one shape: %d layers of %d and %d layers of %d", before.Config.Layers, before.Config.Hidden, after.Config.Layers, after.Config.Hidden)
	}
	x, y := before.Folded(), after.Folded()
	c := &Change{low: func(string) (llm.Factors, bool) { return llm.Factors{}, false }}
	c.shape = func(name string) (int, int) {
		d := x.Shape(name)
		return d[0], d[1]
	}
	c.both = func(name string) (b, a []float32, err error) {
		if b, err = x.Values(name); err != nil {
			return nil, nil, err
		}
		a, err = y.Values(name)
		return b, a, err
	}
	for _, name := range x.Names {
		if len(x.Shape(name)) != 2 || !slices.Contains(y.Names, name) {
			continue
		}
		b, a, err := c.both(name)
		if err != nil {
			return nil, fmt.Errorf("lens: %w", err)
		}
		if !slices.Equal(b, a) {
			c.names = append(c.names, name)
		}
	}
	if len(c.names) == 0 {
		return nil, fmt.Errorf("lens: the models do not differ")
	}
	return c, nil
}

// Weights are the names of the matrices that changed.
func (c *Change) Weights() []string { return slices.Clone(c.names) }

func (c *Change) values(name string) (before, after []float32, err error) {
	c.read.Lock()
	defer c.read.Unlock()
	if before, after, err = c.both(name); err != nil {
		return nil, nil, fmt.Errorf("lens: %s: %w", name, err)
	}
	return before, after, nil
}

// Spectrum says how many directions an update ΔW of one weight has.
type Spectrum struct {
	Place
	Rows     int     `json:"rows"`
	Cols     int     `json:"cols"`
	Norm     float64 `json:"norm"`     // Frobenius norm of ΔW
	Relative float64 `json:"relative"` // over that of W

	// EffectiveRank is exp(H), H the entropy of the singular values as shares of their sum
	// (Roy and Vetterli 2007): r equal values make r. StableRank is ‖ΔW‖²/s₁²: what the
	// update has beside its first direction.
	EffectiveRank float64 `json:"effective_rank"`
	StableRank    float64 `json:"stable_rank"`
	Rank90        int     `json:"rank_90"` // smallest rank that keeps 90 % of ‖ΔW‖²
	Rank99        int     `json:"rank_99"` // and 99 %; larger than len(S): more than is known

	S []float64 `json:"s"` // singular values, from the largest on
}

// Keeps is the share of ‖ΔW‖² that the best update of rank r has.
func (s Spectrum) Keeps(r int) float64 {
	if s.Norm == 0 {
		return 1
	}
	sum := 0.0
	for _, v := range s.S[:min(max(r, 0), len(s.S))] {
		sum += v * v
	}
	return min(1, sum/(s.Norm*s.Norm))
}

// exactUpTo is the side of a matrix to which singular values are found exactly.
const exactUpTo = 768

// Spectra take the update of each weight apart. top is how many singular values are looked
// for; 0: all of updates of low rank and of matrices up to 768 wide, 128 of wider ones,
// whose effective rank is then that of these 128.
func (c *Change) Spectra(top int) ([]Spectrum, error) {
	out := make([]Spectrum, len(c.names))
	err := each(len(c.names), func(i int) error {
		name := c.names[i]
		before, after, err := c.values(name)
		if err != nil {
			return err
		}
		s := Spectrum{Place: placeOf(name)}
		s.Rows, s.Cols = c.shape(name)
		whole := 0.0
		for _, v := range before {
			whole += float64(v) * float64(v)
		}
		var parts svd.SVD
		if f, ok := c.low(name); ok {
			if parts, err = svd.Product(svd.Of(f.B, f.Out, f.R), svd.Of(f.A, f.R, f.In), f.Scale); err == nil {
				s.Norm = norm(parts.S)
			}
		} else {
			x := svd.Zeros(s.Rows, s.Cols)
			for k, v := range after {
				x.Data[k] = float64(v) - float64(before[k])
			}
			s.Norm = x.Norm()
			parts, err = spectrum(x, top)
		}
		if err != nil {
			return fmt.Errorf("lens: %s: %w", name, err)
		}
		s.S = parts.S
		if top > 0 {
			s.S = s.S[:min(top, len(s.S))]
		}
		if whole > 0 {
			s.Relative = s.Norm / math.Sqrt(whole)
		}
		s.summarise()
		out[i] = s
		return nil
	})
	return out, err
}

// spectrum of a matrix: exact where that is soon done.
func spectrum(x svd.Matrix, top int) (svd.SVD, error) {
	if min(x.Rows, x.Cols) <= exactUpTo {
		return svd.Thin(x)
	}
	if top == 0 {
		top = 128
	}
	return svd.Top(x, top, 4)
}

func norm(s []float64) float64 {
	sum := 0.0
	for _, v := range s {
		sum += v * v
	}
	return math.Sqrt(sum)
}

func (s *Spectrum) summarise() {
	s.EffectiveRank = EffectiveRank(s.S)
	if len(s.S) > 0 && s.S[0] > 0 {
		s.StableRank = s.Norm * s.Norm / (s.S[0] * s.S[0])
	}
	s.Rank90, s.Rank99 = s.rank(0.9), s.rank(0.99)
}

func (s *Spectrum) rank(share float64) int {
	for r := range len(s.S) + 1 {
		if s.Keeps(r) >= share-1e-12 {
			return r
		}
	}
	return len(s.S) + 1
}

// EffectiveRank of singular values (Roy and Vetterli 2007); 0 when all are zero.
func EffectiveRank(s []float64) float64 {
	sum := 0.0
	for _, v := range s {
		sum += v
	}
	if sum == 0 {
		return 0
	}
	h := 0.0
	for _, v := range s {
		if p := v / sum; p > 0 {
			h -= p * math.Log(p)
		}
	}
	return math.Exp(h)
}

// KeptRow is what a rank keeps of the updates of a model.
type KeptRow struct {
	R      int     `json:"r"`
	Mean   float64 `json:"mean"`   // share of ‖ΔW‖², mean over the weights
	Least  float64 `json:"least"`  // of the weight that loses most
	Weight string  `json:"weight"` // which that is
}

// Kept says what each rank would keep of updates; nil: 1, 2, 4 ... 256.
func Kept(spectra []Spectrum, ranks []int) []KeptRow {
	if ranks == nil {
		for r := 1; r <= 256; r *= 2 {
			ranks = append(ranks, r)
		}
	}
	var rows []KeptRow
	for _, r := range ranks {
		row := KeptRow{R: r, Least: math.Inf(1)}
		for _, s := range spectra {
			k := s.Keeps(r)
			row.Mean += k / float64(len(spectra))
			if k < row.Least {
				row.Least, row.Weight = k, s.Weight
			}
		}
		if len(spectra) == 0 {
			row.Least = 0
		}
		rows = append(rows, row)
	}
	return rows
}

// Turn says how far an update moved the magnitudes and the directions of a weight (Liu et
// al. 2024, DoRA, section 3.2), over the rows w of [out, in], as PEFT has them:
//
//	ΔM = mean |‖w'‖ - ‖w‖|        ΔD = mean (1 - cos(w', w))
type Turn struct {
	Place
	Magnitude float64 `json:"magnitude"`          // ΔM
	Relative  float64 `json:"relative_magnitude"` // mean |‖w'‖/‖w‖ - 1|
	Direction float64 `json:"direction"`          // ΔD
}

// Turns are magnitude and direction of each weight's update.
func (c *Change) Turns() ([]Turn, error) {
	out := make([]Turn, len(c.names))
	err := each(len(c.names), func(i int) error {
		before, after, err := c.values(c.names[i])
		if err != nil {
			return err
		}
		rows, cols := c.shape(c.names[i])
		t := Turn{Place: placeOf(c.names[i])}
		for r := range rows {
			var bb, aa, ab float64
			for k := r * cols; k < (r+1)*cols; k++ {
				b, a := float64(before[k]), float64(after[k])
				bb, aa, ab = bb+b*b, aa+a*a, ab+a*b
			}
			b, a := math.Sqrt(bb), math.Sqrt(aa)
			t.Magnitude += math.Abs(a-b) / float64(rows)
			if b > 0 {
				t.Relative += math.Abs(a/b-1) / float64(rows)
			}
			if a > 0 && b > 0 {
				t.Direction += max(0, 1-ab/(a*b)) / float64(rows)
			}
		}
		out[i] = t
		return nil
	})
	return out, err
}

// Correlation of direction and magnitude over turns (of weights, or of one weight at
// several checkpoints), Pearson's. The paper finds it negative for full fine-tuning
// and DoRA (-0.62, -0.31) and positive for LoRA (0.83). NaN with fewer than two.
func Correlation(turns []Turn) float64 {
	var x, y []float64
	for _, t := range turns {
		x, y = append(x, t.Direction), append(y, t.Magnitude)
	}
	mean := func(v []float64) (m float64) {
		for _, a := range v {
			m += a / float64(len(v))
		}
		return m
	}
	mx, my := mean(x), mean(y)
	var xy, xx, yy float64
	for i := range x {
		xy, xx, yy = xy+(x[i]-mx)*(y[i]-my), xx+(x[i]-mx)*(x[i]-mx), yy+(y[i]-my)*(y[i]-my)
	}
	return xy / math.Sqrt(xx*yy)
}
