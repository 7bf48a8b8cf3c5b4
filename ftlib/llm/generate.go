package llm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib/backend"
	"ftlab/ftlib/token"
)

// GeneratorOptions say how a generator works; none of them changes what it writes. The
// zero value works.
type GeneratorOptions struct {
	Tokenizer *token.Tokenizer // makes Output.Text and serves stop strings; nil: ids only
	MaxRows   int              // prompts that are decoded side by side; 0: 32
	Chunk     int              // tokens between two looks at stop strings, streams and ctx; 0: 16 where somebody looks, else 64
	Weights   WeightMode
}

// WeightMode says which weights decoding reads.
type WeightMode int

const (
	// AutoWeights is a fused copy of float32 weights that takes at most a quarter of the
	// memory that is free; else the weights in place.
	AutoWeights WeightMode = iota
	// FusedWeights is a copy with the adapter folded in and with the layers that read one
	// input made one. It is made again, layer by layer, when weights change.
	FusedWeights
	// SharedWeights reads the model's and the adapter's tensors in place: no memory, slower.
	// A quantised model is always read so.
	SharedWeights
)

// Sampling says how tokens are chosen. The zero value is greedy, 128 tokens at most. All
// numbers are inputs of compiled programs: changing them compiles nothing. The three
// programs that exist (greedy; temperature alone; everything) are compiled when first
// used. Order and meaning of the processors are those of transformers.
type Sampling struct {
	MaxNew            int      // most new tokens; 0: 128
	Temperature       float64  // 0: the most probable token
	TopK              int      // keep the k most probable; 0: all
	TopP              float64  // keep the most probable that together have p; 0 or 1: all
	MinP              float64  // keep those that have at least this share of the best one's probability; 0: all
	RepetitionPenalty float64  // of tokens that are in the prompt or were generated; 0 or 1: none
	Seed              uint64   // row i draws with RowSeed(Seed, i)
	Seeds             []uint64 // seeds of the rows themselves; nil: from Seed
	Stop              []int32  // further tokens that end a text
	IgnoreEOS         bool     // go on behind the model's own end tokens
	StopStrings       []string // end a text before any of these; needs a tokenizer
}

// Finish says why a text ended.
type Finish string

const (
	FinishStop    Finish = "stop"    // an end token, the last of IDs
	FinishString  Finish = "string"  // a stop string
	FinishLength  Finish = "length"  // MaxNew
	FinishContext Finish = "context" // as long as the model was trained for
)

// Output is one generated text.
type Output struct {
	IDs    []int32 // new tokens, the end token included
	Text   string  // without special tokens; cut before a stop string. "" without a tokenizer
	Finish Finish

	// LogProbs are log-probabilities (nats) of IDs under the model itself, at temperature
	// 1 and without filters: what a policy gradient needs. Drawn are those under the
	// distribution that the token was drawn from; 0 when greedy.
	LogProbs, Drawn []float32
}

// Generator writes text with a model and whatever adapter is switched on when it is
// asked: switching adapters or training them needs no new generator. It is safe for use
// by several goroutines, one at a time works.
type Generator struct {
	m *Model
	o GeneratorOptions

	mu       sync.Mutex
	fusers   map[copyKey]*fuser  // fused copies: switching back to an adapter makes none again
	used     []copyKey           // the latest last
	programs map[string]*program // prefill, caches and decoding, by what they are made for
	loop     map[*program]bool
	eos      []int32
}

// NewGenerator prepares a model for writing. Nothing is compiled before the first use.
func NewGenerator(m *Model, o GeneratorOptions) (*Generator, error) {
	if o.MaxRows < 0 || o.Chunk < 0 {
		return nil, fmt.Errorf("llm: MaxRows %d and Chunk %d must not be negative", o.MaxRows, o.Chunk)
	}
	if m.Config.NoHead {
		return nil, fmt.Errorf("llm: %s is a classifier: it has no head that predicts tokens", m.Path)
	}
	if err := m.errStreamed("asked for text"); err != nil {
		return nil, err
	}
	if o.MaxRows == 0 {
		o.MaxRows = 32
	}
	g := &Generator{m: m, o: o, fusers: map[copyKey]*fuser{}, programs: map[string]*program{}, loop: map[*program]bool{}}
	g.eos = slices.Clone(m.Config.EOS)
	if o.Tokenizer != nil {
		g.eos = append(g.eos, o.Tokenizer.Config().EOS...)
		if id := o.Tokenizer.Special().EOS; id >= 0 {
			g.eos = append(g.eos, id)
		}
	}
	slices.Sort(g.eos)
	g.eos = slices.Compact(g.eos)
	return g, nil
}

// Close frees the copies of weights; the model stays.
func (g *Generator) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.fusers {
		f.free()
	}
	clear(g.fusers)
	g.used = nil
}

// Model is the model that the generator writes with.
func (g *Generator) Model() *Model { return g.m }

// EOS are the tokens that end a text.
func (g *Generator) EOS() []int32 { return slices.Clone(g.eos) }

// RowSeed is the seed of a row under a seed of the whole call.
func RowSeed(seed uint64, row int) uint64 {
	x := seed + uint64(row+1)*0x9e3779b97f4a7c15 // splitmix64 (Steele et al. 2014)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Generate continues prompts, each a list of token ids of any length from 1. Prompts that
// are equal, as for several answers to one, are read once and their cache repeated. Rows do not
// depend on each other: a batch gives what its rows give alone, up to rounding. When ctx
// ends, what is written is returned with its error.
func (g *Generator) Generate(ctx context.Context, prompts [][]int32, o Sampling) ([]Output, error) {
	return g.generate(ctx, prompts, o, nil)
}

// Piece is a step of a stream.
type Piece struct {
	ID             int32
	Text           string // what the token adds to the text; often "" while a character or a stop string may be under way
	LogProb, Drawn float32
}

// Stream continues one prompt and calls yield for every token in order; the last call may
// bring text that was held back, with ID -1. It ends early when yield returns false. The
// pieces of text joined are Output.Text.
func (g *Generator) Stream(ctx context.Context, prompt []int32, o Sampling, yield func(Piece) bool) (Output, error) {
	out, err := g.generate(ctx, [][]int32{prompt}, o, yield)
	if len(out) == 0 {
		return Output{}, err
	}
	return out[0], err
}

func (g *Generator) generate(ctx context.Context, prompts [][]int32, o Sampling, yield func(Piece) bool) ([]Output, error) {
	if err := g.check(prompts, &o); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.locked(ctx, prompts, o, yield)
}

// locked is generate for who holds the lock and has checked.
func (g *Generator) locked(ctx context.Context, prompts [][]int32, o Sampling, yield func(Piece) bool) ([]Output, error) {
	out := make([]Output, len(prompts))
	// Rows of similar length go together.
	order := make([]int, len(prompts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(prompts[a]) - len(prompts[b]) })
	for from := 0; from < len(order); from += g.o.MaxRows {
		group := order[from:min(from+g.o.MaxRows, len(order))]
		set, err := g.weights(rowBucket(len(group)))
		if err != nil {
			return out, err
		}
		s, err := g.newSession(set, group, prompts, o, out, yield)
		if err == nil {
			err = s.run(ctx)
		}
		s.close()
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// check refuses what cannot be done and fills in defaults.
func (g *Generator) check(prompts [][]int32, o *Sampling) error {
	c := &g.m.Config
	if len(prompts) == 0 {
		return errors.New("llm: no prompts")
	}
	if o.MaxNew == 0 {
		o.MaxNew = 128
	}
	if o.TopP == 0 {
		o.TopP = 1
	}
	if o.RepetitionPenalty == 0 {
		o.RepetitionPenalty = 1
	}
	for i, p := range prompts {
		if len(p) == 0 {
			return fmt.Errorf("llm: prompt %d is empty; begin it with the BOS token", i)
		}
		if len(p) >= c.MaxPositions {
			return fmt.Errorf("llm: prompt %d has %d tokens; the model was trained for %d, new ones included", i, len(p), c.MaxPositions)
		}
		for j, id := range p {
			if id < 0 || int(id) >= c.Vocab {
				return fmt.Errorf("llm: prompt %d, position %d: token %d is not in the vocabulary of %d; is it the tokenizer of another model?", i, j, id, c.Vocab)
			}
		}
	}
	if err := o.Validate(); err != nil {
		return err
	}
	switch {
	case o.Seeds != nil && len(o.Seeds) != len(prompts):
		return fmt.Errorf("llm: %d seeds for %d prompts", len(o.Seeds), len(prompts))
	case len(o.StopStrings) > 0 && g.o.Tokenizer == nil:
		return errors.New("llm: stop strings need a tokenizer in GeneratorOptions")
	}
	return nil
}

// Validate says what of the numbers is out of range.
func (o Sampling) Validate() error {
	switch {
	case o.MaxNew < 0:
		return fmt.Errorf("llm: max_new_tokens is %d; it must be positive", o.MaxNew)
	case !(o.Temperature >= 0):
		return fmt.Errorf("llm: temperature is %v; it must be 0 (greedy) or positive", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("llm: top_k is %d; it must be 0 (off) or positive", o.TopK)
	case !(o.TopP >= 0 && o.TopP <= 1):
		return fmt.Errorf("llm: top_p is %v; it must be above 0 and at most 1 (off)", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return fmt.Errorf("llm: min_p is %v; it must be between 0 and 1", o.MinP)
	case !(o.RepetitionPenalty >= 0):
		return fmt.Errorf("llm: repetition_penalty is %v; it must be positive", o.RepetitionPenalty)
	case slices.Contains(o.StopStrings, ""):
		return errors.New("llm: a stop string is empty")
	}
	return nil
}

func (o *Sampling) mode() sampleMode {
	switch {
	case o.TopK != 0 || o.TopP != 1 || o.MinP != 0 || o.RepetitionPenalty != 1:
		if o.Temperature == 0 && o.RepetitionPenalty == 1 {
			return greedy // filters keep the best token
		}
		return filtering
	case o.Temperature == 0:
		return greedy
	}
	return plain
}

// weights are what decoding of some rows reads now.
func (g *Generator) weights(rows int) (*weightSet, error) {
	l := fusedInOut
	if rows == 1 {
		l = fusedOutIn
	}
	switch {
	case g.o.Weights == SharedWeights, g.m.packs != nil,
		g.o.Weights == AutoWeights && rows == 1 && g.m.adapter == nil, // as fast as a copy
		g.o.Weights == AutoWeights && g.fusers[copyKey{l, g.m.adapter}] == nil && !g.affordable():
		return sharedWeights(g.m), nil
	}
	return g.copyFor(copyKey{l, g.m.adapter}).weights()
}

// affordable says whether a fused copy of the blocks' weights fits.
func (g *Generator) affordable() bool {
	if g.m.dtype != dtypes.Float32 {
		return false
	}
	bytes := int64(0)
	for _, w := range g.m.Config.layerWeights() {
		n := int64(4)
		for _, d := range w.shape {
			n *= int64(d)
		}
		bytes += n
	}
	free := backend.ThisMachine().Available
	return free == 0 || bytes*int64(g.m.Config.Layers) <= free/4
}
