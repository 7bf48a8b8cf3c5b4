package llm

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck
	"github.com/gomlx/gomlx/core/tensors"
)

// What adapters have outside of the blocks, under PEFT's names.
const (
	embedModule = "model.embed_tokens"
	headModule  = "lm_head"

	embedDown  = embedModule + ".lora_embedding_A" // [r, V]
	embedUp    = embedModule + ".lora_embedding_B" // [D, r]
	headDown   = headModule + ".lora_A"            // [r, D]
	headUp     = headModule + ".lora_B"            // [V, r]
	rowsSuffix = ".token_adapter.trainable_tokens_delta"
	embedRows  = embedModule + rowsSuffix // [n, D]: new values of some tokens
	headRows   = headModule + rowsSuffix
	idsSuffix  = ".token_ids" // [n] int32: which; not trained
)

// outside says what an adapter does to embedding and head.
//
//	embedding  E[t] + s·B·A[:, t], or the row of its own for some tokens
//	head       x·Wᵀ + s·x·Aᵀ·Bᵀ, with rows of its own for the same tokens
//
// as PEFT's lora.Embedding, lora.Linear and TrainableTokensLayer. The zero value: nothing.
type outside struct {
	embed, head *adapterSpec // low-rank; nil: none
	rows        bool         // tokens with an embedding of their own
	headRows    bool         // and with a row of the head
	tied        bool         // which is the same
}

// outside of the model and the adapter, which may be nil.
func (m *Model) outside(a *Adapter) (o outside) {
	if a == nil {
		return o
	}
	if s, ok := a.specs[embedModule]; ok {
		o.embed = &s
	}
	if s, ok := a.specs[headModule]; ok {
		o.head = &s
	}
	o.rows, o.headRows = a.params[embedRows] != nil, a.params[headRows] != nil
	o.tied = o.rows && m.Config.Tied
	return o
}

func (o outside) String() string {
	text := fmt.Sprint(o.rows, o.headRows, o.tied)
	for _, s := range []*adapterSpec{o.embed, o.head} {
		if s != nil {
			text += fmt.Sprint(*s)
		}
	}
	return text
}

// embedNames are the tensors that looking up reads beside the table.
func (o outside) embedNames() (names []string) {
	if o.embed != nil {
		names = append(names, embedDown, embedUp)
	}
	if o.rows {
		names = append(names, embedRows, embedModule+idsSuffix)
	}
	return names
}

// headNames are the tensors that the head reads beside its weight.
func (o outside) headNames() (names []string) {
	if o.head != nil {
		names = append(names, headDown, headUp)
	}
	if o.tied {
		names = append(names, embedRows, embedModule+idsSuffix)
	}
	if o.headRows {
		names = append(names, headRows, headModule+idsSuffix)
	}
	return names
}

// isOf says which of the tokens each id is, [N, n] of 0 and 1.
func isOf(ids, tokens *Node) *Node {
	n, k := ids.Shape().Dimensions[0], tokens.Shape().Dimensions[0]
	same := Equal(BroadcastToDims(Reshape(ids, n, 1), n, k), BroadcastToDims(Reshape(tokens, 1, k), n, k))
	return ConvertDType(same, dtypes.Float32)
}

// lookup is the embedding of ids [N], [N, D] float32.
func (o outside) lookup(in map[string]*Node, ids *Node) *Node {
	at := ExpandAxes(ids, -1)
	x := ConvertDType(Gather(in[embedName], at), dtypes.Float32)
	if o.embed != nil {
		h := Gather(Transpose(in[embedDown], 0, 1), at) // [N, r]
		x = Add(x, mulT(h, MulScalar(in[embedUp], o.embed.Scale)))
	}
	if o.rows {
		is := isOf(ids, in[embedModule+idsSuffix])
		x = Add(Mul(x, OneMinus(ReduceAndKeep(is, ReduceSum, -1))), mulN(is, in[embedRows]))
	}
	return x
}

// lookupVJP is the gradient of lookup by the names in train, from that of its result.
func (o outside) lookupVJP(cfg *Config, in map[string]*Node, ids, dx *Node, train []string) map[string]*Node {
	at := ExpandAxes(ids, -1)
	grads := map[string]*Node{}
	if o.rows {
		is := isOf(ids, in[embedModule+idsSuffix])
		grads[embedRows] = outer(is, dx)
		dx = Mul(dx, OneMinus(ReduceAndKeep(is, ReduceSum, -1)))
	}
	if slices.Contains(train, embedName) {
		grads[embedName] = Scatter(at, dx, shapes.Make(dtypes.Float32, cfg.Vocab, cfg.Hidden), false, false)
	}
	if o.embed != nil {
		h := Gather(Transpose(in[embedDown], 0, 1), at)
		grads[embedUp] = MulScalar(outer(dx, h), o.embed.Scale)
		dh := mulN(dx, MulScalar(in[embedUp], o.embed.Scale)) // [N, r]
		grads[embedDown] = Transpose(Scatter(at, dh, shapes.Make(dtypes.Float32, cfg.Vocab, o.embed.R), false, false), 0, 1)
	}
	return grads
}

// logitPart is a part x·Aᵀ·Bᵀ·s of the logits.
type logitPart struct {
	a, b         *Node // [r, D], [V, r]
	scale        float64
	aName, bName string // of the gradients; "": none
}

// logitParts are the parts of an adapter in the logits. A row of its own for token t adds
// x·(row - W[t]) to the logit of t: A are the differences, B says which tokens.
func (o outside) logitParts(p map[string]*Node, weight *Node) (parts []logitPart) {
	if o.head != nil && p[headDown] != nil {
		parts = append(parts, logitPart{p[headDown], p[headUp], o.head.Scale, headDown, headUp})
	}
	rows := func(name, ids string) {
		if p[name] == nil {
			return
		}
		old := ConvertDType(Gather(weight, ExpandAxes(p[ids], -1)), dtypes.Float32)
		every := Iota(weight.Graph(), shapes.Make(dtypes.Int32, weight.Shape().Dimensions[0]), 0)
		parts = append(parts, logitPart{Sub(p[name], old), isOf(every, p[ids]), 1, name, ""})
	}
	if o.tied {
		rows(embedRows, embedModule+idsSuffix)
	}
	if o.headRows {
		rows(headRows, headModule+idsSuffix)
	}
	return parts
}

// logits of the part: x [C, D] -> [C, V].
func (l logitPart) logits(x *Node) *Node { return mulT(mulT(x, l.a), MulScalar(l.b, l.scale)) }

// back takes the gradient of logits, col [C, 1] at the targets and minus [C, V] besides,
// to that of x [C, D], and adds those of A and B to grads.
func (l logitPart) back(x, targets, col, minus *Node, grads map[string]*Node) (dx *Node) {
	at := ExpandAxes(targets, -1)
	dh := MulScalar(Add(Mul(Gather(l.b, at), col), mulN(minus, l.b)), l.scale) // [C, r]
	add := func(name string, g *Node) {
		if old := grads[name]; old != nil {
			g = Add(old, g)
		}
		grads[name] = g
	}
	if l.aName != "" {
		add(l.aName, outer(dh, x))
	}
	if l.bName != "" {
		h := mulT(x, l.a)
		g := Add(outer(minus, h), Scatter(at, Mul(h, col), l.b.Shape(), false, false))
		add(l.bName, MulScalar(g, l.scale))
	}
	return mulN(dh, l.a)
}

// checkOutside refuses what does not go together.
func (a *Adapter) checkOutside(m *Model) error {
	_, embed := a.specs[embedModule]
	_, head := a.specs[headModule]
	saved := func(module string) bool { return slices.Contains(a.Spec.SaveModules, module) }
	rows := len(a.Spec.Tokens) > 0
	for module := range a.Spec.Tokens {
		if wholeNames[module] == "" {
			return fmt.Errorf("trainable_token_indices names %q; embed_tokens and lm_head have rows of tokens", module)
		}
	}
	for _, module := range sortedKeys(a.Spec.Tokens) {
		seen := map[int]bool{}
		if len(a.Spec.Tokens[module]) == 0 {
			return fmt.Errorf("trainable_token_indices.%s names no tokens", module)
		}
		for _, id := range a.Spec.Tokens[module] {
			if id < 0 || id >= m.Config.Vocab {
				return fmt.Errorf("trainable_token_indices: token %d is not in the vocabulary of %d; see Model.Resize", id, m.Config.Vocab)
			}
			if seen[id] {
				return fmt.Errorf("trainable_token_indices: token %d is there twice", id)
			}
			seen[id] = true
		}
	}
	both := a.Spec.Tokens["embed_tokens"] != nil && a.Spec.Tokens["lm_head"] != nil
	switch {
	case (head || a.Spec.Tokens["lm_head"] != nil) && m.Config.NoHead:
		return fmt.Errorf("lm_head is named; %s is a classifier and has none", m.Path)
	case head && saved("lm_head"), embed && saved("embed_tokens"):
		return fmt.Errorf("target_modules and modules_to_save name the same module; a module is trained in one way")
	case m.Config.Tied && (embed || head) && (saved("embed_tokens") || saved("lm_head")):
		return fmt.Errorf("head and embedding are one in this model: it cannot be trained whole and by low rank at once; leave it out of target_modules or of modules_to_save")
	case rows && (embed || head || saved("embed_tokens") || saved("lm_head")):
		return fmt.Errorf("trainable_token_indices goes with neither embed_tokens nor lm_head in target_modules or modules_to_save, which train the same rows")
	case (embed || head) && a.Spec.DoRA:
		return fmt.Errorf("use_dora with embed_tokens or lm_head among target_modules is not supported; train them by modules_to_save")
	case (embed || head) && mutating(a.Spec.Init):
		return fmt.Errorf("init_lora_weights %s with embed_tokens or lm_head among target_modules is not supported", a.Spec.Init)
	case embed && a.tie:
		return fmt.Errorf("ensure_weight_tying with embed_tokens among target_modules is not supported; train it by modules_to_save")
	case both && m.Config.Tied && !slices.Equal(a.Spec.Tokens["embed_tokens"], a.Spec.Tokens["lm_head"]):
		return fmt.Errorf("trainable_token_indices differ between embed_tokens and lm_head, which are one in this model")
	case m.Config.Tied && a.Spec.Tokens["lm_head"] != nil && !both:
		return fmt.Errorf("trainable_token_indices names lm_head, which is the embedding in this model; name embed_tokens")
	}
	return nil
}

// tokenRows are the rows of their own that the adapter has, by the weight that they are
// rows of. A tied head has the embedding's.
func (a *Adapter) tokenRows(m *Model) map[string][]int32 {
	rows := map[string][]int32{}
	for module, ids := range a.Spec.Tokens {
		if module == "embed_tokens" || !m.Config.Tied {
			for _, id := range ids {
				rows[wholeNames[module]] = append(rows[wholeNames[module]], int32(id))
			}
		}
	}
	return rows
}

// rowsOf are the names of a weight's rows of their own, and of their ids.
func rowsName(weight string) (rows, ids string) {
	if weight == embedName {
		return embedRows, embedModule + idsSuffix
	}
	return headRows, headModule + idsSuffix
}

// ownRows gives a new adapter its rows, as they are in the model.
func (a *Adapter) ownRows(m *Model) error {
	rows := a.tokenRows(m)
	for _, weight := range sortedKeys(rows) {
		w, err := m.Weight(weight)
		if err != nil {
			return err
		}
		d := m.Config.Hidden
		var values []float32
		for _, id := range rows[weight] {
			values = append(values, w[int(id)*d:(int(id)+1)*d]...)
		}
		name, _ := rowsName(weight)
		if err := a.put(m, name, values, len(rows[weight]), d); err != nil {
			return err
		}
	}
	return a.putIDs(m)
}

// putIDs makes the tensors that say which tokens have rows.
func (a *Adapter) putIDs(m *Model) error {
	rows := a.tokenRows(m)
	for _, weight := range sortedKeys(rows) {
		_, name := rowsName(weight)
		t, err := newInts(m.Backend, rows[weight], len(rows[weight]))
		if err != nil {
			return fmt.Errorf("llm: adapter %s: %w", name, err)
		}
		if a.fixed == nil {
			a.fixed = map[string]*tensors.Tensor{}
		}
		a.fixed[name] = t
	}
	return nil
}

// foldOutside is the embedding or the head with what the adapter adds to it; nil when
// it adds nothing.
func (m *Model) foldOutside(a *Adapter, name string) (*tensors.Tensor, error) {
	o := m.outside(a)
	rows, ids := "", []int32(nil)
	switch {
	case name == embedName && o.embed != nil:
	case name == embedName && o.rows, name == headName && o.headRows:
		rows, _ = rowsName(name)
		ids = a.tokenRows(m)[name]
	default:
		return nil, nil
	}
	w, err := m.Weight(name)
	if err != nil {
		return nil, err
	}
	d := m.Config.Hidden
	if rows != "" {
		values, err := floats(a.params[rows])
		if err != nil {
			return nil, err
		}
		for k, id := range ids {
			copy(w[int(id)*d:(int(id)+1)*d], values[k*d:(k+1)*d])
		}
	} else {
		down, up, err := a.pair(embedModule)
		if err != nil {
			return nil, err
		}
		// The weight lies the other way round: W[t] += s·B·A[:, t].
		addProduct(w, transposed(down, o.embed.R, m.Config.Vocab), transposed(up, d, o.embed.R), m.Config.Vocab, d, o.embed.R, o.embed.Scale)
	}
	return newMatrix(m.Backend, m.dtype, w, m.Config.Vocab, d)
}

func transposed(x []float32, rows, cols int) []float32 {
	t := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			t[j*rows+i] = x[i*cols+j]
		}
	}
	return t
}
