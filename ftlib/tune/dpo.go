package tune

import (
	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// dpoMethod is direct preference optimization and its relatives; the formulas are those of
// [loss.DPO]. It agrees with TRL 1.16's DPOTrainer (golden cases losses/dpo, e2e/dpo_*).
type dpoMethod struct {
	spec ftlib.DPO
	ref  *reference
}

func (m *dpoMethod) shape() corpus.Shape                   { return corpus.PairShape }
func (m *dpoMethod) needs() needs                          { return needs{tokens: true} }
func (m *dpoMethod) trained(b *corpus.Batch) *corpus.Batch { return b }
func (m *dpoMethod) close()                                { m.ref.close() }

func (m *dpoMethod) formula() loss.DPO {
	s := m.spec
	return loss.DPO{LossType: s.LossType, LossWeights: s.LossWeights, Beta: s.Beta, LabelSmoothing: s.LabelSmoothing,
		Divergence: s.Divergence, Alpha: s.Alpha, LDAlpha: s.LDAlpha, Weighting: s.Weighting, DiscopopTau: s.DiscopopTau}
}

func (m *dpoMethod) open(g *grouped, run ftlib.Run) (err error) {
	if err := m.formula().Validate(); err != nil {
		return err
	}
	m.ref, err = newReference(&g.trainer, m.spec.Reference, run.Model.Adapter, m.spec.Recompute)
	return err
}

func (m *dpoMethod) precompute(_ *grouped, d *Data) error { return m.ref.precompute(d) }

func (m *dpoMethod) loss(_ *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error) {
	ref, err := m.ref.logps(b)
	if err != nil {
		return outcome{}, err
	}
	s, err := p.Stats()
	if err != nil {
		return outcome{}, err
	}
	at := pairRows(b)
	pairs := loss.Pairs{LogP: pick(rows(s.LogP, b.T), at), Ref: pick(ref, at), Mask: pick(rows(b.Mask, b.T), at)}
	if m.spec.Weighting {
		pairs.LogSumSq = pick(rows(s.LogSumSq, b.T), at)
	}
	r, err := m.formula().Loss(pairs)
	if err != nil {
		return outcome{}, err
	}
	pairStats(r.Metrics, s, b)
	return outcome{r.Sum, r.Units, llm.Slopes{LogP: flat(r.Slope, at, b)}, r.Metrics}, nil
}

// pairStats adds what TRL logs of the model's own words: entropy, mean logits, and how
// many chosen tokens are the most probable ones.
func pairStats(metrics map[string]float64, s llm.TokenStats, b *corpus.Batch) {
	var entropy, tokens, right float64
	var logit, count [2]float64
	for block := range 2 {
		for r := range b.Rows {
			from := (block*size(b, 2) + r) * b.T
			for t := range b.T {
				if b.Mask[from+t] == 0 {
					continue
				}
				entropy, tokens = entropy+float64(s.Entropy[from+t]), tokens+1
				logit[block], count[block] = logit[block]+float64(s.MeanLogit[from+t]), count[block]+1
				if block == 0 {
					right += float64(s.Top[from+t])
				}
			}
		}
	}
	metrics["entropy"], metrics["mean_token_accuracy"] = entropy/max(1, tokens), right/max(1, count[0])
	metrics["logits/chosen"], metrics["logits/rejected"] = logit[0]/max(1, count[0]), logit[1]/max(1, count[1])
}

// Knobs implements [Tunable] for the methods with a beta.
func (g *grouped) Knobs() []ftlib.Knob {
	if b, ok := g.method.(interface{ beta() *float64 }); ok {
		return []ftlib.Knob{{Key: "beta", Value: *b.beta(), Min: 1e-4, Max: 100, Log: true, Help: "how strongly the reference holds"}}
	}
	return nil
}

// Turn implements [Tunable].
func (g *grouped) Turn(_ string, value float64) error {
	*g.method.(interface{ beta() *float64 }).beta() = value
	return nil
}

func (m *dpoMethod) beta() *float64 { return &m.spec.Beta }
