package llm

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/quant"
)

// Stream says where the linear layers of the blocks wait for their turn to compute, so that a
// model larger than the device trains, slowly: every block is brought to the backend for the
// forward pass and again for the backward pass, the next one while this one computes, and two
// of them are there at most. Such weights are frozen; embedding, head, norms, biases and
// adapters stay on the backend. Values are those of a model that is there as a whole, bit for
// bit.
type Stream string

const (
	// StreamFile reads blocks from the model's files, which must not change meanwhile. What was
	// read is given back at once: of the files, nothing stays in the memory of the process; what
	// the system keeps of them, it gives up when memory is short. A directory that is quantised
	// (see [Model.Save]) is only repacked on the way; weights that Quantize has to quantise are
	// quantised every time, which takes longer than the computation.
	StreamFile Stream = "file"
	// StreamHost keeps blocks in the memory of the process, for a backend with memory of its own.
	StreamHost Stream = "host"
)

// stream brings weights of a model to its backend.
type stream struct {
	kind   Stream
	loader *loader                 // of the source
	specs  map[string]weightSpec   // what is streamed, by Hugging Face name
	shapes map[string]shapes.Shape // of the tensors, by name: of quantised weights, those of all parts
	host   map[string]hostTensor   // StreamHost: the tensors
	packs  map[string]packedSpec   // the model's
	close  func() error            // of the source; nil: it is somebody else's
}

// hostTensor is a tensor in Go's memory.
type hostTensor struct {
	shape shapes.Shape
	bytes []byte
}

// toHost copies a tensor from its backend.
func toHost(t *tensors.Tensor) (hostTensor, error) {
	h := hostTensor{shape: t.Shape()}
	err := t.ConstFlatData(func(flat any) { h.bytes = bytes.Clone(dtypes.UnsafeByteSliceFromAny(flat)) })
	return h, err
}

// on copies the tensor to a backend.
func (h hostTensor) on(b compute.Backend) (*tensors.Tensor, error) {
	return newTensor(b, h.shape.DType, h.shape.Dimensions, func(flat any) error {
		copy(dtypes.UnsafeByteSliceFromAny(flat), h.bytes)
		return nil
	})
}

func (s *stream) reads() bool { return s != nil && s.kind == StreamFile }

// has says whether a weight, by Hugging Face name, is streamed.
func (s *stream) has(name string) bool {
	if s == nil {
		return false
	}
	_, ok := s.specs[name]
	return ok
}

func (s *stream) names() []string {
	if s == nil {
		return nil
	}
	return sortedKeys(s.specs)
}

func (s *stream) end() {
	if s != nil && s.close != nil {
		_ = s.close() // a file that was read
	}
}

// StreamedBytes is the size of the weights that are streamed, in the form that they compute in.
func (m *Model) StreamedBytes() int64 {
	if m.stream == nil {
		return 0
	}
	n := int64(0)
	for _, s := range m.stream.shapes {
		n += int64(s.ByteSize())
	}
	return n
}

// errStreamed is the answer to what needs all weights on the backend; nil when they are.
func (m *Model) errStreamed(what string) error {
	if m.stream == nil {
		return nil
	}
	return fmt.Errorf("llm: the weights are streamed (%s), and a model cannot be %s so; load it without", m.stream.kind, what)
}

// place loads a weight, or leaves it to be streamed. With checkOnly it only says whether it fits.
func (l *loader) place(w weightSpec, how Stream, checkOnly bool) (problem string, err error) {
	if how == "" || !l.linear[w.name] {
		return l.weight(w, checkOnly)
	}
	if how != StreamFile && how != StreamHost {
		return "", fmt.Errorf("weights cannot be streamed from %q: %q and %q are supported", how, StreamFile, StreamHost)
	}
	m := l.m
	if m.stream == nil {
		m.stream = &stream{kind: how, loader: l, specs: map[string]weightSpec{}, shapes: map[string]shapes.Shape{}, host: map[string]hostTensor{}}
	}
	s := m.stream
	if how == StreamFile {
		if problem, err := l.weight(w, true); problem != "" || err != nil || checkOnly {
			return problem, err
		}
		return "", s.describe(m, w)
	}
	one := m.bare()
	defer one.Close()
	other := *l
	other.m = one
	if problem, err := other.weight(w, checkOnly); problem != "" || err != nil || checkOnly {
		return problem, err
	}
	for name, t := range one.params {
		if s.host[name], err = toHost(t); err != nil {
			return "", err
		}
		s.shapes[name] = t.Shape()
	}
	s.add(m, w, one.packs)
	return "", nil
}

// bare is a model without weights, for a part of m's.
func (m *Model) bare() *Model {
	return &Model{Config: m.Config, Path: m.Path, Backend: m.Backend, dtype: m.dtype, params: map[string]*tensors.Tensor{}}
}

func (s *stream) add(m *Model, w weightSpec, packs map[string]packedSpec) {
	s.specs[w.name] = w
	if spec, ok := packs[w.name]; ok {
		if m.packs == nil {
			m.packs = map[string]packedSpec{}
		}
		m.packs[w.name] = spec
	}
	s.packs = m.packs
}

// describe notes what tensors a weight of the source will be.
func (s *stream) describe(m *Model, w weightSpec) error {
	l := s.loader
	var c *quant.Config
	if _, stored := quant.Stored(l, w.name); stored {
		q, err := quant.Read(l, w.name)
		if err != nil {
			return err
		}
		c = &q.Config
	} else if l.spec != nil {
		c = l.spec
	}
	if c == nil {
		s.shapes[w.name] = shapes.Make(l.dtype(w.name), w.shape...)
		s.add(m, w, nil)
		return nil
	}
	spec := packedSpec{Config: *c, out: w.shape[0], in: w.shape[1], compute: l.in}
	for name, shape := range spec.shapes(w.name) {
		s.shapes[name] = shape
	}
	s.add(m, w, map[string]packedSpec{w.name: spec})
	return nil
}

// shapes of all tensors of a quantised weight.
func (s packedSpec) shapes(name string) map[string]shapes.Shape {
	all := map[string]shapes.Shape{name: s.shape()}
	if s.Type == quant.Int8 {
		all[name+absmaxPart] = f32(s.out)
		return all
	}
	blocks := (s.out*s.in + s.Block - 1) / s.Block
	if !s.Double {
		all[name+absmaxPart] = f32(blocks)
		return all
	}
	all[name+absmaxPart] = shapes.Make(dtypes.Uint8, blocks)
	all[name+nestedPart], all[name+offsetPart] = f32((blocks+255)/256), f32()
	return all
}

// bring puts one weight on the backend, as the only one of a model that the caller closes.
func (s *stream) bring(name string) (*Model, error) {
	w := s.specs[name]
	one := s.loader.m.bare()
	fail := func(err error) (*Model, error) {
		one.Close()
		return nil, fmt.Errorf("llm: streaming %s: %w", name, err)
	}
	if s.kind == StreamHost {
		one.packs = s.packs
		names := []string{name}
		if spec, ok := s.packs[name]; ok {
			names = spec.parts(name)
		}
		for _, part := range names {
			var err error
			if one.params[part], err = s.host[part].on(one.Backend); err != nil {
				return fail(err)
			}
		}
		return one, nil
	}
	l := *s.loader
	l.m, l.left = one, nil // nothing is counted as read any more
	problem, err := l.weight(w, false)
	if err == nil && problem != "" {
		err = fmt.Errorf("the file has changed: %s", problem)
	}
	if err != nil {
		return fail(err)
	}
	return one, nil
}

// layer brings the streamed weights of layer i, by their names in the model.
func (s *stream) layer(i int) (map[string]*tensors.Tensor, error) {
	all := map[string]*tensors.Tensor{}
	for _, module := range s.loader.m.Config.Linears() {
		name := layerName(i, module+".weight")
		if !s.has(name) {
			continue
		}
		one, err := s.bring(name)
		if err != nil {
			freeAll(all)
			return nil, err
		}
		for part, t := range one.params {
			all[part] = t
		}
	}
	return all, nil
}

// feed hands an engine the streamed weights of one layer after another, the next one being
// brought meanwhile.
type feed struct {
	s     *stream
	layer int
	here  map[string]*tensors.Tensor // of layer, when done is closed
	err   error
	wait  *sync.WaitGroup // of what is being brought; nil: nothing is
}

// start begins to bring a layer; none below 0.
func (f *feed) start(i int) {
	if f.s == nil || i < 0 {
		return
	}
	f.layer, f.wait = i, new(sync.WaitGroup)
	f.wait.Go(func() { f.here, f.err = f.s.layer(i) })
}

// take waits for a layer, which is the caller's to free, and begins to bring the next one.
func (f *feed) take(i, next int) (map[string]*tensors.Tensor, error) {
	if f.s == nil {
		return nil, nil
	}
	if f.wait == nil || f.layer != i {
		f.drop()
		f.start(i)
	}
	f.wait.Wait()
	here, err := f.here, f.err
	f.here, f.err, f.wait = nil, nil, nil
	if err == nil {
		f.start(next)
	}
	return here, err
}

// give returns a layer for the one that asks for it next: the last of the forward pass is the
// first of the backward pass.
func (f *feed) give(i int, here map[string]*tensors.Tensor) {
	f.drop()
	f.layer, f.here, f.wait = i, here, new(sync.WaitGroup)
}

// drop frees what was brought for nobody.
func (f *feed) drop() {
	if f.wait == nil {
		return
	}
	f.wait.Wait()
	freeAll(f.here)
	f.here, f.err, f.wait = nil, nil, nil
}

func freeAll(all map[string]*tensors.Tensor) {
	for _, t := range all {
		free(t)
	}
}
