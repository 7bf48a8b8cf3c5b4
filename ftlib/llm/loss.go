package llm

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/corpus"
)

// Totals are sums over the trained tokens of a batch, weighted by its mask.
type Totals struct {
	Loss    float64 // nats
	Correct float64 // targets that were the most probable token
	Entropy float64 // of the predicted distributions, nats
	Tokens  float64 // trained tokens
}

// head runs a head program over the last hidden states of a pass. Outputs: the three sums
// (see [totals]), the log-probabilities, and with a gradient that of the hidden states.
func (p *pass) head(batch *corpus.Batch, k headKey, scale float32, all bool) (out []*tensors.Tensor, err error) {
	e := p.e
	if e.m.Config.NoHead {
		return nil, fmt.Errorf("llm: %s is a classifier: it has no head that predicts tokens", e.m.Path)
	}
	rows, targets, weights, err := targetRows(batch, all)
	if err != nil {
		return nil, err
	}
	var args []*tensors.Tensor
	defer func() { free(args...) }()
	for _, values := range [][]int32{rows, targets} {
		x, err := newInts(e.m.Backend, values, len(values))
		if err != nil {
			return nil, err
		}
		args = append(args, x)
	}
	w, err := newFloats(e.m.Backend, weights, len(weights))
	if err != nil {
		return nil, err
	}
	args = append(args, w)
	train := e.headTrain()
	var extra []*tensors.Tensor
	if k.grad {
		s, err := newFloats(e.m.Backend, []float32{scale})
		if err != nil {
			return nil, err
		}
		defer free(s)
		extra = group(s)
		if len(train) > 0 && e.grads[e.stored(train[0])] != nil {
			k.add = true
			for _, name := range train {
				extra = append(extra, e.grads[e.stored(name)])
			}
		}
	}
	prog, err := e.headProgram(k)
	if err != nil {
		return nil, err
	}
	out, err = prog.call(group(p.hidden), args, e.headTensors(), extra)
	if err != nil {
		return nil, err
	}
	if !k.grad {
		return out, nil
	}
	names := slices.Clone(train)
	for i, name := range names {
		names[i] = e.stored(name)
	}
	e.setGrads("head", names, out[5], out[6:])
	return out[:5], nil
}

// totals reads the sums of a head and frees them. It waits for the program: a pass that goes on
// backward reads them at its end.
func totals(batch *corpus.Batch, out []*tensors.Tensor) (t Totals, err error) {
	defer free(out...)
	for i, v := range []*float64{&t.Loss, &t.Correct, &t.Entropy} {
		if *v, err = scalar(out[i]); err != nil {
			return t, err
		}
	}
	t.Tokens = batch.Trained()
	return t, nil
}

// Accumulate runs a batch forward and backward and adds scale times the gradient of
// the summed loss to the gradients. key makes dropout differ from batch to batch and
// equal in a repeated run.
func (e *Engine) Accumulate(batch *corpus.Batch, loss TokenLoss, scale float32, key uint64) (Totals, error) {
	p, err := e.start(batch, key)
	if err != nil {
		return Totals{}, err
	}
	defer p.free()
	if err := p.forward(true); err != nil {
		return Totals{}, err
	}
	out, err := p.head(batch, headKey{loss: loss, grad: true}, scale, false)
	if err != nil {
		return Totals{}, err
	}
	free(out[3])
	if err := p.backward(out[4]); err != nil {
		free(out[:3]...)
		return Totals{}, err
	}
	return totals(batch, out[:3])
}

// read runs the blocks over a batch without gradients or dropout. The caller frees the pass.
func (e *Engine) read(batch *corpus.Batch) (*pass, error) {
	p, err := e.start(batch, 0)
	if err != nil {
		return nil, err
	}
	if err := p.forward(false); err != nil {
		p.free()
		return nil, err
	}
	return p, nil
}

// Evaluate returns the sums of a batch without gradients or dropout.
func (e *Engine) Evaluate(batch *corpus.Batch, loss TokenLoss) (Totals, error) {
	p, err := e.read(batch)
	if err != nil {
		return Totals{}, err
	}
	defer p.free()
	out, err := p.head(batch, headKey{loss: loss}, 0, false)
	if err != nil {
		return Totals{}, err
	}
	free(out[3:]...)
	return totals(batch, out[:3])
}

// LogProbs returns the log-probability (nats) of every token from what stands before
// it in its segment, [B, T] row-major; 0 where nothing does and for padding.
func (e *Engine) LogProbs(batch *corpus.Batch) ([]float32, error) {
	p, err := e.read(batch)
	if err != nil {
		return nil, err
	}
	defer p.free()
	out, err := p.head(batch, headKey{}, 0, true)
	if err != nil {
		return nil, err
	}
	defer free(out...)
	values, err := floats(out[3])
	if err != nil {
		return nil, err
	}
	all := make([]float32, batch.B*batch.T)
	rows, _, _, err := targetRows(batch, true)
	if err != nil {
		return nil, err
	}
	for i := range values {
		at := int(rows[i]) + 1
		if at == len(all) || i > 0 && rows[i] == 0 { // padding of the list of targets
			break
		}
		if batch.Seg[at] != 0 && batch.Seg[at] == batch.Seg[at-1] {
			all[at] = values[i]
		}
	}
	return all, nil
}

// Logits returns the logits of every position, [B, T, V] row-major. All of them exist
// at once on the host: for tests and small batches.
func (e *Engine) Logits(batch *corpus.Batch) ([]float32, error) {
	p, err := e.read(batch)
	if err != nil {
		return nil, err
	}
	defer p.free()
	if e.allLogits == nil {
		params := e.headParams()
		e.allLogits, err = newProgram(e.m.Backend, "logits", func(flat []*Node) []*Node {
			in := &nodes{flat}
			h := &head{cfg: &e.m.Config, outside: e.outside(), hidden: in.next()}
			h.setParams(in.named(params))
			return []*Node{h.logits(h.norm(h.hidden))}
		})
		if err != nil {
			return nil, err
		}
	}
	out, err := e.allLogits.call(group(p.hidden), e.headTensors())
	if err != nil {
		return nil, err
	}
	defer free(out...)
	return floats(out[0])
}
