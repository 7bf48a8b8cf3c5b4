package llm

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib/safetensors"
)

// Model is a decoder with its weights on a backend, and at most one adapter that
// is switched on.
type Model struct {
	Config  Config
	Path    string // where it was loaded from; "" when it was made
	Backend compute.Backend

	dtype   dtypes.DType               // of matrices
	params  map[string]*tensors.Tensor // by Hugging Face name, and what belongs to quantised weights
	packs   map[string]packedSpec      // weights that are quantised
	adapter *Adapter
	moments *Moments            // of an optimizer, for who trains the model next
	merges  map[string]*program // folding an adapter in, by its settings
	stream  *stream             // weights that are not on the backend while they do not compute; nil: none
	files   []File              // that it was read from
	changed bool                // base weights are not those of the files
	lent
}

// LoadOptions says how weights are held. The zero value holds matrices in float32.
type LoadOptions struct {
	DType dtypes.DType // float32 or bfloat16 for matrices; norms and biases are float32 always

	// Quantize holds the linear layers in four or eight bits, quantised on the way in, a
	// piece of a tensor at a time. nil: as they are; a directory that is quantised stays so.
	Quantize *QuantOptions

	// Stream leaves the linear layers of the blocks where they are and brings one block after
	// another to the backend while it computes. Zero: all weights are on the backend.
	Stream Stream
}

// Load reads a model from a directory in Hugging Face's layout (config.json and
// safetensors, one file or shards), from a llama2.c .bin file, or by its name in the
// hub's cache (see [Resolve]). A tensor that is
// missing, left over or of the wrong shape is an error that names it.
func Load(b compute.Backend, path string, o LoadOptions) (*Model, error) {
	path, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("llm: %w", err)
	}
	if !info.IsDir() {
		if strings.HasSuffix(path, ".bin") {
			return withFiles(filesOf(path))(loadLlama2C(b, path, o))
		}
		return nil, fmt.Errorf("llm: %s is a file; give the directory of a model, or a llama2.c .bin file", path)
	}
	files := filesOf(path) // before they are read: a change in the meantime is noticed
	c, err := LoadConfig(path)
	if err != nil {
		return nil, err
	}
	src, err := safetensors.OpenModel(path)
	if err != nil {
		return nil, err
	}
	m, err := withFiles(files)(load(b, path, c, src, o))
	if m != nil && m.stream.reads() {
		m.stream.close = src.Close
		return m, err
	}
	return m, errors.Join(err, src.Close())
}

// withFiles notes in a model that was loaded what it was read from.
func withFiles(files []File) func(*Model, error) (*Model, error) {
	return func(m *Model, err error) (*Model, error) {
		if m != nil {
			m.files = files
		}
		return m, err
	}
}

// source is where named tensors come from.
type source interface {
	Names() []string
	Tensor(name string) (safetensors.Tensor, error)
}

func load(b compute.Backend, path string, c Config, src source, o LoadOptions) (*Model, error) {
	if err := c.classify(src); err != nil {
		return nil, err
	}
	m := &Model{Config: c, Path: path, Backend: b, dtype: o.DType, params: map[string]*tensors.Tensor{}}
	if m.dtype == dtypes.InvalidDType {
		m.dtype = dtypes.Float32
	}
	if m.dtype != dtypes.Float32 && m.dtype != dtypes.BFloat16 {
		return nil, fmt.Errorf("llm: weights as %s: float32 and bfloat16 are supported; float16 would need loss scaling, which is not there", m.dtype)
	}
	l, err := m.loader(src, o)
	if err != nil {
		return nil, fmt.Errorf("llm: %s: %w", path, err)
	}
	var wrong []string
	for _, w := range c.weights() {
		problem, err := l.place(w, o.Stream, len(wrong) > 0)
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("llm: %s: %w", path, err)
		}
		if problem != "" {
			wrong = append(wrong, problem)
		}
	}
	for name := range l.left {
		if ignorable(name, c) {
			continue
		}
		wrong = append(wrong, name+" is left over")
	}
	if len(wrong) > 0 {
		m.Close()
		sort.Strings(wrong)
		more := ""
		if len(wrong) > 8 {
			more = fmt.Sprintf(" and %d more", len(wrong)-8)
			wrong = wrong[:8]
		}
		return nil, fmt.Errorf("llm: %s: the weights do not fit config.json (%s, %d layers): %s%s", path, c.Family, c.Layers, strings.Join(wrong, "; "), more)
	}
	return m, nil
}

// ignorable are tensors that files carry although they can be computed.
func ignorable(name string, c Config) bool {
	return strings.HasSuffix(name, "rotary_emb.inv_freq") || (c.Tied && name == headName)
}

// Close frees the weights and the adapter.
func (m *Model) Close() {
	for _, t := range m.params {
		m.release(t)
	}
	m.params = nil
	m.stream.end()
	m.stream = nil
	m.SetMoments(nil)
	if m.adapter != nil {
		m.adapter.Close()
		m.adapter = nil
	}
}

// param is a base weight by Hugging Face name; a tied head is the embedding.
func (m *Model) param(name string) *tensors.Tensor {
	if name == headName && m.Config.Tied {
		name = embedName
	}
	return m.params[name]
}

// under is a weight as it is seen under an adapter, which may be nil: the adapter's
// tensor of this name before the model's.
func (m *Model) under(a *Adapter, name string) *tensors.Tensor {
	if a != nil {
		if name == headName && a.params[name] == nil && a.headFollows(m) {
			name = embedName
		}
		if t := a.params[name]; t != nil {
			return t
		}
		if t := a.residual[name]; t != nil {
			return t
		}
		if t := a.fixed[name]; t != nil {
			return t
		}
	}
	return m.param(name)
}

// Names are the names of the base weights, sorted.
func (m *Model) Names() []string {
	names := m.stream.names()
	for name := range m.params {
		if !m.isPart(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Weight copies a base weight to the host, row-major float32; a quantised one as it is
// computed with.
func (m *Model) Weight(name string) ([]float32, error) {
	if m.stream.has(name) {
		one, err := m.stream.bring(name)
		if err != nil {
			return nil, err
		}
		defer one.Close()
		return one.Weight(name)
	}
	t := m.param(name)
	if t == nil {
		return nil, fmt.Errorf("llm: no weight %q", name)
	}
	if _, packed := m.packs[name]; packed {
		w, err := m.unpacked(name)
		if err != nil {
			return nil, err
		}
		values := make([]float32, w.Elements())
		return values, w.Dequantize(values)
	}
	return floats(t)
}

// Save writes config.json and model.safetensors, or shards of 5 GB, into dir, which is made
// when it is missing; quantised weights as bitsandbytes writes them. One weight at a time
// is on the host. The adapter is not folded in;
// see [Model.SaveMerged].
func (m *Model) Save(dir string, dtype safetensors.DType) error {
	if err := m.errStreamed("saved"); err != nil {
		return err
	}
	return m.save(dir, dtype, m.Names(), m.Config, func(name string) (*tensors.Tensor, error) { return m.params[name], nil })
}

// save writes the weights that get returns and frees those made for it.
func (m *Model) save(dir string, dtype safetensors.DType, names []string, c Config, get func(name string) (*tensors.Tensor, error)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	var all []planned
	for _, name := range names {
		if spec, packed := m.packs[name]; packed {
			all = append(all, plannedPacked(name, []int{spec.out, spec.in}, spec.Config))
		} else if t := m.under(m.adapter, name); t != nil {
			all = append(all, planned{name: name, bytes: int64(t.Size() * dtype.Size()), parts: 1})
		} else {
			all = append(all, planned{name: name, parts: 1}) // made when it is written
		}
	}
	err := writeShards(dir, shardBytes, all, nil, func(name string) ([]safetensors.Tensor, error) {
		if _, packed := m.packs[name]; packed {
			w, err := m.unpacked(name)
			if err != nil {
				return nil, err
			}
			return w.Tensors(name), nil
		}
		t, err := get(name)
		if err != nil {
			return nil, err
		}
		s, err := toFile(name, t, dtype)
		if !m.owned(name, t) {
			free(t)
		}
		return []safetensors.Tensor{s}, err
	})
	if err != nil {
		return err
	}
	c.raw = maps.Clone(c.raw)
	delete(c.raw, quantizationKey)
	if q := m.Quantized().json(); q != nil {
		if c.raw == nil {
			c.raw = map[string]any{}
		}
		c.raw[quantizationKey] = q
	}
	config, err := c.JSON(dtype)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	return m.copyFiles(dir)
}

// copyFiles brings tokenizer and templates along, so that dir is a whole model.
func (m *Model) copyFiles(dir string) error {
	if m.adapter != nil && m.adapter.tokenizer != "" {
		return copyBeside(dir, m.adapter.tokenizer, m.Path)
	}
	return copyBeside(dir, m.Path, m.Path)
}

// copyBeside copies what lies beside the weights in one directory to another; what is not
// of the tokenizer may come from a second one.
func copyBeside(dir, from, second string) error {
	if from == "" {
		return nil
	}
	var errs []error
	for _, name := range []string{"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
		"added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil && from != second && !strings.Contains(name, "token") {
			data, err = os.ReadFile(filepath.Join(second, name))
		}
		if err != nil {
			continue // not every model has every file
		}
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	return errors.Join(errs...)
}
