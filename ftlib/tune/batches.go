package tune

import (
	"encoding/json"
	"errors"
	"fmt"

	"ftlab/ftlib/corpus"
)

// firstRows takes the groups of the first n rows; a long text is one row with several.
func firstRows(groups []corpus.Group, n int) (_ []corpus.Group, rows int) {
	for i, g := range groups {
		if i > 0 && g.File == groups[i-1].File && g.Num == groups[i-1].Num {
			continue
		}
		if rows == n {
			return groups[:i], rows
		}
		rows++
	}
	return groups, rows
}

// dealer gives batches, with a mark at the end of each epoch.
type dealer interface{ Next() (*corpus.Batch, bool) }

// inBatches deals n examples out for evaluation.
func inBatches(b dealer, n int) []*corpus.Batch {
	if n == 0 {
		return nil
	}
	var out []*corpus.Batch
	for {
		batch, ok := b.Next()
		if !ok {
			return out
		}
		out = append(out, batch)
	}
}

// NewSource lets a loop train on batches.
func NewSource(b *corpus.Batches) Source { return &batchSource{b, b} }

// batchSource is corpus.Batches without the marks between epochs.
type batchSource struct {
	d dealer          // gives the batches
	b *corpus.Batches // knows the place
}

func (s *batchSource) PerEpoch() int { return s.b.TotalSteps(1) }

func (s *batchSource) Next() (*corpus.Batch, bool, error) {
	batch, ok := s.d.Next()
	if !ok { // after the last batch of an epoch
		if batch, ok = s.d.Next(); !ok {
			return nil, false, errors.New("tune: there are no examples to train on")
		}
	}
	return batch, s.b.State().Step == s.b.Steps(), nil
}

func (s *batchSource) Cursor() (json.RawMessage, error) { return json.Marshal(s.b.State()) }

func (s *batchSource) Seek(at json.RawMessage) error {
	var c corpus.Cursor
	if err := json.Unmarshal(at, &c); err != nil {
		return fmt.Errorf("tune: the data position of the checkpoint: %w", err)
	}
	return s.b.Seek(c)
}
