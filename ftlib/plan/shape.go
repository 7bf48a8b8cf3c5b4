package plan

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Shape is what decides the memory and time of a model: its widths and depth.
type Shape struct {
	Name      string `json:"name"`
	Family    string `json:"family"` // llama, mistral, qwen2, phi; others are read as llama
	Vocab     int    `json:"vocab"`
	Hidden    int    `json:"hidden"` // D, the width of the residual stream
	Layers    int    `json:"layers"`
	Heads     int    `json:"heads"`
	KVHeads   int    `json:"kv_heads"`
	HeadDim   int    `json:"head_dim"`
	FFN       int    `json:"ffn"`       // F, the width of the MLP
	Positions int    `json:"positions"` // tokens that the model was trained for
	Tied      bool   `json:"tied,omitempty"`
	Biases    string `json:"biases,omitempty"` // "": none, "qkv", "attention", "all"
}

// shapes are well-known models, from their config.json. The first name is shown, the others
// are what people call them.
var shapes = []struct {
	names []string
	Shape
}{
	{[]string{"stories260K"}, Shape{Family: "llama", Vocab: 512, Hidden: 64, Layers: 5, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 172, Positions: 512, Tied: true}},
	{[]string{"ft-tiny"}, Shape{Family: "llama", Vocab: 1024, Hidden: 160, Layers: 4, Heads: 5, KVHeads: 5, HeadDim: 32, FFN: 432, Positions: 256, Tied: true}},
	{[]string{"Qwen2.5-0.5B", "0.5b"}, Shape{Family: "qwen2", Vocab: 151936, Hidden: 896, Layers: 24, Heads: 14, KVHeads: 2, HeadDim: 64, FFN: 4864, Positions: 32768, Tied: true, Biases: "qkv"}},
	{[]string{"TinyLlama-1.1B", "1.1b", "1b", "tinyllama-1.1b-chat-v1.0"}, Shape{Family: "llama", Vocab: 32000, Hidden: 2048, Layers: 22, Heads: 32, KVHeads: 4, HeadDim: 64, FFN: 5632, Positions: 2048}},
	{[]string{"phi-2", "2.7b", "3b"}, Shape{Family: "phi", Vocab: 51200, Hidden: 2560, Layers: 32, Heads: 32, KVHeads: 32, HeadDim: 80, FFN: 10240, Positions: 2048, Biases: "all"}},
	{[]string{"Llama-3.2-3B"}, Shape{Family: "llama", Vocab: 128256, Hidden: 3072, Layers: 28, Heads: 24, KVHeads: 8, HeadDim: 128, FFN: 8192, Positions: 131072, Tied: true}},
	{[]string{"Llama-2-7B", "7b", "llama-2-7b-hf", "llama-2-7b-chat-hf", "codellama-7b", "codellama-7b-hf"}, Shape{Family: "llama", Vocab: 32000, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 32, HeadDim: 128, FFN: 11008, Positions: 4096}},
	{[]string{"Mistral-7B", "mistral-7b-v0.1", "mistral-7b-v0.3", "mistral-7b-instruct-v0.1"}, Shape{Family: "mistral", Vocab: 32000, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128, FFN: 14336, Positions: 32768}},
	{[]string{"Qwen2.5-Math-7B"}, Shape{Family: "qwen2", Vocab: 152064, Hidden: 3584, Layers: 28, Heads: 28, KVHeads: 4, HeadDim: 128, FFN: 18944, Positions: 4096, Biases: "qkv"}},
	{[]string{"Qwen2.5-7B", "qwen2.5-7b-instruct"}, Shape{Family: "qwen2", Vocab: 152064, Hidden: 3584, Layers: 28, Heads: 28, KVHeads: 4, HeadDim: 128, FFN: 18944, Positions: 131072, Biases: "qkv"}},
	{[]string{"Llama-3.1-8B", "8b", "llama-3.1-8b-instruct", "meta-llama-3-8b"}, Shape{Family: "llama", Vocab: 128256, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128, FFN: 14336, Positions: 131072}},
	{[]string{"Llama-2-13B", "13b", "llama-2-13b-hf", "llama-2-13b-chat-hf"}, Shape{Family: "llama", Vocab: 32000, Hidden: 5120, Layers: 40, Heads: 40, KVHeads: 40, HeadDim: 128, FFN: 13824, Positions: 4096}},
	{[]string{"Llama-30B", "30b", "33b"}, Shape{Family: "llama", Vocab: 32000, Hidden: 6656, Layers: 60, Heads: 52, KVHeads: 52, HeadDim: 128, FFN: 17920, Positions: 2048}},
	{[]string{"Llama-65B", "65b"}, Shape{Family: "llama", Vocab: 32000, Hidden: 8192, Layers: 80, Heads: 64, KVHeads: 64, HeadDim: 128, FFN: 22016, Positions: 2048}},
	{[]string{"Llama-2-70B", "70b", "llama-2-70b-hf"}, Shape{Family: "llama", Vocab: 32000, Hidden: 8192, Layers: 80, Heads: 64, KVHeads: 8, HeadDim: 128, FFN: 28672, Positions: 4096}},
}

// KnownShapes are the models of the table, smallest first.
func KnownShapes() []Shape {
	var all []Shape
	for _, s := range shapes {
		s.Name = s.names[0]
		all = append(all, s.Shape)
	}
	return all
}

// FindShape is a model by its name or size ("7b", "Llama-2-7B", "NousResearch/Llama-2-7b-hf"), or that
// of a model directory or llama2.c file.
func FindShape(name string) (Shape, error) {
	if _, err := os.Stat(name); err == nil && name != "" {
		return ReadShape(name)
	}
	asked := strings.ToLower(filepath.Base(filepath.ToSlash(name)))
	for _, s := range shapes {
		for _, known := range s.names {
			if strings.ToLower(known) == asked {
				s.Name = s.names[0]
				return s.Shape, nil
			}
		}
	}
	var names []string
	for _, s := range shapes {
		names = append(names, s.names[0])
	}
	return Shape{}, fmt.Errorf("plan: %q is no model directory and not one of %s", name, strings.Join(names, ", "))
}

// ReadShape reads config.json of a model directory, or the header of a llama2.c file.
func ReadShape(path string) (Shape, error) {
	if strings.HasSuffix(path, ".bin") {
		return readLlama2c(path)
	}
	file := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file = filepath.Join(path, "config.json")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Shape{}, fmt.Errorf("plan: %w; a model directory holds config.json", err)
	}
	s, err := ParseShape(data)
	if err != nil {
		return Shape{}, fmt.Errorf("plan: %s: %w", file, err)
	}
	s.Name = filepath.Base(path)
	return s, nil
}

func readLlama2c(path string) (Shape, error) {
	f, err := os.Open(path)
	if err != nil {
		return Shape{}, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	var h [7]int32 // dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
	if err := binary.Read(f, binary.LittleEndian, &h); err != nil || h[3] <= 0 {
		return Shape{}, fmt.Errorf("plan: %s: no llama2.c header", path)
	}
	vocab := int(h[5])
	return Shape{Name: strings.TrimSuffix(filepath.Base(path), ".bin"), Family: "llama", Vocab: max(vocab, -vocab), Hidden: int(h[0]), Layers: int(h[2]),
		Heads: int(h[3]), KVHeads: int(h[4]), HeadDim: int(h[0] / h[3]), FFN: int(h[1]), Positions: int(h[6]), Tied: vocab > 0}, nil
}

// ParseShape reads the content of a config.json as transformers writes it.
func ParseShape(data []byte) (Shape, error) {
	var f struct {
		ModelType string `json:"model_type"`
		Vocab     int    `json:"vocab_size"`
		Hidden    int    `json:"hidden_size"`
		Layers    int    `json:"num_hidden_layers"`
		Heads     int    `json:"num_attention_heads"`
		KVHeads   *int   `json:"num_key_value_heads"`
		HeadDim   *int   `json:"head_dim"`
		FFN       int    `json:"intermediate_size"`
		Positions int    `json:"max_position_embeddings"`
		Tied      bool   `json:"tie_word_embeddings"`
		AttnBias  bool   `json:"attention_bias"`
		MLPBias   bool   `json:"mlp_bias"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return Shape{}, err
	}
	s := Shape{Family: f.ModelType, Vocab: f.Vocab, Hidden: f.Hidden, Layers: f.Layers, Heads: f.Heads, KVHeads: f.Heads, FFN: f.FFN, Positions: f.Positions, Tied: f.Tied}
	switch {
	case f.KVHeads != nil:
		s.KVHeads = *f.KVHeads
	case f.ModelType == "mistral":
		s.KVHeads = 8
	}
	switch {
	case f.ModelType == "phi", f.AttnBias && f.MLPBias:
		s.Biases = "all"
	case f.AttnBias:
		s.Biases = "attention"
	case f.ModelType == "qwen2":
		s.Biases = "qkv"
	}
	if s.Positions <= 0 {
		s.Positions = 2048
	}
	if s.Heads > 0 {
		s.HeadDim = s.Hidden / s.Heads
	}
	if f.HeadDim != nil && *f.HeadDim > 0 {
		s.HeadDim = *f.HeadDim
	}
	if s.Vocab <= 0 || s.Hidden <= 0 || s.Layers <= 0 || s.HeadDim <= 0 || s.KVHeads <= 0 || s.FFN <= 0 {
		return s, fmt.Errorf("vocab_size, hidden_size, num_hidden_layers, num_attention_heads and intermediate_size must be positive")
	}
	return s, nil
}

// matrix is a linear layer of a block.
type matrix struct {
	name    string // q_proj, ...
	out, in int64
	bias    bool
}

func (s Shape) phi() bool { return s.Family == "phi" }

// linears are the linear layers of one block.
func (s Shape) linears() []matrix {
	d, f := int64(s.Hidden), int64(s.FFN)
	q, kv := int64(s.Heads*s.HeadDim), int64(s.KVHeads*s.HeadDim)
	qkv := s.Biases != ""
	o, mlp := s.Biases == "attention" || s.Biases == "all", s.Biases == "all"
	if s.phi() {
		return []matrix{{"q_proj", q, d, qkv}, {"k_proj", kv, d, qkv}, {"v_proj", kv, d, qkv}, {"dense", d, q, o}, {"fc1", f, d, mlp}, {"fc2", d, f, mlp}}
	}
	return []matrix{{"q_proj", q, d, qkv}, {"k_proj", kv, d, qkv}, {"v_proj", kv, d, qkv}, {"o_proj", d, q, o},
		{"gate_proj", f, d, mlp}, {"up_proj", f, d, mlp}, {"down_proj", d, f, mlp}}
}

// targets are the linear layers that an adapter's target_modules name; empty and "all-linear" name all.
func (s Shape) targets(names []string) []matrix {
	var out []matrix
	for _, m := range s.linears() {
		if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool {
			return n == "all-linear" || n == m.name || strings.HasSuffix(n, "."+m.name)
		}) {
			out = append(out, m)
		}
	}
	return out
}

// linearParams are the weights of the blocks' matrices, smallParams norms and biases.
func (s Shape) linearParams() int64 {
	n := int64(0)
	for _, m := range s.linears() {
		n += m.out * m.in
	}
	return n * int64(s.Layers)
}

func (s Shape) smallParams() int64 {
	d, norms := int64(s.Hidden), int64(2)
	if s.phi() { // one LayerNorm with a bias
		norms = 2
	}
	each := norms * d
	for _, m := range s.linears() {
		if m.bias {
			each += m.out
		}
	}
	n := each*int64(s.Layers) + d // the final norm
	if s.phi() {
		n += d + int64(s.Vocab) // its bias, and the head's
	}
	return n
}

// outerParams are the embedding and, if it is not tied, the head.
func (s Shape) outerParams() int64 {
	n := int64(s.Vocab) * int64(s.Hidden)
	if !s.Tied {
		n *= 2
	}
	return n
}

// Params is the number of weights.
func (s Shape) Params() int64 { return s.linearParams() + s.smallParams() + s.outerParams() }
