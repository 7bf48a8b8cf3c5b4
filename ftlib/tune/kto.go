package tune

import (
	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// ktoMethod is Kahneman-Tversky optimization; the formulas are those of [loss.KTO] (golden
// case losses/kto). The second block of a batch holds the answer of another row behind
// each prompt, of which the KL estimate z is made.
type ktoMethod struct {
	spec ftlib.KTO
	ref  *reference
}

func (m *ktoMethod) shape() corpus.Shape { return corpus.UnpairedShape }
func (m *ktoMethod) needs() needs        { return needs{tokens: true} }
func (m *ktoMethod) close()              { m.ref.close() }
func (m *ktoMethod) beta() *float64      { return &m.spec.Beta }

func (m *ktoMethod) open(g *grouped, run ftlib.Run) (err error) {
	m.ref, err = newReference(&g.trainer, "", run.Model.Adapter, false)
	return err
}

func (m *ktoMethod) precompute(_ *grouped, d *Data) error { return m.ref.precompute(d) }

func (m *ktoMethod) trained(b *corpus.Batch) *corpus.Batch { return b.Part(0, size(b, 2)) }

func (m *ktoMethod) loss(g *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error) {
	ref, err := m.ref.logps(b)
	if err != nil {
		return outcome{}, err
	}
	s, err := p.Stats()
	if err != nil {
		return outcome{}, err
	}
	n, own := len(b.Rows), m.trained(b)
	at := make([]int, n)
	u := loss.Unpaired{}
	for i, group := range b.Rows {
		at[i] = i
		u.Good = append(u.Good, g.data[group].Good)
	}
	u.LogP, u.Ref, u.Mask = pick(rows(s.LogP, b.T), at), pick(ref, at), pick(rows(own.Mask, b.T), at)
	if m.spec.LossType == "kto" {
		other := b.Part(size(b, 2), b.B)
		pass, err := g.Engine.Forward(other, llm.ForwardOptions{})
		if err != nil {
			return outcome{}, err
		}
		defer pass.Close()
		mismatched, err := pass.Stats()
		if err != nil {
			return outcome{}, err
		}
		logps := rows(mismatched.LogP, b.T)
		for i := range n {
			sum, sumRef := 0.0, 0.0
			for t := range b.T {
				sum, sumRef = sum+logps[i][t], sumRef+ref[size(b, 2)+i][t]
			}
			u.KL, u.KLRef = append(u.KL, sum), append(u.KLRef, sumRef)
		}
	}
	r, err := loss.KTO{LossType: m.spec.LossType, Beta: m.spec.Beta, DesirableWeight: m.spec.DesirableWeight, UndesirableWeight: m.spec.UndesirableWeight}.Loss(u)
	return outcome{r.Sum, r.Units, llm.Slopes{LogP: flat(r.Slope, at, own)}, r.Metrics}, err
}

// mismatch gives every group, as its second sequence, its prompt with the answer of
// another row: half the rows further on, so that the two sides of a preference, which
// stand together, do not meet.
func mismatch(groups []corpus.Group) {
	answer := func(ex corpus.Example) int {
		for t, train := range ex.Train {
			if train {
				return t
			}
		}
		return len(ex.IDs)
	}
	n := len(groups)
	others := make([]corpus.Example, n)
	for i, g := range groups {
		from, to := g.Seqs[0], groups[(i+n/2+1)%n].Seqs[0]
		p, a := answer(from), answer(to)
		others[i] = corpus.Example{File: g.File, Num: g.Num,
			IDs:   append(from.IDs[:p:p], to.IDs[a:]...),
			Train: append(from.Train[:p:p], to.Train[a:]...),
		}
		if cut := len(others[i].IDs) - max(len(from.IDs), len(to.IDs)); cut > 0 { // no longer than what is there
			others[i].IDs, others[i].Train = others[i].IDs[:len(others[i].IDs)-cut], others[i].Train[:len(others[i].Train)-cut]
		}
	}
	for i := range groups {
		groups[i].Seqs = append(groups[i].Seqs[:1:1], others[i])
	}
}
