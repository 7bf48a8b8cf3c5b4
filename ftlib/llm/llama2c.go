package llm

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/gomlx/compute"

	"ftlab/ftlib/safetensors"
)

// memorySource serves tensors that are in memory.
type memorySource map[string]safetensors.Tensor

func (s memorySource) Names() []string {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	return names
}

func (s memorySource) Tensor(name string) (safetensors.Tensor, error) {
	t, ok := s[name]
	if !ok {
		return t, fmt.Errorf("llm: no tensor %q", name)
	}
	return t, nil
}

// loadLlama2C reads the version 0 format of llama2.c (Karpathy 2023): seven int32,
// then float32 weights in the order of its export.py. Its rotary embedding turns
// neighbouring pairs; query and key rows are reordered here to turn halves, as the
// Hugging Face layout has it.
func loadLlama2C(b compute.Backend, path string, o LoadOptions) (*Model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("llm: %w", err)
	}
	if len(data) < 28 {
		return nil, fmt.Errorf("llm: %s: %d bytes are too few for a llama2.c model", path, len(data))
	}
	head := make([]int, 7)
	for i := range head {
		head[i] = int(int32(binary.LittleEndian.Uint32(data[4*i:])))
	}
	dim, ffn, layers, heads, kv, vocab, seq := head[0], head[1], head[2], head[3], head[4], head[5], head[6]
	tied := vocab > 0
	if !tied {
		vocab = -vocab
	}
	if dim <= 0 || ffn <= 0 || layers <= 0 || heads <= 0 || kv <= 0 || vocab <= 0 || seq <= 0 ||
		dim > 1<<20 || ffn > 1<<20 || layers > 1<<12 || vocab > 1<<24 || dim%heads != 0 || heads%kv != 0 {
		return nil, fmt.Errorf("llm: %s is not a llama2.c model (version 0): its header reads %v", path, head)
	}
	config := fmt.Sprintf(`{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":%d,"intermediate_size":%d,
		"num_hidden_layers":%d,"num_attention_heads":%d,"num_key_value_heads":%d,"vocab_size":%d,"max_position_embeddings":%d,
		"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":%v,"bos_token_id":1,"eos_token_id":2}`,
		dim, ffn, layers, heads, kv, vocab, seq, tied)
	c, err := ParseConfig([]byte(config))
	if err != nil {
		return nil, fmt.Errorf("llm: %s: %w", path, err)
	}
	src := memorySource{}
	rest := data[28:]
	hd := dim / heads
	take := func(shape ...int) safetensors.Tensor {
		t := safetensors.Tensor{DType: safetensors.F32, Shape: shape}
		n := 4 * t.Elements()
		if n > len(rest) {
			err = fmt.Errorf("llm: %s is cut: %d bytes are missing", path, n-len(rest))
			n = 0
			return t
		}
		t.Data, rest = rest[:n], rest[n:]
		return t
	}
	perLayer := func(name string, shape ...int) {
		for i := 0; i < layers && err == nil; i++ {
			src[layerName(i, name)] = take(shape...)
		}
	}
	src[embedName] = take(vocab, dim)
	perLayer("input_layernorm.weight", dim)
	perLayer("self_attn.q_proj.weight", dim, dim)
	perLayer("self_attn.k_proj.weight", kv*hd, dim)
	perLayer("self_attn.v_proj.weight", kv*hd, dim)
	perLayer("self_attn.o_proj.weight", dim, dim)
	perLayer("post_attention_layernorm.weight", dim)
	perLayer("mlp.gate_proj.weight", ffn, dim)
	perLayer("mlp.down_proj.weight", dim, ffn)
	perLayer("mlp.up_proj.weight", ffn, dim)
	src["model.norm.weight"] = take(dim)
	take(seq, hd/2) // cosine and sine tables: computed, not stored
	take(seq, hd/2)
	if !tied {
		src[headName] = take(vocab, dim)
	}
	if err != nil {
		return nil, err
	}
	for i := range layers {
		for name, h := range map[string]int{"self_attn.q_proj.weight": heads, "self_attn.k_proj.weight": kv} {
			name = layerName(i, name)
			src[name] = halves(src[name], h, hd, dim)
		}
	}
	return load(b, path, c, src, o)
}

// halves reorders the rows of each head from pairs (2i, 2i+1) to (i, i+hd/2).
func halves(t safetensors.Tensor, heads, hd, dim int) safetensors.Tensor {
	out := make([]byte, len(t.Data))
	size := 4 * dim
	for h := range heads {
		for i := range hd / 2 {
			for j := range 2 {
				from, to := h*hd+2*i+j, h*hd+i+j*hd/2
				copy(out[to*size:(to+1)*size], t.Data[from*size:(from+1)*size])
			}
		}
	}
	t.Data = out
	return t
}
