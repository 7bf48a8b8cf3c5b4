package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"

	"ftlab/ftlib"
	"ftlab/ftlib/chat"
	"ftlab/ftlib/corpus"
	"ftlab/ftlib/token"
)

// ErrRefused is wrapped by the error of a run whose data would train something
// silently wrong. The error shows a row and says what to change.
var ErrRefused = errors.New("the data is refused")

// Data is what a run trains on, ready for the loop.
type Data struct {
	Train      Source
	Validation []*corpus.Batch
	Examples   []corpus.Example // trained on; Batch.Rows are indices into it
	Warnings   []string         // what was noticed and is no reason to refuse

	Mapping   corpus.Mapping // what the rows were recognised as
	Files     []string
	Audit     corpus.Audit // of the training rows
	Held      int          // rows evaluated on
	Tokenizer *token.Tokenizer
	Template  *chat.Template // nil: none
	foreign   bool           // the template is not the tokenizer's own: checkpoints carry it
	MaxLength int
}

// Where names the row of an example.
func (d *Data) Where(example int) (file string, row int) {
	if example < 0 || example >= len(d.Examples) {
		return "", 0
	}
	return d.Examples[example].File, d.Examples[example].Num
}

// summary is what env.json keeps of the data.
func (d *Data) summary() map[string]any {
	m := map[string]any{
		"kind": string(d.Mapping.Kind), "form": d.Mapping.Form, "columns": d.Mapping.Columns,
		"train_rows": d.Audit.Kept, "left_out": d.Audit.Rows - d.Audit.Kept, "sequences": len(d.Examples), "validation_rows": d.Held,
		"tokens": d.Audit.Tokens, "trained_tokens": d.Audit.Trained, "max_length": d.MaxLength,
	}
	if d.Template != nil {
		m["chat_template"], m["chat_template_hash"] = d.Template.Name(), d.Template.Hash()
	}
	if d.Tokenizer != nil {
		m["tokenizer_hash"] = d.Tokenizer.Hash()
	}
	return m
}

// uncut is a maximum length that cuts nothing.
const uncut = 1 << 30

// opener turns files into examples as a specification says.
type opener struct {
	run       ftlib.Run
	tok       *token.Tokenizer
	tmpl      *chat.Template
	maxLength int
}

// openData reads, splits and encodes the rows of a resolved run. The tokenizer and the
// chat template are those in dir.
func openData(run ftlib.Run, dir string) (*Data, error) {
	o := &opener{run: run}
	d := &Data{}
	var err error
	if o.tok, err = token.Load(dir); err != nil {
		return nil, err
	}
	if o.tmpl, err = templateOf(run.Data.Template, dir); err != nil {
		return nil, err
	}
	limit := positions(run.Model.Path, o.tok)
	if o.maxLength = run.Data.MaxLength; o.maxLength == 0 {
		o.maxLength = usualLength(limit)
	} else if limit > 0 && o.maxLength > limit && o.maxLength != uncut {
		d.Warnings = append(d.Warnings, fmt.Sprintf("data.max_length %d is more than the %d positions the model was trained for", o.maxLength, limit))
	}
	d.Tokenizer, d.Template, d.MaxLength = o.tok, o.tmpl, o.maxLength

	src, err := corpus.Resolve(run.Data.Train, corpus.OpenOptions{})
	if err != nil {
		return nil, err
	}
	records, bad, err := o.read(src, d)
	if err != nil {
		return nil, err
	}
	d.foreign = run.Data.Template != ""
	if o.tmpl == nil && strings.HasPrefix(d.Mapping.Form, "turns") {
		// The rows say themselves how a conversation looks.
		if o.tmpl, err = templateOf("guanaco", dir); err != nil {
			return nil, err
		}
		d.Template, d.foreign = o.tmpl, true
		d.Warnings = append(d.Warnings, "the tokenizer has no chat template and the rows are written in turns (### Human: ...): they are trained in that form (data.chat_template: guanaco)")
	}
	held, heldBad := []corpus.Record(nil), []error(nil)
	switch {
	case run.Data.Validation != "":
		other, err := corpus.Resolve(run.Data.Validation, corpus.OpenOptions{})
		if err != nil {
			return nil, err
		}
		if held, heldBad, err = o.read(other, d); err != nil {
			return nil, err
		}
	case run.Data.Split > 0:
		// A directory or data set that brings its own validation rows is not split.
		if other, ok := src.Other("validation"); ok {
			if held, heldBad, err = o.read(other, d); err != nil {
				return nil, err
			}
			break
		}
		records, held = split(records, run.Data.Split, run.Seed)
		if len(held) == 0 {
			d.Warnings = append(d.Warnings, fmt.Sprintf("no validation: %d rows are too few to keep %.0f %% back", len(records), 100*run.Data.Split))
		}
	}
	if run.Data.Limit > 0 {
		records = sample(records, run.Data.Limit, run.Seed)
	}
	if run.Eval.Every >= 0 {
		held = sample(held, 4*run.Eval.Rows, run.Seed) // some may be refused
	} else {
		held = nil
	}

	if d.Examples, err = o.encode(records, bad, &d.Audit, "training"); err != nil {
		return nil, err
	}
	var heldAudit corpus.Audit
	var heldExamples []corpus.Example
	if len(held) > 0 {
		if heldExamples, err = o.encode(held, heldBad, &heldAudit, "validation"); err != nil {
			return nil, err
		}
		heldExamples, d.Held = firstRows(heldExamples, run.Eval.Rows)
	}
	if err := inVocabulary(vocabulary(run.Model.Path), o.tok, d.Examples, heldExamples); err != nil {
		return nil, err
	}
	for i, a := range []*corpus.Audit{&d.Audit, &heldAudit} {
		what := []string{"training", "validation"}[i]
		if left := a.Rows - a.Kept; left > 0 {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%d of %d %s rows are left out: %s", left, a.Rows, what, a))
		} else if a.Cut > 0 {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%s rows are cut: %s", what, a))
		}
	}
	train := corpus.NewBatches(d.Examples, corpus.BatchOptions{
		Size: run.Batch.Size, MaxLength: o.maxLength, Packing: run.Data.Packing, Seed: uint64(run.Seed), NoShuffle: run.Batch.NoShuffle,
	})
	d.Train = NewSource(train)
	// Validation uses the shapes of training: every other one is a compilation.
	d.Validation = inBatches(heldExamples, corpus.BatchOptions{
		Size: run.Batch.Size, MaxLength: o.maxLength, Packing: run.Data.Packing, Buckets: train.Buckets(),
	})
	return d, nil
}

// read recognises and reads all rows of a path. Rows that make no record are errors
// beside those that do.
func (o *opener) read(src corpus.Source, d *Data) (records []corpus.Record, bad []error, err error) {
	rows := src.Rows(corpus.OpenOptions{})
	m, err := corpus.Recognise(rows, corpus.Want{Format: o.run.Data.Format, Columns: o.run.Data.Columns})
	if err != nil {
		return nil, nil, fmt.Errorf("tune: %s: %w", src.Path, err)
	}
	if d.Mapping.Kind == "" {
		d.Mapping = m
	}
	for _, f := range src.Files {
		d.Files = append(d.Files, f.Path)
	}
	for row, err := range rows {
		if err == nil {
			var rec corpus.Record
			if rec, err = corpus.Format(row, m); err == nil {
				records = append(records, rec)
			}
		}
		if err != nil {
			bad = append(bad, err)
		}
	}
	return records, bad, nil
}

// encode makes examples of records with all processors, in order, and audits them.
func (o *opener) encode(records []corpus.Record, bad []error, audit *corpus.Audit, what string) ([]corpus.Example, error) {
	type outcome struct {
		examples []corpus.Example
		err      error
	}
	out := make([]outcome, len(records))
	const chunk = 64
	var next sync.Mutex
	at := 0
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(records)+chunk-1)/chunk) {
		workers.Go(func() {
			for {
				next.Lock()
				from := at
				at += chunk
				next.Unlock()
				if from >= len(records) {
					return
				}
				for i := from; i < min(from+chunk, len(records)); i++ {
					out[i].examples, out[i].err = o.one(records[i])
				}
			}
		})
	}
	workers.Wait()
	var examples []corpus.Example
	for _, err := range bad {
		audit.Add(corpus.Example{}, err)
	}
	for _, r := range out {
		if r.err != nil {
			audit.Add(corpus.Example{}, r.err)
			continue
		}
		// The pieces of a long text are one row of the file, of which nothing is cut.
		whole := r.examples[0]
		for _, piece := range r.examples[1:] {
			whole.IDs, whole.Train = append(whole.IDs[:len(whole.IDs):len(whole.IDs)], piece.IDs...), append(whole.Train[:len(whole.Train):len(whole.Train)], piece.Train...)
		}
		if audit.Add(whole, nil) {
			examples = append(examples, r.examples...)
		}
	}
	if err := audit.Err(corpus.Limits{Insist: o.run.Data.Insist}); err != nil {
		return nil, fmt.Errorf("tune: %s rows: %w (data.insist: true trains without them): %w", what, ErrRefused, err)
	}
	return examples, nil
}

// one encodes a record. Plain text longer than the limit becomes several sequences,
// so that all of it is learned; everything else is cut, and counted as such.
func (o *opener) one(rec corpus.Record) ([]corpus.Example, error) {
	spans := corpus.SpanOptions{
		TrainOn: chat.Policy(o.run.Data.TrainOn), EOS: corpus.EOSText(o.tok), System: o.run.Data.System,
		Chat: o.run.Data.Template != "", // a named template is meant for plain prompts too
	}
	if rec.Kind != corpus.KindText {
		ex, err := corpus.EncodeRecord(o.tok, rec, o.tmpl, spans, corpus.EncodeOptions{MaxLength: o.maxLength})
		return []corpus.Example{ex}, err
	}
	ex, err := corpus.EncodeRecord(o.tok, rec, o.tmpl, spans, corpus.EncodeOptions{})
	if err != nil {
		return nil, err
	}
	return pieces(ex, o.maxLength), nil
}

// inVocabulary refuses tokens that the model has no embedding for: they come from a
// tokenizer that is not the model's. size 0 is not known.
func inVocabulary(size int, tok *token.Tokenizer, groups ...[]corpus.Example) error {
	for _, examples := range groups {
		for _, ex := range examples {
			for _, id := range ex.IDs {
				if size > 0 && int(id) >= size {
					text, _ := tok.Token(id)
					return fmt.Errorf("tune: %s row %d: %w: token %d (%q) is outside the model's vocabulary of %d; the tokenizer is not the model's",
						ex.File, ex.Num, ErrRefused, id, text, size)
				}
			}
		}
	}
	return nil
}

// pieces cuts an example into sequences of at most n tokens. A last single token
// would train nothing and is dropped.
func pieces(ex corpus.Example, n int) []corpus.Example {
	var out []corpus.Example
	for from := 0; from == 0 || from+1 < len(ex.IDs); from += n {
		piece, to := ex, min(from+n, len(ex.IDs))
		piece.IDs, piece.Train = ex.IDs[from:to:to], ex.Train[from:to:to]
		out = append(out, piece)
	}
	return out
}

// split keeps a part back for validation, by content: equal questions stay together.
func split(records []corpus.Record, part float64, seed int64) (train, held []corpus.Record) {
	hashes := make([]uint64, len(records))
	for i, r := range records {
		hashes[i] = corpus.SplitHash(corpus.SplitKey(r), seed)
	}
	for i, side := range corpus.Split(hashes, part) {
		if side {
			held = append(held, records[i])
		} else {
			train = append(train, records[i])
		}
	}
	return train, held
}

// sample takes n of the records, in shuffled order; all of them in their own order
// when there are no more.
func sample(records []corpus.Record, n int, seed int64) []corpus.Record {
	if n >= len(records) {
		return records
	}
	order := rand.New(rand.NewPCG(uint64(seed), 0x5a3)).Perm(len(records))[:n]
	out := make([]corpus.Record, n)
	for i, at := range order {
		out[i] = records[at]
	}
	return out
}

// firstRows takes the examples of the first n rows; a long text is one row with
// several examples.
func firstRows(examples []corpus.Example, n int) (_ []corpus.Example, rows int) {
	for i, ex := range examples {
		if i > 0 && ex.File == examples[i-1].File && ex.Num == examples[i-1].Num {
			continue
		}
		if rows == n {
			return examples[:i], rows
		}
		rows++
	}
	return examples, rows
}

// inBatches groups examples for evaluation.
func inBatches(examples []corpus.Example, o corpus.BatchOptions) []*corpus.Batch {
	if len(examples) == 0 {
		return nil
	}
	b := corpus.NewBatches(examples, o)
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
func NewSource(b *corpus.Batches) Source { return &batchSource{b} }

// batchSource is corpus.Batches without the marks between epochs.
type batchSource struct{ b *corpus.Batches }

func (s *batchSource) PerEpoch() int { return s.b.TotalSteps(1) }

func (s *batchSource) Next() (*corpus.Batch, bool, error) {
	batch, ok := s.b.Next()
	if !ok { // after the last batch of an epoch
		if batch, ok = s.b.Next(); !ok {
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
