package tune

import (
	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// orpoMethod is odds ratio preference optimization; the formula is that of [loss.ORPO]. Its
// likelihood is over prompt and answer, as TRL has it (golden case losses/orpo_cpo_simpo).
type orpoMethod struct{ spec ftlib.ORPO }

func (m *orpoMethod) shape() corpus.Shape            { return corpus.PairShape }
func (m *orpoMethod) needs() needs                   { return needs{tokens: true} }
func (m *orpoMethod) open(*grouped, ftlib.Run) error { return nil }
func (m *orpoMethod) close()                         {}
func (m *orpoMethod) beta() *float64                 { return &m.spec.Beta }

// trained makes targets of the prompts too.
func (m *orpoMethod) trained(b *corpus.Batch) *corpus.Batch {
	all := *b
	all.Mask = make([]float32, len(b.Mask))
	for i := range all.Mask {
		if i%b.T > 0 && b.Seg[i] != 0 && b.Seg[i] == b.Seg[i-1] {
			all.Mask[i] = 1
		}
	}
	return &all
}

func (m *orpoMethod) loss(_ *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error) {
	s, err := p.Stats()
	if err != nil {
		return outcome{}, err
	}
	at := pairRows(b)
	whole := pick(rows(m.trained(b).Mask, b.T), at)
	r, err := loss.ORPO{Beta: m.spec.Beta}.Loss(loss.Pairs{LogP: pick(rows(s.LogP, b.T), at), Mask: pick(rows(b.Mask, b.T), at)}, whole[:len(whole)/2])
	if err != nil {
		return outcome{}, err
	}
	pairStats(r.Metrics, s, b)
	return outcome{r.Sum, r.Units, llm.Slopes{LogP: flat(r.Slope, at, b)}, r.Metrics}, nil
}

// cpoMethod is contrastive preference optimization with SimPO and AlphaPO; the formulas are
// those of [loss.CPO] (golden case losses/orpo_cpo_simpo).
type cpoMethod struct{ spec ftlib.CPO }

func (m *cpoMethod) shape() corpus.Shape                   { return corpus.PairShape }
func (m *cpoMethod) needs() needs                          { return needs{tokens: true} }
func (m *cpoMethod) open(*grouped, ftlib.Run) error        { return nil }
func (m *cpoMethod) close()                                {}
func (m *cpoMethod) beta() *float64                        { return &m.spec.Beta }
func (m *cpoMethod) trained(b *corpus.Batch) *corpus.Batch { return b }

func (m *cpoMethod) loss(_ *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error) {
	s, err := p.Stats()
	if err != nil {
		return outcome{}, err
	}
	at, c := pairRows(b), m.spec
	r, err := loss.CPO{LossType: c.LossType, Beta: c.Beta, LabelSmoothing: c.LabelSmoothing, CPOAlpha: c.CPOAlpha, SimPOGamma: c.SimPOGamma, Alpha: c.Alpha}.
		Loss(loss.Pairs{LogP: pick(rows(s.LogP, b.T), at), Mask: pick(rows(b.Mask, b.T), at)})
	if err != nil {
		return outcome{}, err
	}
	pairStats(r.Metrics, s, b)
	return outcome{r.Sum, r.Units, llm.Slopes{LogP: flat(r.Slope, at, b)}, r.Metrics}, nil
}
