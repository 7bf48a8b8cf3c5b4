package eval

import (
	"errors"
	"fmt"
	"math"

	"ftlab/ftlib/corpus"
)

// Score is the fit of a model to texts.
type Score struct {
	Rows       int     `json:"rows"`
	Tokens     float64 `json:"tokens"` // trained ones, over which the mean is taken
	Loss       float64 `json:"loss"`   // nats a token
	Perplexity float64 `json:"perplexity"`
	Bits       float64 `json:"bits_per_token"`
}

// Perplexity scores batches with evaluate, which gives the summed loss in nats and
// the number of trained tokens of one batch.
func Perplexity(batches []*corpus.Batch, evaluate func(*corpus.Batch) (loss, tokens float64, err error)) (Score, error) {
	var s Score
	total := 0.0
	for _, b := range batches {
		loss, tokens, err := evaluate(b)
		if err != nil {
			return s, fmt.Errorf("eval: %w", err)
		}
		total += loss
		s.Tokens += tokens
		s.Rows += len(b.Rows)
	}
	if s.Tokens == 0 {
		return s, errors.New("eval: no token is scored: no row has a trained token")
	}
	s.Loss = total / s.Tokens
	s.Perplexity, s.Bits = math.Exp(s.Loss), s.Loss/math.Ln2
	return s, nil
}
