package llm

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"ftlab/ftlib"
	"ftlab/ftlib/quant"
	"ftlab/ftlib/safetensors"
)

// Moments are what an optimizer left behind with the weights that it trained, by slot and
// weight as in "m/lm_head.weight", after Step steps.
type Moments struct {
	Step  int
	State map[string]*tensors.Tensor

	adapter *Adapter // that was on; nil: weights of the model itself
}

func (s *Moments) tensors() (all []*tensors.Tensor) {
	if s != nil {
		for _, t := range s.State {
			all = append(all, t)
		}
	}
	return all
}

// SetMoments leaves an optimizer's state with the model, for who trains next what is
// switched on now. The tensors become the model's. nil: none.
func (m *Model) SetMoments(s *Moments) {
	m.release(m.moments.tensors()...)
	if m.moments = s; s != nil {
		s.adapter = m.adapter
	}
}

// TakeMoments hands the optimizer's state to who trains the model now, if it belongs to
// exactly the named weights; nil if there is none. The model then has none.
func (m *Model) TakeMoments(names []string) (*Moments, error) {
	s := m.moments
	if s == nil || s.adapter != m.adapter {
		return nil, nil
	}
	of := map[string]bool{}
	for key := range s.State {
		_, name, _ := strings.Cut(key, "/")
		of[name] = true
	}
	if len(of) != len(names) {
		return nil, nil
	}
	for _, name := range names {
		if !of[name] {
			return nil, nil
		}
	}
	m.moments = nil
	out := &Moments{Step: s.Step, State: maps.Clone(s.State)}
	for key, t := range out.State {
		if !m.lent[t] {
			continue
		}
		var err error // an optimizer frees what it replaces
		if out.State[key], err = t.OnDeviceClone(m.Backend, 0); err != nil {
			return nil, fmt.Errorf("llm: the optimizer's state %s: %w", key, err)
		}
	}
	return out, nil
}

// Trained says whether the model is not what its files hold: it has an adapter, or
// weights of its own were trained.
func (m *Model) Trained() bool { return m.adapter != nil || m.changed }

// Changed says whether weights of the model itself were trained or set since it was
// loaded.
func (m *Model) Changed() bool { return m.changed }

// DType is the type of the model's matrices.
func (m *Model) DType() dtypes.DType { return m.dtype }

// Names of tensors among the parts of a model begin with what they are.
const (
	PartWeights = "weights/" // base weights, by Hugging Face name
	PartAdapter = "adapter/" // the adapter that is switched on
	PartOptim   = "optim."   // an optimizer's state: "optim.m/", by the name of the weight

	partResidual = "residual/" // of an adapter that began with a part of the weights
	partBegan    = "began/"
)

// about is what a model is besides its tensors.
type about struct {
	Config  json.RawMessage `json:"config"` // as in config.json
	Path    string          `json:"path,omitempty"`
	Files   []File          `json:"files,omitempty"`
	DType   string          `json:"dtype"`
	Changed bool            `json:"changed,omitempty"`
	Adapter *aboutAdapter   `json:"adapter,omitempty"`
	Step    int             `json:"optimizer_step,omitempty"`
	Packed  *aboutPacked    `json:"quantized,omitempty"`

	// What a classifier's configuration has beyond its file.
	Labels    int  `json:"labels,omitempty"`
	LabelBias bool `json:"label_bias,omitempty"`
	NoHead    bool `json:"no_head,omitempty"`
}

// aboutPacked says which weights are quantised, and how.
type aboutPacked struct {
	quant.Config
	Compute string   `json:"compute"`
	Weights []string `json:"weights"`
}

type aboutAdapter struct {
	Spec      ftlib.LoRA `json:"spec"`
	Tie       bool       `json:"tie,omitempty"`
	Tokenizer string     `json:"tokenizer,omitempty"`
}

// Parts takes a model apart for who keeps it: a JSON description, and all its tensors,
// by names that begin with [PartWeights] and so on. The tensors stay the model's.
func (m *Model) Parts() (description []byte, parts map[string]*tensors.Tensor, err error) {
	if err := m.errStreamed("taken apart"); err != nil {
		return nil, nil, err
	}
	a := about{Path: m.Path, Files: m.files, DType: strings.ToLower(m.dtype.String()), Changed: m.changed,
		Labels: m.Config.Labels, LabelBias: m.Config.LabelBias, NoHead: m.Config.NoHead}
	if a.Config, err = m.Config.JSON(safetensors.F32); err != nil {
		return nil, nil, fmt.Errorf("llm: %w", err)
	}
	if q := m.Quantized(); q != nil {
		a.Packed = &aboutPacked{q.Config, strings.ToLower(q.Compute.String()), sortedKeys(m.packs)}
	}
	parts = map[string]*tensors.Tensor{}
	add := func(prefix string, from map[string]*tensors.Tensor) {
		for name, t := range from {
			parts[prefix+name] = t
		}
	}
	add(PartWeights, m.params)
	if x := m.adapter; x != nil {
		a.Adapter = &aboutAdapter{x.Spec, x.tie, x.tokenizer}
		add(PartAdapter, x.params)
		add(partResidual, x.residual)
		add(partBegan, x.began)
	}
	if s := m.moments; s != nil && s.adapter == m.adapter {
		a.Step = s.Step
		add(PartOptim, s.State)
	}
	description, err = json.Marshal(a)
	return description, parts, err
}

// FromParts puts a model together from what [Model.Parts] gave, in this process or in
// another, on a backend that the tensors are on. With lent set the tensors stay the
// caller's: the model, its adapter and its training never free them.
func FromParts(b compute.Backend, description []byte, parts map[string]*tensors.Tensor, lent bool) (*Model, error) {
	var d about
	if err := json.Unmarshal(description, &d); err != nil {
		return nil, fmt.Errorf("llm: the description of a model: %w", err)
	}
	c, err := ParseConfig(d.Config)
	if err != nil {
		return nil, fmt.Errorf("llm: the description of a model: %w", err)
	}
	c.Labels, c.LabelBias, c.NoHead = d.Labels, d.LabelBias, d.NoHead
	m := &Model{Config: c, Path: d.Path, Backend: b, files: d.Files, changed: d.Changed, params: map[string]*tensors.Tensor{}}
	if m.dtype, err = dtypes.DTypeString(d.DType); err != nil {
		return nil, fmt.Errorf("llm: the description of a model: %w", err)
	}
	s := &Moments{Step: d.Step, State: map[string]*tensors.Tensor{}}
	to := map[string]map[string]*tensors.Tensor{PartWeights: m.params}
	if x := d.Adapter; x != nil {
		m.adapter = &Adapter{Spec: x.Spec, tie: x.Tie, files: m.baseOf(), specs: map[string]adapterSpec{}, params: map[string]*tensors.Tensor{},
			residual: map[string]*tensors.Tensor{}, began: map[string]*tensors.Tensor{}}
		to[PartAdapter], to[partResidual], to[partBegan] = m.adapter.params, m.adapter.residual, m.adapter.began
	}
	for name, t := range parts {
		if key, ok := strings.CutPrefix(name, PartOptim); ok {
			s.State[key] = t
			continue
		}
		kind, rest, _ := strings.Cut(name, "/")
		if to[kind+"/"] == nil {
			return nil, fmt.Errorf("llm: %q is no part of a model", name)
		}
		to[kind+"/"][rest] = t
	}
	if q := d.Packed; q != nil {
		in, err := dtypes.DTypeString(q.Compute)
		if err != nil {
			return nil, fmt.Errorf("llm: the description of a model: %w", err)
		}
		m.packs = map[string]packedSpec{}
		for _, name := range q.Weights {
			out, width := m.moduleDims(strings.TrimSuffix(name, ".weight"))
			m.packs[name] = packedSpec{q.Config, out, width, in}
		}
		if m.adapter != nil {
			m.adapter.origin = m.originOf()
		}
	}
	for _, w := range c.weights() {
		t, want := m.params[w.name], w.shape
		if spec, packed := m.packs[w.name]; packed {
			want = spec.shape().Dimensions
			for _, part := range spec.parts(w.name) {
				if m.params[part] == nil {
					return nil, fmt.Errorf("llm: the parts of a model lack %s", part)
				}
			}
		}
		if t == nil || !sameShape(t.Shape().Dimensions, want) {
			return nil, fmt.Errorf("llm: the parts of a model lack %s %v", w.name, w.shape)
		}
	}
	if m.adapter != nil {
		if err := m.adapter.match(m); err != nil {
			return nil, err
		}
		if err := m.adapter.putIDs(m); err != nil {
			return nil, err
		}
		m.adapter.tokenizer = d.Adapter.Tokenizer
	}
	if len(s.State) > 0 {
		m.SetMoments(s)
	}
	if lent {
		m.Lend()
	}
	return m, nil
}

// Lend makes all tensors of the model somebody else's from now on, who may go on using
// them when the model trains further or is closed.
func (m *Model) Lend() {
	if m.lent == nil {
		m.lent = map[*tensors.Tensor]bool{}
	}
	for _, t := range m.params {
		m.lent[t] = true
	}
	if a := m.adapter; a != nil {
		for _, of := range []map[string]*tensors.Tensor{a.params, a.residual, a.began} {
			for _, t := range of {
				m.lent[t] = true
			}
		}
		a.lent = m.lent
	}
	for _, t := range m.moments.tensors() {
		m.lent[t] = true
	}
}

// lent are tensors that somebody else uses too.
type lent map[*tensors.Tensor]bool

// release frees tensors, except those that are lent.
func (l lent) release(ts ...*tensors.Tensor) {
	for _, t := range ts {
		if l[t] {
			delete(l, t)
		} else {
			free(t)
		}
	}
}
