package tune

import (
	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// rewardMethod is a reward model: a score at the last token of an answer, trained by
// [loss.Reward] on pairs or by [loss.Listwise] on rankings. It agrees with TRL 1.16's RewardTrainer
// (golden cases losses/reward, losses/reward_model).
type rewardMethod struct{ spec ftlib.Reward }

func (m *rewardMethod) shape() corpus.Shape {
	if m.spec.Listwise {
		return corpus.RankingShape
	}
	return corpus.PairShape
}

func (m *rewardMethod) needs() needs                          { return needs{labels: 1} }
func (m *rewardMethod) open(*grouped, ftlib.Run) error        { return nil }
func (m *rewardMethod) close()                                {}
func (m *rewardMethod) trained(b *corpus.Batch) *corpus.Batch { return b }

func (m *rewardMethod) loss(g *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error) {
	var at []int32
	if !m.spec.Listwise {
		var margins []float64
		for _, row := range pairRows(b) {
			at = append(at, last(b, row))
		}
		for _, group := range b.Rows {
			if v := g.data[group].Margin; v != nil {
				margins = append(margins, *v)
			}
		}
		if len(margins) != len(b.Rows) { // of some rows only: none counts
			margins = nil
		}
		scores, err := p.Scores(at)
		if err != nil {
			return outcome{}, err
		}
		r, err := loss.Reward{CenterRewards: m.spec.CenterRewards}.Loss(rows(scores, len(scores))[0], margins)
		return ofScores(r), err
	}
	blocks := m.blocks(g)
	var lengths []int
	for i, group := range b.Rows {
		n := len(g.data[group].Seqs)
		for k := range n {
			at = append(at, last(b, k*size(b, blocks)+i))
		}
		lengths = append(lengths, n)
	}
	scores, err := p.Scores(at)
	if err != nil {
		return outcome{}, err
	}
	all := rows(scores, len(scores))[0]
	var lists [][]float64
	for _, n := range lengths {
		lists, all = append(lists, all[:n]), all[n:]
	}
	r, err := loss.Listwise{CenterRewards: m.spec.CenterRewards}.Loss(lists)
	return ofScores(r), err
}

// blocks is the number of sequences of the longest ranking.
func (m *rewardMethod) blocks(g *grouped) int {
	n := 2
	for _, group := range g.data {
		n = max(n, len(group.Seqs))
	}
	return n
}

func ofScores(r loss.Scored) outcome {
	slopes := make([]float32, len(r.Slope))
	for i, v := range r.Slope {
		slopes[i] = float32(v)
	}
	return outcome{r.Sum, r.Units, llm.Slopes{Scores: slopes}, r.Metrics}
}
