package llm

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
)

// Adapter is a set of low-rank matrices beside a frozen model (Hu et al. 2021),
// with DoRA magnitudes and trained biases where asked for. It belongs to the model
// that it was made for and leaves its weights alone.
type Adapter struct {
	Spec ftlib.LoRA

	scored bool // its configuration says that a score head is saved with it
	tie    bool // a tied head follows the embedding that is saved with the adapter
	specs  map[string]adapterSpec
	params map[string]*tensors.Tensor // "<module>.lora_A", ".lora_B", ".lora_m", ".bias", and modules saved whole

	// Of adapters that began with a part of the weights (PiSSA, OLoRA): the weights
	// without it, and A and B as they were then.
	residual, began map[string]*tensors.Tensor

	fixed map[string]*tensors.Tensor // which tokens have rows of their own; not trained

	tokenizer string // directory with the tokenizer that it was trained with; "": the model's
	files     []File // of the weights that it belongs to
	origin    string // fingerprint of what these were quantised from
	lent
}

// Close frees the adapter's tensors.
func (a *Adapter) Close() {
	for _, t := range a.params {
		a.release(t)
	}
	for _, of := range []map[string]*tensors.Tensor{a.residual, a.began, a.fixed} {
		for _, t := range of {
			a.release(t)
		}
	}
	a.params, a.residual, a.began, a.fixed = nil, nil, nil, nil
}

// Params is the number of trained values.
func (a *Adapter) Params() int {
	n := 0
	for _, t := range a.params {
		n += t.Size()
	}
	return n
}

// Modules are the full names of the modules that are adapted by low rank, sorted.
func (a *Adapter) Modules() []string {
	names := make([]string, 0, len(a.specs))
	for name := range a.specs {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// resolve fills in the defaults that ftlib.LoRA documents.
func resolve(spec ftlib.LoRA) (ftlib.LoRA, error) {
	if spec.R == 0 {
		spec.R = 16
	}
	if spec.Alpha == 0 {
		spec.Alpha = 2 * float64(spec.R)
	}
	if len(spec.Targets) == 0 {
		spec.Targets = []string{"all-linear"}
	}
	if spec.Bias == "" {
		spec.Bias = "none"
	}
	switch {
	case spec.R < 0:
		return spec, fmt.Errorf("llm: lora.r is %d; it must be positive", spec.R)
	case spec.Dropout < 0 || spec.Dropout >= 1:
		return spec, fmt.Errorf("llm: lora.lora_dropout is %v; it must be at least 0 and below 1", spec.Dropout)
	case !slices.Contains([]string{"none", "all", "lora_only"}, spec.Bias):
		return spec, fmt.Errorf("llm: lora.bias is %q; it is none, all or lora_only", spec.Bias)
	}
	if err := ftlib.CheckInit(spec.Init); err != nil {
		return spec, fmt.Errorf("llm: lora.init_lora_weights: %w", err)
	}
	return spec, nil
}

// NewAdapter makes an adapter for the model and switches it on. The model's output is
// unchanged at first, whatever the initialisation (init_lora_weights as in PEFT):
//
//	true      A ~ U(±1/√in), B = 0
//	gaussian  A ~ N(0, 1/r²), B = 0
//	pissa     W = USVᵀ: B = U_r·√(S_r/s), A = √(S_r/s)·V_rᵀ, W' = W - s·B·A (Meng et al. 2024)
//	olora     W = QR: B = Q_r, A = R_r, W' = W - s·B·A (Büyükakyüz 2024)
//
// The last two hold W' beside the model's weights, which stay as they are: adapters of
// any kind can share the model. The same seed gives the same adapter for every choice of
// targets.
func (m *Model) NewAdapter(spec ftlib.LoRA, seed int64) (*Adapter, error) {
	spec, err := resolve(spec)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Spec: spec, files: m.baseOf(), origin: m.originOf(), specs: map[string]adapterSpec{}, params: map[string]*tensors.Tensor{}}
	if err := a.match(m); err != nil {
		return nil, err
	}
	if err := a.checkOutside(m); err != nil {
		return nil, fmt.Errorf("llm: lora.%w", err)
	}
	if s, ok := a.specs[headModule]; ok && s.Dropout > 0 {
		return nil, fmt.Errorf("llm: lora.lora_dropout with lm_head among target_modules is not supported: set it to 0, or train lm_head by modules_to_save")
	}
	for _, module := range a.Modules() {
		s := a.specs[module]
		out, in := m.moduleDims(module)
		h := fnv.New64a()
		h.Write([]byte(module))
		rng := rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
		down, up, err := a.initial(m, module, rng)
		if err != nil {
			a.Close()
			return nil, err
		}
		if err := a.put(m, downName(module), down, s.R, in); err != nil {
			return nil, err
		}
		if err := a.put(m, upName(module), up, out, s.R); err != nil {
			return nil, err
		}
		if s.DoRA {
			w, err := m.Weight(module + ".weight")
			if err != nil {
				return nil, err
			}
			if err := a.put(m, module+".lora_m", rowNorms(w, out, in), out); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range a.biases(m) {
		b, err := m.Weight(name)
		if err != nil {
			return nil, err
		}
		if err := a.put(m, name, b, len(b)); err != nil {
			return nil, err
		}
	}
	err = a.saveModules(m, seed)
	if err == nil {
		err = a.ownRows(m)
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	m.SetAdapter(a)
	return a, nil
}

func (a *Adapter) put(m *Model, name string, values []float32, dims ...int) error {
	t, err := newFloats(m.Backend, values, dims...)
	if err != nil {
		return fmt.Errorf("llm: adapter %s: %w", name, err)
	}
	a.params[name] = t
	return nil
}

func rowNorms(w []float32, out, in int) []float32 {
	norms := make([]float32, out)
	for i := range norms {
		sum := 0.0
		for _, v := range w[i*in : (i+1)*in] {
			sum += float64(v) * float64(v)
		}
		norms[i] = float32(math.Sqrt(sum))
	}
	return norms
}

// Adapter is the adapter that is switched on; nil for the base model.
func (m *Model) Adapter() *Adapter { return m.adapter }

// SetAdapter switches to another adapter of this model, or to the base with nil.
func (m *Model) SetAdapter(a *Adapter) { m.adapter = a }

// moduleDims are output and input width of a module by its full name. The embedding
// is a linear layer of one-hot rows.
func (m *Model) moduleDims(module string) (out, in int) {
	switch module {
	case embedModule:
		return m.Config.Hidden, m.Config.Vocab
	case headModule:
		return m.Config.Vocab, m.Config.Hidden
	}
	return m.Config.dims(localName(module))
}

// downName and upName are the names of A and B of a module.
func downName(module string) string {
	if module == embedModule {
		return embedDown
	}
	return module + ".lora_A"
}

func upName(module string) string {
	if module == embedModule {
		return embedUp
	}
	return module + ".lora_B"
}

// localName is a name inside its layer: "model.layers.3.mlp.up_proj" -> "mlp.up_proj".
func localName(name string) string {
	if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
		if _, local, ok := strings.Cut(rest, "."); ok {
			return local
		}
	}
	return name
}

// match finds the target modules as PEFT does: "all-linear" for those of the blocks, the
// end of a module's name, or a whole name; a single target that matches nothing by name is
// tried as a regular expression over whole names.
func (a *Adapter) match(m *Model) error {
	var all []string
	for i := range m.Config.Layers {
		for _, local := range m.Config.Linears() {
			all = append(all, layerName(i, local))
		}
	}
	all = append(all, embedModule)
	if !m.Config.NoHead {
		all = append(all, headModule)
	}
	for _, target := range a.Spec.Targets {
		found := false
		for _, module := range all {
			if target == "all-linear" && module != embedModule && module != headModule || module == target || strings.HasSuffix(module, "."+target) {
				found = true
				a.specs[module] = a.specFor(module)
			}
		}
		if found {
			continue
		}
		re, err := regexp.Compile("^(?:" + target + ")$")
		if err == nil {
			for _, module := range all {
				if re.MatchString(module) {
					found = true
					a.specs[module] = a.specFor(module)
				}
			}
		}
		if !found {
			return fmt.Errorf("llm: target module %q is not in the model; its linear layers are %s, all-linear for all of them, and there are embed_tokens and lm_head", target, strings.Join(m.Config.Linears(), ", "))
		}
	}
	return nil
}

// specFor applies rank_pattern and alpha_pattern, as PEFT's get_pattern_key does.
func (a *Adapter) specFor(module string) adapterSpec {
	r, alpha := a.Spec.R, a.Spec.Alpha
	matches := func(key string) bool {
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
		return err == nil && re.MatchString(module)
	}
	for _, key := range sortedKeys(a.Spec.RankPattern) {
		if matches(key) {
			r = a.Spec.RankPattern[key]
			break
		}
	}
	for _, key := range sortedKeys(a.Spec.AlphaPattern) {
		if matches(key) {
			alpha = a.Spec.AlphaPattern[key]
			break
		}
	}
	scale := alpha / float64(r)
	if a.Spec.RSLoRA {
		scale = alpha / math.Sqrt(float64(r))
	}
	return adapterSpec{R: r, Scale: scale, Dropout: a.Spec.Dropout, DoRA: a.Spec.DoRA}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// biases are the base biases that the adapter trains its own copy of.
func (a *Adapter) biases(m *Model) []string {
	var names []string
	for _, name := range m.Names() {
		module, ok := strings.CutSuffix(name, ".bias")
		if !ok {
			continue
		}
		_, adapted := a.specs[module]
		if a.Spec.Bias == "all" || (a.Spec.Bias == "lora_only" && adapted) {
			names = append(names, name)
		}
	}
	return names
}
