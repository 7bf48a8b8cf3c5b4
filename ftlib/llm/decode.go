package llm

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// decodeBlock is one decoder block over a few new tokens: block with the linear layers
// that read one input possibly fused, and with attention as its caller has it.
type decodeBlock struct {
	block
	layout layout
}

// project applies modules that read the same x [N, in].
func (b *decodeBlock) project(fusedName string, x *Node, modules ...string) []*Node {
	out := make([]*Node, len(modules))
	if b.layout == inPlace {
		for i, m := range modules {
			out[i], _ = b.linear(m).forward(x)
		}
		return out
	}
	y := b.dense(fusedName, x)
	from := 0
	for i, m := range modules {
		width, _ := b.cfg.dims(m)
		out[i] = Slice(y, AxisRange(), AxisRange(from, from+width))
		from += width
	}
	return out
}

// dense is a fused layer.
func (b *decodeBlock) dense(name string, x *Node) *Node {
	multiply := mulT
	if b.layout == fusedInOut {
		multiply = mulN
	}
	y := multiply(x, b.params[name+".weight"])
	if bias := b.params[name+".bias"]; bias != nil {
		y = Add(y, row(bias))
	}
	return y
}

// forward is the block: x [N, D] -> [N, D]. attend turns projections into mixed values.
func (b *decodeBlock) forward(x *Node, attend func(q, k, v *Node) *Node) *Node {
	n := b.cfg.names()
	b.last.begin(x)
	single := func(module string, x *Node) *Node { return b.project(module, x, module)[0] }
	h := b.norm(n.norm1, x)
	qkv := b.project(fusedQKV, h, n.q, n.k, n.v)
	x1 := Add(x, single(n.o, attend(qkv[0], qkv[1], qkv[2])))
	if !b.cfg.Parallel {
		h = b.norm(n.norm2, x1)
	}
	s := saved{}
	if b.cfg.Gated {
		up := b.project(fusedUp, h, n.gate, n.up)
		s["gate"], s["up"] = up[0], up[1]
	} else {
		s["up"] = single(n.up, h)
	}
	return Add(x1, single(n.down, b.mlpInner(s)))
}

// cursor says where in the cache a decoding step writes, and what it may read.
type cursor struct {
	slot  *Node // scalar int32: where the keys and values of the new token go, in every row
	start *Node // [B] int32: the first slot of each row that is not padding
	size  int   // slots of the cache
	dus   bool  // the backend has DynamicUpdateSlice
}

// position of the new token in its own row, [B, 1].
func (c cursor) position() *Node {
	p := Sub(ExpandLeftToRank(c.slot, 1), c.start)
	return ExpandAxes(Max(p, ZerosLike(p)), -1)
}

// write puts the new token's x [B, KV, 1, hd] into a cache [B, KV, size, hd].
func (c cursor) write(cache, x *Node) *Node {
	g := x.Graph()
	if c.dus {
		zero := Scalar(g, dtypes.Int32, 0)
		return DynamicUpdateSlice(cache, x, []*Node{zero, zero, c.slot, zero})
	}
	dims := cache.Shape().Dimensions
	here := Equal(Iota(g, shapes.Make(dtypes.Int32, 1, 1, c.size, 1), 2), Reshape(c.slot, 1, 1, 1, 1))
	return Where(BroadcastToDims(here, dims...), BroadcastToDims(x, dims...), cache)
}

// sees are the slots that the new token attends to, [B, 1, 1, size]: of its row, not
// later than itself, inside the window.
func (c cursor) sees(window int) *Node {
	g := c.slot.Graph()
	b := c.start.Shape().Dimensions[0]
	dims := []int{b, 1, 1, c.size}
	slots := Iota(g, shapes.Make(dtypes.Int32, dims...), 3)
	at := BroadcastToDims(Reshape(c.slot, 1, 1, 1, 1), dims...)
	ok := LogicalAnd(LessOrEqual(slots, at), GreaterOrEqual(slots, BroadcastToDims(Reshape(c.start, b, 1, 1, 1), dims...)))
	if window > 0 {
		ok = LogicalAnd(ok, GreaterThan(slots, AddScalar(at, -window)))
	}
	// A row of padding sees its own slot, so that nothing is divided by zero.
	return LogicalOr(ok, Equal(slots, at))
}

// attendCached is attention of one new token a row over the caches of its layer, which
// it extends.
func attendCached(at attention, c cursor, keys, values **Node) func(q, k, v *Node) *Node {
	return func(q, k, v *Node) *Node {
		*keys, *values = c.write(*keys, at.keys(k)), c.write(*values, at.values(v))
		s := scores(at.queries(q), *keys) // [B, KV, G, size]
		dims := s.Shape().Dimensions
		s = Where(BroadcastToDims(c.sees(at.window), dims...), s, BroadcastToDims(Scalar(s.Graph(), s.DType(), -1e30), dims...))
		e := Exp(Sub(s, ReduceAndKeep(s, ReduceMax, -1)))
		o := mix(e, *values) // [B, KV, G, hd]
		o = Mul(o, Inverse(ReduceAndKeep(e, ReduceSum, -1)))
		return Reshape(o, at.b, at.heads*at.hd)
	}
}

// scores are the products of queries [B, KV, G, hd] with keys [B, KV, size, hd]. One
// query a head is multiplied and added up by hand, where XLA would start a product
// for each.
func scores(q, k *Node) *Node {
	if q.Shape().Dimensions[2] > 1 {
		return batched(q, k, 3, 3)
	}
	return ExpandAxes(ReduceSum(Mul(q, k), -1), 2)
}

// mix are the sums of values [B, KV, size, hd] with weights e [B, KV, G, size].
func mix(e, v *Node) *Node {
	d := e.Shape().Dimensions
	if d[2] > 1 {
		return batched(e, v, 3, 2)
	}
	return ExpandAxes(ReduceSum(Mul(Reshape(e, d[0], d[1], d[3], 1), v), 2), 2)
}

// nextLogits runs one token a row through the model: tokens [B] -> logits [B, V]. It
// replaces the caches, keys and values of each layer, with what they become.
func nextLogits(cfg *Config, set *weightSet, w *weightNodes, tokens *Node, c cursor, keys, values []*Node) *Node {
	b := tokens.Shape().Dimensions[0]
	cos, sin := ropeTables(cfg.Rope, c.position()) // [B, 1, Dim/2]
	x := set.outside.lookup(w.outer, tokens)
	var last lastProduct
	for i, layer := range set.layers {
		blk := decodeBlock{layout: set.layout, block: block{cfg: cfg, adapters: layer.specs, packs: layer.packs, last: &last, params: w.layers[i]}}
		at := attention{b: b, t: 1, heads: cfg.Heads, kv: cfg.KVHeads, hd: cfg.HeadDim, cos: cos, sin: sin, window: layer.window}
		x = blk.forward(x, attendCached(at, c, &keys[i], &values[i]))
	}
	h := head{cfg: cfg, outside: set.outside}
	h.setParams(w.outer)
	return h.logits(h.norm(x))
}

// prefillProgram runs one block over whole prompts and returns, beside its output, the
// keys and values [B, KV, T, hd] of all tokens. Layers that agree in names, shapes and
// window share it. Inputs: cosine, sine, segments, weights, x [N, D].
func prefillProgram(b compute.Backend, cfg *Config, set *weightSet, layer *layerWeights) (*program, error) {
	names, specs, packs, window, layout := layer.names, layer.specs, layer.packs, layer.window, set.layout
	return newProgram(b, "prefill", func(flat []*Node) []*Node {
		in := &nodes{flat}
		at := attention{heads: cfg.Heads, kv: cfg.KVHeads, hd: cfg.HeadDim, window: window}
		at.cos, at.sin, at.seg = in.next(), in.next(), in.next()
		at.b, at.t = at.seg.Shape().Dimensions[0], at.seg.Shape().Dimensions[1]
		blk := decodeBlock{layout: layout, block: block{cfg: cfg, adapters: specs, packs: packs, last: new(lastProduct), params: in.named(names)}}
		var keys, values *Node
		y := blk.forward(in.next(), func(q, k, v *Node) *Node {
			keys, values = at.keys(k), at.values(v)
			return at.forward(q, k, v)
		})
		return []*Node{y, keys, values}
	})
}

// startProgram prepares a prefill: token table and what goes with it, ids [N], positions
// [B, T] -> embeddings [N, D] and the rotation tables.
func startProgram(b compute.Backend, cfg *Config, o outside) (*program, error) {
	return newProgram(b, "prefill_start", func(flat []*Node) []*Node {
		in := &nodes{flat}
		tables := in.named(append([]string{embedName}, o.embedNames()...))
		x := o.lookup(tables, in.next())
		cos, sin := ropeTables(cfg.Rope, in.next())
		return []*Node{x, cos, sin}
	})
}

// placeProgram moves the keys and values of a prefill, [B, KV, T, hd] each, into caches
// of size slots. The padding that all rows share on the left, as many tokens as the
// first input says, is left out where the backend can. With repeat, the second input [R]
// says which of the B rows each of R rows of the caches is.
func placeProgram(b compute.Backend, size int, repeat bool) (*program, error) {
	slices := b.Capabilities().Operations[compute.OpTypeDynamicSlice]
	return newProgram(b, fmt.Sprintf("cache_%d", size), func(in []*Node) []*Node {
		skip, in := in[0], in[1:]
		var like *Node
		if repeat {
			like, in = ExpandAxes(in[0], -1), in[1:] // [R, 1]
		}
		g := skip.Graph()
		var out []*Node
		for _, x := range in {
			dims := x.Shape().Clone().Dimensions
			t := dims[2]
			if slices {
				dims[2] = size
				x = Concatenate([]*Node{x, Zeros(g, shapes.Make(x.DType(), dims...))}, 2)
				zero := Scalar(g, dtypes.Int32, 0)
				x = DynamicSlice(x, []*Node{zero, zero, skip, zero}, dims)
			} else if t < size {
				dims[2] = size - t
				x = Concatenate([]*Node{x, Zeros(g, shapes.Make(x.DType(), dims...))}, 2)
			}
			if repeat {
				x = Gather(x, like)
			}
			out = append(out, x)
		}
		return out
	})
}
