package llm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/safetensors"
)

const (
	adapterConfigFile  = "adapter_config.json"
	adapterWeightsFile = "adapter_model.safetensors"
	peftPrefix         = "base_model.model."
)

// peftConfig holds the keys of PEFT's adapter_config.json that change what an
// adapter computes.
type peftConfig struct {
	Type         string             `json:"peft_type"`
	Task         string             `json:"task_type"`
	Base         string             `json:"base_model_name_or_path"`
	R            int                `json:"r"`
	Alpha        float64            `json:"lora_alpha"`
	Dropout      float64            `json:"lora_dropout"`
	Targets      json.RawMessage    `json:"target_modules"`
	Bias         string             `json:"bias"`
	RSLoRA       bool               `json:"use_rslora"`
	DoRA         bool               `json:"use_dora"`
	RankPattern  map[string]int     `json:"rank_pattern"`
	AlphaPattern map[string]float64 `json:"alpha_pattern"`
	FanInFanOut  bool               `json:"fan_in_fan_out"`
	Inference    bool               `json:"inference_mode"`
	Init         json.RawMessage    `json:"init_lora_weights,omitempty"`
	SaveModules  []string           `json:"modules_to_save"`
	Tie          bool               `json:"ensure_weight_tying,omitempty"`
	Tokens       json.RawMessage    `json:"trainable_token_indices,omitempty"`
}

// unsupported are keys of PEFT that change the result and are not built here; an
// adapter that sets one is refused rather than computed wrongly.
var unsupported = []string{"layer_replication", "target_parameters",
	"use_qalora", "alora_invocation_tokens", "lora_bias", "use_bdlora", "kasa_config", "arrow_config", "fan_in_fan_out"}

// LoadAdapter reads a PEFT adapter directory and switches it on. Keys of its
// configuration that are unknown are ignored; keys that would change the result and
// are not supported are an error, as are tensors that are missing, left over or of
// the wrong shape.
func (m *Model) LoadAdapter(dir string) (*Adapter, error) {
	path := filepath.Join(dir, adapterConfigFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("llm: %w; an adapter directory holds %s and %s", err, adapterConfigFile, adapterWeightsFile)
	}
	a, err := m.parseAdapter(data)
	if err != nil {
		return nil, fmt.Errorf("llm: %s: %w", path, err)
	}
	if err := m.checkBase(dir); err != nil {
		return nil, err
	}
	f, err := safetensors.Open(filepath.Join(dir, adapterWeightsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := m.grow(a, f); err != nil {
		return nil, err
	}
	if err := a.checkOutside(m); err != nil {
		return nil, fmt.Errorf("llm: %s: %w", path, err)
	}
	if err := a.read(m, f); err != nil {
		a.Close()
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		a.tokenizer = dir
	}
	m.SetAdapter(a)
	return a, nil
}

func (m *Model) parseAdapter(data []byte) (*Adapter, error) {
	var c peftConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if c.Type != "LORA" {
		return nil, fmt.Errorf("peft_type is %q; LORA is supported", c.Type)
	}
	if err := savable(c.SaveModules); err != nil {
		return nil, err
	}
	if init := mutatingInit(c.Init); strings.Contains(init, "_niter_") {
		return nil, fmt.Errorf("init_lora_weights is %s: the adapter belongs to weights that a random decomposition left, which nobody can repeat; save it from PEFT with path_initial_model_for_weight_conversion", init)
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, key := range unsupported {
		switch v := all[key].(type) {
		case nil:
		case bool:
			if v {
				return nil, fmt.Errorf("%s is set, which is not supported", key)
			}
		case []any:
			if len(v) > 0 {
				return nil, fmt.Errorf("%s is set, which is not supported", key)
			}
		case map[string]any:
			if len(v) > 0 {
				return nil, fmt.Errorf("%s is set, which is not supported", key)
			}
		default:
			return nil, fmt.Errorf("%s is set, which is not supported", key)
		}
	}
	var targets []string
	if json.Unmarshal(c.Targets, &targets) != nil {
		var one string
		if err := json.Unmarshal(c.Targets, &one); err != nil {
			return nil, fmt.Errorf("target_modules is neither a list nor a text: %s", c.Targets)
		}
		targets = []string{one}
	}
	tokens, err := tokenIndices(c.Tokens)
	if err != nil {
		return nil, err
	}
	spec, err := resolve(ftlib.LoRA{Tokens: tokens, R: c.R, Alpha: c.Alpha, Dropout: c.Dropout, Targets: targets, Bias: c.Bias, RSLoRA: c.RSLoRA, DoRA: c.DoRA,
		RankPattern: c.RankPattern, AlphaPattern: c.AlphaPattern, SaveModules: savedModules(c.SaveModules), Init: mutatingInit(c.Init)})
	if err != nil {
		return nil, err
	}
	a := &Adapter{Spec: spec, tie: c.Tie, files: m.baseOf(), origin: m.originOf(), specs: map[string]adapterSpec{}, params: map[string]*tensors.Tensor{}}
	a.scored = slices.Contains(spec.SaveModules, "score")
	return a, a.match(m)
}

// read loads the tensors that the configuration promises.
func (a *Adapter) read(m *Model, f *safetensors.File) error {
	have := map[string]string{} // internal name -> name in the file
	for _, name := range f.Names() {
		have[internalName(name)] = name
	}
	var wrong []string
	want := func(name string, shape ...int) error {
		key, ok := have[name]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s %v is missing", peftName(name), shape))
			return nil
		}
		delete(have, name)
		t, err := f.Tensor(key)
		if err != nil {
			return err
		}
		if !sameShape(t.Shape, shape) {
			wrong = append(wrong, fmt.Sprintf("%s is %v, should be %v", key, t.Shape, shape))
			return nil
		}
		values, err := t.Float32s()
		if err != nil {
			return err
		}
		return a.put(m, name, values, shape...)
	}
	for _, module := range a.Modules() {
		s := a.specs[module]
		out, in := m.moduleDims(module)
		if err := want(downName(module), s.R, in); err != nil {
			return err
		}
		if err := want(upName(module), out, s.R); err != nil {
			return err
		}
		if s.DoRA {
			if err := want(module+".lora_m", out); err != nil {
				return err
			}
		}
	}
	for _, name := range a.biases(m) {
		if _, ok := have[name]; !ok && a.Spec.Bias == "lora_only" {
			continue // PEFT up to 0.21 does not write them: the base's biases hold
		}
		if err := want(name, m.params[name].Size()); err != nil {
			return err
		}
	}
	if a.scored {
		if err := a.readScore(m, f, have); err != nil {
			return err
		}
	}
	if a.tie {
		delete(have, headName) // the embedding again
	}
	for _, w := range a.savedWeights(m) {
		if a.tie && w.name == headName {
			continue
		}
		if err := want(w.name, w.shape...); err != nil {
			return err
		}
	}
	rows := a.tokenRows(m)
	for _, weight := range sortedKeys(rows) {
		name, _ := rowsName(weight)
		if err := want(name, len(rows[weight]), m.Config.Hidden); err != nil {
			return err
		}
	}
	if m.Config.Tied && a.params[embedRows] != nil {
		delete(have, headRows) // the embedding's again
	}
	for _, name := range []string{embedName, headName, headBiasName} {
		problem, err := a.passBase(m, f, name, have)
		if err != nil {
			return err
		}
		if problem != "" {
			wrong = append(wrong, problem)
		}
	}
	for _, key := range have {
		wrong = append(wrong, key+" is left over")
	}
	if len(wrong) > 0 {
		sort.Strings(wrong)
		if len(wrong) > 8 {
			wrong = append(wrong[:8], fmt.Sprintf("and %d more", len(wrong)-8))
		}
		return fmt.Errorf("llm: %s does not fit the model: %s", f.Path, strings.Join(wrong, "; "))
	}
	if err := a.putIDs(m); err != nil {
		return err
	}
	return a.settle(m)
}

// peftName is the name of an adapter tensor in PEFT's files.
func peftName(name string) string {
	switch {
	case strings.HasSuffix(name, ".lora_m"):
		name = strings.TrimSuffix(name, ".lora_m") + ".lora_magnitude_vector.weight"
	case strings.Contains(name, ".lora_") && name != embedDown && name != embedUp:
		name += ".weight"
	}
	return peftPrefix + name
}

func internalName(name string) string {
	name = strings.TrimPrefix(name, peftPrefix)
	name = strings.ReplaceAll(name, ".base_layer.", ".")
	name = strings.Replace(name, ".default.", ".", 1)
	if module, ok := strings.CutSuffix(name, ".lora_magnitude_vector.weight"); ok {
		return module + ".lora_m"
	}
	if strings.HasSuffix(name, ".lora_magnitude_vector") {
		return strings.TrimSuffix(name, ".lora_magnitude_vector") + ".lora_m"
	}
	if strings.Contains(name, ".lora_") {
		return strings.TrimSuffix(name, ".weight")
	}
	for _, whole := range []string{".token_adapter.weight", ".original_module.weight"} { // of a base that was saved too
		if module, ok := strings.CutSuffix(name, whole); ok {
			return module + ".weight"
		}
	}
	return name
}

// targetNames are the target modules as PEFT reads them from a list: by the end of
// their names; modules that a pattern chose by their whole names.
func (a *Adapter) targetNames() []string {
	set := map[string]bool{}
	for _, target := range a.Spec.Targets {
		named := false
		for _, module := range a.Modules() {
			parts := strings.Split(module, ".")
			if target == "all-linear" {
				set[parts[len(parts)-1]], named = true, true
			} else if module == target || strings.HasSuffix(module, "."+target) {
				set[target], named = true, true
			}
		}
		if !named {
			re := regexp.MustCompile("^(?:" + target + ")$") // compiled when it was matched
			for _, module := range a.Modules() {
				if re.MatchString(module) {
					set[module] = true
				}
			}
		}
	}
	return sortedKeys(set)
}

// Save writes the adapter as PEFT does: adapter_config.json and
// adapter_model.safetensors. base names the model that it belongs to.
func (a *Adapter) Save(dir, base string) error {
	if len(a.began) > 0 {
		plain, err := a.plain()
		if err != nil {
			return err
		}
		defer plain.closeExcept(a)
		return plain.Save(dir, base)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	targets := a.targetNames()
	rawTargets, err := json.Marshal(targets)
	if err != nil {
		return err
	}
	c := peftConfig{Type: "LORA", Task: "CAUSAL_LM", Base: base, R: a.Spec.R, Alpha: a.Spec.Alpha, Dropout: a.Spec.Dropout,
		Targets: rawTargets, Bias: a.Spec.Bias, RSLoRA: a.Spec.RSLoRA, DoRA: a.Spec.DoRA, Inference: true, Init: json.RawMessage("true"),
		RankPattern: a.Spec.RankPattern, AlphaPattern: a.Spec.AlphaPattern, SaveModules: a.wholeModules(), Tie: a.tie}
	if c.RankPattern == nil {
		c.RankPattern = map[string]int{}
	}
	if c.AlphaPattern == nil {
		c.AlphaPattern = map[string]float64{}
	}
	if len(a.Spec.Tokens) > 0 {
		if c.Tokens, err = json.Marshal(a.Spec.Tokens); err != nil {
			return err
		}
	}
	if w := a.params[scoreName]; w != nil {
		c.SaveModules, c.Task = append(c.SaveModules, "score"), "SEQ_CLS"
		if w.Shape().Dimensions[0] > 1 {
			c.Task = "TOKEN_CLS"
		}
	}
	var out []safetensors.Tensor
	for _, name := range sortedKeys(a.params) {
		file := peftName(name)
		if module, ok := strings.CutSuffix(name, ".bias"); ok {
			if _, adapted := a.specs[module]; adapted {
				file = peftPrefix + module + ".base_layer.bias"
			}
		}
		t, err := toFile(file, a.params[name], safetensors.F32)
		if err != nil {
			return err
		}
		out = append(out, t)
	}
	if a.tie && a.params[embedName] != nil { // PEFT wants it under both names
		t, err := toFile(peftName(headName), a.params[embedName], safetensors.F32)
		if err != nil {
			return err
		}
		out = append(out, t)
	}
	if err := safetensors.Write(filepath.Join(dir, adapterWeightsFile), out, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, adapterConfigFile), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("llm: %w", err)
	}
	return a.noteBase(dir, base)
}
