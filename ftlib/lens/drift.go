package lens

import (
	"fmt"
	"math"

	"ftlab/ftlib/corpus"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
)

// Drift is how far one model's predictions are from another's on the same tokens.
type Drift struct {
	Name       string  `json:"name"`       // of the other model: a format
	Tokens     int     `json:"tokens"`     // positions
	KL         float64 `json:"kl"`         // mean KL divergence of the other from the first, nats
	MaxKL      float64 `json:"max_kl"`     // of one position
	Logits     float64 `json:"logits"`     // RMS difference of logits, less their mean at each position, over the RMS of the first's
	Agree      float64 `json:"agree"`      // share of positions with the same most probable token
	Perplexity float64 `json:"perplexity"` // of the first model
	Other      float64 `json:"other"`      // perplexity of the other

	Each []TokenDrift `json:"each,omitempty"` // position by position, in order
}

// TokenDrift is one position: what the models say about the token that follows.
type TokenDrift struct {
	Row   int     `json:"row"`
	At    int     `json:"at"`    // in the row
	ID    int32   `json:"id"`    // token that follows
	KL    float64 `json:"kl"`    // nats
	LogP  float64 `json:"logp"`  // of the token, by the first model
	Other float64 `json:"other"` // and by the other
}

// BatchOf encodes texts, one a row, for [DriftOf].
func BatchOf(tok *token.Tokenizer, texts ...string) *corpus.Batch {
	var rows [][]int32
	longest := 0
	for _, text := range texts {
		ids := tok.Encode(text, true)
		rows, longest = append(rows, ids), max(longest, len(ids))
	}
	b := &corpus.Batch{B: len(rows), T: longest}
	for _, ids := range rows {
		for t := range longest {
			id, seg, mask := int32(0), int32(0), float32(0)
			if t < len(ids) {
				id, seg = ids[t], 1
				if t > 0 {
					mask = 1
				}
			}
			b.IDs, b.Pos, b.Seg, b.Mask = append(b.IDs, id), append(b.Pos, int32(t)), append(b.Seg, seg), append(b.Mask, mask)
		}
	}
	return b
}

// DriftOf compares what two models say on a batch. Both compute with the adapters that
// they have on; all logits of the batch are held at once: for texts of some hundred tokens.
func DriftOf(first, other *llm.Model, batch *corpus.Batch) (Drift, error) {
	if first.Config.Vocab != other.Config.Vocab {
		return Drift{}, fmt.Errorf("lens: models with vocabularies of %d and %d have no drift", first.Config.Vocab, other.Config.Vocab)
	}
	p, err := logits(first, batch)
	if err != nil {
		return Drift{}, err
	}
	q, err := logits(other, batch)
	if err != nil {
		return Drift{}, err
	}
	return drift(p, q, first.Config.Vocab, batch)
}

func logits(m *llm.Model, batch *corpus.Batch) ([]float32, error) {
	e, err := llm.NewEngine(m, llm.EngineOptions{Train: func(string) bool { return false }})
	if err != nil {
		return nil, fmt.Errorf("lens: %w", err)
	}
	defer e.Close()
	l, err := e.Logits(batch)
	if err != nil {
		return nil, fmt.Errorf("lens: %w", err)
	}
	return l, nil
}

func drift(p, q []float32, vocab int, b *corpus.Batch) (Drift, error) {
	var d Drift
	var square, of, logp, logq float64
	for at := range b.IDs {
		if at+1 == len(b.IDs) || (at+1)%b.T == 0 || b.Seg[at] == 0 || b.Seg[at+1] != b.Seg[at] {
			continue
		}
		x, y := p[at*vocab:(at+1)*vocab], q[at*vocab:(at+1)*vocab]
		mx, zx, topX := moments(x)
		my, zy, topY := moments(y)
		kl := 0.0
		for i := range x {
			a, c := float64(x[i]), float64(y[i])
			kl += math.Exp(a-zx) * ((a - zx) - (c - zy))
			square += ((a - mx) - (c - my)) * ((a - mx) - (c - my))
			of += (a - mx) * (a - mx)
		}
		kl = max(kl, 0) // but for rounding
		id := b.IDs[at+1]
		t := TokenDrift{Row: at / b.T, At: at % b.T, ID: id, KL: kl, LogP: float64(x[id]) - zx, Other: float64(y[id]) - zy}
		d.Each = append(d.Each, t)
		d.KL += kl
		d.MaxKL = max(d.MaxKL, kl)
		logp, logq = logp+t.LogP, logq+t.Other
		if topX == topY {
			d.Agree++
		}
	}
	d.Tokens = len(d.Each)
	if d.Tokens == 0 {
		return d, fmt.Errorf("lens: the batch has no token that another follows")
	}
	n := float64(d.Tokens)
	d.KL, d.Agree = d.KL/n, d.Agree/n
	d.Perplexity, d.Other = math.Exp(-logp/n), math.Exp(-logq/n)
	if of > 0 {
		d.Logits = math.Sqrt(square / of)
	}
	return d, nil
}

// moments are the mean of logits, the logarithm of the sum of their exponentials, and where
// the largest is.
func moments(x []float32) (mean, lse float64, top int) {
	for i, v := range x {
		mean += float64(v) / float64(len(x))
		if v > x[top] {
			top = i
		}
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - float64(x[top]))
	}
	return mean, float64(x[top]) + math.Log(sum), top
}

// Drifts quantises a model in each format (nil: [Formats]) and says how far what it says
// is from what it said in full. One quantised copy exists at a time.
func Drifts(m *llm.Model, formats []quant.Config, batch *corpus.Batch) ([]Drift, error) {
	if formats == nil {
		formats = Formats()
	}
	p, err := logits(m, batch)
	if err != nil {
		return nil, err
	}
	var all []Drift
	for _, c := range formats {
		q, err := Quantized(m, c)
		if err != nil {
			return nil, err
		}
		l, err := logits(q, batch)
		q.Close()
		if err != nil {
			return nil, err
		}
		d, err := drift(p, l, m.Config.Vocab, batch)
		if err != nil {
			return nil, err
		}
		d.Name = FormatName(c)
		all = append(all, d)
	}
	return all, nil
}

// Quantized is a copy of a model whose linear layers are quantised; the adapter that is
// on is folded in first. The caller closes it.
func Quantized(m *llm.Model, c quant.Config) (*llm.Model, error) {
	if m.Quantized() != nil {
		return nil, fmt.Errorf("lens: the model is quantised already; load it in full")
	}
	f := m.Folded()
	q, err := llm.LoadFrom(m.Backend, f.Config, folded{f}, llm.LoadOptions{DType: m.DType(), Quantize: &llm.QuantOptions{Config: c}})
	if err != nil {
		return nil, fmt.Errorf("lens: %s: %w", FormatName(c), err)
	}
	return q, nil
}

// folded is a model as a source of weights.
type folded struct{ f *llm.Folded }

func (s folded) Names() []string { return s.f.Names }

func (s folded) Tensor(name string) (safetensors.Tensor, error) {
	values, err := s.f.Values(name)
	if err != nil {
		return safetensors.Tensor{}, err
	}
	return safetensors.FromFloat32s(name, safetensors.F32, s.f.Shape(name), values)
}
