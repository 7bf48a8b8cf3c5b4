package llm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
)

// QuantOptions say how the linear layers of the blocks are held. Embedding, head, norms
// and biases stay as they are.
type QuantOptions struct {
	quant.Config
	Compute dtypes.DType // that weights are dequantised to for a product: float32 or bfloat16; zero: the type of the other matrices
}

// Quantized says how the linear layers are held; nil for a model in full.
func (m *Model) Quantized() *QuantOptions {
	for _, name := range sortedKeys(m.packs) {
		return &QuantOptions{m.packs[name].Config, m.packs[name].compute}
	}
	return nil
}

// putPacked moves a quantised matrix to the backend, in the layout that programs read.
func (m *Model) putPacked(name string, w *quant.Weight, computeIn dtypes.DType) error {
	spec := packedSpec{Config: w.Config, out: w.Shape[0], in: w.Shape[1], compute: computeIn}
	shape := spec.shape()
	var err error
	put := func(part string, dtype dtypes.DType, dims []int, fill func(flat any) error) {
		if err == nil {
			m.params[part], err = newTensor(m.Backend, dtype, dims, fill)
		}
	}
	put(name, shape.DType, shape.Dimensions, func(flat any) error {
		if codes, ok := flat.([]uint8); ok {
			return w.PackHalves(codes)
		}
		dst := flat.([]int8)
		for i := range dst {
			dst[i] = int8(w.Packed[i])
		}
		return nil
	})
	floats := func(part string, values []float32, dims ...int) {
		put(part, dtypes.Float32, dims, func(flat any) error { copy(flat.([]float32), values); return nil })
	}
	if w.Double {
		put(name+absmaxPart, dtypes.Uint8, []int{len(w.Codes)}, func(flat any) error { copy(flat.([]uint8), w.Codes); return nil })
		floats(name+nestedPart, w.Nested, len(w.Nested))
		floats(name+offsetPart, []float32{w.Offset})
	} else {
		floats(name+absmaxPart, w.Absmax, len(w.Absmax))
	}
	if err != nil {
		return fmt.Errorf("llm: %s: %w", name, err)
	}
	if m.packs == nil {
		m.packs = map[string]packedSpec{}
	}
	m.packs[name] = spec
	return nil
}

// unpacked copies a quantised weight to the host.
func (m *Model) unpacked(name string) (*quant.Weight, error) {
	spec := m.packs[name]
	w := &quant.Weight{Config: spec.Config, Shape: []int{spec.out, spec.in}, DType: strings.ToLower(spec.compute.String())}
	var err error
	get := func(part string, use func(flat any) error) {
		if err == nil {
			var inner error
			if err = m.params[part].ConstFlatData(func(flat any) { inner = use(flat) }); err == nil {
				err = inner
			}
		}
	}
	get(name, func(flat any) error {
		if codes, ok := flat.([]uint8); ok {
			return w.UnpackHalves(codes)
		}
		for _, v := range flat.([]int8) {
			w.Packed = append(w.Packed, byte(v))
		}
		return nil
	})
	if w.Double {
		get(name+absmaxPart, func(flat any) error { w.Codes = slices.Clone(flat.([]uint8)); return nil })
		get(name+nestedPart, func(flat any) error { w.Nested = slices.Clone(flat.([]float32)); return nil })
		get(name+offsetPart, func(flat any) error { w.Offset = flat.([]float32)[0]; return nil })
	} else {
		get(name+absmaxPart, func(flat any) error { w.Absmax = slices.Clone(flat.([]float32)); return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("llm: %s: %w", name, err)
	}
	return w, nil
}

// isPart reports tensors that belong to a quantised weight of another name.
func (m *Model) isPart(name string) bool {
	for _, part := range []string{absmaxPart, nestedPart, offsetPart} {
		if base, ok := strings.CutSuffix(name, part); ok {
			if _, packed := m.packs[base]; packed {
				return true
			}
		}
	}
	return false
}

// dtypeNames are the types of files under torch's names.
var dtypeNames = map[safetensors.DType]string{safetensors.F32: "float32", safetensors.BF16: "bfloat16", safetensors.F16: "float16"}

// quantised reads one matrix of a source in four or eight bits, a piece at a time.
func quantised(t safetensors.Tensor, c quant.Config) (*quant.Weight, error) {
	size := t.DType.Size()
	return quant.Stream(t.Shape, dtypeNames[t.DType], c, func(from int, dst []float32) error {
		part := t
		part.Shape, part.Data = []int{len(dst)}, t.Data[from*size:(from+len(dst))*size]
		return part.Float32sInto(dst)
	})
}

// packsInside are the quantised weights of layer i under their names inside it.
func (m *Model) packsInside(i int) map[string]packedSpec {
	out := map[string]packedSpec{}
	for _, w := range m.Config.layerWeights() {
		if spec, ok := m.packs[layerName(i, w.name)]; ok {
			out[w.name] = spec
		}
	}
	return out
}

// layerNames are the tensors of layer i under their names inside it: weights, and what
// goes with quantised ones.
func (m *Model) layerNames(i int) []string {
	var names []string
	for _, w := range m.Config.layerWeights() {
		if spec, ok := m.packs[layerName(i, w.name)]; ok {
			names = append(names, spec.parts(w.name)...)
		} else {
			names = append(names, w.name)
		}
	}
	return names
}

// Dequantized is a new model with the linear layers in full, in the type of the other
// matrices, and the same adapter, which stays m's: what a merge needs, and what takes the
// memory that quantising saved.
func (m *Model) Dequantized() (*Model, error) {
	if err := m.errStreamed("dequantised"); err != nil {
		return nil, err
	}
	out := &Model{Config: m.Config, Path: m.Path, Backend: m.Backend, dtype: m.dtype, changed: true, params: map[string]*tensors.Tensor{}}
	out.Config.raw = maps.Clone(m.Config.raw)
	delete(out.Config.raw, quantizationKey)
	fail := func(name string, err error) (*Model, error) {
		out.Close()
		return nil, fmt.Errorf("llm: dequantising %s: %w", name, err)
	}
	for _, name := range m.Names() {
		spec, packed := m.packs[name]
		var err error
		if !packed {
			if out.params[name], err = m.params[name].OnDeviceClone(m.Backend, 0); err != nil {
				return fail(name, err)
			}
			continue
		}
		values, err := m.Weight(name)
		if err != nil {
			return fail(name, err)
		}
		t, err := safetensors.FromFloat32s(name, safetensors.F32, []int{spec.out, spec.in}, values)
		if err == nil {
			out.params[name], err = fromFile(m.Backend, t, m.dtype)
		}
		if err != nil {
			return fail(name, err)
		}
	}
	if a := m.adapter; a != nil { // tensors stay with m
		view := *a
		view.lent = maps.Clone(a.lent)
		if view.lent == nil {
			view.lent = map[*tensors.Tensor]bool{}
		}
		for _, t := range a.params {
			view.lent[t] = true
		}
		out.adapter = &view
	}
	return out, nil
}

// errMergePacked is the answer to merging into quantised weights.
func (m *Model) errMergePacked() error {
	if err := m.errStreamed("merged"); err != nil {
		return err
	}
	for _, name := range sortedKeys(m.packs) {
		return fmt.Errorf("llm: the base is quantised (%s): a merge would round the adapter away; merge into the original weights, or into dequantised ones (Model.Dequantized, --dequantize)", m.packs[name].Type)
	}
	return nil
}

// quantizationKey is where config.json says how weights are quantised.
const quantizationKey = "quantization_config"

// json is what transformers reads back; nil for nil.
func (q *QuantOptions) json() map[string]any {
	if q == nil {
		return nil
	}
	keep := []string{"lm_head"}
	if q.Type == quant.Int8 {
		return map[string]any{"quant_method": "bitsandbytes", "load_in_8bit": true, "load_in_4bit": false, "llm_int8_skip_modules": keep}
	}
	return map[string]any{"quant_method": "bitsandbytes", "load_in_8bit": false, "load_in_4bit": true,
		"bnb_4bit_quant_type": q.Type, "bnb_4bit_use_double_quant": q.Double,
		"bnb_4bit_compute_dtype": strings.ToLower(q.Compute.String()), "bnb_4bit_quant_storage": "uint8", "llm_int8_skip_modules": keep}
}
