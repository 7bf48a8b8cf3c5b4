package tune

import (
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
)

// logps asks an engine for the log-probabilities of all answers of a rollout, at the
// temperature that they were drawn with.
func (o *online) logps(e *llm.Engine, r *Rollout, set func(*Answer, []float64)) error {
	for from := 0; from < len(r.Samples); from += o.run.Batch.Size {
		var at []int
		for i := from; i < min(from+o.run.Batch.Size, len(r.Samples)); i++ {
			at = append(at, i)
		}
		b := o.batch(r, at)
		p, err := e.Forward(b, llm.ForwardOptions{Temperature: o.roll.Temperature})
		if err != nil {
			return err
		}
		s, err := p.Stats()
		p.Close()
		if err != nil {
			return err
		}
		for k, i := range at {
			set(&r.Samples[i], answerOf(s.LogP, b, k))
		}
	}
	return nil
}

// answerOf are the values of the targets of a row.
func answerOf(values []float32, b *corpus.Batch, row int) []float64 {
	var out []float64
	for t := range b.T {
		if b.Mask[row*b.T+t] != 0 {
			out = append(out, float64(values[row*b.T+t]))
		}
	}
	return out
}

// spreadOut writes values of answers back to where the tokens stand in a batch.
func spreadOut(values [][]float64, b *corpus.Batch) []float32 {
	if values == nil {
		return nil
	}
	out := make([]float32, b.B*b.T)
	for row, list := range values {
		next := 0
		for t := range b.T {
			if b.Mask[row*b.T+t] != 0 {
				out[row*b.T+t] = float32(list[next])
				next++
			}
		}
	}
	return out
}
