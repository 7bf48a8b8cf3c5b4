package tune

import (
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
	Groups     []corpus.Group   // instead of Examples, of methods that compare sequences; those for validation come last
	Warnings   []string         // what was noticed and is no reason to refuse

	trained int // of Groups, where the stepper deals them out

	Mapping   corpus.Mapping // what the rows were recognised as
	Files     []string
	Audit     corpus.Audit // of the training rows
	Held      int          // rows evaluated on
	Tokenizer *token.Tokenizer
	Template  *chat.Template // nil: none
	encoder   *opener        // makes further prompts as the data's were made
	foreign   bool           // the template is not the tokenizer's own: checkpoints carry it
	MaxLength int
}

// Where names the row of an example.
func (d *Data) Where(example int) (file string, row int) {
	if example >= 0 && example < len(d.Groups) {
		return d.Groups[example].File, d.Groups[example].Num
	}
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
	method    groupMethod   // nil: every sequence for itself
	sampled   ftlib.Rollout // of methods that answer prompts
	online    bool
}

// openData reads, splits and encodes the rows of a resolved run. The tokenizer and the
// chat template are those in dir.
func openData(run ftlib.Run, dir string) (*Data, error) {
	o := &opener{run: run, method: groupMethodOf(run)}
	if m, roll := onlineMethodOf(run); m != nil {
		o.sampled, o.online = roll, true
	}
	d := &Data{}
	var err error
	if o.tok, _, err = tokenizerOf(run); err != nil {
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

	groups, err := o.encode(records, bad, &d.Audit, "training")
	if err != nil {
		return nil, err
	}
	var heldAudit corpus.Audit
	var heldGroups []corpus.Group
	if len(held) > 0 {
		if heldGroups, err = o.encode(held, heldBad, &heldAudit, "validation"); err != nil {
			return nil, err
		}
		heldGroups, d.Held = firstRows(heldGroups, run.Eval.Rows)
	}
	size := vocabulary(run.Model.Path)
	if len(run.Model.NewTokens) > 0 || run.Model.Adapter != "" {
		size = max(size, o.tok.Size())
	}
	if err := inVocabulary(size, o.tok, groups, heldGroups); err != nil {
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
	d.encoder = o
	return d, d.deal(run, groups, heldGroups, o)
}

// deal makes batches of training and validation groups.
func (d *Data) deal(run ftlib.Run, groups, held []corpus.Group, o *opener) error {
	options := corpus.BatchOptions{
		Size: run.Batch.Size, MaxLength: o.maxLength, Packing: run.Data.Packing, Seed: uint64(run.Seed), NoShuffle: run.Batch.NoShuffle,
	}
	if o.online { // the stepper deals them out, with answers
		d.Groups, d.trained = append(groups[:len(groups):len(groups)], held...), len(groups)
		for from := len(groups); from < len(d.Groups); from += 32 {
			b := &corpus.Batch{}
			for i := from; i < min(from+32, len(d.Groups)); i++ {
				b.Rows = append(b.Rows, i)
			}
			d.Validation = append(d.Validation, b)
		}
		return nil
	}
	if o.method == nil {
		d.Examples = firsts(groups)
		train := corpus.NewBatches(d.Examples, options)
		d.Train = NewSource(train)
		// Validation uses the shapes of training: every other one is a compilation.
		d.Validation = inBatches(corpus.NewBatches(firsts(held), heldOptions(options, train.Buckets())), len(held))
		return nil
	}
	if o.method.shape() == corpus.UnpairedShape {
		mismatch(groups)
		mismatch(held)
	}
	train, err := corpus.NewGroupBatches(groups, options)
	if err != nil {
		return fmt.Errorf("tune: data.packing: %w", err)
	}
	d.Train = &batchSource{train, train.Batches}
	d.Groups = append(groups[:len(groups):len(groups)], held...)
	other, err := corpus.NewGroupBatches(held, heldOptions(options, train.Buckets()))
	if err != nil {
		return err
	}
	d.Validation = inBatches(other, len(held))
	for _, b := range d.Validation {
		for i := range b.Rows {
			b.Rows[i] += len(groups)
		}
	}
	return nil
}

func heldOptions(o corpus.BatchOptions, buckets []int) corpus.BatchOptions {
	return corpus.BatchOptions{Size: o.Size, MaxLength: o.MaxLength, Packing: o.Packing, Buckets: buckets}
}

// firsts are the first sequences of groups, which have no others.
func firsts(groups []corpus.Group) []corpus.Example {
	out := make([]corpus.Example, len(groups))
	for i, g := range groups {
		out[i] = g.Seqs[0]
	}
	return out
}

// eachBatch visits everything that is trained or validated on, once.
func (d *Data) eachBatch(visit func(*corpus.Batch) error) error {
	s, ok := d.Train.(*batchSource)
	if !ok {
		return errors.New("tune: this data has no epochs")
	}
	at := s.b.State()
	for range s.b.Steps() {
		b, ok := s.d.Next()
		if !ok {
			break
		}
		if err := visit(b); err != nil {
			return err
		}
	}
	if err := s.b.Seek(at); err != nil {
		return err
	}
	for _, b := range d.Validation {
		if err := visit(b); err != nil {
			return err
		}
	}
	return nil
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
func (o *opener) encode(records []corpus.Record, bad []error, audit *corpus.Audit, what string) ([]corpus.Group, error) {
	type result struct {
		groups []corpus.Group
		err    error
	}
	out := make([]result, len(records))
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
					out[i].groups, out[i].err = o.one(records[i])
				}
			}
		})
	}
	workers.Wait()
	var groups []corpus.Group
	for _, err := range bad {
		audit.Add(corpus.Example{}, err)
	}
	for _, r := range out {
		if r.err != nil {
			audit.Add(corpus.Example{}, r.err)
			continue
		}
		// All sequences of a row are one row of the file: the pieces of a long text, or the answers that are compared.
		var whole corpus.Example
		for _, g := range r.groups {
			for _, ex := range g.Seqs {
				whole.IDs, whole.Train = append(whole.IDs, ex.IDs...), append(whole.Train, ex.Train...)
				whole.Cut += ex.Cut
			}
		}
		if audit.Add(whole, nil) {
			groups = append(groups, r.groups...)
		}
	}
	if err := audit.Err(corpus.Limits{Insist: o.run.Data.Insist}); err != nil {
		return nil, fmt.Errorf("tune: %s rows: %w (data.insist: true trains without them): %w", what, ErrRefused, err)
	}
	return groups, nil
}

// one encodes a record. Plain text longer than the limit becomes several sequences,
// so that all of it is learned; everything else is cut, and counted as such.
func (o *opener) one(rec corpus.Record) ([]corpus.Group, error) {
	spans := corpus.SpanOptions{
		TrainOn: chat.Policy(o.run.Data.TrainOn), EOS: corpus.EOSText(o.tok), System: o.run.Data.System,
		Chat:   o.run.Data.Template != "", // a named template is meant for plain prompts too
		Prompt: o.run.Data.Prompt, Answer: o.run.Data.Answer,
	}
	limit := corpus.EncodeOptions{MaxLength: o.maxLength}
	if o.online {
		if limit.MaxLength = positions(o.run.Model.Path, o.tok) - o.sampled.MaxLength; limit.MaxLength <= 0 {
			limit.MaxLength = o.maxLength
		}
		return corpus.EncodeGroups(o.tok, rec, o.tmpl, corpus.PromptShape, corpus.GroupOptions{Spans: spans, Encode: limit})
	}
	if o.method != nil {
		g := corpus.GroupOptions{Spans: spans, Encode: limit}
		if p := o.run.Method.PRM; p != nil {
			g.Steps = corpus.StepOptions{Separator: *p.Separator, LastOnly: p.LastStepOnly}
		}
		return corpus.EncodeGroups(o.tok, rec, o.tmpl, o.method.shape(), g)
	}
	if rec.Kind == corpus.KindText {
		limit.MaxLength = 0
	}
	ex, err := corpus.EncodeRecord(o.tok, rec, o.tmpl, spans, limit)
	if err != nil || rec.Kind != corpus.KindText {
		return []corpus.Group{single(ex)}, err
	}
	var groups []corpus.Group
	for _, piece := range pieces(ex, o.maxLength) {
		groups = append(groups, single(piece))
	}
	return groups, nil
}

// single is a group of one sequence.
func single(ex corpus.Example) corpus.Group {
	return corpus.Group{Seqs: []corpus.Example{ex}, File: ex.File, Num: ex.Num}
}

// inVocabulary refuses tokens that the model has no embedding for: they come from a
// tokenizer that is not the model's. size 0 is not known.
func inVocabulary(size int, tok *token.Tokenizer, lists ...[]corpus.Group) error {
	check := func(ex corpus.Example) error {
		for _, id := range ex.IDs {
			if size > 0 && int(id) >= size {
				text, _ := tok.Token(id)
				return fmt.Errorf("tune: %s row %d: %w: token %d (%q) is outside the model's vocabulary of %d; the tokenizer is not the model's",
					ex.File, ex.Num, ErrRefused, id, text, size)
			}
		}
		return nil
	}
	for _, groups := range lists {
		for _, g := range groups {
			for _, ex := range g.Seqs {
				if err := check(ex); err != nil {
					return err
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
