package tune

import (
	"math"

	"ftlab/ftlib"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/eval"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/loss"
)

// prmMethod is a process reward model: two logits at the last token of each step, trained by
// [loss.Steps]. A unit is a labelled step. It agrees with TRL 1.12's PRMTrainer (golden cases
// losses/prm_labels, losses/prm_train), but for rows whose labels are cut off: TRL trains
// them in silence, here they are refused.
type prmMethod struct {
	spec      ftlib.PRM
	last, all scoredSteps // of the last batch; of all batches of a validation
}

// scoredSteps are steps with what the model says of them.
type scoredSteps struct {
	scores []float64 // log-odds of being right
	right  []bool
}

// collect keeps the steps of the last batch for the area under the ROC curve.
func (m *prmMethod) collect() {
	m.all.scores, m.all.right = append(m.all.scores, m.last.scores...), append(m.all.right, m.last.right...)
}

// collected is how well wrong steps are told from right ones, at every threshold.
func (m *prmMethod) collected() map[string]float64 {
	auc := eval.AUC(m.all.scores, m.all.right)
	m.all = scoredSteps{}
	if math.IsNaN(auc) {
		return nil
	}
	return map[string]float64{"auc": auc}
}

func (m *prmMethod) shape() corpus.Shape                   { return corpus.StepShape }
func (m *prmMethod) needs() needs                          { return needs{labels: 2, bias: true} }
func (m *prmMethod) open(*grouped, ftlib.Run) error        { return nil }
func (m *prmMethod) close()                                {}
func (m *prmMethod) trained(b *corpus.Batch) *corpus.Batch { return b }

func (m *prmMethod) units(g *grouped, b *corpus.Batch) float64 {
	n := 0
	for _, group := range b.Rows {
		n += len(g.data[group].Ends)
	}
	return float64(n)
}

func (m *prmMethod) loss(g *grouped, b *corpus.Batch, p *llm.Pass) (outcome, error) {
	var at []int32
	var labels []float64
	for i, group := range b.Rows {
		for k, end := range g.data[group].Ends {
			at, labels = append(at, int32(i*b.T+end)), append(labels, g.data[group].Labels[k])
		}
	}
	scores, err := p.Scores(at)
	if err != nil {
		return outcome{}, err
	}
	logits := make([][2]float64, len(at))
	m.last = scoredSteps{}
	for i := range logits {
		logits[i] = [2]float64{float64(scores[2*i]), float64(scores[2*i+1])}
		m.last.scores, m.last.right = append(m.last.scores, logits[i][1]-logits[i][0]), append(m.last.right, labels[i] > 0.5)
	}
	sum, slope, metrics, err := loss.Steps(logits, labels)
	if err != nil {
		return outcome{}, err
	}
	flat := make([]float32, 0, 2*len(slope))
	for _, s := range slope {
		flat = append(flat, float32(s[0]), float32(s[1]))
	}
	return outcome{sum, float64(len(labels)), llm.Slopes{Scores: flat}, metrics}, nil
}
