package llm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ftlab/ftlib/safetensors"
)

// Config describes a decoder. Families differ only in these fields.
type Config struct {
	Family       string // "llama", "mistral", "qwen2", "phi": the model_type of the file
	Vocab        int    // rows of the embedding
	Hidden       int    // D: width of the residual stream
	Layers       int
	Heads        int // query heads
	KVHeads      int // key and value heads; divides Heads (grouped-query attention)
	HeadDim      int
	FFN          int // width of the MLP
	MaxPositions int // what the model was trained for
	NormEps      float64
	LayerNorm    bool   // mean is removed and a bias added (Phi); else RMSNorm
	Parallel     bool   // attention and MLP read one norm and are added together (Phi)
	Gated        bool   // MLP is act(gate) * up (SwiGLU); else act(up)
	Act          string // "silu", "gelu_new" (tanh), "gelu"
	QKVBias      bool
	OBias        bool
	MLPBias      bool
	HeadBias     bool
	Tied         bool // the head is the embedding
	Rope         Rope
	Windows      []int // per layer: how many keys a query sees, itself included; 0 for all before it

	BOS, PAD int32   // -1: none
	EOS      []int32 // any of them ends a text; empty: none

	Labels    int  // outputs of a score head; 0: there is none
	LabelBias bool // of the score head
	NoHead    bool // a classifier: nothing predicts tokens

	raw map[string]any // the file as it was, for saving
}

// names of the modules inside a block, by role.
type moduleNames struct {
	norm1, norm2, q, k, v, o, gate, up, down, finalNorm string
}

func (c *Config) names() moduleNames {
	if c.Family == "phi" {
		return moduleNames{norm1: "input_layernorm", q: "self_attn.q_proj", k: "self_attn.k_proj", v: "self_attn.v_proj",
			o: "self_attn.dense", up: "mlp.fc1", down: "mlp.fc2", finalNorm: "model.final_layernorm"}
	}
	return moduleNames{norm1: "input_layernorm", norm2: "post_attention_layernorm",
		q: "self_attn.q_proj", k: "self_attn.k_proj", v: "self_attn.v_proj", o: "self_attn.o_proj",
		gate: "mlp.gate_proj", up: "mlp.up_proj", down: "mlp.down_proj", finalNorm: "model.norm"}
}

// Linears are the linear modules of one block in the order in which they are
// computed, under their names inside the layer ("self_attn.q_proj", ...).
func (c *Config) Linears() []string {
	n := c.names()
	all := []string{n.q, n.k, n.v, n.o}
	if c.Gated {
		all = append(all, n.gate)
	}
	return append(all, n.up, n.down)
}

// dims are the output and input width of a linear module of the block.
func (c *Config) dims(module string) (out, in int) {
	n := c.names()
	switch module {
	case n.q:
		return c.Heads * c.HeadDim, c.Hidden
	case n.k, n.v:
		return c.KVHeads * c.HeadDim, c.Hidden
	case n.o:
		return c.Hidden, c.Heads * c.HeadDim
	case n.down:
		return c.Hidden, c.FFN
	default:
		return c.FFN, c.Hidden
	}
}

func (c *Config) hasBias(module string) bool {
	n := c.names()
	switch module {
	case n.q, n.k, n.v:
		return c.QKVBias
	case n.o:
		return c.OBias
	default:
		return c.MLPBias
	}
}

// configFile is what transformers writes, versions 4 and 5.
type configFile struct {
	ModelType     string          `json:"model_type"`
	Vocab         int             `json:"vocab_size"`
	Hidden        int             `json:"hidden_size"`
	Layers        int             `json:"num_hidden_layers"`
	Heads         int             `json:"num_attention_heads"`
	KVHeads       *int            `json:"num_key_value_heads"`
	HeadDim       *int            `json:"head_dim"`
	FFN           int             `json:"intermediate_size"`
	MaxPositions  int             `json:"max_position_embeddings"`
	RMSEps        *float64        `json:"rms_norm_eps"`
	LayerEps      *float64        `json:"layer_norm_eps"`
	Act           string          `json:"hidden_act"`
	AttnBias      bool            `json:"attention_bias"`
	MLPBias       bool            `json:"mlp_bias"`
	Tied          *bool           `json:"tie_word_embeddings"`
	RopeTheta     *float64        `json:"rope_theta"`
	RopeScaling   map[string]any  `json:"rope_scaling"`
	RopeParams    map[string]any  `json:"rope_parameters"`
	Partial       *float64        `json:"partial_rotary_factor"`
	Window        *int            `json:"sliding_window"`
	UseWindow     *bool           `json:"use_sliding_window"`
	WindowLayers  *int            `json:"max_window_layers"`
	LayerTypes    []string        `json:"layer_types"`
	QKNorm        bool            `json:"qk_layernorm"`
	BOS           json.RawMessage `json:"bos_token_id"`
	EOS           json.RawMessage `json:"eos_token_id"`
	PAD           json.RawMessage `json:"pad_token_id"`
	QuantConfig   map[string]any  `json:"quantization_config"`
	PretrainingTP *int            `json:"pretraining_tp"`
}

// LoadConfig reads dir/config.json in the layout of transformers 4 or 5.
func LoadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("llm: %w; a model directory holds config.json and model.safetensors", err)
	}
	c, err := ParseConfig(data)
	if err != nil {
		return Config{}, fmt.Errorf("llm: %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads the content of a config.json. Its dropout rates (attention_dropout,
// resid_pdrop, embd_pdrop) are not used: a base model is fine-tuned without dropout of
// its own, the adapter's is lora_dropout.
func ParseConfig(data []byte) (Config, error) {
	var f configFile
	if err := json.Unmarshal(data, &f); err != nil {
		return Config{}, err
	}
	c := Config{Family: f.ModelType, Vocab: f.Vocab, Hidden: f.Hidden, Layers: f.Layers, Heads: f.Heads, FFN: f.FFN,
		MaxPositions: f.MaxPositions, Act: f.Act, NormEps: 1e-6, Gated: true}
	if err := json.Unmarshal(data, &c.raw); err != nil {
		return Config{}, err
	}
	tied := false
	switch f.ModelType {
	case "llama":
		c.QKVBias, c.OBias, c.MLPBias = f.AttnBias, f.AttnBias, f.MLPBias
	case "mistral":
	case "qwen2":
		c.QKVBias = true
	case "phi":
		c.LayerNorm, c.Parallel, c.Gated = true, true, false
		c.QKVBias, c.OBias, c.MLPBias, c.HeadBias = true, true, true, true
		c.NormEps = 1e-5
		if f.QKNorm {
			return Config{}, fmt.Errorf("qk_layernorm is true; only Phi models without it are supported")
		}
	default:
		return Config{}, fmt.Errorf("model_type %q is not supported; supported are llama, mistral, qwen2 and phi", f.ModelType)
	}
	for name, v := range map[string]int{"vocab_size": c.Vocab, "hidden_size": c.Hidden, "num_hidden_layers": c.Layers,
		"num_attention_heads": c.Heads, "intermediate_size": c.FFN} {
		if v <= 0 {
			return Config{}, fmt.Errorf("%s is %d; it must be positive", name, v)
		}
	}
	if method := f.QuantConfig["quant_method"]; len(f.QuantConfig) > 0 && method != "bitsandbytes" {
		return Config{}, fmt.Errorf("the weights are quantised with %v (quantization_config); bitsandbytes' nf4, fp4 and int8 are supported, or the original weights", method)
	}
	c.KVHeads = c.Heads
	if f.KVHeads != nil {
		c.KVHeads = *f.KVHeads
	} else if f.ModelType == "mistral" {
		c.KVHeads = 8
	}
	if c.KVHeads <= 0 || c.Heads%c.KVHeads != 0 {
		return Config{}, fmt.Errorf("num_key_value_heads is %d, which does not divide num_attention_heads %d", c.KVHeads, c.Heads)
	}
	if f.HeadDim != nil && *f.HeadDim > 0 {
		c.HeadDim = *f.HeadDim
	} else {
		if c.Hidden%c.Heads != 0 {
			return Config{}, fmt.Errorf("hidden_size %d is not a multiple of num_attention_heads %d", c.Hidden, c.Heads)
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.LayerNorm && f.LayerEps != nil {
		c.NormEps = *f.LayerEps
	} else if !c.LayerNorm && f.RMSEps != nil {
		c.NormEps = *f.RMSEps
	}
	if c.Act == "" {
		c.Act = map[bool]string{true: "silu", false: "gelu_new"}[c.Gated]
	}
	switch c.Act {
	case "silu", "gelu_new", "gelu", "gelu_pytorch_tanh":
	default:
		return Config{}, fmt.Errorf("hidden_act %q is not supported", c.Act)
	}
	if f.Tied != nil {
		tied = *f.Tied
	}
	c.Tied = tied
	if c.MaxPositions <= 0 {
		c.MaxPositions = 2048
	}
	var err error
	if c.Rope, err = f.rope(c); err != nil {
		return Config{}, err
	}
	if _, given := c.raw["sliding_window"]; !given && c.Family == "mistral" {
		f.Window = new(4096) // what transformers takes for a file that does not say
	}
	c.Windows = f.windows(c.Layers)
	c.BOS, c.PAD = firstID(f.BOS), firstID(f.PAD)
	c.EOS = idList(f.EOS)
	return c, nil
}

// windows are the sliding windows by layer. Mistral uses one in every layer;
// Qwen2 only where use_sliding_window says so, from max_window_layers on.
func (f *configFile) windows(layers int) []int {
	w := make([]int, layers)
	if f.Window == nil || *f.Window <= 0 {
		return w
	}
	switch {
	case f.ModelType == "mistral":
		for i := range w {
			w[i] = *f.Window
		}
	case f.UseWindow != nil && *f.UseWindow:
		from := 28
		if f.WindowLayers != nil {
			from = *f.WindowLayers
		}
		for i := range w {
			if len(f.LayerTypes) == layers {
				if f.LayerTypes[i] == "sliding_attention" {
					w[i] = *f.Window
				}
			} else if i >= from {
				w[i] = *f.Window
			}
		}
	}
	return w
}

func idList(raw json.RawMessage) []int32 {
	var one int32
	if json.Unmarshal(raw, &one) == nil && string(raw) != "null" && len(raw) > 0 {
		return []int32{one}
	}
	var many []int32
	_ = json.Unmarshal(raw, &many)
	return many
}

func firstID(raw json.RawMessage) int32 {
	if ids := idList(raw); len(ids) > 0 {
		return ids[0]
	}
	return -1
}

// Params is the number of weights of the model, a tied head counted once.
func (c *Config) Params() int {
	n := 0
	for _, s := range c.weights() {
		p := 1
		for _, d := range s.shape {
			p *= d
		}
		n += p
	}
	return n
}

// weightSpec is one tensor that the file must hold.
type weightSpec struct {
	name  string
	shape []int
}

// layerWeights are the tensors of one block under their names inside the layer.
func (c *Config) layerWeights() []weightSpec {
	n := c.names()
	var all []weightSpec
	norm := func(name string) {
		if name == "" {
			return
		}
		all = append(all, weightSpec{name + ".weight", []int{c.Hidden}})
		if c.LayerNorm {
			all = append(all, weightSpec{name + ".bias", []int{c.Hidden}})
		}
	}
	norm(n.norm1)
	norm(n.norm2)
	for _, m := range c.Linears() {
		out, in := c.dims(m)
		all = append(all, weightSpec{m + ".weight", []int{out, in}})
		if c.hasBias(m) {
			all = append(all, weightSpec{m + ".bias", []int{out}})
		}
	}
	return all
}

// outerWeights are the tensors outside the blocks.
func (c *Config) outerWeights() []weightSpec {
	n := c.names()
	all := []weightSpec{{embedName, []int{c.Vocab, c.Hidden}}, {n.finalNorm + ".weight", []int{c.Hidden}}}
	if c.LayerNorm {
		all = append(all, weightSpec{n.finalNorm + ".bias", []int{c.Hidden}})
	}
	if !c.Tied && !c.NoHead {
		all = append(all, weightSpec{headName, []int{c.Vocab, c.Hidden}})
	}
	if c.HeadBias && !c.NoHead {
		all = append(all, weightSpec{headBiasName, []int{c.Vocab}})
	}
	if c.Labels > 0 {
		all = append(all, weightSpec{scoreName, []int{c.Labels, c.Hidden}})
	}
	if c.LabelBias {
		all = append(all, weightSpec{scoreBiasName, []int{c.Labels}})
	}
	return all
}

const (
	embedName    = "model.embed_tokens.weight"
	headName     = "lm_head.weight"
	headBiasName = "lm_head.bias"
)

// weights are all tensors of the model.
func (c *Config) weights() []weightSpec {
	all := c.outerWeights()
	for i := range c.Layers {
		for _, w := range c.layerWeights() {
			all = append(all, weightSpec{layerName(i, w.name), w.shape})
		}
	}
	return all
}

func layerName(layer int, name string) string { return fmt.Sprintf("model.layers.%d.%s", layer, name) }

// NoDecay reports weights that take no weight decay, as transformers does: norms and biases.
func NoDecay(name string) bool { return isNormOrBias(name) }

// isNormOrBias reports weights that take no weight decay and stay in float32.
func isNormOrBias(name string) bool {
	return strings.HasSuffix(name, ".bias") || strings.Contains(name, "norm.") || strings.Contains(name, "layernorm")
}

// sameShape compares dimensions.
func sameShape(a, b []int) bool { return slices.Equal(a, b) }

// JSON is a config.json for the model with weights of the given type: the file it
// came from with the type replaced, or one made from the fields.
func (c *Config) JSON(dtype safetensors.DType) ([]byte, error) {
	out := map[string]any{}
	for k, v := range c.raw {
		out[k] = v
	}
	delete(out, "torch_dtype")
	out["dtype"] = map[safetensors.DType]string{safetensors.F32: "float32", safetensors.F16: "float16", safetensors.BF16: "bfloat16"}[dtype]
	out["torch_dtype"] = out["dtype"] // transformers 4 reads this name
	if c.Labels > 0 {
		labels := map[string]string{}
		for i := range c.Labels {
			labels[fmt.Sprint(i)] = fmt.Sprintf("LABEL_%d", i)
		}
		out["architectures"], out["id2label"] = []string{c.architecture()}, labels
	}
	data, err := json.MarshalIndent(out, "", "  ")
	return append(data, '\n'), err
}
