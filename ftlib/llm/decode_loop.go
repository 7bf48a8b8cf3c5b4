package llm

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// maxChunk is the most tokens that one call of a decoding program makes.
const maxChunk = 128

// decodeState is what changes from token to token.
type decodeState struct {
	step        *Node // scalar int32: tokens made in this call
	token       *Node // [B] int32: the last token of each row, which is not in the cache yet
	done        *Node // [B] int32: 1 for rows that have ended
	out         *Node // [B, chunk] int32; -1 behind the end of a row
	logp, drawn *Node // [B, chunk] float32
	seen        *Node // [B, V] bool, for the repetition penalty; nil without filtering
	keys        []*Node
	values      []*Node
}

// list is the state in the order in which programs return it.
func (s *decodeState) list() []*Node {
	all := []*Node{s.step, s.token, s.done, s.out, s.logp, s.drawn}
	if s.seen != nil {
		all = append(all, s.seen)
	}
	return append(append(all, s.keys...), s.values...)
}

// decodeProgram is a program of one mode for weights of one kind.
type decodeProgram struct {
	cfg  *Config
	set  *weightSet
	mode sampleMode
	loop bool // the loop is in the graph; else one token a call
	dus  bool
}

func newDecodeProgram(b compute.Backend, cfg *Config, set *weightSet, mode sampleMode) (*program, bool, error) {
	ops := b.Capabilities().Operations
	d := &decodeProgram{cfg: cfg, set: set, mode: mode, dus: ops[compute.OpTypeDynamicUpdateSlice]}
	d.loop = d.dus && b.Capabilities().Functions // XLA does not list While, but has it
	p, err := newProgram(b, "decode", d.build)
	return p, d.loop, err
}

// fixed are the inputs that stay the same during a call.
type fixed struct {
	limit *Node // scalar int32: tokens to make
	slot  *Node // scalar int32: where the first goes
	count *Node // scalar int32: new tokens made before this call
	start *Node // [B] int32
	stop  *Node // [S] int32: tokens that end a row; -1: none
	sam   *sampler
	w     *weightNodes
}

func (d *decodeProgram) readFixed(in *nodes) *fixed {
	return &fixed{limit: in.next(), slot: in.next(), count: in.next(), start: in.next(), stop: in.next(), sam: readSampler(d.mode, in), w: d.set.nodes(in)}
}

// readState reads the state without what a call makes itself.
func (d *decodeProgram) readState(in *nodes) *decodeState {
	s := &decodeState{token: in.next(), done: in.next()}
	if d.mode == filtering {
		s.seen = in.next()
	}
	s.keys, s.values = in.take(d.cfg.Layers), in.take(d.cfg.Layers)
	return s
}

// build: inputs are the state (token, done, seen, keys, values) and the fixed part.
// Outputs are [decodeState.list].
func (d *decodeProgram) build(flat []*Node) []*Node {
	in := &nodes{flat}
	s := d.readState(in)
	rest := in.rest
	g := s.token.Graph()
	b := s.token.Shape().Dimensions[0]
	chunk := 1
	if d.loop {
		chunk = maxChunk
	}
	// Const, not Scalar: GoMLX keeps one scalar of a value in a graph, and the body of a
	// loop could not use one that was made out here.
	s.step = Const(g, int32(0))
	s.out = BroadcastToDims(Const(g, int32(-1)), b, chunk)
	s.logp = BroadcastToDims(Const(g, float32(0)), b, chunk)
	s.drawn = BroadcastToDims(Const(g, float32(0)), b, chunk)
	if !d.loop {
		return d.step(s, d.readFixed(in)).list()
	}
	// The body of a loop sees nothing but its own state: weights are part of it.
	initial := append(s.list(), rest...)
	changing := len(initial) - len(rest)
	parameters := func(g *Graph) (*decodeState, *fixed, []*Node) {
		all := make([]*Node, len(initial))
		for i, n := range initial {
			all[i] = Parameter(g, fmt.Sprintf("s%d", i), n.Shape())
		}
		in := &nodes{all}
		s := &decodeState{step: in.next(), token: in.next(), done: in.next(), out: in.next(), logp: in.next(), drawn: in.next()}
		if d.mode == filtering {
			s.seen = in.next()
		}
		s.keys, s.values = in.take(d.cfg.Layers), in.take(d.cfg.Layers)
		return s, d.readFixed(in), all
	}
	cond := NewClosure(g, func(g *Graph) []*Node {
		s, f, _ := parameters(g)
		// ReduceMin, which the body does not use: XLA's backend keeps one reduction of a kind
		// too, and that of the first closure does not serve the second.
		going := LessThan(ReduceAllMin(s.done), Const(g, int32(1)))
		return []*Node{LogicalAnd(LessThan(s.step, f.limit), going)}
	})
	body := NewClosure(g, func(g *Graph) []*Node {
		s, f, all := parameters(g)
		return append(d.step(s, f).list(), all[changing:]...)
	})
	return While(cond, body, initial...)[:changing]
}

// step makes one token a row.
func (d *decodeProgram) step(s *decodeState, f *fixed) *decodeState {
	g := s.token.Graph()
	b := s.token.Shape().Dimensions[0]
	n := &decodeState{keys: append([]*Node{}, s.keys...), values: append([]*Node{}, s.values...)}
	c := cursor{slot: Add(f.slot, s.step), start: f.start, size: s.keys[0].Shape().Dimensions[2], dus: d.dus}
	logits := nextLogits(d.cfg, d.set, f.w, s.token, c, n.keys, n.values)
	token, logp, drawn := f.sam.pick(logits, s.seen, Add(f.count, s.step))

	ended := GreaterThan(s.done, ZerosLike(s.done))
	nobody := BroadcastToDims(Scalar(g, dtypes.Int32, -1), b)
	n.token = Where(ended, s.token, token)
	stops := f.stop.Shape().Dimensions[0]
	hit := Equal(BroadcastToDims(ExpandAxes(token, -1), b, stops), BroadcastToDims(ExpandAxes(f.stop, 0), b, stops))
	n.done = Max(s.done, ReduceMax(ConvertDType(hit, dtypes.Int32), -1))
	if s.seen != nil {
		v := s.seen.Shape().Dimensions[1]
		ids := Iota(g, shapes.Make(dtypes.Int32, b, v), 1)
		n.seen = LogicalOr(s.seen, Equal(ids, BroadcastToDims(ExpandAxes(n.token, -1), b, v)))
	}
	put := func(all, x *Node) *Node {
		x = ExpandAxes(x, -1)
		if !d.loop {
			return x
		}
		return DynamicUpdateSlice(all, x, []*Node{Scalar(g, dtypes.Int32, 0), s.step})
	}
	n.out = put(s.out, Where(ended, nobody, token))
	n.logp, n.drawn = put(s.logp, logp), put(s.drawn, drawn)
	n.step = AddScalar(s.step, 1)
	return n
}
