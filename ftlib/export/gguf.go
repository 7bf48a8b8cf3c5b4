package export

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ftlab/ftlib/gguf"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/safetensors"
	"ftlab/ftlib/token"
)

// architectures are llama.cpp's names of the families.
var architectures = map[string]string{"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "phi": "phi2"}

// ggufNames are llama.cpp's names of modules inside a block.
var ggufNames = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output", "self_attn.dense": "attn_output",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	"mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}

var outerNames = map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm",
	"model.final_layernorm": "output_norm", "lm_head": "output"}

var layerWeight = regexp.MustCompile(`^model\.layers\.(\d+)\.(.+)\.(weight|bias)$`)

// ggufName is llama.cpp's name of a weight.
func ggufName(name string) (string, error) {
	if m := layerWeight.FindStringSubmatch(name); m != nil {
		if n := ggufNames[m[2]]; n != "" {
			return "blk." + m[1] + "." + n + "." + m[3], nil
		}
	} else if i := strings.LastIndexByte(name, '.'); i > 0 {
		if n := outerNames[name[:i]]; n != "" {
			return n + name[i:], nil
		}
	}
	return "", fmt.Errorf("export: %s has no place in a GGUF file", name)
}

// turn reorders the rows of queries and keys between the halves that Hugging Face rotates
// and the pairs that llama.cpp does (permute in convert_hf_to_gguf.py); back undoes it.
func turn(x []float32, rows, heads int, back bool) []float32 {
	width, half := len(x)/rows, rows/heads/2
	out := make([]float32, len(x))
	for h := range heads {
		for i := range half {
			for side := range 2 {
				hf, cpp := (h*2+side)*half+i, (h*half+i)*2+side
				from, to := hf, cpp
				if back {
					from, to = cpp, hf
				}
				copy(out[to*width:(to+1)*width], x[from*width:(from+1)*width])
			}
		}
	}
	return out
}

// turnedHeads is the number of heads by which the rows of a weight are turned; 0: they stay.
func turnedHeads(c *llm.Config, name string) int {
	if c.Family != "llama" && c.Family != "mistral" {
		return 0
	}
	switch {
	case strings.Contains(name, ".q_proj."):
		return c.Heads
	case strings.Contains(name, ".k_proj."):
		return c.KVHeads
	}
	return 0
}

// typeFor chooses the type of a tensor: vectors stay float32; embedding and head take
// eight bits where the rest takes four; rows that are no whole blocks take the next type
// that fits.
func typeFor(want gguf.Type, name string, shape []int) gguf.Type {
	if len(shape) < 2 {
		return gguf.F32
	}
	if (want == gguf.Q4_0 || want == gguf.Q4_K) && (strings.HasPrefix(name, "token_embd") || strings.HasPrefix(name, "output.")) {
		want = gguf.Q8_0
	}
	last := shape[len(shape)-1]
	for _, t := range []gguf.Type{want, gguf.Q8_0} {
		if n, _ := t.Block(); last%n == 0 {
			return t
		}
	}
	return gguf.F16
}

// fileTypes are llama.cpp's numbers for general.file_type.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q4_0: 2, gguf.Q8_0: 7, gguf.Q4_K: 14, gguf.BF16: 32}

// metadata is what llama.cpp's convert script writes, in its order.
func metadata(f *llm.Folded, tok *token.Tokenizer, template, name string, want gguf.Type) ([]gguf.KV, error) {
	c := &f.Config
	arch := architectures[c.Family]
	if arch == "" || c.NoHead || c.Labels > 0 {
		return nil, fmt.Errorf("export: %s with a score head or without one for tokens has no form in GGUF; models that predict tokens have", c.Family)
	}
	var kv []gguf.KV
	add := func(key string, v any) {
		kv = append(kv, gguf.KV{Key: strings.ReplaceAll(key, "{arch}", arch), Value: v})
	}
	add("general.architecture", arch)
	add("general.type", "model")
	add("general.name", name)
	add("{arch}.vocab_size", uint32(c.Vocab))
	add("{arch}.block_count", uint32(c.Layers))
	add("{arch}.context_length", uint32(c.MaxPositions))
	add("{arch}.embedding_length", uint32(c.Hidden))
	add("{arch}.feed_forward_length", uint32(c.FFN))
	add("{arch}.attention.head_count", uint32(c.Heads))
	add("{arch}.attention.head_count_kv", uint32(c.KVHeads))
	if c.HeadDim*c.Heads != c.Hidden {
		add("{arch}.attention.key_length", uint32(c.HeadDim))
		add("{arch}.attention.value_length", uint32(c.HeadDim))
	}
	if c.LayerNorm {
		add("{arch}.attention.layer_norm_epsilon", float32(c.NormEps))
	} else {
		add("{arch}.attention.layer_norm_rms_epsilon", float32(c.NormEps))
	}
	add("{arch}.rope.freq_base", float32(c.Rope.Theta))
	add("{arch}.rope.dimension_count", uint32(c.Rope.Dim))
	switch c.Rope.Type {
	case "default", "llama3", "dynamic":
	case "linear":
		add("{arch}.rope.scaling.type", "linear")
		add("{arch}.rope.scaling.factor", float32(c.Rope.Factor))
	case "yarn":
		add("{arch}.rope.scaling.type", "yarn")
		add("{arch}.rope.scaling.factor", float32(c.Rope.Factor))
		add("{arch}.rope.scaling.original_context_length", uint32(c.Rope.Original))
	default:
		return nil, fmt.Errorf("export: positions scaled by %q have no form in GGUF", c.Rope.Type)
	}
	add("general.file_type", fileTypes[want])
	add("general.quantization_version", uint32(2))
	v, err := tok.Vocabulary()
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if v.Bytes {
		add("tokenizer.ggml.model", "gpt2")
		pre := v.Splits
		if pre == "" {
			pre = "default"
		}
		add("tokenizer.ggml.pre", pre)
	} else {
		add("tokenizer.ggml.model", "llama")
		add("tokenizer.ggml.pre", "default")
	}
	if len(v.Pieces) > c.Vocab {
		return nil, fmt.Errorf("export: the tokenizer has %d tokens, the model %d", len(v.Pieces), c.Vocab)
	}
	for len(v.Pieces) < c.Vocab { // rows that no token has
		v.Pieces = append(v.Pieces, token.Piece{Text: fmt.Sprintf("[PAD%d]", len(v.Pieces)), Kind: token.PieceUnused})
	}
	texts, scores, kinds := make([]string, c.Vocab), make([]float32, c.Vocab), make([]int32, c.Vocab)
	for i, p := range v.Pieces {
		texts[i], scores[i], kinds[i] = p.Text, p.Score, int32(p.Kind)
	}
	add("tokenizer.ggml.tokens", texts)
	if !v.Bytes {
		add("tokenizer.ggml.scores", scores)
	}
	add("tokenizer.ggml.token_type", kinds)
	if v.Bytes {
		add("tokenizer.ggml.merges", v.Merges)
	}
	s := tok.Special()
	eos := s.EOS
	if eos < 0 && len(c.EOS) > 0 {
		eos = c.EOS[0]
	}
	for _, id := range []struct {
		key string
		id  int32
	}{{"bos", s.BOS}, {"eos", eos}, {"unknown", s.UNK}, {"padding", s.PAD}} {
		if id.id >= 0 {
			add("tokenizer.ggml."+id.key+"_token_id", uint32(id.id))
		}
	}
	add("tokenizer.ggml.add_bos_token", tok.AddsBOS())
	add("tokenizer.ggml.add_eos_token", tok.AddsEOS())
	if !v.Bytes {
		add("tokenizer.ggml.add_space_prefix", v.SpacePrefix)
	}
	if template != "" {
		add("tokenizer.chat_template", template)
	}
	return kv, nil
}

// writeGGUF writes the model as one file.
func writeGGUF(path string, f *llm.Folded, tok *token.Tokenizer, template, name string, want gguf.Type) error {
	kv, err := metadata(f, tok, template, name, want)
	if err != nil {
		return err
	}
	names := slices.Clone(f.Names)
	slices.SortStableFunc(names, byPlace)
	var list []gguf.Tensor
	for _, n := range names {
		to, err := ggufName(n)
		if err != nil {
			return err
		}
		shape := f.Shape(n)
		list = append(list, gguf.Tensor{Name: to, Shape: shape, Type: typeFor(want, to, shape)})
	}
	factors := frequencyFactors(f.Config.Rope)
	if factors != nil {
		list = append(list, gguf.Tensor{Name: "rope_freqs.weight", Shape: []int{len(factors)}, Type: gguf.F32})
	}
	return gguf.Write(path, kv, list, func(i int) ([]float32, error) {
		if i == len(names) {
			return factors, nil
		}
		x, err := f.Values(names[i])
		if heads := turnedHeads(&f.Config, names[i]); heads > 0 && err == nil {
			x = turn(x, f.Shape(names[i])[0], heads, false)
		}
		return x, err
	})
}

// byPlace orders weights from the embedding to the head, layer by layer.
func byPlace(a, b string) int {
	place := func(name string) int {
		if m := layerWeight.FindStringSubmatch(name); m != nil {
			n, _ := strconv.Atoi(m[1])
			return n
		}
		if strings.HasPrefix(name, "model.embed_tokens") {
			return -1
		}
		return math.MaxInt
	}
	if x, y := place(a), place(b); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// frequencyFactors are llama 3's corrections of the rotation frequencies, nil for others.
func frequencyFactors(r llm.Rope) []float32 {
	if r.Type != "llama3" {
		return nil
	}
	out := make([]float32, r.Dim/2)
	for i := range out {
		wave := 2 * math.Pi * math.Pow(r.Theta, float64(2*i)/float64(r.Dim))
		low, high := float64(r.Original)/r.LowFreq, float64(r.Original)/r.HighFreq
		switch {
		case wave < high:
			out[i] = 1
		case wave > low:
			out[i] = float32(r.Factor)
		default:
			smooth := (float64(r.Original)/wave - r.LowFreq) / (r.HighFreq - r.LowFreq)
			out[i] = float32(1 / ((1-smooth)/r.Factor + smooth))
		}
	}
	return out
}

// GGUF is a file as a source of weights under Hugging Face names, for a model whose
// configuration is known. It implements [llm.Source].
type GGUF struct {
	*gguf.File
	config llm.Config
	names  map[string]string // Hugging Face name -> name in the file
}

// OpenGGUF opens a file of this project for a model of the configuration.
func OpenGGUF(path string, c llm.Config, names []string) (*GGUF, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	g := &GGUF{f, c, map[string]string{}}
	for _, n := range names {
		to, err := ggufName(n)
		if err == nil {
			if _, ok := f.Tensor(to); !ok {
				err = fmt.Errorf("export: %s: no tensor %s", filepath.Base(path), to)
			}
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		g.names[n] = to
	}
	return g, nil
}

// Names implements [llm.Source].
func (g *GGUF) Names() []string {
	var names []string
	for n := range g.names {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Tensor implements [llm.Source].
func (g *GGUF) Tensor(name string) (safetensors.Tensor, error) {
	t, ok := g.File.Tensor(g.names[name])
	if !ok {
		return safetensors.Tensor{}, fmt.Errorf("export: no tensor %s", name)
	}
	x, err := g.Values(t)
	if err != nil {
		return safetensors.Tensor{}, err
	}
	if heads := turnedHeads(&g.config, name); heads > 0 {
		x = turn(x, t.Shape[0], heads, true)
	}
	return safetensors.FromFloat32s(name, safetensors.F32, t.Shape, x)
}
