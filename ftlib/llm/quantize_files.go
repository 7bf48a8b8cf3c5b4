package llm

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib/safetensors"
)

// QuantizedFiles says what [QuantizeFiles] wrote.
type QuantizedFiles struct {
	Weights int     `json:"quantized_weights"`    // matrices
	Params  int64   `json:"quantized_parameters"` // values in them
	Bits    float64 `json:"bits_a_parameter"`     // of these, scales included
	Before  int64   `json:"bytes_before"`         // of all weights
	After   int64   `json:"bytes_after"`
}

// QuantizeFiles reads the model in a directory of safetensors and writes its linear layers
// in four or eight bits, everything else as it is, to the directory out, which exists:
// bitsandbytes' tensors, with config.json, tokenizer and template, that this project and
// transformers load. It goes from file to file, one weight at a time, and needs no
// backend: memory does not grow with the model. What is missing, of another shape, or not
// finite is an error that names it. q.Compute may be float16 too: it is only noted.
func QuantizeFiles(dir, out string, q QuantOptions) (QuantizedFiles, error) {
	return quantizeFiles(dir, out, q, shardBytes)
}

func quantizeFiles(dir, out string, q QuantOptions, most int64) (done QuantizedFiles, err error) {
	fail := func(format string, args ...any) (QuantizedFiles, error) {
		return done, fmt.Errorf("llm: quantising %s: %w", dir, fmt.Errorf(format, args...))
	}
	if q.Config, err = q.Resolve(); err != nil {
		return fail("%w", err)
	}
	if q.Compute == dtypes.InvalidDType {
		q.Compute = dtypes.Float32
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fail("it is a file; a directory with config.json and safetensors is quantised (ft export writes one)")
	}
	c, err := LoadConfig(dir)
	if err != nil {
		return done, err
	}
	if c.raw[quantizationKey] != nil {
		return fail("its weights are quantised already; give the original ones: what was rounded once is not rounded again")
	}
	src, err := safetensors.OpenModel(dir)
	if err != nil {
		return done, err
	}
	defer src.Close()
	if err := c.classify(src); err != nil {
		return done, err
	}
	linear := map[string]bool{}
	for i := range c.Layers {
		for _, module := range c.Linears() {
			linear[layerName(i, module+".weight")] = true
		}
	}
	var all []planned
	dtype := safetensors.DType("")
	left := map[string]bool{}
	for _, name := range src.Names() {
		left[name] = true
	}
	for _, w := range c.weights() {
		t, err := src.Tensor(w.name)
		if err != nil {
			return fail("%s %v is missing", w.name, w.shape)
		}
		delete(left, w.name)
		switch {
		case !sameShape(t.Shape, w.shape):
			return fail("%s is %v, the configuration wants %v", w.name, t.Shape, w.shape)
		case dtypeNames[t.DType] == "":
			return fail("%s is %s; F32, BF16 and F16 are quantised", w.name, t.DType)
		}
		if dtype == "" {
			dtype = t.DType
		}
		done.Before += int64(len(t.Data))
		if linear[w.name] {
			all = append(all, plannedPacked(w.name, w.shape, q.Config))
			done.Weights, done.Params = done.Weights+1, done.Params+int64(t.Elements())
		} else {
			all = append(all, planned{name: w.name, bytes: int64(len(t.Data)), parts: 1, mapped: true})
		}
	}
	for name := range left {
		if !ignorable(name, c) {
			return fail("%s is left over: it is no weight of %s with %d layers", name, c.Family, c.Layers)
		}
	}
	packed := 0
	written := func(piece []byte) { src.Release(safetensors.Tensor{Data: piece}) }
	err = writeShards(out, most, all, written, func(name string) ([]safetensors.Tensor, error) {
		t, err := src.Tensor(name)
		if err != nil {
			return nil, err
		}
		if !linear[name] {
			done.After += int64(len(t.Data))
			return []safetensors.Tensor{t}, nil
		}
		w, err := quantised(t, q.Config)
		src.Release(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		packed += w.Bytes()
		done.After += int64(w.Bytes())
		return w.Tensors(name), nil
	})
	if err != nil {
		return fail("%w", err)
	}
	done.Bits = 8 * float64(packed) / float64(max(1, done.Params))
	c.raw = maps.Clone(c.raw)
	c.raw[quantizationKey] = q.json()
	config, err := c.JSON(dtype)
	if err == nil {
		err = os.WriteFile(filepath.Join(out, "config.json"), config, 0o644)
	}
	if err != nil {
		return fail("%w", err)
	}
	if sum := fingerprint(filesOf(dir)); sum != "" {
		if err := (baseNote{Path: dir, Origin: sum}).write(out); err != nil {
			return done, err
		}
	}
	return done, copyBeside(out, dir, dir)
}

// computeOf is the type of products that config.json gives quantised weights; float32
// where it names none that is built.
func (c *Config) computeOf() dtypes.DType {
	q, _ := c.raw[quantizationKey].(map[string]any)
	if name, _ := q["bnb_4bit_compute_dtype"].(string); strings.TrimPrefix(name, "torch.") == "bfloat16" {
		return dtypes.BFloat16
	}
	return dtypes.InvalidDType
}
