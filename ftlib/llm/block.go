package llm

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
)

// block is one decoder block inside a graph that is being built.
type block struct {
	cfg      *Config
	at       attention
	params   map[string]*Node // by name inside the layer
	adapters map[string]adapterSpec
	packs    map[string]packedSpec // weights that are quantised
	last     *lastProduct
	key      *Node // dropout key; nil when not training
}

// saved are the activations of a forward pass that its gradient needs, by role.
type saved map[string]*Node

// savedNames lists what forward saves besides the block's input, in a fixed order.
// Norms and activation functions are cheap and computed again always.
func (b *block) savedNames(keep Keep) []string {
	n := b.cfg.names()
	var names []string
	if keep == KeepAll || keep == KeepAttention {
		names = append(names, "q", "k", "v", "attn")
	}
	if keep != KeepInputs && !b.cfg.Parallel {
		names = append(names, "x1")
	}
	if keep == KeepAll {
		if b.cfg.Gated {
			names = append(names, "gate")
		}
		names = append(names, "up")
	}
	for _, m := range b.cfg.Linears() {
		attention := m == n.q || m == n.k || m == n.v || m == n.o
		if _, ok := b.adapters[m]; ok && (keep == KeepAll || keep == KeepAttention && attention) {
			names = append(names, "h."+m)
		}
	}
	return names
}

func (b *block) linear(module string) *linear {
	l := &linear{name: module, w: matrixOf(b.params, b.packs, module+".weight", b.last), bias: b.params[module+".bias"], key: b.key}
	if spec, ok := b.adapters[module]; ok {
		l.spec = spec
		l.a, l.b, l.m = b.params[module+".lora_A"], b.params[module+".lora_B"], b.params[module+".lora_m"]
	}
	return l
}

func (b *block) norm(name string, x *Node) *Node {
	return norm(x, b.params[name+".weight"], b.params[name+".bias"], b.cfg.LayerNorm, b.cfg.NormEps)
}

// forward is the block: x [N, D] -> y [N, D], and what its gradient needs.
func (b *block) forward(x *Node) (y *Node, s saved) {
	b.last.begin(x)
	s = saved{"x": x}
	b.attend(s, true)
	b.expand(s)
	return Add(s["x1"], b.apply(s, b.cfg.names().down, b.mlpInner(s))), s
}

// apply is a linear layer, which keeps what its adapter's gradient needs.
func (b *block) apply(s saved, module string, x *Node) *Node {
	y, h := b.linear(module).forward(x)
	if h != nil {
		s["h."+module] = h
	}
	return y
}

// hidden is what apply keeps, without the layer: its output is not needed.
func (b *block) hidden(s saved, module string, x *Node) {
	if l := b.linear(module); l.a != nil && s["h."+module] == nil {
		s["h."+module] = l.hidden(x)
	}
}

// attend is the first half of the block; with whole it ends in x1, what the half makes of x.
func (b *block) attend(s saved, whole bool) {
	n := b.cfg.names()
	h := b.norm(n.norm1, s["x"])
	s["q"], s["k"], s["v"] = b.apply(s, n.q, h), b.apply(s, n.k, h), b.apply(s, n.v, h)
	s["attn"] = b.at.forward(s["q"], s["k"], s["v"])
	if whole {
		s["x1"] = Add(s["x"], b.apply(s, n.o, s["attn"]))
	}
}

// expand is the second half up to what the down projection reads.
func (b *block) expand(s saved) {
	n, h := b.cfg.names(), b.second(s)
	if b.cfg.Gated {
		s["gate"] = b.apply(s, n.gate, h)
	}
	s["up"] = b.apply(s, n.up, h)
}

// second is what the second half reads, normed.
func (b *block) second(s saved) *Node {
	if b.cfg.Parallel {
		return b.norm(b.cfg.names().norm1, s["x"])
	}
	return b.norm(b.cfg.names().norm2, s["x1"])
}

// mlpInner is what the down projection reads.
func (b *block) mlpInner(s saved) *Node {
	if b.cfg.Gated {
		return Mul(activate(b.cfg.Act, s["gate"]), s["up"])
	}
	return activate(b.cfg.Act, s["up"])
}

// vjp is the gradient of forward from what it saved: of the block's input, and of
// the trained parameters, which grad receives under their names inside the layer. What was not
// saved is computed again when it is needed, so that one half of the block is there at a time
// where x1 was saved. The outputs of the last layers of both halves are needed by nobody.
func (b *block) vjp(s saved, dy *Node, train map[string]bool, grad func(string, *Node)) (dx *Node) {
	n, c := b.cfg.names(), b.cfg
	b.last.begin(dy)
	back := func(module string, x, dy *Node) *Node {
		return b.linear(module).vjp(x, s["h."+module], dy, train, grad)
	}
	backNorm := func(name string, x, dy *Node) *Node {
		dx, dw, db := normVJP(x, b.params[name+".weight"], dy, c.LayerNorm, c.NormEps)
		if train[name+".weight"] {
			grad(name+".weight", dw)
		}
		if train[name+".bias"] {
			grad(name+".bias", db)
		}
		return dx
	}
	if !c.Parallel && s["x1"] == nil {
		b.attend(s, true)
	}
	// The MLP.
	if s["up"] == nil {
		b.expand(s)
	}
	h1, h2 := b.norm(n.norm1, s["x"]), b.second(s)
	b.hidden(s, n.down, b.mlpInner(s))
	dm := back(n.down, b.mlpInner(s), dy)
	var dh2 *Node
	if c.Gated {
		dgate := Mul(Mul(dm, s["up"]), activateSlope(c.Act, s["gate"]))
		dup := Mul(dm, activate(c.Act, s["gate"]))
		dh2 = Add(back(n.gate, h2, dgate), back(n.up, h2, dup))
	} else {
		dh2 = back(n.up, h2, Mul(dm, activateSlope(c.Act, s["up"])))
	}
	dx1 := dy
	if !c.Parallel {
		dx1 = Add(dy, backNorm(n.norm2, s["x1"], dh2))
	}
	// Attention.
	if s["attn"] == nil {
		b.attend(s, false)
	}
	b.hidden(s, n.o, s["attn"])
	dattn := back(n.o, s["attn"], dx1)
	dq, dk, dv := b.at.vjp(s["q"], s["k"], s["v"], s["attn"], dattn)
	dh1 := Add(Add(back(n.q, h1, dq), back(n.k, h1, dk)), back(n.v, h1, dv))
	if c.Parallel {
		dh1 = Add(dh1, dh2)
	}
	return Add(dx1, backNorm(n.norm1, s["x"], dh1))
}
