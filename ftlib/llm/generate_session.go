package llm

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// session writes a group of rows to their end.
type session struct {
	g     *Generator
	set   *weightSet
	o     Sampling
	mode  sampleMode
	rows  []*genRow // padded to a bucket
	used  int       // slots of the cache that are written
	kv    caches
	made  int // tokens made in every row
	chunk int

	start, stop *tensors.Tensor
	sampling    []*tensors.Tensor
	seen        *tensors.Tensor
}

// genRow is one row on its way.
type genRow struct {
	prompt []int32
	out    *Output
	text   *textFlow
	left   int // tokens that may still be made
	limit  Finish
	done   bool
	last   int32
	start  int // first slot of the row
	seed   uint64
	yield  func(Piece) bool
}

func (g *Generator) newSession(set *weightSet, order []int, prompts [][]int32, o Sampling, out []Output, yield func(Piece) bool) (*session, error) {
	s := &session{g: g, set: set, o: o, mode: o.mode(), chunk: g.o.Chunk}
	if s.chunk == 0 {
		s.chunk = 64
		if yield != nil || len(o.StopStrings) > 0 {
			s.chunk = 16
		}
	}
	s.chunk = min(s.chunk, maxChunk)
	longest := 0
	for _, i := range order {
		p := prompts[i]
		r := &genRow{prompt: p, out: &out[i], left: o.MaxNew, limit: FinishLength, last: p[len(p)-1], seed: RowSeed(o.Seed, i), yield: yield}
		if o.Seeds != nil {
			r.seed = o.Seeds[i]
		}
		if room := g.m.Config.MaxPositions - len(p); room < r.left {
			r.left, r.limit = room, FinishContext
		}
		if g.o.Tokenizer != nil {
			r.text = newTextFlow(g.o.Tokenizer, o.StopStrings)
		}
		s.rows = append(s.rows, r)
		longest = max(longest, len(p))
	}
	s.used = longest - 1 // the last token of a prompt is the first that decoding reads
	for _, r := range s.rows {
		r.start = longest - len(r.prompt)
	}
	for len(s.rows) < rowBucket(len(order)) {
		s.rows = append(s.rows, &genRow{prompt: []int32{0}, done: true, start: s.used})
	}
	return s, s.prepare()
}

func (s *session) close() {
	if s == nil {
		return
	}
	s.kv.free()
	free(s.start, s.stop, s.seen)
	free(s.sampling...)
}

// column makes an int32 tensor of one value a row.
func (s *session) column(value func(r *genRow) int32) (*tensors.Tensor, error) {
	values := make([]int32, len(s.rows))
	for i, r := range s.rows {
		values[i] = value(r)
	}
	return newInts(s.g.m.Backend, values, len(values))
}

// prepare uploads what stays the same for all chunks.
func (s *session) prepare() (err error) {
	b, n := s.g.m.Backend, len(s.rows)
	if s.start, err = s.column(func(r *genRow) int32 { return int32(r.start) }); err != nil {
		return err
	}
	stop := slices.Clone(s.o.Stop)
	if !s.o.IgnoreEOS {
		stop = append(stop, s.g.eos...)
	}
	for len(stop) == 0 || len(stop)%8 != 0 {
		stop = append(stop, -1)
	}
	if s.stop, err = newInts(b, stop, len(stop)); err != nil {
		return err
	}
	floatRow := func(v float64) {
		if err != nil {
			return
		}
		var t *tensors.Tensor
		t, err = newFloats(b, slices.Repeat([]float32{float32(v)}, n), n)
		s.sampling = append(s.sampling, t)
	}
	if s.mode == greedy {
		return nil
	}
	floatRow(s.o.Temperature)
	var seeds []int32
	for _, r := range s.rows {
		seeds = append(seeds, int32(uint32(r.seed)), int32(uint32(r.seed>>32)))
	}
	t, seedErr := newInts(b, seeds, n, 2)
	if seedErr != nil {
		return seedErr
	}
	s.sampling = append(s.sampling, t)
	if s.mode == plain {
		return err
	}
	k, kErr := newInts(b, slices.Repeat([]int32{int32(s.o.TopK)}, n), n)
	if kErr != nil {
		return kErr
	}
	s.sampling = append(s.sampling, k)
	floatRow(s.o.TopP)
	floatRow(s.o.MinP)
	floatRow(s.o.RepetitionPenalty)
	if err != nil {
		return err
	}
	v := s.g.m.Config.Vocab
	s.seen, err = newTensor(b, dtypes.Bool, []int{n, v}, func(flat any) error {
		seen := flat.([]bool)
		clear(seen)
		for i, r := range s.rows {
			for _, id := range r.prompt {
				seen[i*v+int(id)] = true
			}
		}
		return nil
	})
	return err
}

// run writes until every row has ended.
func (s *session) run(ctx context.Context) error {
	left := s.left()
	if left == 0 {
		return nil
	}
	if err := s.prefill(bucket(s.used + min(left, s.chunk))); err != nil {
		return err
	}
	for {
		left := s.left()
		if left == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			s.finish(err)
			return err
		}
		if s.used == s.kv.size {
			if err := s.place(0, grown(s.used+1), s.kv.all, nil); err != nil {
				return err
			}
		}
		if err := s.decode(min(left, s.chunk, s.kv.size-s.used)); err != nil {
			return err
		}
	}
}

// left is how many tokens the row with most to do may still make.
func (s *session) left() int {
	n := 0
	for _, r := range s.rows {
		if !r.done {
			n = max(n, r.left)
		}
	}
	return n
}

// finish ends rows that were cut off.
func (s *session) finish(error) {
	for _, r := range s.rows {
		if !r.done {
			r.end("")
		}
	}
}

// program returns a compiled program, made when first asked for.
func (g *Generator) program(key string, make func() (*program, error)) (*program, error) {
	if p := g.programs[key]; p != nil {
		return p, nil
	}
	p, err := make()
	if err == nil {
		g.programs[key] = p
	}
	return p, err
}

// distinct are rows whose prompts differ in what a prefill reads of them, and for each row
// of the batch the place of its like among them. Several answers to one prompt are a row here.
func (s *session) distinct() (rows []*genRow, like []int32) {
	seen := map[string]int32{}
	for _, r := range s.rows {
		var key strings.Builder
		for _, id := range r.prompt[:len(r.prompt)-1] {
			key.Write([]byte{byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)})
		}
		at, ok := seen[key.String()]
		if !ok {
			at = int32(len(rows))
			seen[key.String()] = at
			rows = append(rows, r)
		}
		like = append(like, at)
	}
	return rows, like
}

// prefill runs the prompts without their last tokens, equal ones once, and puts keys and
// values into caches of a size.
func (s *session) prefill(size int) (err error) {
	m, n := s.g.m, len(s.rows)
	if s.used == 0 {
		s.kv, err = newCaches(m.Backend, &m.Config, n, size)
		return err
	}
	rows, like := s.distinct()
	if short := rowBucket(len(rows)); short < n {
		n = short
	} else {
		rows, like = s.rows, nil
	}
	_, loop, err := s.g.decoder(s.set, s.mode)
	if err != nil {
		return err
	}
	t := s.used
	if loop { // a compiled backend: few lengths
		t = promptBucket(t)
	}
	skip := t - s.used
	ids, pos, seg := make([]int32, n*t), make([]int32, n*t), make([]int32, n*t)
	for i, r := range rows {
		for j, id := range r.prompt[:len(r.prompt)-1] {
			at := i*t + skip + r.start + j
			ids[at], pos[at], seg[at] = id, int32(j), 1
		}
	}
	var in []*tensors.Tensor
	defer func() { free(in...) }()
	for _, x := range []struct {
		values []int32
		dims   []int
	}{{ids, []int{n * t}}, {pos, []int{n, t}}, {seg, []int{n, t}}} {
		v, err := newInts(m.Backend, x.values, x.dims...)
		if err != nil {
			return err
		}
		in = append(in, v)
	}
	start, err := s.g.program("start "+s.set.outside.String(), func() (*program, error) {
		return startProgram(m.Backend, &m.Config, s.set.outside)
	})
	if err != nil {
		return err
	}
	tables := group(weightsOf(m, embedName))
	for _, name := range s.set.outside.embedNames() {
		tables = append(tables, weightsOf(m, name))
	}
	out, err := start.call(tables, in[:2])
	if err != nil {
		return err
	}
	in = append(in, out[1:]...)
	x, common := out[0], group(out[1], out[2], in[2])
	var keys, values []*tensors.Tensor
	defer func() {
		free(x)
		free(keys...)
		free(values...)
	}()
	for _, layer := range s.set.layers {
		p, err := s.g.program("prefill "+fmt.Sprint(s.set.layout)+layer.key, func() (*program, error) {
			return prefillProgram(m.Backend, &m.Config, s.set, layer)
		})
		if err != nil {
			return err
		}
		out, err := p.call(common, layer.tensors, group(x))
		if err != nil {
			return err
		}
		free(x)
		x = out[0]
		keys, values = append(keys, out[1]), append(values, out[2])
	}
	return s.place(skip, size, append(slices.Clone(keys), values...), like)
}

// place moves keys and values into caches of a size, which become the session's. Row i of
// the caches is row like[i] of what is moved; nil: row i.
func (s *session) place(skip, size int, all []*tensors.Tensor, like []int32) error {
	b := s.g.m.Backend
	key := fmt.Sprint("place ", size, like != nil)
	p, err := s.g.program(key, func() (*program, error) { return placeProgram(b, size, like != nil) })
	if err != nil {
		return err
	}
	t, err := newInts(b, []int32{int32(skip)})
	if err != nil {
		return err
	}
	in := group(t)
	defer func() { free(in...) }()
	if like != nil {
		rows, err := newInts(b, like, len(like))
		if err != nil {
			return err
		}
		in = append(in, rows)
	}
	out, err := p.call(in, all)
	if err != nil {
		return err
	}
	s.kv.free()
	s.kv = caches{size: size, all: out}
	return nil
}

// decoder is the decoding program for weights of a kind.
func (g *Generator) decoder(set *weightSet, mode sampleMode) (p *program, loop bool, err error) {
	h := fnv.New64a()
	h.Write([]byte(set.key))
	p, err = g.program(fmt.Sprintf("decode %d %x %d", mode, h.Sum64(), len(set.key)), func() (*program, error) {
		p, loop, err := newDecodeProgram(g.m.Backend, &g.m.Config, set, mode)
		g.loop[p] = loop
		return p, err
	})
	return p, g.loop[p], err
}

// decode makes up to n tokens a row.
func (s *session) decode(n int) error {
	b, rows := s.g.m.Backend, len(s.rows)
	p, loop, err := s.g.decoder(s.set, s.mode)
	if err != nil {
		return err
	}
	if !loop {
		n = 1
	}
	var in []*tensors.Tensor
	defer func() { free(in...) }()
	add := func(t *tensors.Tensor, e error) {
		if in, err = append(in, t), e; e != nil {
			in = in[:len(in)-1]
		}
	}
	add(s.column(func(r *genRow) int32 { return r.last }))
	if err == nil {
		add(s.column(func(r *genRow) int32 {
			if r.done {
				return 1
			}
			return 0
		}))
	}
	for _, v := range []int{n, s.used, s.made} {
		if err == nil {
			add(newInts(b, []int32{int32(v)}))
		}
	}
	if err != nil {
		return err
	}
	var seen []*tensors.Tensor
	if s.mode == filtering {
		seen = group(s.seen)
	}
	out, err := p.call(in[:2], seen, s.kv.all, in[2:], group(s.start, s.stop), s.sampling, s.set.flat())
	if err != nil {
		return err
	}
	state := out[6:]
	if s.mode == filtering {
		free(s.seen)
		s.seen, state = state[0], state[1:]
	}
	s.kv.free()
	s.kv.all = state
	defer free(out[:6]...)
	steps, err := ints(out[0])
	if err != nil {
		return err
	}
	ids, err := ints(out[3])
	if err != nil {
		return err
	}
	logp, err := floats(out[4])
	if err != nil {
		return err
	}
	drawn, err := floats(out[5])
	if err != nil {
		return err
	}
	made, width := int(steps[0]), len(ids)/rows
	s.used += made
	s.made += made
	for i, r := range s.rows {
		for j := i * width; j < i*width+made && !r.done; j++ {
			r.take(s, ids[j], logp[j], drawn[j])
		}
	}
	return nil
}

// take adds a token to a row and ends it where it ends.
func (r *genRow) take(s *session, id int32, logp, drawn float32) {
	out := r.out
	out.IDs, out.LogProbs, out.Drawn = append(out.IDs, id), append(out.LogProbs, logp), append(out.Drawn, drawn)
	r.last = id
	r.left--
	text, found := "", false
	if r.text != nil {
		text, found = r.text.add(id)
		out.Text += text
	}
	if r.yield != nil && !r.yield(Piece{id, text, logp, drawn}) {
		r.done = true // nobody listens
		return
	}
	switch {
	case found:
		r.done, out.Finish = true, FinishString
	case slices.Contains(s.o.Stop, id) || (!s.o.IgnoreEOS && slices.Contains(s.g.eos, id)):
		r.end(FinishStop)
	case r.left == 0:
		r.end(r.limit)
	}
}

// end ends a row and lets go of text that was held back.
func (r *genRow) end(why Finish) {
	r.done, r.out.Finish = true, why
	if r.text == nil {
		return
	}
	text, found := r.text.flush()
	r.out.Text += text
	if found && why != "" {
		r.out.Finish = FinishString
	}
	if r.yield != nil && text != "" {
		r.yield(Piece{ID: -1, Text: text})
	}
}

// ints copies an int32 tensor to the host.
func ints(t *tensors.Tensor) ([]int32, error) {
	out := make([]int32, t.Size())
	err := t.ConstFlatData(func(flat any) { copy(out, flat.([]int32)) })
	return out, err
}
