package tune

import (
	"fmt"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
)

// grouped trains on groups of sequences: pairs, rankings, single answers, steps. What it
// makes of them is the method's.
type grouped struct {
	trainer
	method groupMethod
	data   []corpus.Group // Batch.Rows are indices into it, of validation batches too
}

// groupMethod is a loss of groups: one file each.
type groupMethod interface {
	// shape is what the rows are encoded as.
	shape() corpus.Shape
	// needs is what it looks at in the model.
	needs() needs
	// open prepares what it needs besides the model that is trained: a reference.
	open(g *grouped, run ftlib.Run) error
	// trained is the part of a batch that goes forward for training; the rest is read only.
	trained(b *corpus.Batch) *corpus.Batch
	// loss looks at what went forward. Slopes are those of the sum.
	loss(g *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error)
	// close frees what open made.
	close()
}

// outcome is a loss over a batch as the engine takes it.
type outcome struct {
	sum, units float64
	slopes     llm.Slopes
	metrics    map[string]float64 // means
}

// groupMethodOf is the method of a run that trains on groups; nil for others.
func groupMethodOf(run ftlib.Run) groupMethod {
	m := run.Method
	switch {
	case m.Reward != nil:
		return &rewardMethod{spec: *m.Reward}
	case m.DPO != nil:
		return &dpoMethod{spec: *m.DPO}
	case m.KTO != nil:
		return &ktoMethod{spec: *m.KTO}
	case m.ORPO != nil:
		return &orpoMethod{spec: *m.ORPO}
	case m.CPO != nil:
		return &cpoMethod{spec: *m.CPO}
	case m.PRM != nil:
		return &prmMethod{spec: *m.PRM}
	}
	return nil
}

// openGrouped loads the model of a run that trains on groups.
func openGrouped(run ftlib.Run, gm *given) (Stepper, string, error) {
	m := groupMethodOf(run)
	t, about, err := openTrainer(run, m.needs(), gm)
	if err != nil {
		return nil, "", err
	}
	g := &grouped{trainer: t, method: m}
	if err := m.open(g, run); err != nil {
		g.Close()
		return nil, "", err
	}
	return g, about, nil
}

// bind gives the stepper the groups that batches point to.
func (g *grouped) bind(d *Data) error {
	g.data = d.Groups
	if p, ok := g.method.(interface {
		precompute(g *grouped, d *Data) error
	}); ok {
		return p.precompute(g, d)
	}
	return nil
}

// Units implements [Counted]: groups.
func (g *grouped) Units(b *corpus.Batch) float64 {
	if c, ok := g.method.(interface {
		units(g *grouped, b *corpus.Batch) float64
	}); ok {
		return c.units(g, b)
	}
	return float64(len(b.Rows))
}

func (g *grouped) run(b *corpus.Batch, train bool) (*llm.Pass, outcome, error) {
	if b.Rows == nil || g.data == nil {
		return nil, outcome{}, fmt.Errorf("tune: a batch that names no groups: this method trains on groups of sequences")
	}
	o := llm.ForwardOptions{Train: train}
	if train {
		o.Key = g.key()
	}
	p, err := g.Engine.Forward(g.method.trained(b), o)
	if err != nil {
		return nil, outcome{}, err
	}
	out, err := g.method.loss(g, b, p)
	if err != nil {
		p.Close()
	}
	return p, out, err
}

func (o outcome) sums() Sums {
	s := Sums{Loss: o.sum, Tokens: o.units, Metrics: map[string]float64{}}
	for name, v := range o.metrics {
		s.Metrics[name] = v * o.units
	}
	return s
}

// Accumulate implements [Stepper].
func (g *grouped) Accumulate(b *corpus.Batch, scale float32) (Sums, error) {
	p, out, err := g.run(b, true)
	if err != nil {
		return Sums{}, err
	}
	defer p.Close()
	for _, list := range [][]float32{out.slopes.LogP, out.slopes.Entropy, out.slopes.Scores} {
		for i := range list {
			list[i] *= scale
		}
	}
	return out.sums(), p.Pull(out.slopes)
}

// Evaluate implements [Stepper].
func (g *grouped) Evaluate(b *corpus.Batch) (Sums, error) {
	p, out, err := g.run(b, false)
	if err != nil {
		return Sums{}, err
	}
	p.Close()
	if m, ok := g.method.(interface{ collect() }); ok {
		m.collect()
	}
	return out.sums(), nil
}

// evaluated are metrics of all that was evaluated since it was last asked, which are no means
// of batches.
func (g *grouped) evaluated() map[string]float64 {
	if m, ok := g.method.(interface{ collected() map[string]float64 }); ok {
		return m.collected()
	}
	return nil
}

// Close implements io.Closer.
func (g *grouped) Close() error {
	g.method.close()
	return g.trainer.Close()
}

// size is the number of groups that a batch has room for, given how many blocks it has.
func size(b *corpus.Batch, blocks int) int { return b.B / blocks }

// rows are values [B, T] row by row, in float64.
func rows(values []float32, t int) [][]float64 {
	out := make([][]float64, 0, len(values)/t)
	for from := 0; from < len(values); from += t {
		row := make([]float64, t)
		for i := range row {
			row[i] = float64(values[from+i])
		}
		out = append(out, row)
	}
	return out
}

// flat writes the given rows of slopes back to where they came from in a batch [B, T].
func flat(slopes [][]float64, at []int, b *corpus.Batch) []float32 {
	out := make([]float32, b.B*b.T)
	for i, row := range slopes {
		for t, v := range row {
			out[at[i]*b.T+t] = float32(v)
		}
	}
	return out
}

// pick takes rows out of a list.
func pick[T any](list []T, at []int) []T {
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = list[k]
	}
	return out
}

// pairRows are the rows of a batch of two blocks that hold groups: first those of the first block.
func pairRows(b *corpus.Batch) []int {
	var at []int
	for block := range 2 {
		for r := range b.Rows {
			at = append(at, block*size(b, 2)+r)
		}
	}
	return at
}

// last is the position (row·T + t) of the last token of a row; -1 of an empty one.
func last(b *corpus.Batch, row int) int32 {
	for t := b.T - 1; t >= 0; t-- {
		if b.Seg[row*b.T+t] != 0 {
			return int32(row*b.T + t)
		}
	}
	return -1
}
