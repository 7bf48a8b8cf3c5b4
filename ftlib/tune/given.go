package tune

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"ftlab/ftlib"
	"ftlab/ftlib/backend"
	"ftlab/ftlib/ckpt"
	"ftlab/ftlib/lab"
	"ftlab/ftlib/llm"
	"ftlab/ftlib/quant"
)

// given is a model that a run trains instead of loading one.
type given struct {
	*llm.Model
	adapter bool // train the adapter that it has on
	changed bool // its weights were not those of its files when the run began
}

// given takes Options.Model into the specification of a run that begins.
func (o Options) given(run ftlib.Run) (ftlib.Run, *given, error) {
	m := o.Model
	if m == nil {
		return run, nil, nil
	}
	g := &given{Model: m, changed: m.Changed()}
	run = run.Clone()
	if run.Model.Path == "" {
		run.Model.Path = m.Path
	}
	switch {
	case run.Model.Path == "":
		return run, nil, errors.New("tune: Options.Model was made and not loaded; name in Model.Path the directory that its tokenizer is in")
	case run.Model.Adapter != "":
		return run, nil, errors.New("tune: Options.Model and Model.Adapter are set: load the adapter with Model.LoadAdapter, then leave Model.Adapter empty")
	}
	dtype := strings.ToLower(m.DType().String())
	if run.Model.DType == "" {
		run.Model.DType = dtype
	}
	if run.Model.DType != dtype {
		return run, nil, fmt.Errorf("tune: the model is held in %s and the run wants %s: lab.LoadAs loads it so, or leave Model.DType out", dtype, run.Model.DType)
	}
	if a := m.Adapter(); a != nil && run.LoRA == nil {
		g.adapter = true
		spec := a.Spec
		run.LoRA = &spec
	}
	return run, g, nil
}

// warnings say what the specification alone does not tell.
func (g *given) warnings(s Stepper) (all []string) {
	if g == nil {
		return nil
	}
	if g.adapter {
		text := "this run goes on with the adapter that the model had"
		if s, ok := s.(interface{ takenOver() int64 }); ok && s.takenOver() > 0 {
			text += fmt.Sprintf(" and with the optimizer's state after %d steps", s.takenOver())
		}
		all = append(all, text+": its checkpoints resume it, but run.yaml alone does not repeat it")
	}
	if g.changed {
		all = append(all, "the model's own weights were trained since it was loaded: run.yaml alone does not repeat this run")
	}
	return all
}

// keepsAdapter says whether the adapter that the model has on is trained.
func (g *given) keepsAdapter() bool { return g != nil && g.adapter }

// inputs stand for what a run reads that is in no file.
func (g *given) inputs() []ckpt.Input {
	if g == nil || !g.changed {
		return nil
	}
	return []ckpt.Input{{Role: "model", Path: "(weights in memory)", Hash: "none"}}
}

// keep leaves a model that was given in the lab under the name of the run.
func (g *given) keep(name string) error {
	if g == nil {
		return nil
	}
	return lab.Keep(name, g.Model)
}

// modelOf is the model of a run and the type of its matrices.
func modelOf(run ftlib.Run, g *given) (*llm.Model, dtypes.DType, error) {
	if g != nil {
		return g.Model, g.DType(), nil
	}
	b, err := backend.Open(run.Model.Backend)
	if err != nil {
		return nil, 0, err
	}
	dtype, err := computeType(run, b.Description())
	if err != nil {
		return nil, 0, err
	}
	if q := quantisation(run.Model); q != nil || run.Model.Stream != "" { // what is resident is there in full
		m, err := llm.Load(b, run.Model.Path, llm.LoadOptions{DType: dtype, Quantize: q, Stream: llm.Stream(run.Model.Stream)})
		return m, dtype, err
	}
	m, err := lab.Open(b, run.Model.Path, llm.LoadOptions{DType: dtype})
	return m, dtype, err
}

// quantisation is how a specification holds the linear layers; nil: in full.
func quantisation(m ftlib.Model) *llm.QuantOptions {
	switch {
	case m.Load8Bit:
		return &llm.QuantOptions{Config: quant.Config{Type: quant.Int8}}
	case m.Load4Bit:
		return &llm.QuantOptions{Config: quant.Config{Type: quant.Type(m.QuantType), Block: m.QuantBlock, Double: m.DoubleQuant}}
	}
	return nil
}

// goOn takes over the optimizer's state that the model has for these weights.
func (s *trainer) goOn() error {
	was, err := s.model.TakeMoments(s.Engine.Trainable())
	if err != nil || was == nil {
		return err
	}
	if s.opt.Fits(was.State, s.Engine) != nil { // of another optimizer: this one begins anew
		s.model.SetMoments(nil)
		for _, t := range was.State {
			_ = t.FinalizeAll()
		}
		return nil
	}
	s.opt.SetState(was.State)
	s.before = int64(was.Step)
	return nil
}
