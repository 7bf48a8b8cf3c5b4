package quant

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"ftlab/ftlib/safetensors"
)

// state is the JSON that bitsandbytes stores beside a four-bit weight.
type state struct {
	Type        Type    `json:"quant_type"`
	Block       int     `json:"blocksize"`
	DType       string  `json:"dtype"`
	Shape       []int   `json:"shape"`
	NestedBlock int     `json:"nested_blocksize,omitempty"`
	Offset      float64 `json:"nested_offset"`
}

// state is the weight's, in the bytes that Python writes.
func (w *Weight) state() []byte {
	shape := strings.ReplaceAll(fmt.Sprint(w.Shape), " ", ", ")
	text := fmt.Sprintf(`{"quant_type": %q, "blocksize": %d, "dtype": %q, "shape": %s`, w.Type, w.Block, w.DType, shape)
	if w.Double {
		offset, _ := json.Marshal(float64(w.Offset)) // a number that is finite, since weights are
		text += fmt.Sprintf(`, "nested_blocksize": %d, "nested_dtype": "float32", "nested_offset": %s`, nestedBlock, offset)
	}
	return []byte(text + "}")
}

const stateKey = ".quant_state.bitsandbytes__"

// scb is where the scales of an int8 weight "x.weight" are: "x.SCB".
func scb(name string) string { return strings.TrimSuffix(name, "weight") + "SCB" }

// Tensors are the weight as bitsandbytes serialises it: name, and what goes with it.
func (w *Weight) Tensors(name string) []safetensors.Tensor {
	floats := func(key string, v []float32) safetensors.Tensor {
		data := make([]byte, 0, 4*len(v))
		for _, x := range v {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		return safetensors.Tensor{Name: key, DType: safetensors.F32, Shape: []int{len(v)}, Data: data}
	}
	bytes := func(key string, v []byte, shape ...int) safetensors.Tensor {
		return safetensors.Tensor{Name: key, DType: safetensors.U8, Shape: shape, Data: v}
	}
	if w.Type == Int8 {
		return []safetensors.Tensor{{Name: name, DType: safetensors.I8, Shape: w.Shape, Data: w.Packed}, floats(scb(name), w.Absmax)}
	}
	codes := w.Type.Codes()
	all := []safetensors.Tensor{bytes(name, w.Packed, len(w.Packed), 1)}
	if w.Double {
		all = append(all, bytes(name+".absmax", w.Codes, len(w.Codes)), floats(name+".nested_absmax", w.Nested), floats(name+".nested_quant_map", dynamicSigned))
	} else {
		all = append(all, floats(name+".absmax", w.Absmax))
	}
	text := w.state()
	return append(all, floats(name+".quant_map", codes[:]), bytes(name+stateKey+string(w.Type), text, len(text)))
}

// Source is where tensors are read from, as a safetensors file or model has them.
type Source interface {
	Has(name string) bool
	Tensor(name string) (safetensors.Tensor, error)
}

// Stored says how a weight is quantised in a source; false if it is not.
func Stored(s Source, name string) (Type, bool) {
	for _, t := range []Type{NF4, FP4} {
		if s.Has(name + stateKey + string(t)) {
			return t, true
		}
	}
	return Int8, s.Has(scb(name))
}

// Keys are the names that a stored weight of the type may have beside its own.
func (t Type) Keys(name string) []string {
	if t == Int8 {
		return []string{scb(name), name + "_format"}
	}
	return []string{name + ".absmax", name + ".quant_map", name + ".nested_absmax", name + ".nested_quant_map", name + stateKey + string(t)}
}

// Read reads a weight that bitsandbytes, or [Weight.Tensors], wrote. Packed and Codes
// point into the source.
func Read(s Source, name string) (*Weight, error) {
	t, ok := Stored(s, name)
	if !ok {
		return nil, fmt.Errorf("quant: %s is not quantised", name)
	}
	main, err := s.Tensor(name)
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*Weight, error) {
		return nil, fmt.Errorf("quant: %s: %s", name, fmt.Sprintf(format, args...))
	}
	read := func(key string, want int) (out []float32, err error) {
		x, err := s.Tensor(key)
		if err != nil {
			return nil, err
		}
		if x.DType != safetensors.F32 || x.Elements() != want {
			return nil, fmt.Errorf("quant: %s is %s%v, not %d float32 values", key, x.DType, x.Shape, want)
		}
		return x.Float32s()
	}
	if t == Int8 {
		if main.DType != safetensors.I8 || len(main.Shape) != 2 {
			return bad("%s%v: an int8 weight is I8 of two dimensions", main.DType, main.Shape)
		}
		w := &Weight{Config: Config{Type: Int8}, Shape: main.Shape, DType: "float32", Packed: main.Data}
		w.Absmax, err = read(scb(name), main.Shape[0])
		return w, err
	}
	raw, err := s.Tensor(name + stateKey + string(t))
	if err != nil {
		return nil, err
	}
	var st state
	if err := json.Unmarshal(raw.Data, &st); err != nil {
		return bad("its state does not read: %v", err)
	}
	w := &Weight{Config: Config{Type: st.Type, Block: st.Block, Double: st.NestedBlock != 0}, Shape: st.Shape, DType: st.DType, Packed: main.Data}
	for _, d := range w.Shape {
		if d < 0 || d > 1<<31 {
			return bad("shape %v", w.Shape)
		}
	}
	if _, err := w.Resolve(); err != nil || st.Type != t || st.Block == 0 {
		return bad("its state says %s in blocks of %d, which is not supported (%v)", st.Type, st.Block, err)
	}
	if main.DType != safetensors.U8 || len(w.Packed) != (w.Elements()+1)/2 {
		return bad("%s%v for a shape of %v", main.DType, main.Shape, w.Shape)
	}
	codes := t.Codes()
	if have, err := read(name+".quant_map", 16); err != nil {
		return nil, err
	} else if !slices.Equal(have, codes[:]) {
		return bad("its quant_map is not that of %s", t)
	}
	blocks := (w.Elements() + w.Block - 1) / w.Block
	if !w.Double {
		w.Absmax, err = read(name+".absmax", blocks)
		return w, err
	}
	absmax, err := s.Tensor(name + ".absmax")
	if err != nil {
		return nil, err
	}
	if absmax.DType != safetensors.U8 || absmax.Elements() != blocks || st.NestedBlock != nestedBlock {
		return bad("its absmax is %s%v in blocks of %d; %d bytes in blocks of %d are expected", absmax.DType, absmax.Shape, st.NestedBlock, blocks, nestedBlock)
	}
	if have, err := read(name+".nested_quant_map", 256); err != nil {
		return nil, err
	} else if !slices.Equal(have, dynamicSigned) {
		return bad("its nested_quant_map is not the signed dynamic map")
	}
	w.Codes, w.Offset = absmax.Data, float32(st.Offset)
	w.Nested, err = read(name+".nested_absmax", (blocks+nestedBlock-1)/nestedBlock)
	return w, err
}
