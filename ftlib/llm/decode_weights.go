package llm

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Names of fused linear layers inside a block.
const (
	fusedQKV = "self_attn.qkv"
	fusedUp  = "mlp.gate_up"
)

// layout is how the weights of the blocks lie.
type layout int

const (
	inPlace    layout = iota // the tensors of the model and its adapter
	fusedOutIn               // a fused copy as files have it, [out, in]: the fastest for one row on a processor
	fusedInOut               // a fused copy, [in, out]: the fastest for more
)

// weightSet is the model as decoding reads it: the tensors of the model and its adapter
// themselves, or a copy in which the adapter is folded in and linear layers that read
// the same input are one.
type weightSet struct {
	layout  layout
	outside outside // what the adapter adds to embedding and head
	outer   []string
	outs    []*tensors.Tensor
	layers  []*layerWeights
	key     string // equal for sets that can share compiled programs
}

// layerWeights are the tensors of one block under their names inside it, sorted.
type layerWeights struct {
	names   []string
	tensors []*tensors.Tensor
	specs   map[string]adapterSpec // of adapters that are not folded in
	packs   map[string]packedSpec
	window  int
	key     string

	sources []*tensors.Tensor // what a fused copy was made from
	owned   []*tensors.Tensor // what it owns
}

// weightNodes are the same weights inside a graph.
type weightNodes struct {
	outer  map[string]*graph.Node
	layers []map[string]*graph.Node
}

// flat lists all tensors in the order that nodes reads them.
func (s *weightSet) flat() []*tensors.Tensor {
	all := slices.Clone(s.outs)
	for _, l := range s.layers {
		all = append(all, l.tensors...)
	}
	return all
}

func (s *weightSet) nodes(in *nodes) *weightNodes {
	w := &weightNodes{outer: in.named(s.outer)}
	for _, l := range s.layers {
		w.layers = append(w.layers, in.named(l.names))
	}
	return w
}

// weightsOf looks a weight up: the adapter's before the model's.
func weightsOf(m *Model, name string) *tensors.Tensor { return m.under(m.adapter, name) }

// adapted says whether the adapter that is switched on changes a linear layer.
func (m *Model) adapted(module string) bool {
	if m.adapter == nil {
		return false
	}
	_, ok := m.adapter.specs[module]
	return ok
}

// sharedWeights reads the model and the adapter that is switched on in place.
func sharedWeights(m *Model) *weightSet {
	s := newWeightSet(m, inPlace)
	for i := range m.Config.Layers {
		l := &layerWeights{specs: map[string]adapterSpec{}, packs: m.packsInside(i), window: m.Config.Windows[i]}
		prefix := layerName(i, "")
		add := func(local string) {
			if t := weightsOf(m, prefix+local); t != nil {
				l.names, l.tensors = append(l.names, local), append(l.tensors, t)
			}
		}
		for _, name := range m.layerNames(i) {
			add(name)
		}
		for _, module := range m.Config.Linears() {
			if m.adapter == nil {
				break
			}
			if spec, ok := m.adapter.specs[prefix+module]; ok {
				spec.Dropout = 0
				l.specs[module] = spec
				for _, part := range []string{".lora_A", ".lora_B", ".lora_m"} {
					add(module + part)
				}
			}
		}
		s.add(l)
	}
	return s
}

func newWeightSet(m *Model, l layout) *weightSet {
	s := &weightSet{layout: l, outside: m.outside(m.adapter)}
	for _, w := range m.Config.outerWeights() {
		s.outer = append(s.outer, w.name)
		s.outs = append(s.outs, weightsOf(m, w.name))
	}
	if m.Config.Tied && !m.headTied(m.adapter) {
		s.outer = append(s.outer, headName)
		s.outs = append(s.outs, weightsOf(m, headName))
	}
	for _, name := range append(s.outside.embedNames(), s.outside.headNames()...) {
		if !slices.Contains(s.outer, name) {
			s.outer = append(s.outer, name)
			s.outs = append(s.outs, weightsOf(m, name))
		}
	}
	s.key = fmt.Sprint(l, s.outer, s.outside)
	return s
}

func (s *weightSet) add(l *layerWeights) {
	var key strings.Builder
	fmt.Fprint(&key, l.window)
	for i, name := range l.names {
		fmt.Fprint(&key, name, l.tensors[i].Shape())
	}
	for _, module := range sortedKeys(l.specs) {
		fmt.Fprint(&key, module, l.specs[module])
	}
	for _, name := range sortedKeys(l.packs) {
		fmt.Fprint(&key, name, l.packs[name])
	}
	l.key = key.String()
	s.layers = append(s.layers, l)
	s.key += l.key
}

// fuser makes fused copies of a model's weights and keeps them up to date.
type fuser struct {
	m        *Model
	layout   layout
	programs map[string]*program
	layers   []*layerWeights
}

// groups are the linear layers of a block by the fused layer that they become part of.
func (f *fuser) groups() map[string][]string {
	c := &f.m.Config
	n := c.names()
	g := map[string][]string{fusedQKV: {n.q, n.k, n.v}, n.o: {n.o}, n.down: {n.down}}
	if c.Gated {
		g[fusedUp] = []string{n.gate, n.up}
	} else {
		g[n.up] = []string{n.up}
	}
	return g
}

// weights are the fused weights of the model as it is now. Layers whose sources are the
// tensors that they were made from are not made again.
func (f *fuser) weights() (*weightSet, error) {
	s := newWeightSet(f.m, f.layout)
	if f.layers == nil {
		f.layers = make([]*layerWeights, f.m.Config.Layers)
	}
	groups := f.groups()
	for i := range f.layers {
		l, err := f.layer(i, groups)
		if err != nil {
			return nil, err
		}
		s.add(l)
	}
	return s, nil
}

func (f *fuser) layer(i int, groups map[string][]string) (*layerWeights, error) {
	m, prefix := f.m, layerName(i, "")
	l := &layerWeights{window: m.Config.Windows[i]}
	var args = map[string][]*tensors.Tensor{}
	for _, fused := range sortedKeys(groups) {
		for _, module := range groups[fused] {
			for _, part := range []string{".weight", ".lora_A", ".lora_B", ".lora_m", ".bias"} {
				if t := weightsOf(m, prefix+module+part); t != nil {
					args[fused] = append(args[fused], t)
				}
			}
		}
		l.sources = append(l.sources, args[fused]...)
	}
	in := map[string]bool{}
	for _, module := range m.Config.Linears() {
		in[module] = true
	}
	for _, w := range m.Config.layerWeights() { // norms are read in place
		if module, _, ok := cutLast(w.name); ok && !in[module] {
			l.names = append(l.names, w.name)
			l.tensors = append(l.tensors, weightsOf(m, prefix+w.name))
		}
	}
	sources := append(slices.Clone(l.sources), l.tensors...)
	l.sources = sources
	old := f.layers[i]
	if old != nil && slices.Equal(old.sources, sources) {
		return old, nil
	}
	for _, fused := range sortedKeys(groups) {
		if f.layout == fusedOutIn && len(groups[fused]) == 1 && !m.adapted(prefix+fused) { // nothing to do
			for _, part := range []string{".weight", ".bias"} {
				if t := weightsOf(m, prefix+fused+part); t != nil {
					l.names, l.tensors = append(l.names, fused+part), append(l.tensors, t)
				}
			}
			continue
		}
		names, out, err := f.fuse(prefix, fused, groups[fused], args[fused])
		if err != nil {
			free(l.owned...)
			return nil, err
		}
		l.names, l.tensors, l.owned = append(l.names, names...), append(l.tensors, out...), append(l.owned, out...)
	}
	sort.Sort(l)
	if old != nil {
		free(old.owned...)
	}
	f.layers[i] = l
	return l, nil
}

// fuse makes the weight, and the bias where there is one, of one fused layer.
func (f *fuser) fuse(prefix, fused string, modules []string, args []*tensors.Tensor) (names []string, out []*tensors.Tensor, err error) {
	m := f.m
	specs := make([]*adapterSpec, len(modules))
	key := fused
	for i, module := range modules {
		if m.adapter == nil {
			continue
		}
		if s, ok := m.adapter.specs[prefix+module]; ok {
			specs[i] = &s
			key += fmt.Sprint(module, s.Scale, s.DoRA)
		}
	}
	names = []string{fused + ".weight"}
	bias := m.Config.hasBias(modules[0])
	if bias {
		names = append(names, fused+".bias")
	}
	if f.programs == nil {
		f.programs = map[string]*program{}
	}
	p := f.programs[key]
	if p == nil {
		p, err = newProgram(m.Backend, "fuse", func(flat []*graph.Node) []*graph.Node {
			in := &nodes{flat}
			var ws, bs []*graph.Node
			for i := range modules {
				l := &linear{w: dense(in.next())}
				if specs[i] != nil {
					l.spec, l.a, l.b = *specs[i], in.next(), in.next()
					if l.spec.DoRA {
						l.m = in.next()
					}
				}
				ws = append(ws, effective(l))
				if bias {
					bs = append(bs, in.next())
				}
			}
			out := []*graph.Node{graph.Concatenate(ws, 0)}
			if f.layout == fusedInOut {
				out[0] = graph.Transpose(out[0], 0, 1)
			}
			if bias {
				out = append(out, graph.Concatenate(bs, 0))
			}
			return out
		})
		if err != nil {
			return nil, nil, err
		}
		f.programs[key] = p
	}
	out, err = p.call(args)
	return names, out, err
}

// effective is the weight of a linear layer with its adapter folded in, in the type of
// the weight: W + s·B·A, with DoRA m/‖W + s·B·A‖ ∘ of it.
func effective(l *linear) *graph.Node {
	if l.a == nil {
		return l.w.dense
	}
	w := graph.Add(graph.ConvertDType(l.w.dense, l.a.DType()), graph.MulScalar(mulN(l.b, l.a), l.spec.Scale))
	if l.m != nil {
		w = graph.Mul(w, graph.Reshape(l.ratio(), -1, 1))
	}
	return graph.ConvertDType(w, l.w.dense.DType())
}

func (f *fuser) free() {
	for _, l := range f.layers {
		if l != nil {
			free(l.owned...)
		}
	}
	f.layers = nil
}

// Len, Less and Swap sort the tensors of a layer by name.
func (l *layerWeights) Len() int           { return len(l.names) }
func (l *layerWeights) Less(i, j int) bool { return l.names[i] < l.names[j] }
func (l *layerWeights) Swap(i, j int) {
	l.names[i], l.names[j] = l.names[j], l.names[i]
	l.tensors[i], l.tensors[j] = l.tensors[j], l.tensors[i]
}

// cutLast cuts the last part off a dotted name.
func cutLast(name string) (before, last string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}
